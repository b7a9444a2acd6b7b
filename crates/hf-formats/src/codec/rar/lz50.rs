//! RAR 5.0 and 7.0: LZ in blocks with four codes, and four filters.

use super::filters::Filter;
use super::lz29::read_lens;
use super::window::{Output, Window};
use crate::codec::prefix::{Bits, Broken, Huffman};

const MAIN: usize = 306;
const LOW: usize = 16;
const LENGTHS: usize = 44;
/// The format's: bytes of a filter's block.
const BLOCK_MAX: u32 = 4 << 20;

/// The decoder and what it leaves for a solid member behind.
#[derive(Debug, Default)]
pub(super) struct Unpack50 {
    pub(super) window: Window,
    main: Huffman,
    distance_slots: Huffman,
    low: Huffman,
    lengths: Huffman,
    tables_read: bool,
    large: bool,
    /// The four last distances, the newest first.
    distances: [usize; 4],
    last_len: usize,
}

/// A block's header.
struct Block {
    start: usize,
    end: usize,
    bit_len: u64,
    last: bool,
    tables: bool,
}

impl Unpack50 {
    /// Unpacks a member.
    pub(super) fn unpack(
        &mut self,
        input: &[u8],
        solid: bool,
        large: bool,
        dictionary: u64,
        out: &mut Output<'_>,
    ) -> Result<(), Broken> {
        if !solid {
            self.window.reset();
            self.tables_read = false;
            self.distances = [0; 4];
            self.last_len = 0;
        }
        self.large = large;
        let bound = u64::from(crate::codec::MEMORY_MAX);
        self.window.begin(usize::try_from(dictionary.min(bound)).unwrap_or(0));
        let decoded = self.decode(input, out);
        let flushed = self.window.flush(out, true);
        decoded?;
        flushed?;
        if self.window.too_far && dictionary > bound { Err(Broken::Memory) } else { Ok(()) }
    }

    fn decode(&mut self, input: &[u8], out: &mut Output<'_>) -> Result<(), Broken> {
        let mut off = 0usize;
        loop {
            if out.has_end() && self.left(out) == 0 {
                return Ok(());
            }
            let block = self.read_header(input, off)?;
            let cut = block.end > input.len();
            let payload = input.get(block.start..block.end.min(input.len())).unwrap_or_default();
            let mut bits = Bits::new(payload);
            let there = u64::try_from(payload.len()).unwrap_or(0).saturating_mul(8);
            let bit_len = block.bit_len.min(there);
            if block.tables {
                self.read_tables(&mut bits)?;
            } else if !self.tables_read {
                return Err(Broken::Damaged("rar: block without tables"));
            }
            while bits.used() < bit_len && !(out.has_end() && self.left(out) == 0) {
                let border = self.window.border(self.left(out));
                self.decode_lz(&mut bits, bit_len, border)?;
                self.window.flush(out, false)?;
                bits.check()?;
            }
            if cut {
                return Err(Broken::Truncated);
            }
            if block.last {
                let short = out.has_end() && self.left(out) > 0;
                return if short { Err(Broken::Truncated) } else { Ok(()) };
            }
            out.poll()?;
            off = block.end;
        }
    }

    fn left(&self, out: &Output<'_>) -> u64 {
        out.left().saturating_sub(self.window.decoded().saturating_sub(self.window.handed()))
    }

    fn read_header(&self, input: &[u8], off: usize) -> Result<Block, Broken> {
        let rest = input.get(off..).unwrap_or_default();
        let [flags, check, rest @ ..] = rest else { return Err(Broken::Truncated) };
        let size_len = usize::from(flags >> 3 & 3).saturating_add(1);
        let size_bytes = rest.get(..size_len).ok_or(Broken::Truncated)?;
        let sum = size_bytes.iter().fold(0x5a ^ flags, |sum, byte| sum ^ byte);
        if size_len > 3 || sum != *check {
            return Err(Broken::Damaged("rar: block header"));
        }
        let size =
            size_bytes.iter().rev().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
        let start = off.saturating_add(2).saturating_add(size_len);
        let whole = u64::try_from(size.saturating_sub(1)).unwrap_or(0).saturating_mul(8);
        Ok(Block {
            start,
            end: start.saturating_add(size),
            bit_len: whole.saturating_add(u64::from(flags & 7)).saturating_add(1),
            last: flags & 0x40 != 0,
            tables: flags & 0x80 != 0,
        })
    }

    fn read_tables(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let mut level_lens = [0u8; 20];
        let mut at = 0usize;
        while at < level_lens.len() {
            let len = bits.take(4);
            let zeroes = if len == 15 { bits.take(4) } else { 0 };
            if zeroes > 0 {
                at = at.saturating_add(usize::try_from(zeroes).unwrap_or(0)).saturating_add(2);
            } else if let Some(level) = level_lens.get_mut(at) {
                *level = u8::try_from(len).unwrap_or(0);
                at += 1;
            }
        }
        let mut levels = Huffman::default();
        levels.build(&level_lens);
        let slots = if self.large { 80 } else { 64 };
        let mut lens = vec![0u8; MAIN + slots + LOW + LENGTHS];
        read_lens(&levels, bits, &mut lens, false)?;
        let (main, rest) = lens.split_at(MAIN);
        let (distance_slots, rest) = rest.split_at(slots);
        let (low, lengths) = rest.split_at(LOW);
        self.main.build(main);
        self.distance_slots.build(distance_slots);
        self.low.build(low);
        self.lengths.build(lengths);
        self.tables_read = true;
        bits.check()
    }

    fn decode_lz(
        &mut self,
        bits: &mut Bits<'_>,
        bit_len: u64,
        border: usize,
    ) -> Result<(), Broken> {
        while !self.window.is_full(border) && bits.used() < bit_len {
            let symbol = self.main.decode(bits)?;
            match symbol {
                0..256 => {
                    self.window.literal(u8::try_from(symbol).unwrap_or(0));
                    continue;
                }
                256 => {
                    self.read_filter(bits)?;
                    continue;
                }
                257 => {}
                258..262 => {
                    let at = symbol - 258;
                    let distance = self.distances.get(at).copied().unwrap_or(0);
                    if let Some(front) = self.distances.get_mut(..=at) {
                        front.rotate_right(1);
                    }
                    self.distances[0] = distance;
                    let slot = self.lengths.decode(bits)?;
                    self.last_len = length(slot, bits);
                }
                _ => self.read_match(symbol - 262, bits)?,
            }
            if self.last_len > 0 {
                self.window.copy(self.distances[0], self.last_len);
            }
        }
        Ok(())
    }

    #[inline]
    fn read_match(&mut self, slot: usize, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let mut len = length(slot, bits);
        let slot = self.distance_slots.decode(bits)?;
        let mut distance = u64::try_from(slot).unwrap_or(0);
        if slot >= 4 {
            let extra = u32::try_from(slot / 2 - 1).unwrap_or(0);
            distance = u64::from(slot & 1 == 1) << extra | 2 << extra;
            if extra >= 4 {
                let high = extra - 4;
                let upper = bits.take(high.saturating_sub(16));
                let lower = bits.take(high.min(16));
                let value = u64::from(upper) << 16 | u64::from(lower);
                let low = u64::try_from(self.low.decode(bits)?).unwrap_or(0);
                distance |= value << 4 | low;
            } else {
                distance |= u64::from(bits.take(extra));
            }
        }
        let distance = distance.saturating_add(1);
        len += usize::from(distance > 0x100)
            + usize::from(distance > 0x2000)
            + usize::from(distance > 0x4_0000);
        self.distances.rotate_right(1);
        self.distances[0] = usize::try_from(distance).unwrap_or(usize::MAX);
        self.last_len = len;
        Ok(())
    }

    fn read_filter(&mut self, bits: &mut Bits<'_>) -> Result<(), Broken> {
        let ahead = read_number(bits);
        let len = read_number(bits);
        let filter = match bits.take(3) {
            0 => Filter::Delta(usize::try_from(bits.take(5)).unwrap_or(0).saturating_add(1)),
            1 => Filter::Calls5 { jumps: false },
            2 => Filter::Calls5 { jumps: true },
            3 => Filter::Arm,
            _ => Filter::Unknown("rar: filter"),
        };
        bits.check()?;
        if len > BLOCK_MAX {
            self.window.wrong = Some("rar: filter block");
            return Ok(());
        }
        self.window.filter(u64::from(ahead), usize::try_from(len).unwrap_or(0), filter)
    }
}

fn read_number(bits: &mut Bits<'_>) -> u32 {
    let count = bits.take(2).saturating_add(1);
    (0..count).fold(0, |value, place| value | bits.take(8) << (8 * place))
}

#[inline]
fn length(slot: usize, bits: &mut Bits<'_>) -> usize {
    if slot < 8 {
        return slot.saturating_add(2);
    }
    let extra = u32::try_from(slot / 4 - 1).unwrap_or(0);
    let base = (4 | slot & 3) << extra;
    base.saturating_add(2).saturating_add(usize::try_from(bits.take(extra)).unwrap_or(0))
}
