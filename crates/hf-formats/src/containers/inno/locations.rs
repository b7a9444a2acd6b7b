//! The table that says in which chunk, and where in it, each file is.
//!
//! The layout changed with versions; it is found by what fits the chunks that are there.

use super::chunk::Chunks;
use crate::reader::{Reader, size};

/// Ours.
const LOCATIONS_MAX: usize = 100_000;

/// A checksum of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Adler32OrCrc32,
    Md5,
    Sha1,
    Sha256,
}

impl Check {
    fn size(self) -> usize {
        match self {
            Self::Adler32OrCrc32 => 4,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// How records are laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    check: Check,
    flags_len: usize,
    /// Whether the offset of a chunk has eight bytes.
    long_off: bool,
    /// Whether the place of a file in its chunk is there.
    in_chunk: bool,
    /// What is added to offsets of chunks.
    base: usize,
}

/// Where a file is.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) number: usize,
    /// Offset of its chunk in the object.
    pub(super) chunk_off: usize,
    /// Offset in the chunk's content.
    pub(super) off: u64,
    pub(super) len: u64,
    pub(super) check: Check,
    pub(super) sum: Vec<u8>,
}

struct Record<'a> {
    first_slice: u32,
    start: u64,
    off: u64,
    len: u64,
    packed_len: u64,
    sum: &'a [u8],
}

impl Layout {
    fn size(self) -> usize {
        let start_len = if self.long_off { 8 } else { 4 };
        let place_len = if self.in_chunk { 8 } else { 0 };
        [8, start_len, place_len, 16, self.check.size(), 16, self.flags_len].iter().sum()
    }

    fn record<'a>(self, bytes: &'a [u8]) -> Option<Record<'a>> {
        let mut reader = Reader::new(bytes);
        let first_slice = reader.u32_le().ok()?;
        reader.skip(4).ok()?;
        let start =
            if self.long_off { reader.u64_le().ok()? } else { u64::from(reader.u32_le().ok()?) };
        let off = if self.in_chunk { reader.u64_le().ok()? } else { 0 };
        let len = reader.u64_le().ok()?;
        let packed_len = reader.u64_le().ok()?;
        let sum = reader.take(self.check.size()).ok()?;
        Some(Record { first_slice, start, off, len, packed_len, sum })
    }

    fn fits(self, table: &[u8], whole: bool, chunks: &Chunks<'_>) -> bool {
        let records = table.chunks_exact(self.size());
        !table.is_empty()
            && (records.remainder().is_empty() || !whole && records.len() > 0)
            && records.take(64).all(|bytes| {
                self.record(bytes).is_some_and(|record| {
                    let at = self.base.saturating_add(size(record.start));
                    record.first_slice > 0
                        || chunks.has(at) && record.off < 1 << 40 && record.len < 1 << 40
                })
            })
    }

    /// Finds the layout that fits all of the first records.
    pub(super) fn of(
        table: &[u8],
        whole: bool,
        chunks: &Chunks<'_>,
        base: Option<usize>,
    ) -> Option<Self> {
        let bases = base.into_iter().chain(chunks.first());
        for base in bases {
            for check in [Check::Sha1, Check::Sha256, Check::Md5, Check::Adler32OrCrc32] {
                for flags_len in [2, 1, 3, 4] {
                    for (long_off, in_chunk) in [(false, true), (true, true), (false, false)] {
                        let layout = Self { check, flags_len, long_off, in_chunk, base };
                        if layout.fits(table, whole, chunks) {
                            return Some(layout);
                        }
                    }
                }
            }
        }
        None
    }

    /// Reads the records of files whose chunks are here; true when others are in other files.
    pub(super) fn read(self, table: &[u8], chunks: &Chunks<'_>) -> (Vec<Location>, bool) {
        let mut elsewhere = false;
        let records = table.chunks_exact(self.size()).take(LOCATIONS_MAX).enumerate();
        let mut location = |(number, bytes)| {
            let record = self.record(bytes)?;
            let chunk_off = self.base.saturating_add(size(record.start));
            let here = record.first_slice == 0 && chunks.has(chunk_off);
            elsewhere |= !here && record.packed_len > 0;
            (here && record.packed_len > 0).then(|| Location {
                number,
                chunk_off,
                off: record.off,
                len: record.len,
                check: self.check,
                sum: record.sum.to_vec(),
            })
        };
        let locations = records.filter_map(&mut location).collect();
        (locations, elsewhere)
    }
}
