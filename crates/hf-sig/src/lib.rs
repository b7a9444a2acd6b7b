//! Signature languages: text to model, with diagnostics.
//!
//! Promises: every language of ClamAV is read by its published rules, and a line is accepted or refused as
//! `clamscan` 1.4.6 does (departures are marked `Off-spec`); hostile text costs memory and time in
//! proportion to its length and never panics; hash languages allocate nothing for a line.
//! Leaves out: reading files (the caller has the bytes), matching, and running bytecode.
//! Sources: ClamAV's published signature documentation; clamscan and sigtool 1.4.6 as black boxes.
#![forbid(unsafe_code)]

pub mod cvd;
pub mod diagnostic;
mod directory;
mod explain;
mod grammar;
mod ignore;
mod language;
mod load;
#[cfg(test)]
mod testing;
mod text;

pub use diagnostic::{Code, Diagnostic, Severity, codes};
pub use directory::{DirectoryPlan, directory_order};
pub use explain::explain;
pub use ignore::IgnoreSet;
pub use language::{Language, recognised};
pub use load::{
    BytecodeChoice, FLEVEL, LoadOptions, PuaChoice, Rejected, Summary, YaraChoice, load,
};
