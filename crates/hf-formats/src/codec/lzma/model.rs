//! The LZMA decoder proper: range decoder, probabilities, states.
//!
//! Promises: works on a padded input buffer whose index is masked and on a window with spare room, so that the
//! inner loop has neither refills nor allocations; never reads or writes outside, whatever the stream says.
//! Sources: LZMA SDK, `lzma-specification.txt` (public domain).

#![expect(
    clippy::indexing_slicing,
    reason = "fixed arrays with masked indices; the window's are checked once a symbol"
)]

use super::window::Window;

/// Bytes of the input buffer, a power of two.
pub(super) const INPUT_LEN: usize = 1 << 17;
/// More than any symbol reads.
pub(super) const SYMBOL_LEN_MAX: usize = 24;

const MASK: usize = INPUT_LEN - 1;
const HALF: u16 = 1 << 10;

/// Why the decoder came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The limit of the output.
    Full,
    /// The limit of the input. The last symbol may have been made of padding: it began at `last`.
    Input {
        /// Where the last symbol began in the window.
        last: usize,
    },
    /// The end marker.
    Marker,
    /// A distance before the start of the dictionary.
    Far,
}

/// The range decoder between two calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RangeState {
    pub(super) at: usize,
    pub(super) range: u32,
    pub(super) code: u32,
}

impl RangeState {
    /// Returns the state behind the first five bytes of a stream.
    pub(super) fn new(head: [u8; 5]) -> Self {
        let [_, a, b, c, d] = head;
        Self { at: 5, range: u32::MAX, code: u32::from_be_bytes([a, b, c, d]) }
    }
}

struct Range<'a> {
    input: &'a [u8; INPUT_LEN],
    at: usize,
    range: u32,
    code: u32,
}

impl Range<'_> {
    #[inline(always)]
    fn normalise(&mut self) {
        if self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(self.input[self.at & MASK]);
            self.at = self.at.wrapping_add(1);
        }
    }

    /// A bit that is mostly foreseen: with a branch.
    #[inline(always)]
    fn bit(&mut self, prob: &mut u16) -> bool {
        self.normalise();
        let bound = (self.range >> 11).wrapping_mul(u32::from(*prob));
        if self.code < bound {
            self.range = bound;
            *prob = prob.wrapping_add(2048u16.wrapping_sub(*prob) >> 5);
            false
        } else {
            self.range = self.range.wrapping_sub(bound);
            self.code = self.code.wrapping_sub(bound);
            *prob = prob.wrapping_sub(*prob >> 5);
            true
        }
    }

    /// A bit that is hardly foreseen: without a branch.
    #[inline(always)]
    fn flat(&mut self, prob: &mut u16) -> usize {
        self.normalise();
        let chance = i32::from(*prob);
        let bound = (self.range >> 11).wrapping_mul(u32::from(*prob));
        let one = self.code >= bound;
        let rest = self.range.wrapping_sub(bound);
        self.range = if one { rest } else { bound };
        self.code = if one { self.code.wrapping_sub(bound) } else { self.code };
        let aim: i32 = if one { 31 } else { 2048 };
        let moved = chance.wrapping_add(aim.wrapping_sub(chance) >> 5);
        *prob = moved.to_le_bytes_u16();
        usize::from(one)
    }

    #[inline(always)]
    fn tree<const N: usize>(&mut self, probs: &mut [u16; N]) -> usize {
        let mut symbol = 1usize;
        for _ in 0..N.ilog2() {
            symbol = symbol << 1 | self.flat(&mut probs[symbol & (N - 1)]);
        }
        symbol & (N - 1)
    }

    fn direct(&mut self, bits: u32) -> u32 {
        let mut value = 0u32;
        for _ in 0..bits {
            self.normalise();
            self.range >>= 1;
            let rest = self.code.wrapping_sub(self.range);
            let zero = 0u32.wrapping_sub(rest >> 31);
            self.code = rest.wrapping_add(self.range & zero);
            value = (value << 1).wrapping_add(zero.wrapping_add(1));
        }
        value
    }
}

trait LowWord {
    fn to_le_bytes_u16(self) -> u16;
}

impl LowWord for i32 {
    #[inline(always)]
    fn to_le_bytes_u16(self) -> u16 {
        let [low, high, ..] = self.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

#[derive(Debug, Clone)]
struct Lengths {
    choices: [u16; 2],
    low: [[u16; 8]; 16],
    middle: [[u16; 8]; 16],
    high: [u16; 256],
}

impl Lengths {
    fn new() -> Self {
        Self {
            choices: [HALF; 2],
            low: [[HALF; 8]; 16],
            middle: [[HALF; 8]; 16],
            high: [HALF; 256],
        }
    }

    /// Returns a length less 2.
    #[inline(always)]
    fn decode(&mut self, range: &mut Range<'_>, pos: usize) -> usize {
        let [first, second] = &mut self.choices;
        if !range.bit(first) {
            range.tree(&mut self.low[pos & 15])
        } else if !range.bit(second) {
            8 + range.tree(&mut self.middle[pos & 15])
        } else {
            16 + range.tree(&mut self.high)
        }
    }
}

/// Probabilities and state.
#[derive(Debug)]
pub(super) struct Model {
    lc: u32,
    lp_mask: usize,
    pb_mask: usize,
    state: usize,
    reps: [usize; 4],
    is_match: [[u16; 16]; 16],
    is_rep: [u16; 16],
    is_rep0: [u16; 16],
    is_rep1: [u16; 16],
    is_rep2: [u16; 16],
    is_rep0_long: [[u16; 16]; 16],
    slots: [[u16; 64]; 4],
    special: [u16; 128],
    align: [u16; 16],
    lengths: Lengths,
    rep_lengths: Lengths,
    literals: Vec<[u16; 0x300]>,
}

const AFTER_LITERAL: [u8; 16] = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 0, 0, 0];

impl Model {
    /// Returns the model for a properties byte; none when that is impossible.
    pub(super) fn new(props: u8) -> Option<Self> {
        if props >= 9 * 5 * 5 {
            return None;
        }
        let (lc, rest) = (u32::from(props % 9), props / 9);
        let (lp, pb) = (u32::from(rest % 5), u32::from(rest / 5));
        Some(Self {
            lc,
            lp_mask: (1 << lp) - 1,
            pb_mask: (1 << pb) - 1,
            state: 0,
            reps: [0; 4],
            is_match: [[HALF; 16]; 16],
            is_rep: [HALF; 16],
            is_rep0: [HALF; 16],
            is_rep1: [HALF; 16],
            is_rep2: [HALF; 16],
            is_rep0_long: [[HALF; 16]; 16],
            slots: [[HALF; 64]; 4],
            special: [HALF; 128],
            align: [HALF; 16],
            lengths: Lengths::new(),
            rep_lengths: Lengths::new(),
            literals: vec![[HALF; 0x300]; 1 << (lc + lp)],
        })
    }

    /// Returns the same properties in their first state.
    pub(super) fn reset(&mut self) {
        let literals = std::mem::take(&mut self.literals);
        let (lc, lp_mask, pb_mask) = (self.lc, self.lp_mask, self.pb_mask);
        if let Some(fresh) = Self::new(0) {
            *self = fresh;
        }
        (self.lc, self.lp_mask, self.pb_mask) = (lc, lp_mask, pb_mask);
        self.literals = literals;
        self.literals.fill([HALF; 0x300]);
    }

    /// Decodes until the window reaches `full_at` or the input passes `input_end`; the window must have
    /// room for [`super::window::SPARE_LEN`] bytes behind `full_at`.
    pub(super) fn run(
        &mut self,
        saved: &mut RangeState,
        input: &[u8; INPUT_LEN],
        input_end: usize,
        window: &mut Window,
        full_at: usize,
    ) -> Stopped {
        let mut range = Range { input, at: saved.at, range: saved.range, code: saved.code };
        let mut at = window.at;
        let (valid_from, origin) = (window.valid_from, window.origin);
        let out = window.bytes.as_mut_slice();
        let mut state = self.state;
        let mut last = at;
        let mut before = if at > valid_from { out.get(at - 1).copied().unwrap_or(0) } else { 0 };
        let stopped = loop {
            if at >= full_at {
                break Stopped::Full;
            }
            if range.at > input_end {
                break Stopped::Input { last };
            }
            last = at;
            let processed = at.wrapping_sub(origin);
            let pos = processed & self.pb_mask;
            if !range.bit(&mut self.is_match[state & 15][pos & 15]) {
                let high = usize::from(before) >> (8 - self.lc);
                let context = ((processed & self.lp_mask) << self.lc).wrapping_add(high);
                let Some(probs) = self.literals.get_mut(context) else { break Stopped::Far };
                before = if state < 7 {
                    literal(&mut range, probs)
                } else {
                    let [rep, ..] = self.reps;
                    let from = at.wrapping_sub(rep).wrapping_sub(1);
                    literal_after_match(&mut range, probs, out.get(from).copied().unwrap_or(0))
                };
                let Some(to) = out.get_mut(at) else { break Stopped::Full };
                *to = before;
                at += 1;
                state = usize::from(AFTER_LITERAL[state & 15]);
                continue;
            }
            let len = match self.matched(&mut range, &mut state, pos) {
                Some(len) => len,
                None => break Stopped::Marker,
            };
            let [rep, ..] = self.reps;
            if rep >= at.saturating_sub(valid_from) || !copy(out, at, rep + 1, len) {
                break Stopped::Far;
            }
            at += len;
            before = out.get(at - 1).copied().unwrap_or(0);
        };
        self.state = state;
        window.at = at;
        *saved = RangeState { at: range.at, range: range.range, code: range.code };
        stopped
    }

    /// Decodes a match or repetition: leaves its distance in `reps` and returns its length; none is the end
    /// marker.
    #[inline(always)]
    fn matched(&mut self, range: &mut Range<'_>, state: &mut usize, pos: usize) -> Option<usize> {
        let at = *state & 15;
        if !range.bit(&mut self.is_rep[at]) {
            let len = self.lengths.decode(range, pos);
            *state = if *state < 7 { 7 } else { 10 };
            let [a, b, c, _] = self.reps;
            let distance = self.distance(range, len);
            if distance == u32::MAX {
                return None;
            }
            self.reps = [usize::try_from(distance).unwrap_or(usize::MAX - 1), a, b, c];
            return Some(len + 2);
        }
        if !range.bit(&mut self.is_rep0[at]) {
            if !range.bit(&mut self.is_rep0_long[at][pos & 15]) {
                *state = if *state < 7 { 9 } else { 11 };
                return Some(1);
            }
        } else {
            let [a, b, c, d] = self.reps;
            self.reps = if !range.bit(&mut self.is_rep1[at]) {
                [b, a, c, d]
            } else if !range.bit(&mut self.is_rep2[at]) {
                [c, a, b, d]
            } else {
                [d, a, b, c]
            };
        }
        *state = if *state < 7 { 8 } else { 11 };
        Some(self.rep_lengths.decode(range, pos) + 2)
    }

    #[inline(always)]
    fn distance(&mut self, range: &mut Range<'_>, len: usize) -> u32 {
        let slot = range.tree(&mut self.slots[len.min(3)]);
        let slot32 = u32::try_from(slot).unwrap_or(0);
        if slot < 4 {
            return slot32;
        }
        let bits = (slot32 >> 1) - 1;
        let start = (2 | slot32 & 1) << bits;
        if slot < 14 {
            let base = usize::try_from(start).unwrap_or(0) - slot;
            let (mut symbol, mut value) = (1usize, 0u32);
            for bit in 0..bits {
                let one = range.flat(&mut self.special[(base + symbol - 1) & 127]);
                symbol = symbol << 1 | one;
                value |= if one == 1 { 1 << bit } else { 0 };
            }
            return start.wrapping_add(value);
        }
        let direct = range.direct(bits - 4) << 4;
        let (mut symbol, mut value) = (1usize, 0u32);
        for bit in 0..4 {
            let one = range.flat(&mut self.align[symbol & 15]);
            symbol = symbol << 1 | one;
            value |= if one == 1 { 1 << bit } else { 0 };
        }
        start.wrapping_add(direct).wrapping_add(value)
    }
}

#[inline(always)]
fn literal(range: &mut Range<'_>, probs: &mut [u16; 0x300]) -> u8 {
    let mut symbol = 1usize;
    for _ in 0..8 {
        symbol = symbol << 1 | range.flat(&mut probs[symbol & 0xff]);
    }
    low_byte(symbol)
}

#[inline(always)]
fn literal_after_match(range: &mut Range<'_>, probs: &mut [u16; 0x300], matched: u8) -> u8 {
    let (mut offset, mut symbol) = (0x100usize, 1usize);
    let mut matched = usize::from(matched);
    for _ in 0..8 {
        matched <<= 1;
        let bit = matched & offset;
        let one = range.flat(&mut probs[(offset + bit + (symbol & 0xff)).min(0x2ff)]);
        symbol = symbol << 1 | one;
        offset &= if one == 1 { bit } else { !bit };
    }
    low_byte(symbol)
}

#[inline(always)]
fn low_byte(symbol: usize) -> u8 {
    let [low, ..] = symbol.to_le_bytes();
    low
}

/// Copies a match; false when there is no room, which the caller's spare bytes exclude.
#[inline(always)]
fn copy(out: &mut [u8], at: usize, distance: usize, len: usize) -> bool {
    let from = at - distance;
    if distance >= 16
        && len <= 32
        && let Some(window) = out.get_mut(from..at + 32)
        && let Some((source, to)) = window.split_at_mut_checked(distance)
        && let Some(to) = to.first_chunk_mut::<32>()
    {
        // Whole words at a time; what is too much is overwritten later.
        let (to_a, to_b) = to.split_at_mut(16);
        if let Some(first) = source.first_chunk::<16>() {
            to_a.copy_from_slice(first);
        }
        if len > 16 {
            if let Some(second) = source.get(16..32) {
                to_b.copy_from_slice(second);
            } else {
                let (done, rest) = (source.len() - 16, 16 - (source.len() - 16));
                to_b[..done].copy_from_slice(&source[16..]);
                to_b[done..].copy_from_slice(&to_a[..rest]);
            }
        }
        return true;
    }
    let Some(window) = out.get_mut(from..at + len) else { return false };
    if distance >= len {
        window.copy_within(..len, distance);
    } else if distance == 1 {
        let byte = window[0];
        window.fill(byte);
    } else {
        // Each round doubles what repeats.
        let mut have = distance;
        while have < window.len() {
            let step = have.min(window.len() - have);
            window.copy_within(..step, have);
            have += step;
        }
    }
    true
}
