//! Findings that no signature makes: the same files, databases and options under Debian's `clamscan` and under ours
//! must give the same names.
//!
//! Promises: every case is in one table per kind of finding; a case that differs for a reason says so in its table.
//! Leaves out: machines without `clamscan`, unless they are CI.

mod alerts;
mod authenticode;
mod known;
mod metadata;
mod phishing;
mod run;
