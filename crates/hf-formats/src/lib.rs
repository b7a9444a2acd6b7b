//! Tolerant readers of hostile formats: bytes in, children, defects and facts out through a [`hf_core::Sink`].
//!
//! Promises: pure functions without I/O, clock, threads or globals; bounded memory, time and depth; a
//! malformed object is never an error above its format. One format is one file, one line in its group's
//! list, one fixture folder and one row of `docs/formats.md`. Formats never call each other.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod backwards;
mod bounded;
mod codec;
mod containers;
mod disks;
mod documents;
mod executables;
mod format;
mod identify;
mod images;
mod mail;
mod reader;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(any(test, feature = "testing"))]
pub mod testing_docs;
#[cfg(any(test, feature = "testing"))]
pub mod testing_exe;
mod text;
mod unpack;

pub use executables::authenticode::{Signed, check_signature};
pub use executables::pe::icons::{icon_matches, icons};
pub use executables::{clamav_exe_view, exe_view, section_ranges};
pub use format::{FORMATS, Format, FormatDoc, Stage, format_for};
pub use identify::{disk_forms, embedded, identify};
pub use images::hash::image_hash;
