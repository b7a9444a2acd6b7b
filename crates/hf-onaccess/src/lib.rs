//! The guard: files are scanned when they are opened, and an infected one is not opened.
//!
//! The kernel asks the guard before a file of a protected file system is opened (fanotify). One thread
//! reads the questions and answers what it can at once; the rest goes to threads with a sandboxed
//! worker each. What is clean is remembered in the kernel, which then does not ask again until the
//! file is written to, and beside that in a cache.
//! Promises: every question is answered, at the latest at its deadline by the policy of the
//! configuration, whatever happens to a worker or a thread; when the guard itself dies the kernel
//! allows what waits. The guard never opens a path of a question, and reads no byte of a file.
//! Leaves out: what is written to a file that is open already; see `docs/onaccess.md`.
//! Sources: fanotify(7).
#![forbid(unsafe_code)]

mod cache;
mod clamd_conf;
mod control;
mod flights;
mod gate;
mod generation;
mod guard;
mod journal;
mod lanes;
mod metrics;
mod mountinfo;
mod mounts;
mod opener;
mod remember;
mod scanning;
mod settings;
mod stamp;
mod supervisor;
mod watchdog;

pub use clamd_conf::{ClamdConf, ConfError};
pub use control::{Asked, ask};
pub use generation::{Content, Loaded};
pub use guard::{Guard, ReadSettings, RunError, run};
pub use journal::{Finding, Findings, Happening};
pub use mountinfo::{Mount, MountKind, parse as parse_mountinfo};
pub use settings::{ActionWord, Policy, ScopeWord, Settings, SettingsError, SettingsFile};
pub use supervisor::supervise;
