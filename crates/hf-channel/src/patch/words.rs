//! Tables of words that move together: offsets and numbers that grow when something is put in before.
//!
//! Row by row, the difference to the old row at the same place is expected to be that of the row
//! before. Where it is not, rows may have come or gone: the next few are tried, and the first place
//! where two rows in succession have the same difference is taken.

use std::ops::Range;

use super::make::Draft;
use super::rows::Alignment;

/// Ours: rows that may have come or gone at one place.
const WINDOW: usize = 24;

/// Returns which rows of two tables move together.
pub(super) fn align(old: &[u8], new: &[u8], word: usize, row: usize) -> Alignment {
    let (old_rows, new_rows) = (old.len() / row, new.len() / row);
    let mut alignment = Alignment::of(old_rows, new_rows);
    let pair = Pair { old, new, word, row };
    let (mut o, mut n) = (0, 0);
    while n < new_rows && o < old_rows {
        if !pair.follows(o, n) {
            let (skip_old, skip_new) = pair.resync(o, n, old_rows, new_rows).unwrap_or((0, 0));
            (o, n) = (o + skip_old, n + skip_new);
        }
        alignment.push(o, n);
        (o, n) = (o + 1, n + 1);
    }
    alignment
}

/// Writes a table in words of `word` bytes and rows of `row` bytes.
pub(super) fn write(
    old: &[u8],
    old_range: Range<usize>,
    new: &[u8],
    word: usize,
    row: usize,
    draft: &mut Draft,
) {
    let alignment = align(&old[old_range.clone()], new, word, row);
    let mut at = 0;
    for (o, n, len) in alignment.runs() {
        draft.insert(&new[at * row..n * row]);
        let range = old_range.start + o * row..old_range.start + (o + len) * row;
        draft.words(word, old, range, &new[n * row..(n + len) * row]);
        at = n + len;
    }
    draft.insert(&new[at * row..]);
}

struct Pair<'a> {
    old: &'a [u8],
    new: &'a [u8],
    word: usize,
    row: usize,
}

impl Pair<'_> {
    /// True when this row differs as the one before it does.
    fn follows(&self, o: usize, n: usize) -> bool {
        o > 0 && n > 0 && self.same(o - 1, n - 1, o, n)
    }

    /// True when two pairs of rows differ by the same.
    fn same(&self, o: usize, n: usize, other_o: usize, other_n: usize) -> bool {
        (0..self.row)
            .step_by(self.word)
            .all(|at| self.difference(o, n, at) == self.difference(other_o, other_n, at))
    }

    fn difference(&self, o: usize, n: usize, at: usize) -> u64 {
        let number = |table: &[u8], row: usize| {
            let start = row * self.row + at;
            let mut word = [0; 8];
            if let Some(bytes) = table.get(start..start + self.word) {
                word[..self.word].copy_from_slice(bytes);
            }
            u64::from_le_bytes(word)
        };
        let difference = number(self.new, n).wrapping_sub(number(self.old, o));
        if self.word == 8 { difference } else { difference & u64::from(u32::MAX) }
    }

    /// Returns how many rows to pass over in old and new until they move together again.
    fn resync(
        &self,
        o: usize,
        n: usize,
        old_rows: usize,
        new_rows: usize,
    ) -> Option<(usize, usize)> {
        for distance in 0..=WINDOW {
            for skip_old in 0..=distance {
                let skip_new = distance - skip_old;
                let (o, n) = (o + skip_old, n + skip_new);
                if o + 2 < old_rows
                    && n + 2 < new_rows
                    && self.same(o, n, o + 1, n + 1)
                    && self.same(o, n, o + 2, n + 2)
                {
                    return Some((skip_old, skip_new));
                }
            }
        }
        None
    }
}
