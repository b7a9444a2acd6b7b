//! Patches: how a blob is made from an earlier version of it.
//!
//! A patch is a list of operations that write the new blob front to back: bytes of the old one as they
//! are; bytes of the patch; little-endian words of the old one with a difference added to each. The old
//! one is seen through *views*, which move numbers in it as maps say. That is what a compiled pack
//! needs: its tables hold numbers that all grow by one when a row is put in before them.
//!
//! ```text
//! HFPATCH1 · old length · new length (u64 each) · SHA-256 of old · of new
//! then four streams, each: length (u64), zlib: operations, bytes, differences, maps
//! operation: varint(length << 3 | kind) · but for Insert: zigzag varint of (offset in old - where the last one ended)
//! maps: varint(how many), each: varint(number of steps), for each: varint(first value - that of the step
//!   before), zigzag(move - that before); then varint(how many views), each as [`view`] writes it
//! ```
//!
//! Promises: [`apply`] needs memory for the patch, not for the blobs; it ends with an error and never
//! writes more than the length that it was told; what it wrote is right if and only if it says so.
//! Leaves out: where old and new lie.

mod apply;
mod blocks;
mod make;
mod rows;
mod varint;
mod view;
mod words;

pub use apply::{ApplyError, apply};
pub use make::{Moves, Seen, SeenKind, Table, TableKind, make};

/// Ours: most bytes of a patch. A larger one would not be worth it.
pub const PATCH_LEN_MAX: u64 = 256 << 20;

const MAGIC: &[u8; 8] = b"HFPATCH1";
const HEADER_LEN: usize = 8 + 8 + 8 + 32 + 32;

/// Kinds of operation.
const COPY: u64 = 0;
const INSERT: u64 = 1;
/// Differences of words of 4 and 8 bytes.
const DIFF4: u64 = 2;
const DIFF8: u64 = 3;

/// Ours: most maps of a patch, and most steps of all of them.
const MAPS_MAX: usize = 256;
const STEPS_MAX: usize = 4_000_000;

#[cfg(test)]
mod tests;
