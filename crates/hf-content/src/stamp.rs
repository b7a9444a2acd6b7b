//! Stat stamps: whether a file is still the one that was read, without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What the kernel says of one state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of a file that was settled at `now`; none when it changed so shortly
    /// before that another change could leave the same stamp.
    pub(crate) fn settled(meta: &Metadata, now: SystemTime) -> Option<Self> {
        let ctime = (meta.ctime(), meta.ctime_nsec());
        // Kernels advance file times by ticks of up to 10 ms; some file systems by 1 or 2 s.
        let tick = Duration::from_millis(if ctime.1 == 0 { 2500 } else { 50 });
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let secs = u64::try_from(ctime.0).ok()?;
        let changed = Duration::new(secs, u32::try_from(ctime.1).ok()?);
        (now.checked_sub(changed)? > tick).then(|| Self::of(meta))
    }

    /// Returns the stamp of a file as it is now.
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_is_not_settled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let meta = file.as_file().metadata().unwrap();
        let now = SystemTime::now();
        assert_eq!(Stamp::settled(&meta, now), None);
        let later = now + Duration::from_secs(3);
        let stamp = Stamp::settled(&meta, later).unwrap();
        file.as_file().set_len(1).unwrap();
        assert_ne!(stamp, Stamp::of(&file.as_file().metadata().unwrap()));
    }
}
