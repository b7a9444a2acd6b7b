//! What tells one state of a file from another, without reading it.
//!
//! Promises: asking never waits for a server or a program behind a file system.
//! Sources: statx(2); Linux 6.13, "multigrain timestamps".

use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hf_quarantine::{Identity, Time};
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp};

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

/// In which state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) id: FileId,
    pub(crate) stamp: Stamp,
    pub(crate) mount_id: u64,
    pub(crate) regular: bool,
    /// Names that the file has; 0 when it was removed.
    pub(crate) names: u32,
}

impl Facts {
    /// Returns what is known of an open file.
    pub(crate) fn of(file: impl AsFd) -> std::io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let found: Statx = rustix::fs::statx(file, c"", flags, wanted)?;
        let time = |at: StatxTimestamp| (at.tv_sec, at.tv_nsec);
        Ok(Self {
            id: FileId { device: (found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino },
            stamp: Stamp {
                size: found.stx_size,
                modified: time(found.stx_mtime),
                changed: time(found.stx_ctime),
            },
            mount_id: found.stx_mnt_id,
            regular: FileType::from_raw_mode(u32::from(found.stx_mode)) == FileType::RegularFile,
            names: found.stx_nlink,
        })
    }
}

impl Facts {
    /// Returns the same in the words of the vault.
    pub(crate) fn identity(&self) -> Identity {
        let (major, minor) = self.id.device;
        let time = |(seconds, nanos): (i64, u32)| Time { s: seconds, ns: nanos };
        Identity {
            dev: rustix::fs::makedev(major, minor),
            ino: self.id.inode,
            size: self.stamp.size,
            mtime: time(self.stamp.modified),
            ctime: time(self.stamp.changed),
        }
    }
}

impl Stamp {
    /// True when a write from `now` on is sure to give the file another stamp.
    pub(crate) fn settled(&self, exact_times: bool, now: SystemTime) -> bool {
        if exact_times {
            return true;
        }
        let (seconds, nanos) = self.changed;
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let changed = UNIX_EPOCH.checked_add(Duration::new(seconds, nanos));
        let whole = nanos == 0 && self.modified.1 == 0;
        let step = if whole { SECONDS_STEP } else { TICK };
        let age = changed.and_then(|changed| now.duration_since(changed).ok());
        age.is_some_and(|age| age > step)
    }
}

/// True when the running kernel gives a file whose stamp was looked at another one at the next write, on the
/// file systems of [`EXACT`].
pub(crate) fn kernel_has_exact_times() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (6, 13),
        _ => false,
    }
}

/// File systems with multigrain timestamps. Source: Linux 6.13, `FS_MGTIME`.
pub(crate) const EXACT: &[&str] = &["btrfs", "ext4", "tmpfs", "xfs"];

/// Ours: two ticks of a clock of 100 Hz.
const TICK: Duration = Duration::from_millis(20);

/// Ours: FAT counts two seconds, others one.
const SECONDS_STEP: Duration = Duration::from_millis(2100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settles() {
        let stamp =
            |secs, nanos| Stamp { size: 1, modified: (secs, nanos), changed: (secs, nanos) };
        let now = UNIX_EPOCH + Duration::new(1000, 500_000_000);
        assert!(stamp(1000, 499_999_999).settled(true, now));
        assert!(!stamp(1000, 499_999_999).settled(false, now));
        assert!(stamp(1000, 400_000_000).settled(false, now));
        assert!(!stamp(999, 0).settled(false, now));
        assert!(stamp(998, 0).settled(false, now));
        // The clock was set back.
        assert!(!stamp(2000, 1).settled(false, now));
    }

    #[test]
    fn facts_of_a_file() {
        let temp = tempfile::NamedTempFile::new().unwrap();
        let before = Facts::of(temp.as_file()).unwrap();
        assert!(before.regular && before.names == 1 && before.mount_id != 0);
        std::fs::write(temp.path(), b"more").unwrap();
        let after = Facts::of(temp.as_file()).unwrap();
        assert_eq!(before.id, after.id);
        assert_ne!(before.stamp, after.stamp);
    }
}
