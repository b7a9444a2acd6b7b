//! Finds a patch between two versions of a blob.

use std::collections::HashMap;
use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::blocks::Blocks;
use super::rows::{Alignment, learn_map, sorted, steps_of};
use super::view::{Kind, Map, View};
use super::{COPY, DIFF4, DIFF8, HEADER_LEN, INSERT, MAGIC, varint, words};
use crate::Digest;

/// What the maker knows of a part of the blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Where it was.
    pub old: Range<usize>,
    /// Where it is.
    pub new: Range<usize>,
    /// What it is.
    pub kind: TableKind,
}

/// What a part of a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Rows of so many bytes, sorted.
    Sorted {
        /// Bytes of a row.
        width: usize,
    },
    /// Rows of so many bytes that belong to those of a [`TableKind::Sorted`] table before it.
    Beside {
        /// Bytes of a row.
        width: usize,
        /// Which table.
        of: usize,
    },
    /// Words of 4 or 8 bytes, in rows of so many bytes, that mostly move by the same amount.
    Words {
        /// Bytes of a word: 4 or 8.
        word: usize,
        /// Bytes of a row.
        row: usize,
    },
}

/// Numbers in a part of the old version that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where they are.
    pub old: Range<usize>,
    /// How they are written.
    pub kind: SeenKind,
    /// By what they move.
    pub by: Moves,
}

/// How numbers are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenKind {
    /// In rows of `row` bytes, in the word of 32 bits at `at`: `bits` bits, above `shift` others.
    Words {
        /// Bytes of a row.
        row: usize,
        /// Where in a row.
        at: usize,
        /// Lower bits that are something else.
        shift: u32,
        /// Bits of the number.
        bits: u32,
    },
    /// As varints of three bytes, among others.
    Varints,
    /// In front of records of names (`varint(number << 2 | count)`, then `count` varints), where some of
    /// which begin is told by 64-bit numbers in another part.
    Names {
        /// That part.
        blocks: Range<usize>,
    },
}

/// By what numbers move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moves {
    /// They number the rows of a table.
    Rows {
        /// Which.
        of: usize,
    },
    /// They stand beside the rows of a sorted table, at the same places of these parts.
    Learned {
        /// Which.
        of: usize,
        /// Where they are in the new version.
        new: Range<usize>,
    },
    /// They number texts, whose ends (32-bit numbers) and bytes are in these parts.
    Texts {
        /// Ends and bytes in the old version.
        old: (Range<usize>, Range<usize>),
        /// Ends and bytes in the new version.
        new: (Range<usize>, Range<usize>),
    },
}

/// Collects operations.
#[derive(Debug, Default)]
pub(super) struct Draft {
    ops: Vec<u8>,
    bytes: Vec<u8>,
    differences: Vec<u8>,
    maps: Vec<u8>,
    old_at: usize,
    /// A copy or an insertion that may still grow.
    copy: Option<Range<usize>>,
    insert: u64,
}

impl Draft {
    /// Bytes of the old blob as they are.
    pub(super) fn copy(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.end_insert();
        if let Some(copy) = self.copy.as_mut().filter(|copy| copy.end == range.start) {
            copy.end = range.end;
            return;
        }
        self.end_copy();
        self.copy = Some(range);
    }

    /// New bytes.
    pub(super) fn insert(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.end_copy();
        self.insert += bytes.len() as u64;
        self.bytes.extend_from_slice(bytes);
    }

    /// Words of the old blob with the differences to the new ones, both of the same length.
    pub(super) fn words(&mut self, word: usize, old: &[u8], range: Range<usize>, new: &[u8]) {
        if range.is_empty() {
            return;
        }
        self.end();
        let kind = if word == 8 { DIFF8 } else { DIFF4 };
        self.old_op(kind, range.len() as u64, range.start, range.end);
        let old = old.get(range).unwrap_or_default();
        for (old, new) in old.chunks(word).zip(new.chunks(word)) {
            let number = |bytes: &[u8]| {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(word)
            };
            let difference = number(new).wrapping_sub(number(old)).to_le_bytes();
            self.differences.extend_from_slice(&difference[..word]);
        }
    }

    /// Adds a map: from each value on, so much is added.
    fn add_map(&mut self, steps: &Map) {
        varint::put(&mut self.maps, steps.len() as u64);
        let (mut from, mut add) = (0u32, 0u32);
        for (first, more) in steps {
            varint::put(&mut self.maps, u64::from(first.wrapping_sub(from)));
            varint::put_signed(&mut self.maps, i64::from(more.wrapping_sub(add) as i32));
            (from, add) = (*first, *more);
        }
    }

    fn end(&mut self) {
        self.end_copy();
        self.end_insert();
    }

    fn end_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.old_op(COPY, copy.len() as u64, copy.start, copy.end);
        }
    }

    fn end_insert(&mut self) {
        if self.insert > 0 {
            varint::put(&mut self.ops, self.insert << 3 | INSERT);
            self.insert = 0;
        }
    }

    fn old_op(&mut self, kind: u64, len: u64, start: usize, end: usize) {
        varint::put(&mut self.ops, len << 3 | kind);
        let moved = (start as i64).wrapping_sub(self.old_at as i64);
        varint::put_signed(&mut self.ops, moved);
        self.old_at = end;
    }

    fn finish(mut self, old: (usize, &Digest), new: (usize, &Digest)) -> Vec<u8> {
        self.end();
        let mut patch = Vec::with_capacity(HEADER_LEN + self.bytes.len());
        patch.extend_from_slice(MAGIC);
        patch.extend_from_slice(&(old.0 as u64).to_le_bytes());
        patch.extend_from_slice(&(new.0 as u64).to_le_bytes());
        patch.extend_from_slice(&old.1.0);
        patch.extend_from_slice(&new.1.0);
        for stream in [self.ops, self.bytes, self.differences, self.maps] {
            let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(9));
            // Writing into memory does not fail.
            let packed =
                packed.write_all(&stream).and_then(|()| packed.finish()).unwrap_or_default();
            patch.extend_from_slice(&(packed.len() as u64).to_le_bytes());
            patch.extend_from_slice(&packed);
        }
        patch
    }
}

/// Returns a patch from one version of a blob to another.
///
/// `tables` are what is known of parts of the blob, in order and without overlap in both versions, and
/// `seen` where numbers stand that move with them, in the order in which maps can be made; where any of it
/// is wrong, the patch is larger and no less right. The rest is searched for blocks of the old version, in
/// linear time. Memory: a copy of the old version when `seen` is not empty, and a quarter of what is searched.
#[must_use]
pub fn make(
    (old, old_digest): (&[u8], &Digest),
    (new, new_digest): (&[u8], &Digest),
    tables: &[Table],
    seen: &[Seen],
) -> Vec<u8> {
    let tables: Vec<&Table> = tables
        .iter()
        .map(|table| {
            let fits = table.old.start <= table.old.end
                && table.old.end <= old.len()
                && table.new.start <= table.new.end
                && table.new.end <= new.len();
            if fits { table } else { &NO_TABLE }
        })
        .collect();
    let mut draft = Draft::default();
    let (views, maps) = views(old, new, &tables, seen);
    varint::put(&mut draft.maps, maps.len() as u64);
    maps.iter().for_each(|map| draft.add_map(map));
    varint::put(&mut draft.maps, views.len() as u64);
    views.iter().for_each(|view| view.write(&mut draft.maps));
    let viewed = through(old, &views, &maps);
    write(viewed.as_deref().unwrap_or(old), new, &tables, &mut draft);
    draft.finish((old.len(), old_digest), (new.len(), new_digest))
}

static NO_TABLE: Table = Table { old: 0..0, new: 0..0, kind: TableKind::Sorted { width: 1 } };

/// Returns the old version as it is seen through views; none when there are none.
fn through(old: &[u8], views: &[View], maps: &[Map]) -> Option<Vec<u8>> {
    if views.is_empty() {
        return None;
    }
    let mut viewed = old.to_vec();
    for view in views {
        let map = maps.get(view.map)?;
        let start = view.range.start;
        view.show(old, start, viewed.get_mut(view.range.clone())?, map);
    }
    Some(viewed)
}

/// Makes views and their maps, one after the other: what is seen by then helps to align tables.
fn views(old: &[u8], new: &[u8], tables: &[&Table], seen: &[Seen]) -> (Vec<View>, Vec<Map>) {
    let (mut views, mut maps): (Vec<View>, Vec<Map>) = (Vec::new(), Vec::new());
    for seen in seen {
        let overlaps =
            |view: &View| view.range.start < seen.old.end && seen.old.start < view.range.end;
        if seen.old.start > seen.old.end || seen.old.end > old.len() || views.iter().any(overlaps) {
            continue;
        }
        let map = match &seen.by {
            Moves::Rows { of } => tables.get(*of).map(|table| {
                let part = through(&old[table.old.clone()], &local(&views, &table.old), &maps);
                let part = part.as_deref().unwrap_or(&old[table.old.clone()]);
                steps_of(&align(part, &new[table.new.clone()], table.kind))
            }),
            Moves::Learned { of, new: beside } => tables.get(*of).and_then(|table| {
                let alignment = align(&old[table.old.clone()], &new[table.new.clone()], table.kind);
                Some(learn_map(&alignment, &old[seen.old.clone()], new.get(beside.clone())?))
            }),
            Moves::Texts { old: before, new: after } => {
                (|| Some(text_map(&texts(old, before)?, &texts(new, after)?)))()
            }
        };
        let Some(map) = map.filter(|map| map.iter().any(|(_, add)| *add != 0)) else { continue };
        let kind = match &seen.kind {
            SeenKind::Words { row, at, shift, bits } => {
                Kind::Words { row: *row, at: *at, shift: *shift, bits: *bits }
            }
            SeenKind::Varints => Kind::Varints,
            SeenKind::Names { blocks } => Kind::Names { blocks: blocks.clone() },
        };
        views.push(View { kind, range: seen.old.clone(), map: maps.len() });
        maps.push(map);
    }
    (views, maps)
}

/// Returns the views of words that lie in a part, as views of that part alone.
fn local(views: &[View], part: &Range<usize>) -> Vec<View> {
    let inside = views.iter().filter(|view| {
        matches!(view.kind, Kind::Words { .. })
            && part.start <= view.range.start
            && view.range.end <= part.end
    });
    let moved = inside.map(|view| View {
        range: view.range.start - part.start..view.range.end - part.start,
        ..view.clone()
    });
    moved.collect()
}

/// Returns which rows of a table belong together.
fn align(old: &[u8], new: &[u8], kind: TableKind) -> Alignment {
    match kind {
        TableKind::Sorted { width } if width > 0 => sorted(old, new, width),
        TableKind::Words { word: word @ (4 | 8), row } if row > 0 && row.is_multiple_of(word) => {
            words::align(old, new, word, row)
        }
        _ => Alignment::default(),
    }
}

type Texts<'a> = Vec<&'a [u8]>;

fn texts<'a>(bytes: &'a [u8], (ends, text): &(Range<usize>, Range<usize>)) -> Option<Texts<'a>> {
    let text = bytes.get(text.clone())?;
    let mut from = 0;
    let ends = bytes.get(ends.clone())?.as_chunks::<4>().0.iter();
    ends.map(|end| {
        let end = u32::from_le_bytes(*end) as usize;
        let found = text.get(from..end);
        from = end;
        found
    })
    .collect()
}

fn text_map(old: &[&[u8]], new: &[&[u8]]) -> Map {
    let places: HashMap<&[u8], usize> =
        new.iter().enumerate().map(|(at, text)| (*text, at)).collect();
    let mut map = Map::new();
    for (at, text) in old.iter().enumerate() {
        let Some(place) = places.get(text) else { continue };
        let add = (*place as u32).wrapping_sub(at as u32);
        if map.last().map_or(0, |(_, last)| *last) != add {
            map.push((at as u32, add));
        }
    }
    map
}

/// Writes the operations for the whole blob.
fn write(old: &[u8], new: &[u8], tables: &[&Table], draft: &mut Draft) {
    let mut at = 0;
    let mut rest: Vec<Range<usize>> = Vec::new();
    for table in tables {
        if !table.old.is_empty() {
            rest.push(at..table.old.start.max(at));
            at = at.max(table.old.end);
        }
    }
    rest.push(at..old.len());
    let blocks = Blocks::new(old, &rest);
    let mut alignments: Vec<Option<Alignment>> = Vec::new();
    let mut at = 0;
    for table in tables {
        let mut alignment = None;
        if !table.new.is_empty() && table.new.start >= at {
            blocks.search(&new[at..table.new.start], draft);
            alignment = one_table(old, new, table, &alignments, draft);
            at = table.new.end;
        }
        alignments.push(alignment);
    }
    blocks.search(&new[at..], draft);
}

/// Writes the operations of one table, and returns how its rows belong together.
fn one_table(
    old: &[u8],
    new: &[u8],
    table: &Table,
    alignments: &[Option<Alignment>],
    draft: &mut Draft,
) -> Option<Alignment> {
    let (old_part, new_part) = (&old[table.old.clone()], &new[table.new.clone()]);
    let whole = |width: usize| {
        width > 0 && old_part.len().is_multiple_of(width) && new_part.len().is_multiple_of(width)
    };
    match table.kind {
        TableKind::Sorted { width } if whole(width) => {
            let alignment = sorted(old_part, new_part, width);
            alignment.write(table.old.start, new_part, width, draft);
            Some(alignment)
        }
        TableKind::Beside { width, of } if whole(width) => {
            let alignment = alignments.get(of).and_then(Option::as_ref);
            let alignment = alignment.filter(|alignment| {
                alignment.old_rows * width == old_part.len()
                    && alignment.new_rows * width == new_part.len()
            });
            match alignment {
                Some(alignment) => {
                    let equal = alignment.equal_only(old_part, new_part, width);
                    equal.write(table.old.start, new_part, width, draft);
                }
                None => draft.insert(new_part),
            }
            None
        }
        TableKind::Words { word: word @ (4 | 8), row }
            if whole(row) && row.is_multiple_of(word) =>
        {
            words::write(old, table.old.clone(), new_part, word, row, draft);
            None
        }
        _ => {
            draft.insert(new_part);
            None
        }
    }
}
