//! LZ77 of compiled AutoIt scripts (`EA05`, `EA06`).
//!
//! Promises: output grows as far as it is asked to; what was made before an error is there.
//! Sources: observation of test files; public descriptions of compiled AutoIt scripts.

use std::io;

use super::lzss::Growing;
use super::msb::{MsbBits, Order, copy_within};
use super::truncated;

/// Widths of the parts of a length, and what is added to each.
const LEN_STEPS: [(u32, u32); 3] = [(2, 0), (3, 3), (5, 10)];
const LONG_LEN: u32 = 41;
const LEN_MIN: u32 = 3;

/// Decodes a stream behind its header.
#[derive(Debug)]
pub(crate) struct AutoitLz<'a> {
    bits: MsbBits<'a>,
    literal: u32,
    out: Vec<u8>,
}

impl<'a> AutoitLz<'a> {
    /// Returns a decoder; `literal` is the bit in front of a byte that stands for itself.
    pub(crate) fn new(input: &'a [u8], literal: u32) -> Self {
        Self { bits: MsbBits::new(input, Order::Bytes), literal, out: Vec::new() }
    }

    fn match_len(&mut self) -> io::Result<u32> {
        for (width, base) in LEN_STEPS {
            let value = self.bits.bits(width);
            if value.saturating_add(1) < 1 << width {
                return Ok(value.saturating_add(base).saturating_add(LEN_MIN));
            }
        }
        let mut len = LONG_LEN;
        loop {
            let value = self.bits.bits(8);
            self.bits.check()?;
            len = len.saturating_add(value);
            if value != 255 {
                return Ok(len.saturating_add(LEN_MIN));
            }
        }
    }
}

impl Growing for AutoitLz<'_> {
    fn grow(&mut self, to: usize) -> io::Result<bool> {
        while self.out.len() < to {
            if self.bits.bits(1) == self.literal {
                let byte = self.bits.bits(8);
                if self.bits.is_over() {
                    return Err(truncated());
                }
                self.out.push(u8::try_from(byte).unwrap_or(0));
                continue;
            }
            let distance = usize::try_from(self.bits.bits(15)).unwrap_or(0);
            let len = usize::try_from(self.match_len()?).unwrap_or(0);
            self.bits.check()?;
            copy_within(&mut self.out, distance, len)?;
        }
        Ok(true)
    }

    fn into_out(self) -> Vec<u8> {
        self.out
    }

    fn made(&self) -> usize {
        self.out.len()
    }
}
