//! Reduce, methods 2 to 5 of zip: follower sets and run-length copies (APPNOTE.TXT 5.2).

use std::io::{self, BufRead};

use super::bits::Bits;
use super::damaged;
use super::history::{History, Symbols};

/// Decodes reduced data; it does not know its end.
#[derive(Debug)]
pub(crate) struct Expand<R> {
    bits: Bits<R>,
    /// 1 to 4.
    factor: u32,
    /// For each byte those that often follow it; filled by the first call.
    followers: Vec<Vec<u8>>,
    last: u8,
}

const ESCAPE: u8 = 144;
const FOLLOWERS_MAX: u32 = 32;

impl<R: BufRead> Expand<R> {
    /// Returns a decoder at the start of the stream; the factor is the method minus one.
    pub(crate) fn new(source: R, factor: u32) -> Self {
        Self { bits: Bits::new(source), factor: factor.clamp(1, 4), followers: Vec::new(), last: 0 }
    }

    fn read_followers(&mut self) -> io::Result<()> {
        for _ in 0..256 {
            let len = self.bits.bits(6)?;
            if len > FOLLOWERS_MAX {
                return Err(damaged("reduce: follower set"));
            }
            let set = (0..len).map(|_| self.bits.byte()).collect::<io::Result<_>>()?;
            self.followers.push(set);
        }
        self.followers.reverse();
        Ok(())
    }

    /// Decodes a byte by the sets; none at the end of the input.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        let set = self.followers.get(usize::from(self.last)).map(Vec::as_slice).unwrap_or_default();
        let literal = if set.is_empty() {
            true
        } else {
            match self.bits.bits_or_end(1)? {
                Some(bit) => bit == 1,
                None => return Ok(None),
            }
        };
        let byte = if literal {
            match self.bits.bits_or_end(8)? {
                Some(byte) => u8::try_from(byte).unwrap_or_default(),
                None => return Ok(None),
            }
        } else {
            let idx_max = set.len().saturating_sub(1).max(1);
            let Some(idx) = self.bits.bits_or_end(idx_max.ilog2().saturating_add(1))? else {
                return Ok(None);
            };
            let idx = usize::try_from(idx).unwrap_or(usize::MAX);
            set.get(idx).copied().ok_or_else(|| damaged("reduce: follower"))?
        };
        self.last = byte;
        Ok(Some(byte))
    }
}

impl<R: BufRead> Symbols for Expand<R> {
    fn symbol(&mut self, out: &mut History) -> io::Result<bool> {
        if self.followers.is_empty() {
            self.read_followers()?;
        }
        let Some(byte) = self.byte()? else { return Ok(false) };
        if byte != ESCAPE {
            out.push(byte);
            return Ok(true);
        }
        let Some(value) = self.byte()? else { return Ok(false) };
        if value == 0 {
            out.push(ESCAPE);
            return Ok(true);
        }
        let len_bits = 8u32.saturating_sub(self.factor);
        let len_mask = (1usize << len_bits).saturating_sub(1);
        let mut len = usize::from(value) & len_mask;
        if len == len_mask {
            let Some(more) = self.byte()? else { return Ok(false) };
            len = len.saturating_add(usize::from(more));
        }
        let Some(low) = self.byte()? else { return Ok(false) };
        let distance = ((usize::from(value) >> len_bits) << 8) | usize::from(low);
        out.copy_zero_padded(distance.saturating_add(1), len.saturating_add(3));
        Ok(true)
    }
}
