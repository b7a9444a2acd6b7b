//! Quantum, as cabinets have it: LZ77 under an adaptive arithmetic coder.
//!
//! Promises: one call makes one frame of at most 32 KiB; what was made before an error is in the output.
//! Sources: [1] M. Russotto, "Quantum compression format".

use std::io;

use super::msb::{MsbBits, Order, copy_within};
use super::{damaged, truncated};

/// Bytes that a frame makes, but for the last.
const FRAME_LEN: usize = 32 * 1024;
/// What a seen symbol's frequency grows by, and the total at which all are made smaller [1].
const STEP: u16 = 8;
const TOTAL_MAX: u16 = 3800;

/// Symbols and the frequencies of those behind each; the last entry is only a bound [1].
#[derive(Debug)]
struct Model {
    symbols: Vec<(u16, u16)>,
    to_reorder: u32,
}

impl Model {
    fn new(start: u16, len: u16) -> Self {
        let entry = |idx: u16| (start.saturating_add(idx), len.saturating_sub(idx));
        Self { symbols: (0..=len).map(entry).collect(), to_reorder: 4 }
    }

    fn total(&self) -> u16 {
        self.symbols.first().map_or(1, |entry| entry.1)
    }

    fn shrink(&mut self) {
        self.to_reorder = self.to_reorder.saturating_sub(1);
        if self.to_reorder > 0 {
            let mut behind = 0u16;
            for entry in self.symbols.iter_mut().rev().skip(1) {
                entry.1 = (entry.1 / 2).max(behind.saturating_add(1));
                behind = entry.1;
            }
            return;
        }
        self.to_reorder = 50;
        let mut behind = 0u16;
        for entry in self.symbols.iter_mut().rev().skip(1) {
            let sum = entry.1;
            entry.1 = sum.saturating_sub(behind).saturating_add(1) / 2;
            behind = sum;
        }
        // [1]: an exchange sort, whose order of equal entries matters.
        let len = self.symbols.len().saturating_sub(1);
        for first in 0..len {
            for second in first.saturating_add(1)..len {
                let pair = (self.symbols.get(first), self.symbols.get(second));
                if let (Some(a), Some(b)) = pair
                    && a.1 < b.1
                {
                    self.symbols.swap(first, second);
                }
            }
        }
        let mut behind = 0u16;
        for entry in self.symbols.iter_mut().rev().skip(1) {
            entry.1 = entry.1.saturating_add(behind);
            behind = entry.1;
        }
    }
}

/// The arithmetic decoder within one frame.
struct Coder<'a> {
    bits: MsbBits<'a>,
    low: u16,
    high: u16,
    code: u16,
}

impl Coder<'_> {
    fn symbol(&mut self, model: &mut Model) -> io::Result<u16> {
        let total = u32::from(model.total());
        let range = u32::from(self.high.wrapping_sub(self.low)).saturating_add(1);
        let ahead = u32::from(self.code.wrapping_sub(self.low)).saturating_add(1);
        let freq = ahead.saturating_mul(total).saturating_sub(1) / range;
        let found = model.symbols.iter().skip(1).position(|entry| u32::from(entry.1) <= freq);
        let idx = found.ok_or_else(|| damaged("quantum: no symbol"))?;
        let at = |idx: usize| model.symbols.get(idx).copied().unwrap_or((0, 0));
        let ((symbol, above), (_, below)) = (at(idx), at(idx.saturating_add(1)));
        let part = |sum: u16| {
            let value = u32::from(sum).saturating_mul(range) / total.max(1);
            u16::try_from(value & 0xffff).unwrap_or(0)
        };
        self.high = self.low.wrapping_add(part(above)).wrapping_sub(1);
        self.low = self.low.wrapping_add(part(below));
        for entry in model.symbols.iter_mut().take(idx.saturating_add(1)) {
            entry.1 = entry.1.saturating_add(STEP);
        }
        if model.total() > TOTAL_MAX {
            model.shrink();
        }
        self.renormalise()?;
        Ok(symbol)
    }

    fn renormalise(&mut self) -> io::Result<()> {
        loop {
            if (self.low ^ self.high) & 0x8000 != 0 {
                if self.low & 0x4000 == 0 || self.high & 0x4000 != 0 {
                    break;
                }
                self.code ^= 0x4000;
                self.low &= 0x3fff;
                self.high |= 0x4000;
            }
            self.low <<= 1;
            self.high = (self.high << 1) | 1;
            self.code = (self.code << 1) | u16::try_from(self.bits.bits(1)).unwrap_or(0);
        }
        // The coder reads up to two bytes ahead of what it needs.
        if self.bits.is_far_over() { Err(truncated()) } else { Ok(()) }
    }
}

/// The state of a stream between its frames.
#[derive(Debug)]
pub(crate) struct Quantum {
    window_len: usize,
    window: Vec<u8>,
    ahead: usize,
    selector: Model,
    literals: [Model; 4],
    slots: [Model; 3],
    lens: Model,
}

impl Quantum {
    /// Returns a decoder with a window of 2^n bytes; none when the format has no such window.
    pub(crate) fn new(window_bits: u32) -> Option<Self> {
        let bits = u16::try_from(window_bits).ok().filter(|bits| (10..=21).contains(bits))?;
        let slots = bits.saturating_mul(2);
        Some(Self {
            window_len: 1usize.checked_shl(window_bits)?,
            window: Vec::new(),
            ahead: 0,
            selector: Model::new(0, 7),
            literals: [0, 0x40, 0x80, 0xc0].map(|start| Model::new(start, 64)),
            slots: [slots.min(24), slots.min(36), slots].map(|len| Model::new(0, len)),
            lens: Model::new(0, 27),
        })
    }

    /// Decodes a frame of so many bytes.
    ///
    /// # Errors
    /// The input is cut or damaged; what was made is in `out`.
    pub(crate) fn frame(&mut self, input: &[u8], len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let len = len.min(FRAME_LEN);
        let keep = self.window_len.saturating_add(self.ahead);
        if self.window.len() > keep.saturating_mul(2) {
            self.window.drain(..self.window.len().saturating_sub(keep));
        }
        let start = self.window.len().saturating_sub(self.ahead);
        let end = start.saturating_add(len);
        let mut bits = MsbBits::new(input, Order::Bytes);
        let code = u16::try_from(bits.bits(16)).unwrap_or(0);
        let mut coder = Coder { bits, low: 0, high: 0xffff, code };
        let ended = self.decode(&mut coder, end);
        out.extend_from_slice(self.window.get(start..end.min(self.window.len())).unwrap_or(&[]));
        self.ahead = self.window.len().saturating_sub(end);
        ended
    }

    fn decode(&mut self, coder: &mut Coder<'_>, end: usize) -> io::Result<()> {
        while self.window.len() < end {
            let selector = usize::from(coder.symbol(&mut self.selector)?);
            if let Some(model) = self.literals.get_mut(selector) {
                let byte = coder.symbol(model)?;
                self.window.push(u8::try_from(byte).unwrap_or(0));
                continue;
            }
            let kind = selector.saturating_sub(4);
            let len = match kind {
                0 => 3,
                1 => 4,
                _ => {
                    let symbol = coder.symbol(&mut self.lens)?;
                    let (base, extra) = len_of(symbol);
                    base.saturating_add(coder.bits.bits(extra)).saturating_add(5)
                }
            };
            let Some(model) = self.slots.get_mut(kind) else {
                return Err(damaged("quantum: selector"));
            };
            let (base, extra) = slot_of(coder.symbol(model)?);
            let distance = base.saturating_add(coder.bits.bits(extra)).saturating_add(1);
            let distance = usize::try_from(distance).unwrap_or(usize::MAX);
            if distance > self.window_len {
                return Err(damaged("quantum: distance beyond the window"));
            }
            copy_within(&mut self.window, distance, usize::try_from(len).unwrap_or(0))?;
        }
        Ok(())
    }
}

/// Returns the first distance of a position slot and how many bits follow [1].
fn slot_of(slot: u16) -> (u32, u32) {
    let slot = u32::from(slot);
    match slot {
        0..=3 => (slot, 0),
        _ => {
            let extra = (slot / 2).saturating_sub(1).min(31);
            ((2 | (slot & 1)) << extra, extra)
        }
    }
}

/// Returns the first length of a length slot and how many bits follow [1].
fn len_of(slot: u16) -> (u32, u32) {
    let slot = u32::from(slot);
    match slot {
        0..=5 => (slot, 0),
        26.. => (254, 0),
        _ => {
            let (group, step) = (slot.saturating_sub(6) / 4, slot.saturating_sub(6) % 4);
            let extra = group.saturating_add(1);
            let base = (8u32 << group).saturating_sub(2).saturating_add(step << extra);
            (base, extra)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_slots_follow_each_other() {
        let mut next = 0u32;
        for slot in 0..26 {
            let (base, extra) = len_of(slot);
            assert_eq!(base, next, "slot {slot}");
            next = base + (1 << extra);
        }
        assert_eq!(next, 254);
    }
}
