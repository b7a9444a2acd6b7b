//! Output of symbol-wise decoders: a bounded history to copy from, and a reader around a decoder.

use std::io::{self, Read};

use super::copies::{copy_back, literals};
use super::damaged;

/// Bytes that stay available for copies. Above the longest distance of any decoder here.
const KEPT_LEN: usize = 64 * 1024;
/// Bytes that may be delivered and unused before they are dropped.
const SLACK_LEN: usize = 256 * 1024;

/// What was decoded so far, as far back as copies reach.
#[derive(Debug, Default)]
pub(crate) struct History {
    bytes: Vec<u8>,
    taken: usize,
}

impl History {
    /// Appends a byte.
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Appends bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the first `len` bytes of what follows, or all of it.
    #[inline]
    pub(super) fn extend_short(&mut self, rest: &[u8], len: usize) {
        literals(&mut self.bytes, rest, len);
    }

    /// Appends a copy from a distance behind the end; zeros lie before the start.
    pub(super) fn copy_zero_padded(&mut self, distance: usize, len: usize) {
        let had = self.bytes.len();
        let missing = distance.saturating_sub(had).min(len);
        self.bytes.resize(had.saturating_add(missing), 0);
        copy_back(&mut self.bytes, distance, len.saturating_sub(missing));
    }

    /// Appends a copy from a distance behind the end, which must be there.
    pub(super) fn copy(&mut self, distance: usize, len: usize) -> io::Result<()> {
        if distance == 0 || distance > self.bytes.len() {
            return Err(damaged("distance before the start"));
        }
        copy_back(&mut self.bytes, distance, len);
        Ok(())
    }

    /// Returns how many bytes wait to be taken.
    pub(super) fn ready(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    /// Moves waiting bytes into a buffer.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> usize {
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let len = waiting.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), waiting.get(..len)) {
            to.copy_from_slice(from);
        }
        self.taken = self.taken.saturating_add(len);
        let droppable = self.taken.min(self.bytes.len().saturating_sub(KEPT_LEN));
        if droppable > SLACK_LEN {
            self.bytes.drain(..droppable);
            self.taken = self.taken.saturating_sub(droppable);
        }
        len
    }
}

/// A decoder that makes a few bytes at a time.
pub(crate) trait Symbols {
    /// Decodes the next symbol and appends what it stands for; false at the end of the stream.
    fn symbol(&mut self, out: &mut History) -> io::Result<bool>;
}

/// Reads from a symbol-wise decoder.
#[derive(Debug)]
pub(crate) struct Unpacker<S> {
    symbols: S,
    out: History,
    ended: Option<io::Result<()>>,
}

impl<S: Symbols> Unpacker<S> {
    /// Returns a reader at the start of the output.
    pub(crate) fn new(symbols: S) -> Self {
        Self { symbols, out: History::default(), ended: None }
    }

    /// Returns the decoder.
    pub(crate) fn symbols(&self) -> &S {
        &self.symbols
    }
}

impl<S: Symbols> Read for Unpacker<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.ended.is_none() && self.out.ready() < buf.len() {
            match self.symbols.symbol(&mut self.out) {
                Ok(true) => {}
                Ok(false) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        let taken = self.out.take(buf);
        if taken == 0
            && !buf.is_empty()
            && let Some(Err(error)) = self.ended.replace(Ok(()))
        {
            return Err(error);
        }
        Ok(taken)
    }
}
