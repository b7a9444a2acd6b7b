//! Decoders of compressed streams, as readers that never lose a byte.
//!
//! Promises: a decoder gives every byte it could make before it reports an error; the error of input
//! that ends too early is [`io::ErrorKind::UnexpectedEof`], that of a memory limit is
//! [`io::ErrorKind::OutOfMemory`], all others are [`io::ErrorKind::InvalidData`]. Memory follows the
//! output and is at most [`MEMORY_MAX`] and a little; no allocation follows a claimed size.
//! Leaves out: containers, checksums and bounds of the output, which belong to the formats.
//! Input is any [`BufRead`]; decoders that end by themselves consume nothing behind their end
//! unless they say so.

pub(crate) mod arc;
mod autoit;
mod bits;
mod bzip2;
mod bzip2_bare;
mod copies;
pub(crate) mod crc16;
mod deflate64;
mod filters;
pub(crate) mod grow;
mod history;
mod implode;
mod inflate;
mod lz4;
mod lzfse;
pub(crate) mod lzh;
mod lzma;
mod lzo;
mod lzss;
mod lzw;
mod lzx;
mod msb;
mod mszip;
mod ppmd;
pub(crate) mod prefix;
mod quantum;
pub(crate) mod rar;
mod reduce;
mod shrink;
mod xpress;
mod xz;
mod zstd;

use std::io::{self, BufRead, Read};

pub(crate) use autoit::AutoitLz;
pub(crate) use bzip2::Bunzip2;
pub(crate) use bzip2_bare::BareBunzip2;
pub(crate) use deflate64::Inflate64;
pub(crate) use filters::{Filter, bcj2};
pub(crate) use history::Unpacker;
pub(crate) use implode::Explode;
pub(crate) use inflate::Inflate;
pub(crate) use lz4::{Lz4Frame, lz4_block};
pub(crate) use lzfse::{lzfse, lzvn};
pub(crate) use lzma::{Lzma, Lzma2, LzmaHeader};
pub(crate) use lzo::lzo1x;
pub(crate) use lzss::{Growing, KwajLzh, Lzss};
pub(crate) use lzw::Uncompress;
pub(crate) use lzx::{LZX_FRAME_LEN, Lzx};
pub(crate) use mszip::{MSZIP_BLOCK_LEN, Mszip};
pub(crate) use ppmd::{PpmdH, PpmdI};
pub(crate) use quantum::Quantum;
pub(crate) use reduce::Expand;
pub(crate) use shrink::Unshrink;
pub(crate) use xpress::xpress;
pub(crate) use xz::XzStream;
pub(crate) use zstd::ZstdFrame;

/// Bytes of dictionary, window or model that one decoder may have. Ours: four decoders of a worker
/// together stay below its memory limit.
pub(crate) const MEMORY_MAX: u32 = 128 << 20;

/// Returns the error of a stream that breaks its own rules.
pub(crate) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Returns the error of input that ends too early.
pub(crate) fn truncated() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Returns the error of a stream that needs more than [`MEMORY_MAX`].
pub(crate) fn too_much_memory() -> io::Error {
    io::ErrorKind::OutOfMemory.into()
}

/// Input that knows how much of it was used.
#[derive(Debug)]
pub(crate) struct Counted<R> {
    source: R,
    used: u64,
}

impl<R: BufRead> Counted<R> {
    /// Returns the input with nothing used.
    pub(crate) fn new(source: R) -> Self {
        Self { source, used: 0 }
    }

    /// Returns how many bytes were used.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        self.used = self.used.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
        self.used = self.used.saturating_add(u64::try_from(amount).unwrap_or(u64::MAX));
    }
}

/// Reads a few bytes at a time from decoders that drop what one call made before its error.
#[derive(Debug)]
pub(crate) struct Small<R> {
    inner: R,
    step_len: usize,
}

impl<R: Read> Small<R> {
    /// Returns a reader that asks for at most so many bytes.
    pub(crate) fn new(inner: R, step_len: usize) -> Self {
        Self { inner, step_len }
    }
}

impl<R: Read> Read for Small<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.step_len);
        self.inner.read(buf.get_mut(..len).unwrap_or_default())
    }
}

/// Reads one byte, or none at the end.
pub(crate) fn next_byte(source: &mut impl BufRead) -> io::Result<Option<u8>> {
    let byte = source.fill_buf()?.first().copied();
    if byte.is_some() {
        source.consume(1);
    }
    Ok(byte)
}

/// Fills as much of a buffer as the input has and returns how much that is.
pub(crate) fn read_up_to(source: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut have = 0usize;
    while let Some(rest) = buf.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match source.read(rest)? {
            0 => break,
            read => have = have.saturating_add(read),
        }
    }
    Ok(have)
}
