//! Finds a patch between two versions of a blob.

use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::blocks::Blocks;
use super::rows::{Alignment, learn_map, sorted};
use super::{COPY, DIFF4, DIFF8, HEADER_LEN, INSERT, MAGIC, MAP, varint, words};
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
        /// The rows are words of 32 bits that number something: they move together.
        numbers: bool,
    },
    /// Words of 4 or 8 bytes, in rows of so many bytes, that mostly move by the same amount.
    Words {
        /// Bytes of a word: 4 or 8.
        word: usize,
        /// Bytes of a row.
        row: usize,
    },
}

/// Collects operations.
#[derive(Debug, Default)]
pub(super) struct Draft {
    ops: Vec<u8>,
    bytes: Vec<u8>,
    differences: Vec<u8>,
    maps: Vec<u8>,
    map_count: u64,
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

    /// Words of the old blob, moved by a map.
    pub(super) fn mapped(&mut self, range: Range<usize>, map: u64) {
        if range.is_empty() {
            return;
        }
        self.end();
        self.old_op(MAP, range.len() as u64 / 4, range.start, range.end);
        varint::put(&mut self.ops, map);
    }

    /// Adds a map: from each value on, so much is added.
    pub(super) fn add_map(&mut self, steps: &[(u32, u32)]) -> u64 {
        varint::put(&mut self.maps, steps.len() as u64);
        let (mut from, mut add) = (0u32, 0u32);
        for (first, more) in steps {
            varint::put(&mut self.maps, u64::from(first.wrapping_sub(from)));
            varint::put_signed(&mut self.maps, i64::from(more.wrapping_sub(add) as i32));
            (from, add) = (*first, *more);
        }
        self.map_count += 1;
        self.map_count - 1
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
/// `tables` are what is known of parts of the blob, in order and without overlap in both versions;
/// where they are wrong, the patch is larger and no less right. The rest is searched for blocks
/// of the old version, in linear time and with memory of a quarter of what is searched.
#[must_use]
pub fn make(
    (old, old_digest): (&[u8], &Digest),
    (new, new_digest): (&[u8], &Digest),
    tables: &[Table],
) -> Vec<u8> {
    let mut draft = Draft::default();
    let fits = |table: &&Table| {
        table.old.end <= old.len() && table.new.end <= new.len() && table.new.start <= table.new.end
    };
    let mut at = 0;
    let mut rest: Vec<Range<usize>> = Vec::new();
    for table in tables.iter().filter(fits).filter(|table| table.old.start <= table.old.end) {
        rest.push(at..table.old.start.max(at));
        at = at.max(table.old.end);
    }
    rest.push(at..old.len());
    let blocks = Blocks::new(old, &rest);
    let mut alignments: Vec<Option<Alignment>> = Vec::new();
    let mut at = 0;
    for table in tables {
        let mut alignment = None;
        if fits(&table) && table.old.start <= table.old.end && table.new.start >= at {
            blocks.search(&new[at..table.new.start], &mut draft);
            alignment = one_table(old, new, table, &alignments, &mut draft);
            at = table.new.end;
        }
        alignments.push(alignment);
    }
    blocks.search(&new[at..], &mut draft);
    draft.finish((old.len(), old_digest), (new.len(), new_digest))
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
            alignment.write(table.old.start, new_part, width, None, draft);
            Some(alignment)
        }
        TableKind::Beside { width, of, numbers } if whole(width) => {
            let alignment = alignments.get(of).and_then(Option::as_ref);
            let alignment = alignment.filter(|alignment| {
                alignment.old_rows * width == old_part.len()
                    && alignment.new_rows * width == new_part.len()
            });
            match alignment {
                Some(alignment) if numbers && width == 4 => {
                    let (steps, fitting) = learn_map(alignment, old_part, new_part);
                    let map = draft.add_map(&steps);
                    fitting.write(table.old.start, new_part, width, Some(map), draft);
                }
                Some(alignment) => {
                    alignment.equal_only(old_part, new_part, width).write(
                        table.old.start,
                        new_part,
                        width,
                        None,
                        draft,
                    );
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
