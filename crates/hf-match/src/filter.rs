//! The prefilter: which signatures can match an object at all, from one pass over its bytes.
//!
//! Literals are seen through windows of a class: `width` bytes, hashed with letters folded, at every
//! `stride`-th offset of the object. A stretch of `width + stride - 1` bytes of the literal is entered
//! with all its windows, so that one of them falls on such an offset wherever the literal stands.
//! First a bit table that fits a cache is asked, two bits of one word for each window, without a
//! branch; what passes is looked up in a hash table in the pack, and the literal is compared. Short
//! literals are seen through pairs of bytes, which a table holds as they are.
//! Anchors at fixed places are looked up at those places alone.

mod build;
mod pairs;
mod place;
mod probe;
mod tables;
mod windows;

pub(crate) use build::FilterBuilder;
pub(crate) use place::Points;
pub(crate) use probe::{Bits, Hits, Passed, for_each_survivor};
pub(crate) use tables::{Places, SITE_LEN, Seen, Tables};

use hf_pack::SectionId;

/// A kind of window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    /// Bytes in a window.
    pub(crate) width: usize,
    /// Every how many bytes of an object one is looked at.
    pub(crate) stride: usize,
}

/// All classes, those that need the longest literals and let the fewest windows pass first.
pub(crate) const CLASSES: &[Class; 4] = &[
    Class { width: 8, stride: 4 },
    Class { width: 4, stride: 4 },
    Class { width: 4, stride: 2 },
    Class { width: 2, stride: 1 },
];
/// The class whose windows are few enough for a table with a place for each, case and all.
pub(crate) const PAIRS: usize = 3;

/// Folds at most eight bytes to a key: the first byte lowest, letters without case.
pub(crate) fn fold(bytes: &[u8]) -> u64 {
    let key = bytes.iter().take(8).rev().fold(0, |key, byte| (key << 8) | u64::from(*byte));
    fold_key(key, bytes.len())
}

/// Folds a key that holds more than `width` bytes.
#[inline]
pub(crate) const fn fold_key(key: u64, width: usize) -> u64 {
    let bits = if width >= 8 { 64 } else { 8 * width as u32 };
    if bits == 0 {
        return 0;
    }
    (key | FOLD) & (u64::MAX >> (64 - bits))
}

/// Mixes a key. Tables use the lower bits as index, so that a smaller table is a coarser view of a
/// larger one, and the upper bits for what lies in an entry.
#[inline]
pub(crate) const fn mix(key: u64) -> u64 {
    let product = (key as u128).wrapping_mul(MULTIPLIER as u128);
    (product >> 64) as u64 ^ product as u64
}

/// Returns the lower bits of a hash, to be masked to a place in a table.
#[inline]
pub(crate) const fn index(hash: u64) -> usize {
    hash as u32 as usize
}

/// Returns the part of a hash that a slot holds.
#[inline]
pub(crate) const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Returns the id of a section of one target's filter.
pub(crate) const fn section(target: u8, part: u32) -> SectionId {
    SectionId::FILTER_BASE.plus(target as u32 * 64 + part)
}

/// Literals, one after the other.
pub(crate) const LITERALS: u32 = 0;
/// Sites: literal, how it lies, and which signatures it leads to.
pub(crate) const SITES: u32 = 1;
/// Signatures of sites.
pub(crate) const SITE_SIGS: u32 = 2;
/// Signatures without an anchor.
pub(crate) const ALWAYS: u32 = 3;
/// Signatures by perceptual hash.
pub(crate) const IMAGES: u32 = 4;
/// Fixed places.
pub(crate) const PLACES: u32 = 5;
/// Keys at fixed places with their signatures.
pub(crate) const PLACE_KEYS: u32 = 6;
/// Signatures with anchors of several members, and which.
pub(crate) const MEMBERS: u32 = 7;
/// Bit tables, one section for each class; hash tables at the next odd number.
pub(crate) const FIRST_CLASS: u32 = 16;

/// Bytes without the case of letters; it joins other bytes too, which the comparison tells apart.
const FOLD: u64 = 0x2020_2020_2020_2020;
/// Ours: odd, with bits spread evenly.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// What an anchor leads to, packed: signature in the lower 24 bits, member in the next six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lead(pub(crate) u32);

impl Lead {
    /// The signature needs two anchors.
    pub(crate) const BOTH: u32 = 1 << 31;
    /// This is the second of them.
    pub(crate) const SECOND: u32 = 1 << 30;
    /// Most signatures of a pack.
    pub(crate) const SIGS_MAX: u32 = 1 << 24;

    pub(crate) fn new(sig: u32, sub: u8, flags: u32) -> Self {
        Self(flags | u32::from(sub & 63) << 24 | sig & (Self::SIGS_MAX - 1))
    }

    pub(crate) fn sig(self) -> u32 {
        self.0 & (Self::SIGS_MAX - 1)
    }

    pub(crate) fn sub(self) -> u8 {
        (self.0 >> 24 & 63) as u8
    }

    pub(crate) fn is(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

/// Marks a free slot.
pub(crate) const FREE: u32 = u32::MAX;
