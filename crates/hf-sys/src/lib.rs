//! Safe wrappers of Linux mechanisms: maps, sealed memory, seccomp, Landlock, pidfd, openat2.
//!
//! Promises: every function is safe to call; what the kernel lacks is said in the result and never
//! passed over in silence.
//! Leaves out: every word of antivirus. What is confined, and why, is decided on the floors above.
//! Sources: the Linux manual pages named at each item.
#![expect(unsafe_code, reason = "system calls that no safe crate wraps; one operation a block")]

pub mod bounds;
pub mod clock;
pub mod confine;
pub mod exec;
pub mod fanotify;
pub mod files;
pub mod forbidden;
pub mod handle;
pub mod idle;
mod landlocked;
pub mod lease;
pub mod lifeline;
pub mod map;
pub mod notify;
pub mod passed;
pub mod privileges;
pub mod process;
pub mod session;
pub mod signals;
pub mod syscalls;
pub mod users;

pub use bounds::Bounds;
pub use clock::{LocalTime, local_time};
pub use confine::{Protection, enter, seal};
pub use exec::close_others;
pub use files::{open_beneath, sealed_memory};
pub use handle::FileHandle;
pub use idle::{idle, is_idle};
pub use map::Map;
pub use process::{Exit, Process, Usage};
