//! How far a run came.
//!
//! A line of JSON and a line with its CRC-32. Walks of tasks are in the order of names, so a path says what is behind and
//! what is ahead of it, whatever was added or removed meanwhile.
//! Hostile input: at most 64 KiB; anything that is not exactly what is written is refused.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hf_core::hex::{from_hex, to_hex};
use serde::{Deserialize, Serialize};

/// How far a run came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// [`Progress::VERSION`].
    pub version: u32,
    /// Of which task.
    pub fingerprint: String,
    /// When it began, in seconds since 1970.
    pub started: i64,
    /// The number of the task's path.
    pub root: usize,
    /// The last file or folder below it that is done, as bytes in digits.
    after: String,
    /// What was found so far.
    pub counts: Counts,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Files scanned.
    pub files: u64,
    /// Files in which something was found.
    pub detected: u64,
    /// Files not wholly looked at.
    pub incomplete: u64,
    /// Files that could not be scanned.
    pub errors: u64,
}

impl Progress {
    /// The version that is written.
    pub const VERSION: u32 = 1;
    /// Bytes of the longest file.
    pub const LEN_MAX: u64 = 64 << 10;

    /// Returns the progress of a run whose last finished path is `after`, below path number `root`.
    #[must_use]
    pub fn new(
        fingerprint: &str,
        started: i64,
        (root, after): (usize, &Path),
        counts: Counts,
    ) -> Self {
        let after = to_hex(after.as_os_str().as_bytes());
        Self {
            version: Self::VERSION,
            fingerprint: fingerprint.to_owned(),
            started,
            root,
            after,
            counts,
        }
    }

    /// Returns the last path that is done, below the task's path.
    #[must_use]
    pub fn after(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&from_hex(&self.after).unwrap_or_default()))
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).unwrap_or_default();
        let check = crc32fast::hash(json.as_bytes());
        format!("{json}\n{check:08x}\n").into_bytes()
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// They are not what was written; the text says why.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut lines = text.split('\n');
        let (Some(json), Some(check), Some(""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err("it has not two lines".to_owned());
        };
        if check != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
            return Err("its check does not fit".to_owned());
        }
        let progress: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if progress.version != Self::VERSION {
            return Err(format!("it has version {}", progress.version));
        }
        let relative = from_hex(&progress.after)
            .is_some_and(|bytes| bytes.first() != Some(&b'/') && !bytes.contains(&0));
        let plain = progress.after().components().all(|part| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        });
        if relative && plain { Ok(progress) } else { Err("it has no path below".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let counts = Counts { files: 7, detected: 1, incomplete: 2, errors: 3 };
        for path in [&b""[..], b"a/b", b"na\xffme/\n"] {
            let path = Path::new(OsStr::from_bytes(path));
            let progress = Progress::new("f00", 17, (3, path), counts);
            let bytes = progress.bytes();
            let read = Progress::parse(&bytes).unwrap();
            assert_eq!((&read, read.after().as_path()), (&progress, path));
            for idx in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[idx] ^= 0x20;
                assert!(Progress::parse(&changed).is_err(), "byte {idx}");
                assert!(Progress::parse(&bytes[..idx]).is_err(), "cut to {idx}");
            }
        }
        for path in ["/etc", "../x", "a/../../x"] {
            let bytes = Progress::new("f00", 17, (0, Path::new(path)), counts).bytes();
            assert!(Progress::parse(&bytes).is_err(), "{path}");
        }
    }
}
