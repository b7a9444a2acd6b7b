//! The state of a task on disk: `STATE/NAME/` with `progress`, `seen` and `status`.
//!
//! Promises: a file is replaced by renaming one that is complete and synced; one task runs once at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::progress::Progress;

/// State cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StoreError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The state of one task.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Since when it is known, in seconds since 1970: what was due before was not missed.
    #[serde(default)]
    pub since: i64,
    /// When it last began from the beginning.
    #[serde(default)]
    pub started: Option<i64>,
    /// When it last came to its end.
    #[serde(default)]
    pub ended: Option<i64>,
    /// Its exit code then.
    #[serde(default)]
    pub code: Option<u8>,
}

impl State {
    /// Opens the state of a task, and makes its folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(states: &Path, task: &str) -> Result<Self, StoreError> {
        let folder = states.join(task);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| StoreError { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// Returns the state of a task without making anything.
    #[must_use]
    pub fn look(states: &Path, task: &str) -> Self {
        Self { folder: states.join(task) }
    }

    /// Keeps others from running this task; none when somebody runs it. Let go when dropped.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn lock(&self) -> Result<Option<File>, StoreError> {
        let path = self.folder.join("lock");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| StoreError { path: path.clone(), source })?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(StoreError { path, source: errno.into() }),
        }
    }

    /// Returns whether somebody runs this task now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.folder.join("lock"));
        let free =
            |file: File| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
        file.is_ok_and(|file| !free(file))
    }

    /// Returns how far the last run came; none when it came to its end, was of another task, or cannot be read.
    #[must_use]
    pub fn progress(&self, fingerprint: &str) -> Option<Progress> {
        let bytes = read(&self.folder.join("progress"), Progress::LEN_MAX).ok()?;
        Progress::parse(&bytes).ok().filter(|progress| progress.fingerprint == fingerprint)
    }

    /// Keeps how far a run came.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_progress(&self, progress: &Progress) -> Result<(), StoreError> {
        self.write("progress", &progress.bytes())
    }

    /// Forgets how far a run came.
    pub fn clear_progress(&self) {
        let _ = std::fs::remove_file(self.folder.join("progress"));
    }

    /// Returns how the task stands; the default when nothing, or nothing readable, is there.
    #[must_use]
    pub fn status(&self) -> Status {
        let bytes = read(&self.folder.join("status"), 64 << 10).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Keeps how the task stands.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_status(&self, status: &Status) -> Result<(), StoreError> {
        self.write("status", &serde_json::to_vec(status).unwrap_or_default())
    }

    /// Returns the file of what has been seen.
    #[must_use]
    pub fn seen_path(&self) -> PathBuf {
        self.folder.join("seen")
    }

    /// Forgets the task.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        replace(&path, 0o600, bytes).map_err(|source| StoreError { path, source })
    }
}

/// Replaces a file as a whole.
///
/// # Errors
/// It cannot be written; the old one stays.
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut new = path.to_path_buf();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    new.set_file_name(name);
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    let done = written();
    if done.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    done
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub fn read(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max {
        return Err(io::Error::other("it is too long"));
    }
    Ok(bytes)
}
