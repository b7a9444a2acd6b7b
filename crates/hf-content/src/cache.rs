//! The cache directory: who may write to it, and how a pack gets its name there.
//!
//! A file is written aside, synced, renamed, and the directory synced; so a name always stands for
//! a whole file, whatever is cut off. Builders of one pack wait for each other, but only for a
//! while: afterwards both build, and the last rename wins, which changes nothing because packs are
//! deterministic.
//!
//! Promises: a directory or file that another user could have written is never believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};

/// A cache directory that may be read, and perhaps written.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// A file on its way into the cache. Dropped before [`Draft::publish`], it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    path: PathBuf,
    published: bool,
}

/// Held while a pack is built.
#[derive(Debug)]
pub(crate) struct BuildLock {
    path: PathBuf,
    _file: Option<File>,
}

impl Cache {
    /// Makes the directory when it is missing, and checks that only its owner can write to it.
    pub(crate) fn open(dir: &Path) -> Result<Self, String> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
        let meta = fs::metadata(dir).map_err(|err| {
            format!("no cache directory {}: {}", dir.display(), made.err().unwrap_or(err))
        })?;
        if !meta.is_dir() {
            return Err(format!("{} is not a directory", dir.display()));
        }
        if !is_trusted_owner(meta.uid()) {
            return Err(format!("cache directory {} belongs to another user", dir.display()));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(format!("others can write to the cache directory {}", dir.display()));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Opens a file; none when it is missing or not to be believed.
    pub(crate) fn read(&self, name: &str) -> Option<File> {
        let path = self.dir.join(name);
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let meta = file.metadata().ok()?;
        let ours = meta.is_file() && is_trusted_owner(meta.uid()) && meta.mode() & 0o022 == 0;
        ours.then_some(file)
    }

    /// Starts a file aside.
    pub(crate) fn draft(&self) -> io::Result<Draft> {
        loop {
            let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
            let name = format!("{DRAFT_PREFIX}{}-{number}", std::process::id());
            let path = self.dir.join(name);
            let made =
                OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(&path);
            match made {
                Ok(file) => {
                    // The lock says that its writer is alive; without it pruning removes the draft.
                    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                    return Ok(Draft { file, path, published: false });
                }
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// Writes a small file whole.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut draft = self.draft()?;
        draft.file.write_all(bytes)?;
        draft.publish(self, name)?;
        Ok(())
    }

    /// Removes a file; that it is gone already is fine.
    pub(crate) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.dir.join(name));
    }

    /// Waits until nobody else builds this pack, at most [`LOCK_WAIT`].
    pub(crate) fn lock(&self, key: &str) -> BuildLock {
        let path = self.dir.join(format!("{key}{LOCK_SUFFIX}"));
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path);
        let file = file.ok();
        if let Some(file) = &file {
            let until = Instant::now() + LOCK_WAIT;
            let lock = || rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
            while lock().is_err() && Instant::now() < until {
                std::thread::sleep(LOCK_POLL);
            }
        }
        BuildLock { path, _file: file }
    }

    /// Returns the directory, for [`crate::prune`].
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Draft {
    /// Returns the file to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, once its bytes are safely on disk.
    pub(crate) fn publish(mut self, cache: &Cache, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, cache.dir.join(name))?;
        self.published = true;
        File::open(&cache.dir)?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for BuildLock {
    fn drop(&mut self) {
        // Those who wait hold the file itself, and find the pack afterwards.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_trusted_owner(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

pub(crate) const PACK_SUFFIX: &str = ".pack";
pub(crate) const RECORD_SUFFIX: &str = ".json";
pub(crate) const LOCK_SUFFIX: &str = ".lock";
pub(crate) const DRAFT_PREFIX: &str = "draft-";
static DRAFTS: AtomicU32 = AtomicU32::new(0);

/// Ours: several times the time that the largest content takes to build.
const LOCK_WAIT: Duration = Duration::from_secs(180);
const LOCK_POLL: Duration = Duration::from_millis(20);
