//! Bits of a stream, most significant first, and prefix codes over them.
//!
//! Promises: bits behind the end read as zeros and are counted, so that a decoder asks once a symbol or
//! once a block whether it ran over; a table that is over-subscribed is refused, an incomplete one is not.

use std::io;

use super::copies::copy_back;
use super::{damaged, truncated};

/// How bits lie in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest bit of each byte first.
    Bytes,
    /// The highest bit of each little-endian word of 16 bits first.
    Words,
}

/// A reader of bits with some of them at hand.
#[derive(Debug)]
pub(super) struct MsbBits<'a> {
    input: &'a [u8],
    off: usize,
    order: Order,
    hold: u64,
    held: u32,
    /// Bits behind the end that are held or were used.
    made_up: u32,
}

impl<'a> MsbBits<'a> {
    /// Returns a reader at the first bit.
    pub(super) fn new(input: &'a [u8], order: Order) -> Self {
        Self { input, off: 0, order, hold: 0, held: 0, made_up: 0 }
    }

    fn fill(&mut self) {
        while self.held <= 48 {
            let unit = match (self.order, self.input.get(self.off..).unwrap_or_default()) {
                (_, []) => {
                    self.made_up = self.made_up.saturating_add(16);
                    0
                }
                (Order::Bytes, [high, low, ..]) | (Order::Words, [low, high, ..]) => {
                    u16::from_be_bytes([*high, *low])
                }
                (Order::Bytes, [high]) => u16::from_be_bytes([*high, 0]),
                (Order::Words, [low]) => u16::from(*low),
            };
            self.off = self.off.saturating_add(2);
            self.hold |= u64::from(unit) << 48_u32.saturating_sub(self.held);
            self.held = self.held.saturating_add(16);
        }
    }

    /// Returns the next bits without using them; at most 32.
    pub(super) fn peek(&mut self, len: u32) -> u32 {
        if self.held < 32 {
            self.fill();
        }
        u32::try_from((self.hold >> 1) >> 63_u32.saturating_sub(len)).unwrap_or(u32::MAX)
    }

    /// Uses bits that were looked at.
    pub(super) fn drop_bits(&mut self, len: u32) {
        self.hold <<= len.min(63);
        self.held = self.held.saturating_sub(len);
    }

    /// Reads bits; at most 32.
    pub(super) fn bits(&mut self, len: u32) -> u32 {
        let value = self.peek(len);
        self.drop_bits(len);
        value
    }

    /// Returns the number of bits, at most 16, to the next word; a whole word when there is none.
    pub(super) fn to_next_word(&self) -> u32 {
        match self.held % 16 {
            0 => 16,
            bits => bits,
        }
    }

    /// Moves to the next word, if not at one.
    pub(super) fn align(&mut self) {
        let bits = self.held % 16;
        self.drop_bits(bits);
    }

    /// Takes whole bytes, from a position at a word.
    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let held = usize::try_from(self.held / 8).unwrap_or(0);
        let start = self.off.saturating_sub(held).min(self.input.len());
        let end = start.saturating_add(len).min(self.input.len());
        self.off = end;
        (self.hold, self.held, self.made_up) = (0, 0, 0);
        self.input.get(start..end).unwrap_or_default()
    }

    /// Returns how many bytes are left, from a position at a word.
    pub(super) fn off(&self) -> usize {
        let held = usize::try_from(self.held / 8).unwrap_or(0);
        self.off.saturating_sub(held).min(self.input.len())
    }

    /// True when more bits were used than there are.
    pub(super) fn is_over(&self) -> bool {
        self.made_up > self.held
    }

    /// True when over 32 bits more were used than there are: for decoders that read ahead.
    pub(super) fn is_far_over(&self) -> bool {
        self.made_up > self.held.saturating_add(32)
    }

    /// Fails when more bits were used than there are.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_over() { Err(truncated()) } else { Ok(()) }
    }
}

/// Bits that one look-up decodes.
const FAST_LEN: u32 = 11;
const CODE_LEN_MAX: usize = 20;

/// A canonical prefix code: shorter codes first, then smaller symbols.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefix {
    /// Symbol and length, by the next bits; length 0 for a longer code or none.
    fast: Vec<(u16, u8)>,
    /// For each length: the first code behind those of this length, left-aligned to 20 bits.
    limits: [u32; CODE_LEN_MAX + 1],
    /// For each length: what to add to a code of it to get a place in `sorted`.
    starts: [i32; CODE_LEN_MAX + 1],
    sorted: Vec<u16>,
}

impl Prefix {
    /// Builds the code from the lengths of its symbols.
    pub(super) fn set(&mut self, lens: &[u8]) -> io::Result<()> {
        let mut counts = [0u32; CODE_LEN_MAX + 1];
        for len in lens {
            let Some(count) = counts.get_mut(usize::from(*len)) else {
                return Err(damaged("code too long"));
            };
            *count = count.saturating_add(1);
        }
        self.sorted.clear();
        self.fast.clear();
        self.fast.resize(1 << FAST_LEN, (0, 0));
        let (mut code, mut place) = (0u32, 0u32);
        for (len, count) in counts.iter().enumerate().skip(1) {
            let shift = u32::try_from(CODE_LEN_MAX.saturating_sub(len)).unwrap_or(0);
            let first = code >> shift;
            code = code.saturating_add(count << shift);
            if code > 1 << CODE_LEN_MAX {
                return Err(damaged("too many codes"));
            }
            let start = i64::from(place).saturating_sub(i64::from(first));
            if let (Some(limit), Some(to)) = (self.limits.get_mut(len), self.starts.get_mut(len)) {
                *limit = code;
                *to = i32::try_from(start).unwrap_or(0);
            }
            place = place.saturating_add(*count);
        }
        self.fill(lens);
        Ok(())
    }

    fn fill(&mut self, lens: &[u8]) {
        let fast_len = usize::try_from(FAST_LEN).unwrap_or(0);
        let mut at = 0usize;
        for len in 1..=CODE_LEN_MAX {
            let of_len = lens.iter().enumerate().filter(|(_, have)| usize::from(**have) == len);
            for (symbol, have) in of_len {
                let symbol = u16::try_from(symbol).unwrap_or(u16::MAX);
                self.sorted.push(symbol);
                let Some(spread) = fast_len.checked_sub(len) else { continue };
                let end = at.saturating_add(1 << spread);
                if let Some(entries) = self.fast.get_mut(at..end) {
                    entries.fill((symbol, *have));
                }
                at = end;
            }
        }
    }

    /// Decodes a symbol.
    pub(super) fn symbol(&self, bits: &mut MsbBits<'_>) -> io::Result<u16> {
        let code = bits.peek(20);
        let fast = usize::try_from(code >> (20 - FAST_LEN)).unwrap_or(0);
        if let Some((symbol, len @ 1..)) = self.fast.get(fast) {
            bits.drop_bits(u32::from(*len));
            return Ok(*symbol);
        }
        let long = self.limits.iter().zip(&self.starts).enumerate().skip(1);
        for (len, (limit, start)) in long {
            if code < *limit {
                let len = u32::try_from(len).unwrap_or(20);
                let value = i64::from(code >> 20_u32.saturating_sub(len));
                let place = usize::try_from(value.saturating_add(i64::from(*start))).ok();
                bits.drop_bits(len);
                let symbol = place.and_then(|place| self.sorted.get(place));
                return symbol.copied().ok_or_else(|| damaged("no such code"));
            }
        }
        Err(damaged("no such code"))
    }
}

/// Appends a copy of earlier output, which may overlap what it makes.
pub(super) fn copy_within(out: &mut Vec<u8>, distance: usize, len: usize) -> io::Result<()> {
    if distance == 0 || distance > out.len() {
        return Err(damaged("distance before the start"));
    }
    copy_back(out, distance, len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_codes() {
        let mut lens = vec![1u8];
        lens.extend(2..=15);
        lens.extend([16, 16]);
        let mut code = Prefix::default();
        code.set(&lens).unwrap();
        // 16 bits each: the two last symbols, then the first.
        let mut bits = MsbBits::new(&[0xff, 0xff, 0xff, 0xfe, 0x00], Order::Bytes);
        assert_eq!(code.symbol(&mut bits).unwrap(), 16);
        assert_eq!(code.symbol(&mut bits).unwrap(), 15);
        assert_eq!(code.symbol(&mut bits).unwrap(), 0);
        assert!(code.set(&[1, 1, 1]).is_err());
    }

    #[test]
    fn copies_overlap() {
        let mut out = b"ab".to_vec();
        copy_within(&mut out, 2, 5).unwrap();
        assert_eq!(out, b"abababa");
        assert!(copy_within(&mut out, 8, 1).is_err());
    }
}
