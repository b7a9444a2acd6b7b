//! Files that were clean, so that those that have not changed since can be passed over.
//!
//! A file is known by device, inode, size and both times of change; the kernel's own (`ctime`) cannot be set by a file's
//! owner. Each is kept as 16 bytes of a SHA-256. All that the verdict depends on (content, options, program) is one more
//! digest: when it differs, nothing is known.
//! Promises: a file that changed is never taken for one that did not, as long as the file system keeps `ctime` honestly;
//! one that changed in the last two seconds before it was opened, or during its scan, is not remembered, because clocks
//! of file systems are coarse. A file that is not what was written counts as empty.
//! Leaves out: file systems whose times somebody else may make up (FUSE, network, removable): `trusted_devices`.
//! Limits: 4,194,304 files (64 MiB); more are scanned each time.
//!
//! ```text
//! 0   8  magic "HFSEEN01"
//! 8  32  digest of what verdicts depend on
//! 40  8  number of files, little-endian
//! 48  …  16 bytes a file, ascending
//! …  32  SHA-256 of all before
//! ```

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::store;

/// Files kept at most.
pub const FILES_MAX: usize = 4 << 20;
const MAGIC: &[u8; 8] = b"HFSEEN01";
const HEADER_LEN: usize = 48;
const CHECK_LEN: usize = 32;
const ROW_LEN: usize = 16;
/// Ours: coarser than any clock of a local file system.
const COARSE_SECONDS: i64 = 2;

/// One state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileState {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of bytes: seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Last change of anything: seconds and nanoseconds.
    pub ctime: (i64, u32),
}

impl FileState {
    fn row(&self) -> u128 {
        let mut digest = Sha256::new();
        for number in [self.dev, self.ino, self.size] {
            digest.update(number.to_le_bytes());
        }
        for (seconds, nanoseconds) in [self.mtime, self.ctime] {
            digest.update(seconds.to_le_bytes());
            digest.update(nanoseconds.to_le_bytes());
        }
        let digest: [u8; 32] = digest.finalize().into();
        let (row, _) = digest.split_first_chunk::<ROW_LEN>().unwrap_or((&[0; ROW_LEN], &[]));
        u128::from_be_bytes(*row)
    }

    /// Returns whether a change after this moment (seconds since 1970) must show in the times.
    #[must_use]
    pub fn is_settled(&self, opened: i64) -> bool {
        self.ctime.0.saturating_add(COARSE_SECONDS) <= opened
    }
}

/// What was seen before, and what is seen now.
#[derive(Debug)]
pub struct Seen {
    depends_on: [u8; 32],
    /// Ascending.
    old: Vec<u128>,
    new: BTreeSet<u128>,
    /// Files that could not be kept.
    pub left_out: u64,
}

impl Seen {
    /// Reads what was seen under the same conditions; empty when there is nothing of use.
    #[must_use]
    pub fn load(path: &Path, depends_on: [u8; 32]) -> Self {
        let len_max = HEADER_LEN.saturating_add(CHECK_LEN).saturating_add(FILES_MAX * ROW_LEN);
        let bytes = store::read(path, len_max as u64).unwrap_or_default();
        let old = Self::parse(&bytes, depends_on).unwrap_or_default();
        Self { depends_on, old, new: BTreeSet::new(), left_out: 0 }
    }

    /// Reads a file's bytes; none unless they are what was written, for the same conditions.
    #[must_use]
    pub fn parse(bytes: &[u8], depends_on: [u8; 32]) -> Option<Vec<u128>> {
        let (data, check) = bytes.split_last_chunk::<CHECK_LEN>()?;
        let (magic, rest) = data.split_first_chunk::<8>()?;
        let (conditions, rest) = rest.split_first_chunk::<32>()?;
        let (count, rows) = rest.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let fits = magic == MAGIC && *conditions == depends_on && count <= FILES_MAX;
        if !fits || rows.len() != count.checked_mul(ROW_LEN)? {
            return None;
        }
        if <[u8; CHECK_LEN]>::from(Sha256::digest(data)) != *check {
            return None;
        }
        let rows: Vec<u128> = rows
            .chunks_exact(ROW_LEN)
            .filter_map(|row| row.try_into().ok().map(u128::from_be_bytes))
            .collect();
        rows.is_sorted().then_some(rows)
    }

    /// Returns whether this state was clean before.
    #[must_use]
    pub fn knows(&self, file: &FileState) -> bool {
        self.old.binary_search(&file.row()).is_ok()
    }

    /// Remembers a clean file. `opened`: when it was opened for the scan, in seconds since 1970.
    pub fn remember(&mut self, file: &FileState, opened: i64) {
        if !file.is_settled(opened) {
            return;
        }
        if self.new.len() >= FILES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.new.insert(file.row());
    }

    /// Writes what is seen now; with what was seen before, unless the run came to its end from the beginning.
    ///
    /// # Errors
    /// It cannot be written; the old file stays.
    pub fn save(&self, path: &Path, whole_run: bool) -> io::Result<()> {
        let old = if whole_run { &[][..] } else { &self.old };
        let rows: BTreeSet<u128> = self.new.iter().chain(old).copied().take(FILES_MAX).collect();
        let mut bytes = Vec::with_capacity(HEADER_LEN + CHECK_LEN + rows.len() * ROW_LEN);
        bytes.extend(MAGIC);
        bytes.extend(self.depends_on);
        bytes.extend((rows.len() as u64).to_le_bytes());
        rows.iter().for_each(|row| bytes.extend(row.to_be_bytes()));
        let check: [u8; CHECK_LEN] = Sha256::digest(&bytes).into();
        bytes.extend(check);
        store::replace(path, 0o600, &bytes)
    }
}

/// Devices of mounted file systems, with whether the times of files on them can be believed.
#[derive(Debug, Default)]
pub struct Devices(HashMap<u64, bool>);

/// Local file systems that keep `ctime` themselves.
const TRUSTED: [&str; 10] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "overlay"];

impl Devices {
    /// Reads what is mounted now.
    #[must_use]
    pub fn mounted() -> Self {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&text, &is_removable)
    }

    /// Reads the text of `mountinfo`; `removable` says it of a source. Source: proc_pid_mountinfo(5).
    #[must_use]
    pub fn parse(text: &str, removable: &dyn Fn(&str) -> bool) -> Self {
        let mut devices = HashMap::new();
        for line in text.lines() {
            let Some((before, behind)) = line.split_once(" - ") else { continue };
            let device = before.split(' ').nth(2).and_then(|pair| pair.split_once(':'));
            let mut words = behind.split(' ');
            let (kind, source) =
                (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let number = device.and_then(|(major, minor)| {
                Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
            });
            let Some(number) = number else { continue };
            let trusted = TRUSTED.contains(&kind) && !removable(source);
            // One number for two kinds is nothing to believe in.
            devices.entry(number).and_modify(|now| *now &= trusted).or_insert(trusted);
        }
        Self(devices)
    }

    /// Returns whether the times of files on this device can be believed.
    #[must_use]
    pub fn trusts(&self, dev: u64) -> bool {
        self.0.get(&dev).copied().unwrap_or(false)
    }
}

/// Returns whether a block device hangs on USB or says that it can be taken out: somebody could have changed it elsewhere.
fn is_removable(source: &str) -> bool {
    let Some(name) = Path::new(source).file_name().filter(|_| source.starts_with("/dev/")) else {
        return false;
    };
    let Ok(device) = std::fs::canonicalize(Path::new("/sys/class/block").join(name)) else {
        return false;
    };
    let says = |folder: &Path| {
        std::fs::read_to_string(folder.join("removable")).is_ok_and(|text| text.trim() == "1")
    };
    let usb = device.to_string_lossy().contains("/usb");
    usb || says(&device) || device.parent().is_some_and(says)
}
