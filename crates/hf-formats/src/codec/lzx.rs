//! LZX, as cabinets, compiled help and Windows images have it.
//!
//! Promises: one call makes one frame of at most 32 KiB; what was made before an error is in the output.
//! Leaves out: the extension for deltas (MS-PATCH).
//! Sources: [1] "Microsoft LZX Data Compression Format" of the Cabinet SDK; [2] MS-PATCH, LZX DELTA.

use std::io;

use super::msb::{MsbBits, Order, Prefix, copy_within};
use super::{damaged, truncated};

/// Bytes that a frame makes, but for the last.
pub(crate) const LZX_FRAME_LEN: usize = 32 * 1024;

/// The size of a program that Windows images translate calls for.
const WIM_PROGRAM_LEN: u32 = 12_000_000;

const CHARS: usize = 256;
const LENGTHS: usize = 249;
/// Bytes made after which calls are no longer translated [1].
const TRANSLATED_MAX: u64 = 1 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Verbatim,
    Aligned,
    Stored,
}

/// The state of a stream between its frames.
#[derive(Debug)]
pub(crate) struct Lzx {
    window_len: usize,
    slots: usize,
    /// The window and what was made behind it.
    window: Vec<u8>,
    /// Bytes at the end of `window` that a match made for the next frame.
    ahead: usize,
    recent: [u32; 3],
    main_lens: Vec<u8>,
    len_lens: Vec<u8>,
    main: Prefix,
    lens: Prefix,
    aligned: Prefix,
    block: Option<(Block, usize)>,
    /// A stored block of odd length has a byte of padding.
    odd: bool,
    started: bool,
    /// Size of the program that calls are translated for; 0 when they are not.
    translation_len: u32,
    /// In Windows images: bits of the length of a block that is not as long as a frame.
    wim_len_bits: Option<u32>,
    made: u64,
}

impl Lzx {
    /// Returns a decoder with a window of 2^n bytes; none when the format has no such window.
    pub(crate) fn new(window_bits: u32) -> Option<Self> {
        let slots = match window_bits {
            15..=19 => usize::try_from(window_bits.checked_mul(2)?).ok()?,
            20 => 42,
            21 => 50,
            22 => 66,
            23 => 98,
            24 => 162,
            25 => 290,
            _ => return None,
        };
        Some(Self {
            window_len: 1usize.checked_shl(window_bits)?,
            slots,
            window: Vec::new(),
            ahead: 0,
            recent: [1; 3],
            main_lens: vec![0; slots.checked_mul(8)?.checked_add(CHARS)?],
            len_lens: vec![0; LENGTHS],
            main: Prefix::default(),
            lens: Prefix::default(),
            aligned: Prefix::default(),
            block: None,
            odd: false,
            started: false,
            translation_len: 0,
            wim_len_bits: None,
            made: 0,
        })
    }

    /// Returns a decoder for one chunk of a Windows image: calls are always translated, and a block may say
    /// that it is as long as a frame.
    pub(crate) fn wim(window_bits: u32) -> Option<Self> {
        let lzx = Self::new(window_bits)?;
        let wide = if window_bits > 15 { 24 } else { 16 };
        Some(Self {
            started: true,
            translation_len: WIM_PROGRAM_LEN,
            wim_len_bits: Some(wide),
            ..lzx
        })
    }

    /// Starts again, as at a reset point of compiled help; positions in the output count on.
    pub(crate) fn reset(&mut self) {
        self.recent = [1; 3];
        self.main_lens.fill(0);
        self.len_lens.fill(0);
        self.block = None;
        self.odd = false;
        self.started = false;
        self.ahead = 0;
        self.window.clear();
    }

    /// Decodes a frame of so many bytes and returns how much of the input it used.
    ///
    /// # Errors
    /// The input is cut or damaged; what was made is in `out`.
    pub(crate) fn frame(
        &mut self,
        input: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let len = len.min(LZX_FRAME_LEN);
        let keep = self.window_len.saturating_add(self.ahead);
        if self.window.len() > keep.saturating_mul(2) {
            self.window.drain(..self.window.len().saturating_sub(keep));
        }
        let start = self.window.len().saturating_sub(self.ahead);
        let end = start.saturating_add(len);
        let mut bits = MsbBits::new(input, Order::Words);
        let ended = self.decode(&mut bits, end);
        let made = self.window.get(start..end.min(self.window.len())).unwrap_or_default();
        self.ahead = self.window.len().saturating_sub(end);
        let from = out.len();
        out.extend_from_slice(made);
        if self.translation_len != 0 && self.made < TRANSLATED_MAX {
            translate(out.get_mut(from..).unwrap_or_default(), self.made, self.translation_len);
        }
        self.made = self.made.saturating_add(u64::try_from(len).unwrap_or(0));
        ended?;
        bits.align();
        Ok(bits.off())
    }

    fn decode(&mut self, bits: &mut MsbBits<'_>, end: usize) -> io::Result<()> {
        if !self.started {
            self.started = true;
            self.translation_len = if bits.bits(1) == 1 { bits.bits(32) } else { 0 };
        }
        while self.window.len() < end {
            let (kind, left) = match self.block {
                Some((kind, left @ 1..)) => (kind, left),
                _ => self.header(bits)?,
            };
            let before = self.window.len();
            let room = left.min(end.saturating_sub(before));
            let ended = match kind {
                Block::Stored => self.stored(bits, room),
                kind => self.matches(bits, before.saturating_add(room), kind),
            };
            let made = self.window.len().saturating_sub(before);
            self.block = Some((kind, left.saturating_sub(made)));
            ended?;
        }
        Ok(())
    }

    fn header(&mut self, bits: &mut MsbBits<'_>) -> io::Result<(Block, usize)> {
        let kind = bits.bits(3);
        let left = match self.wim_len_bits {
            Some(_) if bits.bits(1) == 1 => LZX_FRAME_LEN,
            wide => usize::try_from(bits.bits(wide.unwrap_or(24))).unwrap_or(0),
        };
        let kind = match kind {
            1 => Block::Verbatim,
            2 => Block::Aligned,
            3 => Block::Stored,
            _ => return Err(if bits.is_over() { truncated() } else { damaged("lzx: block type") }),
        };
        if kind == Block::Stored {
            bits.drop_bits(bits.to_next_word());
            for recent in &mut self.recent {
                let raw = bits.take(4).first_chunk().copied().ok_or_else(truncated)?;
                *recent = u32::from_le_bytes(raw);
            }
            self.odd = left % 2 == 1;
        } else {
            if kind == Block::Aligned {
                let mut lens = [0u8; 8];
                lens.fill_with(|| u8::try_from(bits.bits(3)).unwrap_or(0));
                self.aligned.set(&lens)?;
            }
            let (chars, matches) = self.main_lens.split_at_mut(CHARS);
            read_lens(bits, chars)?;
            read_lens(bits, matches)?;
            read_lens(bits, &mut self.len_lens)?;
            self.main.set(&self.main_lens)?;
            self.lens.set(&self.len_lens)?;
        }
        bits.check()?;
        if left == 0 {
            return Err(damaged("lzx: empty block"));
        }
        self.block = Some((kind, left));
        Ok((kind, left))
    }

    fn stored(&mut self, bits: &mut MsbBits<'_>, len: usize) -> io::Result<()> {
        let data = bits.take(len);
        self.window.extend_from_slice(data);
        if data.len() < len {
            return Err(truncated());
        }
        if self.odd && self.block == Some((Block::Stored, len)) {
            self.odd = false;
            bits.take(1);
        }
        Ok(())
    }

    fn matches(&mut self, bits: &mut MsbBits<'_>, end: usize, kind: Block) -> io::Result<()> {
        while self.window.len() < end {
            let symbol = usize::from(self.main.symbol(bits)?);
            if bits.is_over() {
                return Err(truncated());
            }
            if let Ok(byte) = u8::try_from(symbol) {
                self.window.push(byte);
                continue;
            }
            let symbol = symbol.saturating_sub(CHARS);
            let mut len = symbol & 7;
            if len == 7 {
                len = len.saturating_add(usize::from(self.lens.symbol(bits)?));
            }
            let distance = self.distance(bits, symbol >> 3, kind)?;
            bits.check()?;
            if distance > self.window_len {
                return Err(damaged("lzx: distance beyond the window"));
            }
            copy_within(&mut self.window, distance, len.saturating_add(2))?;
        }
        Ok(())
    }

    fn distance(&mut self, bits: &mut MsbBits<'_>, slot: usize, kind: Block) -> io::Result<usize> {
        let [r0, r1, r2] = self.recent;
        let distance = match slot {
            0 => r0,
            1 => {
                self.recent = [r1, r0, r2];
                r1
            }
            2 => {
                self.recent = [r2, r1, r0];
                r2
            }
            _ => {
                if slot >= self.slots {
                    return Err(damaged("lzx: position slot"));
                }
                let (base, extra) = slot_of(slot);
                let low = match (kind, extra) {
                    (Block::Aligned, 3..) => {
                        let high = bits.bits(extra.saturating_sub(3)) << 3;
                        high | u32::from(self.aligned.symbol(bits)?)
                    }
                    _ => bits.bits(extra),
                };
                let distance = base.saturating_add(low).saturating_sub(2);
                self.recent = [distance, r0, r1];
                distance
            }
        };
        Ok(usize::try_from(distance).unwrap_or(usize::MAX))
    }
}

/// Returns the first offset of a position slot and how many bits follow [1].
fn slot_of(slot: usize) -> (u32, u32) {
    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
    match slot {
        0..=3 => (slot, 0),
        4..=35 => {
            let extra = (slot / 2).saturating_sub(1);
            ((2 | (slot & 1)) << extra, extra)
        }
        _ => (slot.saturating_sub(34) << 17, 17),
    }
}

/// Reads the lengths of a part of a tree, as differences to those of the block before [1].
fn read_lens(bits: &mut MsbBits<'_>, lens: &mut [u8]) -> io::Result<()> {
    let mut pre_lens = [0u8; 20];
    pre_lens.fill_with(|| u8::try_from(bits.bits(4)).unwrap_or(0));
    let mut pre = Prefix::default();
    pre.set(&pre_lens)?;
    let less = |len: u8, by: u16| {
        let value = u16::from(len).saturating_add(17).saturating_sub(by) % 17;
        u8::try_from(value).unwrap_or(0)
    };
    let mut at = 0usize;
    while at < lens.len() {
        let symbol = pre.symbol(bits)?;
        bits.check()?;
        let (count, value) = match symbol {
            17 => (bits.bits(4).saturating_add(4), Some(0)),
            18 => (bits.bits(5).saturating_add(20), Some(0)),
            19 => {
                let count = bits.bits(1).saturating_add(4);
                let by = pre.symbol(bits)?;
                (count, lens.get(at).map(|len| less(*len, by.min(17))))
            }
            by => (1, lens.get(at).map(|len| less(*len, by))),
        };
        let count = usize::try_from(count).unwrap_or(0).min(lens.len().saturating_sub(at));
        let end = at.saturating_add(count);
        if let Some(part) = lens.get_mut(at..end) {
            part.fill(value.unwrap_or(0));
        }
        at = end;
    }
    Ok(())
}

/// Makes the targets of calls relative again, in one frame [1].
fn translate(frame: &mut [u8], start: u64, program_len: u32) {
    let program_len = i64::from(program_len);
    let Some(last) = frame.len().checked_sub(10) else { return };
    let mut at = 0usize;
    while at < last {
        let window = frame.get(at..last).unwrap_or_default();
        let Some(found) = memchr::memchr(0xe8, window) else { break };
        at = at.saturating_add(found);
        let here = i64::try_from(start).unwrap_or(0).saturating_add_unsigned(to_u64(at));
        let operand = frame.get_mut(at.saturating_add(1)..).and_then(<[u8]>::first_chunk_mut);
        if let Some(operand) = operand {
            let target = i64::from(i32::from_le_bytes(*operand));
            if target >= here.saturating_neg() && target < program_len {
                let relative = if target >= 0 {
                    target.saturating_sub(here)
                } else {
                    target.saturating_add(program_len)
                };
                let [a, b, c, d, ..] = relative.to_le_bytes();
                *operand = [a, b, c, d];
            }
        }
        at = at.saturating_add(5);
    }
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_each_other() {
        let mut next = 0u32;
        for slot in 0..290 {
            let (base, extra) = slot_of(slot);
            assert_eq!(base, next, "slot {slot}");
            next = base + (1 << extra);
        }
    }

    #[test]
    fn a_stored_block() {
        let mut packed = vec![0x00, 0x30, 0x30, 0x00];
        for recent in [1u32, 1, 1] {
            packed.extend(recent.to_le_bytes());
        }
        packed.extend(b"abc\0");
        let mut out = Vec::new();
        let mut lzx = Lzx::new(15).unwrap();
        lzx.frame(&packed, 3, &mut out).unwrap();
        assert_eq!(out, b"abc");
        let mut lzx = Lzx::new(15).unwrap();
        assert!(lzx.frame(&packed[..17], 3, &mut out).is_err());
        assert_eq!(out, b"abca");
    }
}
