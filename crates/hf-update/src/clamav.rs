//! ClamAV's databases from its mirrors, as `freshclam` fetches them.
//!
//! Leaves out: the program `freshclam` around it ([`crate::freshclam`]).
//! Sources: ClamAV's published documentation of freshclam, of CVD files and of the mirrors' rules; black-box runs of
//! freshclam 1.4.6 against mirrors on the loopback.

pub mod cdiff;
pub mod container;
pub mod cooldown;
pub mod custom;
pub mod dns;
pub mod mirror;
pub mod voice;

pub use cdiff::{CdiffError, Script};
pub use cooldown::Memory;
pub use mirror::{Code, Mirrors, Tester, Updated};
pub use voice::{Level, Voice};

#[cfg(test)]
mod tests;

/// Version that we present ourselves as, whose rules we follow.
pub const VERSION: &str = "1.4.6";
