//! The words of Holdfast: what is scanned, what is found, what stops a scan, and what a signature is.
//!
//! Promises: plain data and small traits only; no I/O, no clock, no threads, no globals, no `unsafe`.
//! Everything that crosses the border between parent and worker is `Serialize` and `Deserialize`.
//! Leaves out: how any of it is computed. Formats, matchers and engines live on the floors above.
#![forbid(unsafe_code)]

pub mod exe;
pub mod file_type;
pub mod hex;
pub mod limits;
pub mod options;
pub mod report;
pub mod signature;
pub mod sink;

pub use exe::{ExeKind, ExeSection, ExeView, Facts, IconMetrics};
pub use file_type::{FileType, Target};
pub use limits::{Defect, Halt, Limits, Reason, Stop};
pub use options::{DconfFlags, ScanOptions};
pub use report::{
    Digests, Hit, HitKind, MatchSpan, ObjectNode, Report, Strength, Unscanned, Verdict,
};
pub use sink::{Child, ChildRole, Link, Member, Sink};
