//! The sandboxed process, and the parent's side of it.
//!
//! The program starts itself again as a worker ([`run_worker`]), which builds its scanner, gives up
//! every power but computing, and only then meets its first object. The parent ([`Worker`],
//! [`WorkerPool`]) passes one descriptor an object and gets one report. A worker that crashes, runs
//! out of memory or passes its deadline costs that object an `error` and nothing else.
//! Promises: bytes of objects are interpreted only in the worker; what the worker says is checked
//! before it is believed to be a report; a missing protection is named, never passed over.
//! Leaves out: what scanning is (the scanner is given by the program), and every verdict and action.
#![forbid(unsafe_code)]

pub mod child;
pub mod config;
pub mod death;
pub mod pool;
pub mod selftest;
pub mod worker;

pub use child::{Scanner, is_worker, run_worker};
pub use config::{SpawnError, WorkerConfig};
pub use death::Death;
pub use hf_ipc::{Confinement, Pack, Protection, ScanRequest, Setup};
pub use pool::WorkerPool;
pub use selftest::{SelftestRow, selftest};
pub use worker::{Answer, Job, Worker};
