//! LZMA streams without a container, and the parts that LZMA2 needs, over `lzma-rust2`.
//!
//! The window grows with the output, so a dictionary that is claimed larger than
//! [`super::MEMORY_MAX`] is cut to it; only output that is larger can then fail, and does so as
//! [`io::ErrorKind::OutOfMemory`].

use std::fmt;
use std::io::{self, BufRead, Read};

use lzma_rust2::LzmaReader;

use super::{MEMORY_MAX, damaged, too_much_memory};

/// Properties of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LzmaHeader {
    /// lc, lp and pb as packed in the first byte.
    pub(crate) props: u8,
    /// Bytes of dictionary as claimed.
    pub(crate) dict_len: u32,
    /// Bytes unpacked; none when an end marker says where the end is.
    pub(crate) unpacked_len: Option<u64>,
}

/// Reads one LZMA stream; reads ahead of its end.
pub(crate) struct Lzma<R: BufRead> {
    inner: LzmaReader<R>,
    clamped: bool,
    made: u64,
}

impl<R: BufRead> fmt::Debug for Lzma<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lzma").field("made", &self.made).finish_non_exhaustive()
    }
}

impl<R: BufRead> Lzma<R> {
    /// Returns a reader of the stream behind its header.
    ///
    /// # Errors
    /// The properties are impossible, or the first five bytes are missing.
    pub(crate) fn new(source: R, header: LzmaHeader) -> io::Result<Self> {
        let dict_len = header.dict_len.min(MEMORY_MAX);
        let unpacked_len = header.unpacked_len.unwrap_or(u64::MAX);
        let mut inner =
            LzmaReader::new_with_props(source, unpacked_len, header.props, dict_len, None)?;
        inner.set_defer_errors(true);
        Ok(Self { inner, clamped: dict_len < header.dict_len, made: 0 })
    }

    /// Returns how many bytes were read from the source and not used.
    pub(crate) fn unused_len(self) -> usize {
        self.inner.into_parts().1.len()
    }
}

impl<R: BufRead> Read for Lzma<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Ok(len) => {
                self.made = self.made.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                Ok(len)
            }
            Err(_) if self.clamped && self.made >= u64::from(MEMORY_MAX) => Err(too_much_memory()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(error),
            Err(_) => Err(damaged("lzma: invalid data")),
        }
    }
}

/// Input followed by zeros, so that a decoder that reads whole chunks shows what a cut chunk held.
#[derive(Debug)]
pub(super) struct Padded<R> {
    source: R,
    zeros_left: usize,
}

impl<R: Read> Padded<R> {
    /// Returns the input with up to one chunk of zeros behind it.
    pub(super) fn new(source: R) -> Self {
        Self { source, zeros_left: 1 << 16 }
    }
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buf)?;
        if read > 0 {
            return Ok(read);
        }
        let len = buf.len().min(self.zeros_left);
        buf.get_mut(..len).unwrap_or_default().fill(0);
        self.zeros_left = self.zeros_left.saturating_sub(len);
        Ok(len)
    }
}
