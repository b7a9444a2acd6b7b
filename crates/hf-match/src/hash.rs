//! Hash signatures: millions of rows in sorted fixed-width tables, and the gate in front of them.
//!
//! For each [`HashOf`] and kind of digest the pack holds columns sorted by digest: digests, sizes
//! and ordinals, and a directory of buckets over the first bits of the digest. A look-up reads one
//! line of the directory and two or three of digests; only a hit reads more. Names stand in the
//! order in which they were pushed, as numbers behind shared stems, in blocks ([`names`]); file and
//! line follow from the ordinal through runs of consecutive lines.
//!
//! Before any digest is computed, [`HashTables::needs`] says which kinds could matter for an object
//! of a given size: a sorted list of the sizes that occur.
//!
//! Promises: the same pushes give the same bytes; every signature of a digest is found, in the
//! order of the pushes; a hostile pack gives wrong answers and at most [`HITS_MAX`] of them.
//! Leaves out: computing digests, and what a hit means.

mod builder;
mod names;
mod view;

pub use builder::HashTablesBuilder;
pub use view::{HashHit, HashTables};

use hf_core::signature::HashOf;
use hf_pack::SectionId;

use crate::{Numbered, Numbers, Shape, Writing};

/// Kinds of digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigestSet {
    /// 16 bytes.
    pub md5: bool,
    /// 20 bytes.
    pub sha1: bool,
    /// 32 bytes.
    pub sha256: bool,
}

impl DigestSet {
    /// None of them.
    pub const NONE: Self = Self { md5: false, sha1: false, sha256: false };

    /// True when no digest is needed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Returns what is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self::from_bits(self.bits() | other.bits())
    }

    fn bits(self) -> u8 {
        u8::from(self.md5) | (u8::from(self.sha1) << 1) | (u8::from(self.sha256) << 2)
    }

    fn from_bits(bits: u8) -> Self {
        Self { md5: bits & 1 != 0, sha1: bits & 2 != 0, sha256: bits & 4 != 0 }
    }
}

/// Kind of digest as an index; `None` for a length that no kind has.
fn kind_of(digest: &[u8]) -> Option<u32> {
    match digest.len() {
        16 => Some(0),
        20 => Some(1),
        32 => Some(2),
        _ => None,
    }
}

const KINDS: u32 = 3;

fn of_index(of: HashOf) -> u32 {
    match of {
        HashOf::Object => 0,
        HashOf::Section => 1,
        HashOf::Imports => 2,
        HashOf::Allowed => 3,
    }
}

const OFS: u32 = 4;

/// Size column of a signature for any size. Written sizes are below it.
const ANY_SIZE: u32 = u32::MAX;

/// Ours: more signatures than this on one digest are not told; the largest real number is 4.
pub const HITS_MAX: usize = 1024;

/// Names of database files, one after the other, each behind its length (`u16`).
const FILES: SectionId = SectionId::HASH_BASE;
/// Runs of consecutive lines: first ordinal, file (top bit: PUA), first line (`u32` each).
const ORIGINS: SectionId = SectionId::HASH_BASE.plus(1);
/// Names, see [`names`].
const NAMES: SectionId = SectionId::HASH_BASE.plus(2);
const NAME_BLOCKS: SectionId = SectionId::HASH_BASE.plus(3);
const STEMS: SectionId = SectionId::HASH_BASE.plus(4);
const STEM_ENDS: SectionId = SectionId::HASH_BASE.plus(5);
/// One byte for each [`HashOf`]: kinds that have signatures for any size.
const ANY_KINDS: SectionId = SectionId::HASH_BASE.plus(6);

/// Sizes that occur, sorted (`u32`).
fn gate_sizes(of: u32) -> SectionId {
    SectionId::HASH_BASE.plus(8).plus(of)
}

/// Kinds that occur with each size (`u8`).
fn gate_kinds(of: u32) -> SectionId {
    SectionId::HASH_BASE.plus(16).plus(of)
}

/// Columns of one table.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// First row of each bucket, and the number of rows (`u32`); a power of two, plus one.
    Directory,
    /// Digests, sorted.
    Digests,
    /// Sizes (`u32`).
    Sizes,
    /// Ordinals (`u32`).
    Ordinals,
}

fn column(of: u32, kind: u32, column: Column) -> SectionId {
    let column = match column {
        Column::Directory => 0,
        Column::Digests => 1,
        Column::Sizes => 2,
        Column::Ordinals => 3,
    };
    SectionId::HASH_BASE.plus(64 + (of * KINDS + kind) * 4 + column)
}

/// Returns what one of these sections is.
pub(crate) fn shape(id: SectionId) -> Option<Shape> {
    match id {
        NAME_BLOCKS => return Some(Shape::Words { word: 8, row: 8 }),
        STEM_ENDS => return Some(Shape::Words { word: 4, row: 4 }),
        ORIGINS => return Some(Shape::Words { word: 4, row: 12 }),
        _ => {}
    }
    for (of, kind) in (0..OFS).flat_map(|of| (0..KINDS).map(move |kind| (of, kind))) {
        let digests = column(of, kind, Column::Digests);
        if id == digests {
            let width = match kind {
                0 => 16,
                1 => 20,
                _ => 32,
            };
            return Some(Shape::Sorted { width });
        }
        let beside = [Column::Sizes, Column::Ordinals].map(|part| column(of, kind, part));
        if beside.contains(&id) {
            return Some(Shape::Beside { width: 4, of: digests });
        }
        if id == column(of, kind, Column::Directory) {
            return Some(Shape::Words { word: 4, row: 4 });
        }
    }
    None
}

/// Returns the sections with numbers among these.
pub(crate) fn numbers() -> Vec<Numbers> {
    let tables = (0..OFS).flat_map(|of| (0..KINDS).map(move |kind| (of, kind)));
    let mut all: Vec<Numbers> = tables
        .map(|(of, kind)| Numbers {
            section: column(of, kind, Column::Ordinals),
            writing: Writing::Words { row: 4, at: 0, shift: 0, bits: 32 },
            of: Numbered::Beside(column(of, kind, Column::Digests)),
        })
        .collect();
    all.push(Numbers {
        section: NAMES,
        writing: Writing::Names(NAME_BLOCKS),
        of: Numbered::Texts(STEM_ENDS, STEMS),
    });
    all
}

/// Bucket of a digest when there are `1 << bits` of them; at most 24.
fn bucket(digest: &[u8], bits: u32) -> u32 {
    let first = digest.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    first.checked_shr(32 - bits.min(24)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
