//! The old version as it looks after numbers in it have moved.
//!
//! When a row comes or goes, every number of a row behind it changes, wherever it is written. A map says by
//! how much numbers move; a view says where in the old version such numbers stand. What is seen through
//! the views has the same length as the old version, and nearly all of it is in the new one.
//!
//! Three kinds: numbers in words of 32 bits, at one place of each row; numbers of three bytes in a run of
//! varints; and the first number of records of names (`varint(stem << 2 | count)`, then `count` varints).

use std::ops::Range;

use super::varint;
use crate::patch::ApplyError;

/// Steps: from this number on, so much is added (modulo 2^32).
pub(super) type Map = Vec<(u32, u32)>;

/// Where numbers stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
    pub(super) map: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// In rows of `row` bytes, the word at `at`; the number is what is left of `shift` bits, `bits` long.
    Words { row: usize, at: usize, shift: u32, bits: u32 },
    /// Varints of three bytes.
    Varints,
    /// Records of names; where every sixteenth or so begins (`u64`) is in the other range.
    Names { blocks: Range<usize> },
}

/// Ours: most views, and bytes of a row.
const VIEWS_MAX: u64 = 256;
const ROW_MAX: usize = 256;

pub(super) fn moved(map: &Map, number: u32) -> u32 {
    let step = map.partition_point(|(first, _)| *first <= number);
    let add = step.checked_sub(1).and_then(|at| map.get(at)).map_or(0, |(_, add)| *add);
    number.wrapping_add(add)
}

impl View {
    /// Shows `buffer`, which holds the old version from `start` on, as it is seen through this view.
    pub(super) fn show(&self, old: &[u8], start: usize, buffer: &mut [u8], map: &Map) {
        let end = start + buffer.len();
        let from = self.range.start.max(start);
        let to = self.range.end.min(end);
        if from >= to {
            return;
        }
        let mut put = |at: usize, bytes: &[u8]| {
            let inside = at.checked_sub(start).and_then(|at| buffer.get_mut(at..at + bytes.len()));
            if let Some(to) = inside {
                return to.copy_from_slice(bytes);
            }
            for (off, byte) in bytes.iter().enumerate() {
                let at = at + off;
                if let Some(to) = at.checked_sub(start).and_then(|at| buffer.get_mut(at)) {
                    *to = *byte;
                }
            }
        };
        match &self.kind {
            Kind::Words { row, at, shift, bits } => {
                let first = (from - self.range.start) / row;
                let last = (to - 1 - self.range.start) / row;
                let mask = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
                for row_at in first..=last {
                    let place = self.range.start + row_at * row + at;
                    if place + 4 > self.range.end {
                        break;
                    }
                    let Some(word) = old.get(place..).and_then(|rest| rest.first_chunk()) else {
                        break;
                    };
                    let word = u32::from_le_bytes(*word);
                    let number = (word >> shift) & mask;
                    let new = moved(map, number) & mask;
                    let word = (word & !(mask << shift)) | (new << shift);
                    put(place, &word.to_le_bytes());
                }
            }
            Kind::Varints => {
                // A token that begins up to two bytes before the piece reaches into it.
                let mut at = from.saturating_sub(2).max(self.range.start);
                while at < to && at + 3 <= self.range.end {
                    let begins =
                        at == self.range.start || old.get(at - 1).is_some_and(|b| *b < 0x80);
                    let token = old.get(at..).and_then(|rest| rest.first_chunk::<3>());
                    let Some([a @ 0x80..=0xff, b @ 0x80..=0xff, c @ 0..=0x7f]) =
                        token.filter(|_| begins)
                    else {
                        at += 1;
                        continue;
                    };
                    let number =
                        u32::from(*a & 0x7f) | u32::from(*b & 0x7f) << 7 | u32::from(*c) << 14;
                    let new = moved(map, number);
                    if (1 << 14..1 << 21).contains(&new) {
                        let byte = |shift: u32| (new >> shift) as u8 & 0x7f;
                        put(at, &[byte(0) | 0x80, byte(7) | 0x80, byte(14)]);
                    }
                    at += 3;
                }
            }
            Kind::Names { blocks } => self.show_names(old, from, to, blocks, map, &mut put),
        }
    }

    fn show_names(
        &self,
        old: &[u8],
        from: usize,
        to: usize,
        blocks: &Range<usize>,
        map: &Map,
        put: &mut dyn FnMut(usize, &[u8]),
    ) {
        let blocks = old.get(blocks.clone()).unwrap_or_default().as_chunks::<8>().0;
        let start_of =
            |block: &[u8; 8]| usize::try_from(u64::from_le_bytes(*block)).unwrap_or(usize::MAX);
        let inside = from - self.range.start;
        let block = blocks.partition_point(|block| start_of(block) <= inside);
        let first = block.checked_sub(1).and_then(|at| blocks.get(at)).map_or(0, start_of);
        let Some(mut at) = self.range.start.checked_add(first) else { return };
        while at < to {
            let Some(rest) = old.get(at..self.range.end).filter(|rest| !rest.is_empty()) else {
                return;
            };
            let mut reader = rest;
            let Ok(Some(head)) = varint::read(&mut reader) else { return };
            let len = rest.len() - reader.len();
            if let Ok(stem) = u32::try_from(head >> 2) {
                let new = (u64::from(moved(map, stem)) << 2) | (head & 3);
                let mut bytes = Vec::with_capacity(len);
                varint::put(&mut bytes, new);
                if bytes.len() == len {
                    put(at, &bytes);
                }
            }
            for _ in 0..head & 3 {
                let Ok(Some(_)) = varint::read(&mut reader) else { return };
            }
            at += rest.len() - reader.len();
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut numbers = vec![0, self.range.start, self.range.end, self.map];
        match &self.kind {
            Kind::Words { row, at, shift, bits } => {
                numbers.extend([*row, *at, *shift as usize, *bits as usize]);
            }
            Kind::Varints => numbers[0] = 1,
            Kind::Names { blocks } => {
                numbers[0] = 2;
                numbers.extend([blocks.start, blocks.end]);
            }
        }
        numbers.into_iter().for_each(|number| varint::put(out, number as u64));
    }
}

/// Reads views; each must lie in the old version, and be none that takes long to see through.
pub(super) fn read_views(
    reader: &mut impl std::io::Read,
    old_len: usize,
    maps: usize,
) -> Result<Vec<View>, ApplyError> {
    let bad = ApplyError::Damaged("a view is not as it has to be");
    let mut next = || match varint::read(reader) {
        Ok(Some(number)) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
        _ => Err(ApplyError::Damaged("a view ends early")),
    };
    let count = next()?;
    if count as u64 > VIEWS_MAX {
        return Err(ApplyError::Damaged("too many views"));
    }
    let mut views = Vec::new();
    for _ in 0..count {
        let (kind, start, end, map) = (next()?, next()?, next()?, next()?);
        let kind = match kind {
            0 => {
                let (row, at, shift, bits) = (next()?, next()?, next()?, next()?);
                let fits = (4..=ROW_MAX).contains(&row)
                    && at.checked_add(4).is_some_and(|end| end <= row)
                    && (1..=32).contains(&bits)
                    && shift.checked_add(bits).is_some_and(|bits| bits <= 32);
                if !fits {
                    return Err(bad);
                }
                Kind::Words { row, at, shift: shift as u32, bits: bits as u32 }
            }
            1 => Kind::Varints,
            2 => Kind::Names { blocks: next()?..next()? },
            _ => return Err(bad),
        };
        if start > end || end > old_len || map >= maps {
            return Err(bad);
        }
        views.push(View { kind, range: start..end, map });
    }
    // Two views of one byte would depend on their order, and cost twice.
    let mut ranges: Vec<&View> = views.iter().collect();
    ranges.sort_by_key(|view| view.range.start);
    if ranges.windows(2).any(|pair| pair[0].range.end > pair[1].range.start) {
        return Err(bad);
    }
    Ok(views)
}
