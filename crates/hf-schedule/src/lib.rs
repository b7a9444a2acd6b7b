//! Scans that come again: when they are due, of what, how far they came, and which files have not changed.
//!
//! Promises: what is read back from disk is checked and bounded, and when it is not what was written, the answer is the
//! safe one: a whole scan from the beginning. A state file is replaced whole or not at all.
//! Leaves out: running a scan; finding and starting services.
#![forbid(unsafe_code)]

pub mod power;
pub mod progress;
pub mod seen;
pub mod store;
pub mod task;
pub mod units;
pub mod when;

pub use power::Power;
pub use progress::{Counts, Progress};
pub use seen::{FileState, Seen};
pub use store::{State, Status, StoreError};
pub use task::{OnBattery, Task, TaskAction, TaskError};
pub use when::{Day, When};
