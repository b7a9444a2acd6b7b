//! Fields whose order of bytes and width are known only when the file is read (ELF, Mach-O).

use hf_core::Defect;

use crate::reader::{Reader, size};

/// Order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

/// A reader that knows the order of bytes and the width of an address.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    reader: Reader<'a>,
    endian: Endian,
    is_64: bool,
}

impl<'a> Fields<'a> {
    /// Returns a reader at an offset.
    pub(crate) fn at(bytes: &'a [u8], off: usize, endian: Endian, is_64: bool) -> Self {
        Self { reader: Reader::at(bytes, off), endian, is_64 }
    }

    /// True when addresses have 64 bits.
    pub(crate) fn is_64(&self) -> bool {
        self.is_64
    }

    /// Moves to an offset.
    pub(crate) fn seek(&mut self, off: u64) {
        self.reader.seek(size(off));
    }

    /// Returns the position.
    pub(crate) fn off(&self) -> usize {
        self.reader.off()
    }

    /// Reads raw bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        self.reader.take(len)
    }

    /// Reads 16 bits.
    pub(crate) fn u16(&mut self) -> Result<u64, Defect> {
        match self.endian {
            Endian::Little => self.reader.u16_le(),
            Endian::Big => self.reader.u16_be(),
        }
        .map(u64::from)
    }

    /// Reads 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u64, Defect> {
        match self.endian {
            Endian::Little => self.reader.u32_le(),
            Endian::Big => self.reader.u32_be(),
        }
        .map(u64::from)
    }

    /// Reads 64 bits.
    pub(crate) fn u64(&mut self) -> Result<u64, Defect> {
        match self.endian {
            Endian::Little => self.reader.u64_le(),
            Endian::Big => self.reader.u64_be(),
        }
    }

    /// Reads an address: 32 or 64 bits.
    pub(crate) fn word(&mut self) -> Result<u64, Defect> {
        if self.is_64 { self.u64() } else { self.u32() }
    }
}
