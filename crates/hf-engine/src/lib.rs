//! Scans one object with content and limits, and says in a report what was found and what was not looked at.
//!
//! Promises: the same object, content and options give the same report; memory, depth, objects, bytes and
//! time are bounded by [`hf_core::Limits`]; a malformed object is never an error.
//! Leaves out: files, processes and verdicts. It runs inside the worker.
//! Sources: ClamAV's published documentation and black-box behaviour; `docs/compatibility.md` lists where
//! the drop-in names differ from ours.
#![forbid(unsafe_code)]

mod alert;
mod certificates;
mod engine;
mod layer;
mod matching;
mod prune;
mod quirks;
mod scan;
mod sink;

pub use engine::{Engine, EngineError, Setup};
