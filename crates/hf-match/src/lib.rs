//! Matching: compile the signature model, prefilter, verify, evaluate.

mod hash;

pub use hash::{DigestSet, HITS_MAX, HashHit, HashTables, HashTablesBuilder};
