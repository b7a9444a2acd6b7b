//! Which rows of two tables belong together, and how numbers in them moved.

use std::ops::Range;

use super::make::Draft;
use super::view::Map;

/// Runs of rows that are in both tables, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Alignment {
    pub(super) old_rows: usize,
    pub(super) new_rows: usize,
    /// First row in old, first row in new, number of rows.
    runs: Vec<(usize, usize, usize)>,
}

impl Alignment {
    pub(super) fn of(old_rows: usize, new_rows: usize) -> Self {
        Self { old_rows, new_rows, runs: Vec::new() }
    }

    /// Returns the runs: first row in old, first row in new, number of rows.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        self.runs.iter().copied()
    }

    pub(super) fn push(&mut self, old: usize, new: usize) {
        match self.runs.last_mut() {
            Some((o, n, len)) if *o + *len == old && *n + *len == new => *len += 1,
            _ => self.runs.push((old, new, 1)),
        }
    }

    /// Rows in both tables, as pairs of row numbers.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.runs.iter().flat_map(|(old, new, len)| (0..*len).map(move |i| (old + i, new + i)))
    }

    /// Leaves only rows that are the same in these tables.
    pub(super) fn equal_only(&self, old: &[u8], new: &[u8], width: usize) -> Self {
        let mut kept = Self { old_rows: self.old_rows, new_rows: self.new_rows, runs: Vec::new() };
        for (o, n) in self.pairs() {
            if row(old, o, width) == row(new, n, width) {
                kept.push(o, n);
            }
        }
        kept
    }

    /// Writes a table: runs from the old one, all other rows as new bytes.
    pub(super) fn write(&self, old_off: usize, new: &[u8], width: usize, draft: &mut Draft) {
        let mut at = 0;
        for (old_row, new_row, len) in &self.runs {
            draft.insert(&new[at * width..new_row * width]);
            let range: Range<usize> = old_off + old_row * width..old_off + (old_row + len) * width;
            draft.copy(range);
            at = new_row + len;
        }
        draft.insert(&new[at * width..]);
    }
}

fn row(table: &[u8], row: usize, width: usize) -> &[u8] {
    table.get(row * width..(row + 1) * width).unwrap_or_default()
}

/// Merges two sorted tables. Where they are not sorted, fewer rows are found.
pub(super) fn sorted(old: &[u8], new: &[u8], width: usize) -> Alignment {
    let (old_rows, new_rows) = (old.len() / width, new.len() / width);
    let mut alignment = Alignment { old_rows, new_rows, runs: Vec::new() };
    let (mut o, mut n) = (0, 0);
    while o < old_rows && n < new_rows {
        match row(old, o, width).cmp(row(new, n, width)) {
            std::cmp::Ordering::Less => o += 1,
            std::cmp::Ordering::Greater => n += 1,
            std::cmp::Ordering::Equal => {
                alignment.push(o, n);
                (o, n) = (o + 1, n + 1);
            }
        }
    }
    alignment
}

/// Returns how row numbers move.
pub(super) fn steps_of(alignment: &Alignment) -> Map {
    let mut steps = Map::new();
    for (old, new, _) in &alignment.runs {
        let add = (*new as u32).wrapping_sub(*old as u32);
        if steps.last().map_or(0, |(_, last)| *last) != add {
            steps.push((*old as u32, add));
        }
    }
    if !steps.is_empty() {
        // Behind the rows are numbers that stand for none.
        steps.push((alignment.old_rows as u32, 0));
    }
    steps.truncate(STEPS);
    steps
}

/// Ours: steps of one map.
const STEPS: usize = super::STEPS_MAX / super::MAPS_MAX;

/// Learns how numbers move, from rows that belong together.
pub(super) fn learn_map(alignment: &Alignment, old: &[u8], new: &[u8]) -> Map {
    let number = |table: &[u8], at: usize| {
        let bytes = row(table, at, 4).first_chunk();
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let mut moved: Vec<(u32, u32)> = alignment
        .pairs()
        .map(|(o, n)| (number(old, o), number(new, n).wrapping_sub(number(old, o))))
        .collect();
    moved.sort_unstable();
    let mut steps = Map::new();
    for (at, (value, add)) in moved.iter().enumerate() {
        if steps.last().map_or(0, |(_, last)| *last) == *add {
            continue;
        }
        // One odd row is cheaper as new bytes than as two steps.
        let lasts = moved.get(at + 1).is_none_or(|(_, next)| next == add);
        if lasts && steps.last().is_none_or(|(from, _)| from < value) {
            steps.push((*value, *add));
        }
    }
    steps.truncate(STEPS);
    steps
}
