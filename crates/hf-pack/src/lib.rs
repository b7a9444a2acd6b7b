//! The compiled content file: sections, writer, checked reader over a read-only map.
//!
//! A pack is immutable, versioned, checksummed and deterministic: the same sections and the same
//! [`PackMeta`] give the same bytes on every machine. Opening one maps it and checks its header and
//! section table, which costs microseconds however large it is; [`Pack::verify`] reads it all.
//!
//! Promises: an altered, cut-off or hostile pack is refused or gives wrong answers, but never a
//! memory fault or a panic. Integers are little endian.
//! Leaves out: what the sections mean (`hf-match`), and where packs are kept (`hf-content`).
//!
//! ```text
//! header, 64 bytes     magic, format version, number of sections, offset of the table, file length,
//!                      BLAKE3 of the header (this field zero) and the table
//! sections             each at its alignment, zeros between them
//! table                48 + 16 bytes each, sorted by id: id, alignment, offset, length, BLAKE3
//! ```

mod anonymous;
mod layout;
mod le;
mod meta;
mod pack;
mod section;
mod writer;

pub use anonymous::{anonymous_file, seal};
pub use layout::{FORMAT_VERSION, MAGIC, MAX_ALIGN, MAX_SECTIONS};
pub use le::{Le, LeArray};
pub use meta::{NotRunCount, PackMeta, SourceMeta};
pub use pack::{OpenPackError, Pack, VerifyPackError};
pub use section::SectionId;
pub use writer::{PackWriter, SectionWriter, WritePackError};
