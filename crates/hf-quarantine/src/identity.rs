//! Which file it is, and whether it is still as it was.
//!
//! The change time cannot be set by its owner: a file whose device, inode, size and change time are the same holds
//! what it held.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

/// A moment of a file: seconds since 1970 and nanoseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Time {
    /// Seconds since 1970.
    pub s: i64,
    /// Nanoseconds, below 1,000,000,000.
    pub ns: u32,
}

impl Time {
    /// Returns a moment of a `stat`.
    #[must_use]
    pub fn new(seconds: i64, nanoseconds: u64) -> Self {
        Self { s: seconds, ns: u32::try_from(nanoseconds).unwrap_or(0).min(999_999_999) }
    }
}

/// What tells one state of one file from all others on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the bytes, as its owner tells it.
    pub mtime: Time,
    /// Last change of anything, as the kernel tells it.
    pub ctime: Time,
}

impl Identity {
    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(&rustix::fs::fstat(file)?))
    }

    /// Returns whether this is the same file, changed or not.
    #[must_use]
    pub fn same_inode(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: Time::new(stat.st_mtime, stat.st_mtime_nsec),
            ctime: Time::new(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
