//! Blocks of the old version, found in the new one wherever they went.
//!
//! Every block of the old version is entered into a hash table by the hash of its bytes; a rolling
//! hash passes over the new one. What is found is compared and grown in both directions. Linear time;
//! four bytes of memory for each half block.
//! Sources: Tridgell, "Efficient Algorithms for Sorting and Synchronization" (1999), chapter 3;
//! Karp and Rabin (1987) for the rolling hash.

use std::ops::Range;

use super::make::Draft;

/// Ours: short enough for what lies between two changes of one signature in a thousand.
const BLOCK: usize = 32;
/// Ours: how far behind a change the old version is looked at first, and how often.
const NEAR: usize = 1024;
const STEP: usize = 8;
/// Factor of the rolling hash, odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The blocks of the old version.
pub(super) struct Blocks<'a> {
    old: &'a [u8],
    /// Number of the block plus one; zero when empty.
    slots: Vec<u32>,
    /// Where each block begins, in blocks: `off / BLOCK` of the old version.
    shift: u32,
    /// FACTOR to the power of BLOCK.
    drop: u64,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(old: &'a [u8], ranges: &[Range<usize>]) -> Self {
        let count: usize = ranges.iter().map(|range| range.len() / BLOCK).sum();
        let size = (count * 2).max(16).next_power_of_two();
        let drop = (0..BLOCK).fold(1u64, |power, _| power.wrapping_mul(FACTOR));
        let shift = 64 - size.trailing_zeros();
        let mut blocks = Self { old, slots: vec![0; size], shift, drop };
        for range in ranges {
            let first = range.start.div_ceil(BLOCK);
            for block in first..range.end / BLOCK {
                let Ok(id) = u32::try_from(block + 1) else { break };
                let bytes = &old[block * BLOCK..(block + 1) * BLOCK];
                let slot = blocks.slot(hash(bytes));
                // The first of equal blocks stays: runs of zeros are one.
                if blocks.slots[slot] == 0 {
                    blocks.slots[slot] = id;
                }
            }
        }
        blocks
    }

    fn slot(&self, hash: u64) -> usize {
        let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> self.shift) as usize
    }

    fn find(&self, hash: u64, bytes: &[u8]) -> Option<usize> {
        let id = self.slots[self.slot(hash)];
        let start = (usize::try_from(id).ok()?).checked_sub(1)? * BLOCK;
        (self.old.get(start..start + BLOCK)? == bytes).then_some(start)
    }

    /// Writes operations for a part of the new version.
    pub(super) fn search(&self, new: &[u8], draft: &mut Draft) {
        // What was written, and where the window is.
        let (mut done, mut at) = (0, 0);
        let mut rolling: Option<u64> = None;
        // Where the old version would go on.
        let mut expected: Option<usize> = None;
        while at + BLOCK <= new.len() {
            let window = &new[at..at + BLOCK];
            let value = rolling.unwrap_or_else(|| hash(window));
            let guess = expected.map(|old| old + (at - done));
            // Where much looks alike, the place that goes on is better than any other.
            let near = expected.filter(|_| (at - done).is_multiple_of(STEP) && at - done < NEAR);
            let found = guess
                .filter(|old| self.old.get(*old..*old + BLOCK) == Some(window))
                .or_else(|| near.and_then(|old| self.near(old, window)))
                .or_else(|| self.find(value, window));
            let Some(start) = found else {
                let next = new.get(at + BLOCK).copied();
                rolling = next.map(|next| self.roll(value, new[at], next));
                at += 1;
                continue;
            };
            let back = common_end(&self.old[..start], &new[done..at]);
            let len = BLOCK + common_start(&self.old[start + BLOCK..], &new[at + BLOCK..]);
            draft.insert(&new[done..at - back]);
            draft.copy(start - back..start + len);
            (done, at) = (at + len, at + len);
            (rolling, expected) = (None, Some(start + len));
        }
        draft.insert(&new[done..]);
    }

    /// Looks for a window a little behind where the old version would go on.
    fn near(&self, from: usize, window: &[u8]) -> Option<usize> {
        let end = (from + NEAR).min(self.old.len());
        let part = self.old.get(from..end)?;
        let first = *window.first()?;
        let mut at = 0;
        while let Some(found) = part.get(at..)?.iter().position(|byte| *byte == first) {
            at += found;
            if part.get(at..at + window.len()) == Some(window) {
                return Some(from + at);
            }
            at += 1;
        }
        None
    }

    fn roll(&self, hash: u64, gone: u8, next: u8) -> u64 {
        hash.wrapping_mul(FACTOR)
            .wrapping_sub(self.drop.wrapping_mul(u64::from(gone) + 1))
            .wrapping_add(u64::from(next) + 1)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |hash, byte| u64::wrapping_mul(hash, FACTOR).wrapping_add(u64::from(*byte) + 1))
}

fn common_start(a: &[u8], b: &[u8]) -> usize {
    let mut len = 0;
    for (a, b) in a.chunks(64).zip(b.chunks(64)) {
        if a != b {
            return len + a.iter().zip(b).take_while(|(a, b)| a == b).count();
        }
        len += a.len();
    }
    len
}

fn common_end(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}
