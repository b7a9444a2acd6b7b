//! Bits, the highest of a byte first, and canonical Huffman codes over them: RAR, LHA, ARJ, ZOO.

use hf_core::Stop;

/// Why a decoder went no further.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The input ended.
    Truncated,
    /// The stream breaks its rules.
    Damaged(&'static str),
    /// It needs more memory than it may have.
    Memory,
    /// The output reached the cap.
    Capped,
    /// The scan ends.
    Stop(Stop),
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Reads bits; behind the end come zeroes, and [`Bits::check`] tells.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    off: usize,
    /// The next bits, left-justified.
    acc: u64,
    have: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, off: 0, acc: 0, have: 0 }
    }

    /// Makes at least 32 bits ready.
    #[inline]
    fn refill(&mut self) {
        if self.have > 31 {
            return;
        }
        let word = match self.data.get(self.off..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(chunk) => u32::from_be_bytes(*chunk),
            None => {
                let mut chunk = [0u8; 4];
                let rest = self.data.get(self.off..).unwrap_or_default();
                chunk.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                u32::from_be_bytes(chunk)
            }
        };
        self.acc |= u64::from(word) << (32 - self.have);
        self.have += 32;
        self.off = self.off.saturating_add(4);
    }

    /// Returns the next 16 bits without using them.
    #[inline]
    pub(crate) fn peek16(&mut self) -> u32 {
        self.refill();
        u32::try_from(self.acc >> 48).unwrap_or(0)
    }

    /// Uses at most 32 bits that were looked at.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) {
        self.refill();
        self.acc <<= count & 63;
        self.have = self.have.saturating_sub(count);
    }

    /// Reads at most 32 bits.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        self.refill();
        let value = self.acc >> (64 - count.min(32));
        self.skip(count.min(32));
        u32::try_from(value).unwrap_or(0)
    }

    pub(crate) fn align(&mut self) {
        self.skip(self.have & 7);
    }

    /// Returns how many bits were used.
    #[inline]
    pub(crate) fn used(&self) -> u64 {
        let read = u64::try_from(self.off).unwrap_or(u64::MAX).saturating_mul(8);
        read.saturating_sub(u64::from(self.have))
    }

    /// True when more bits were used than there are.
    #[inline]
    pub(crate) fn over(&self) -> bool {
        self.off > self.data.len()
            && self.used() > u64::try_from(self.data.len()).unwrap_or(u64::MAX).saturating_mul(8)
    }

    /// Fails when more bits were used than there are.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        if self.over() { Err(Broken::Truncated) } else { Ok(()) }
    }
}

const QUICK: u32 = 10;
const QUICK_LEN: usize = 1 << QUICK;
const LEN_MAX: usize = 16;

/// A canonical code with lengths of at most 16 bits.
#[derive(Debug, Clone)]
pub(crate) struct Huffman {
    /// Symbol and length of codes of at most [`QUICK`] bits, by their bits.
    quick: Box<[(u16, u8); QUICK_LEN]>,
    /// The end of codes of each length, left-justified to 16 bits.
    limits: [u32; LEN_MAX + 1],
    /// The place of the first symbol of each length.
    firsts: [u32; LEN_MAX + 1],
    symbols: Vec<u16>,
}

impl Default for Huffman {
    fn default() -> Self {
        Self {
            quick: Box::new([(0, 0); QUICK_LEN]),
            limits: [0; LEN_MAX + 1],
            firsts: [0; LEN_MAX + 1],
            symbols: Vec::new(),
        }
    }
}

impl Huffman {
    /// Builds the code; one that is not complete decodes what it has.
    pub(crate) fn build(&mut self, lens: &[u8]) {
        let mut counts = [0u32; LEN_MAX + 1];
        for len in lens {
            if let Some(count) = counts.get_mut(usize::from(*len)) {
                *count += 1;
            }
        }
        counts[0] = 0;
        self.symbols.clear();
        for wanted in 1..=16u8 {
            let of_len = lens.iter().zip(0u16..).filter(|(len, _)| **len == wanted);
            self.symbols.extend(of_len.map(|(_, symbol)| symbol));
        }
        let (mut limit, mut first) = (0u32, 0u32);
        let rows = self.limits.iter_mut().zip(&mut self.firsts).zip(counts).zip(0u32..);
        for (((row, first_row), count), len) in rows {
            limit = limit.saturating_add(count << (16 - len));
            *row = limit.min(1 << 16);
            *first_row = first;
            first += count;
        }
        let mut len = 1usize;
        for at in 0..QUICK_LEN {
            let code = u32::try_from(at).unwrap_or(0) << (16 - QUICK);
            while len <= LEN_MAX && self.limits.get(len).is_some_and(|limit| code >= *limit) {
                len += 1;
            }
            let entry = if len <= 10 { self.slow(code, len) } else { None };
            if let Some(quick) = self.quick.get_mut(at) {
                *quick = entry.unwrap_or((0, 0));
            }
        }
    }

    fn slow(&self, code: u32, len: usize) -> Option<(u16, u8)> {
        let start = self.limits.get(len.checked_sub(1)?)?;
        let bits = u32::try_from(len).ok()?;
        let at = self.firsts.get(len)?.checked_add(code.checked_sub(*start)? >> (16 - bits))?;
        let symbol = self.symbols.get(usize::try_from(at).ok()?)?;
        Some((*symbol, u8::try_from(len).ok()?))
    }

    /// Reads a symbol.
    #[inline]
    pub(crate) fn decode(&self, bits: &mut Bits<'_>) -> Result<usize, Broken> {
        let code = bits.peek16();
        let at = usize::try_from(code >> (16 - QUICK)).unwrap_or(0);
        let (symbol, len) = self.quick.get(at).copied().unwrap_or((0, 0));
        if len != 0 {
            bits.skip(u32::from(len));
            return Ok(usize::from(symbol));
        }
        let mut len = 1;
        while self.limits.get(len).is_some_and(|limit| code >= *limit) {
            len += 1;
        }
        let (symbol, len) = self.slow(code, len).ok_or(Broken::Damaged("prefix code"))?;
        bits.skip(u32::from(len));
        Ok(usize::from(symbol))
    }
}
