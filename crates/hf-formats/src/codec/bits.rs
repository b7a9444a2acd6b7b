//! Bits of a stream, least significant first.

use std::io::{self, BufRead};

use super::{next_byte, truncated};

/// A reader of up to 32 bits at a time.
#[derive(Debug)]
pub(super) struct Bits<R> {
    source: R,
    hold: u64,
    held: u32,
}

impl<R: BufRead> Bits<R> {
    /// Returns a reader at the first bit.
    pub(super) fn new(source: R) -> Self {
        Self { source, hold: 0, held: 0 }
    }

    /// Reads bits; the first is the lowest of the value. None when the input ends before them.
    pub(super) fn bits_or_end(&mut self, len: u32) -> io::Result<Option<u32>> {
        let len = len.min(32);
        while self.held < len {
            let Some(byte) = next_byte(&mut self.source)? else { return Ok(None) };
            self.hold |= u64::from(byte) << self.held;
            self.held = self.held.saturating_add(8);
        }
        let mask = (1u64 << len).wrapping_sub(1);
        let value = u32::try_from(self.hold & mask).unwrap_or(u32::MAX);
        self.hold >>= len;
        self.held = self.held.saturating_sub(len);
        Ok(Some(value))
    }

    /// Reads bits that must be there.
    pub(super) fn bits(&mut self, len: u32) -> io::Result<u32> {
        self.bits_or_end(len)?.ok_or_else(truncated)
    }

    /// Reads eight bits that must be there.
    pub(super) fn byte(&mut self) -> io::Result<u8> {
        self.bits(8).map(|value| u8::try_from(value & 0xff).unwrap_or_default())
    }
}
