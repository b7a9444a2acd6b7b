//! bzip2 as NSIS has it: blocks without a stream header, magics of a byte, and no checksums.
//!
//! Promises: memory of at most nine bytes per byte of a block, which has at most 900,000.
//! Sources: bzip2's format as described in J. Seward's documentation and public descriptions; files that
//! `makensis` makes.

use std::io::{self, Read};

use super::damaged;
use super::msb::{MsbBits, Order, Prefix};

const BLOCK: u32 = 0x31;
const END: u32 = 0x17;
const BLOCK_LEN_MAX: usize = 900_000;
const GROUP_LEN: usize = 50;
const GROUPS_MAX: u32 = 18_002;

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct BareBunzip2<'a> {
    bits: MsbBits<'a>,
    /// Output of the block in hand, before runs are made long again.
    block: Vec<u8>,
    off: usize,
    /// The last byte and how often it came in a row.
    last: Option<u8>,
    seen: u32,
    /// Copies of the last byte that are to be given.
    repeat: u32,
    ended: bool,
}

impl<'a> BareBunzip2<'a> {
    /// Returns a reader at the first block.
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            bits: MsbBits::new(input, Order::Bytes),
            block: Vec::new(),
            off: 0,
            last: None,
            seen: 0,
            repeat: 0,
            ended: false,
        }
    }

    fn next_block(&mut self) -> io::Result<bool> {
        let magic = self.bits.bits(8);
        self.bits.check()?;
        match magic {
            BLOCK => {}
            END => return Ok(false),
            _ => return Err(damaged("bzip2: block magic")),
        }
        let origin = usize::try_from(self.bits.bits(24)).unwrap_or(usize::MAX);
        let column = self.column()?;
        self.block = rotate_back(&column, origin).ok_or_else(|| damaged("bzip2: origin"))?;
        self.off = 0;
        Ok(true)
    }

    /// Decodes the last column of the sorted rotations.
    fn column(&mut self) -> io::Result<Vec<u8>> {
        let mut symbols = self.symbols();
        let coders = self.bits.bits(3);
        let groups = self.bits.bits(15).min(GROUPS_MAX);
        if symbols.is_empty() || !(2..=6).contains(&coders) || groups == 0 {
            return Err(damaged("bzip2: tables"));
        }
        let selectors = self.selectors(coders, groups)?;
        let mut codes = Vec::new();
        for _ in 0..coders {
            codes.push(self.code(symbols.len().saturating_add(2))?);
        }
        let end = symbols.len().saturating_add(1);
        let mut column = Vec::new();
        let (mut run, mut run_bit) = (0usize, 0u32);
        for selector in selectors {
            let code = codes.get(selector).ok_or_else(|| damaged("bzip2: selector"))?;
            for _ in 0..GROUP_LEN {
                let symbol = usize::from(code.symbol(&mut self.bits)?);
                if symbol <= 1 {
                    let more = symbol.saturating_add(1).checked_shl(run_bit).unwrap_or(usize::MAX);
                    run = run.saturating_add(more);
                    run_bit = run_bit.saturating_add(1);
                    if run > BLOCK_LEN_MAX {
                        return Err(damaged("bzip2: run"));
                    }
                    continue;
                }
                if run > 0 {
                    let byte = symbols.first().copied().unwrap_or(0);
                    column.resize(column.len().saturating_add(run), byte);
                    (run, run_bit) = (0, 0);
                }
                if column.len() > BLOCK_LEN_MAX {
                    return Err(damaged("bzip2: block too long"));
                }
                if symbol == end {
                    self.bits.check()?;
                    return Ok(column);
                }
                let front = symbols.get_mut(..symbol).ok_or_else(|| damaged("bzip2: symbol"))?;
                front.rotate_right(1);
                column.extend(front.first());
            }
            self.bits.check()?;
        }
        Err(damaged("bzip2: no end of block"))
    }

    /// Reads which bytes occur.
    fn symbols(&mut self) -> Vec<u8> {
        let ranges = self.bits.bits(16);
        let mut symbols = Vec::new();
        for high in 0..16u8 {
            if ranges & (0x8000 >> high) == 0 {
                continue;
            }
            let bytes = self.bits.bits(16);
            for low in 0..16u8 {
                if bytes & (0x8000 >> low) != 0 {
                    symbols.push((high << 4) | low);
                }
            }
        }
        symbols
    }

    fn selectors(&mut self, coders: u32, groups: u32) -> io::Result<Vec<usize>> {
        let mut order: Vec<usize> = (0..6).collect();
        let mut selectors = Vec::new();
        for _ in 0..groups {
            let mut place = 0usize;
            while self.bits.bits(1) == 1 {
                place = place.saturating_add(1);
                if place >= usize::try_from(coders).unwrap_or(0) {
                    return Err(damaged("bzip2: selector"));
                }
            }
            if let Some(front) = order.get_mut(..=place) {
                front.rotate_right(1);
            }
            selectors.extend(order.first());
            self.bits.check()?;
        }
        Ok(selectors)
    }

    fn code(&mut self, count: usize) -> io::Result<Prefix> {
        let mut len = self.bits.bits(5);
        let mut lens = Vec::new();
        for _ in 0..count {
            while self.bits.bits(1) == 1 {
                len = if self.bits.bits(1) == 0 {
                    len.saturating_add(1)
                } else {
                    len.wrapping_sub(1)
                };
                if !(1..=20).contains(&len) {
                    return Err(damaged("bzip2: code length"));
                }
            }
            self.bits.check()?;
            lens.push(u8::try_from(len).unwrap_or(u8::MAX));
        }
        let mut code = Prefix::default();
        code.set(&lens)?;
        Ok(code)
    }

    /// Makes four equal bytes and a count into a run.
    fn expand(&mut self, buf: &mut [u8]) -> usize {
        let mut made = 0usize;
        for to in buf {
            if self.repeat > 0 {
                self.repeat = self.repeat.saturating_sub(1);
                *to = self.last.unwrap_or(0);
                made = made.saturating_add(1);
                continue;
            }
            let Some(byte) = self.block.get(self.off).copied() else { break };
            self.off = self.off.saturating_add(1);
            self.seen = if self.last == Some(byte) { self.seen.saturating_add(1) } else { 1 };
            self.last = Some(byte);
            if self.seen == 4 {
                let count = self.block.get(self.off).copied().unwrap_or(0);
                self.off = self.off.saturating_add(1);
                self.repeat = u32::from(count);
                self.seen = 0;
            }
            *to = byte;
            made = made.saturating_add(1);
        }
        made
    }
}

impl Read for BareBunzip2<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let made = self.expand(buf);
            if made > 0 || buf.is_empty() || self.ended {
                return Ok(made);
            }
            // Runs do not go over the end of a block.
            (self.last, self.seen) = (None, 0);
            match self.next_block() {
                Ok(true) => {}
                Ok(false) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    self.block.clear();
                    return Err(error);
                }
            }
        }
    }
}

/// Undoes the sorting of rotations.
fn rotate_back(column: &[u8], origin: usize) -> Option<Vec<u8>> {
    let mut starts = [0usize; 256];
    for byte in column {
        let count = starts.get_mut(usize::from(*byte))?;
        *count = count.saturating_add(1);
    }
    let mut sum = 0usize;
    for start in &mut starts {
        let count = *start;
        *start = sum;
        sum = sum.saturating_add(count);
    }
    let mut next = vec![0u32; column.len()];
    for (idx, byte) in column.iter().enumerate() {
        let start = starts.get_mut(usize::from(*byte))?;
        *next.get_mut(*start)? = u32::try_from(idx).ok()?;
        *start = start.saturating_add(1);
    }
    let mut at = usize::try_from(*next.get(origin)?).ok()?;
    let mut out = Vec::with_capacity(column.len());
    for _ in 0..column.len() {
        out.push(*column.get(at)?);
        at = usize::try_from(*next.get(at)?).ok()?;
    }
    Some(out)
}
