//! Sets of content on disk: immutable folders named by their digest, one of which is in use.
//!
//! ```text
//! content/
//!   current -> sets/DIGEST      swapped by one rename
//!   sets/DIGEST/set.json        the manifest; DIGEST is its BLAKE3
//!   sets/DIGEST/SOURCE/FILE     databases
//!   state.json                  what was in use when, the owner's brakes, what was refused
//!   memory/SOURCE/              what a source remembers
//!   staging/                    what is being made; emptied at every start
//!   lock                        held by the one who changes something
//! ```
//! Promises: everything is on the disk before its name is; at whatever instant a machine stops, `current` names a whole
//! set or there is none. A set that is damaged is passed over for the one that was in use before it, and that is said.
//! Leaves out: what is in the databases, and whether they are any good, which a [`Judge`] says.

mod activate;
mod disk;
mod draft;
mod manifest;
mod state;
pub mod time;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

pub use activate::{Activation, Judge, Refusal, StageRule, waits};
pub use disk::{sync_folder, write_whole};
pub use draft::{Draft, SealedSet};
pub use manifest::{SetFile, SetManifest};
pub use state::{Brakes, Past, Refused, State};

/// Where sets are kept.
#[derive(Debug)]
pub struct SetStore {
    root: PathBuf,
    /// Held as long as the store is open for changes.
    _lock: File,
}

/// The set in use.
#[derive(Debug, Clone)]
pub struct ActiveSet {
    /// Its digest, as hexadecimal.
    pub digest: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: SetManifest,
    /// Why it is not the one that should be in use.
    pub instead_of: Option<String>,
}

impl ActiveSet {
    /// Returns the folder of each source in it, in the order of their names.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut sources: Vec<&str> =
            self.manifest.files.iter().map(|file| file.source.as_str()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources.into_iter().map(|source| self.dir.join(source)).collect()
    }
}

impl SetStore {
    /// Returns where sets are kept: `$HOLDFAST_STATE/content`, for root `/var/lib/holdfast/content`, else below
    /// `$XDG_DATA_HOME` or `~/.local/share`; none without any of these.
    #[must_use]
    pub fn default_root() -> Option<PathBuf> {
        state_folder().map(|folder| folder.join("content"))
    }

    /// Opens the store for changes, makes it if it is missing, and removes what an interrupted update has left.
    ///
    /// # Errors
    /// Another process changes something ([`StoreErrorKind::Busy`]), or the disk fails.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        for folder in ["", "sets", "memory", "staging"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|err| StoreError::io(&path, err))?;
        }
        let path = root.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|err| StoreError::io(&path, err))?;
        match take(&lock) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError { path: root, kind: StoreErrorKind::Busy });
            }
            Err(errno) => return Err(StoreError::io(&path, errno.into())),
        }
        let store = Self { root, _lock: lock };
        store.tidy()?;
        Ok(store)
    }

    /// Returns the folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the set in use of a store, without opening it for changes; none when there is none that is whole.
    ///
    /// Names and lengths are compared, digests are not: that is [`verify_set`]'s.
    ///
    /// # Errors
    /// The store is there and cannot be read.
    pub fn active(root: &Path) -> Result<Option<ActiveSet>, StoreError> {
        let Some(named) = named_by_link(root)? else { return Ok(None) };
        let why = match read_set(root, &named) {
            Ok(set) => return Ok(Some(set)),
            Err(err) => err.to_string(),
        };
        let past = State::read(root).unwrap_or_default().past;
        for earlier in past.iter().rev().filter(|earlier| earlier.digest != named) {
            if let Ok(set) = read_set(root, &earlier.digest) {
                let said = format!(
                    "the set {} is damaged ({why}); the one before it is used",
                    short(&named)
                );
                return Ok(Some(ActiveSet { instead_of: Some(said), ..set }));
            }
        }
        Err(StoreError { path: root.join("sets").join(&named), kind: StoreErrorKind::Damaged(why) })
    }

    /// Returns the set in use and, behind it, those that were in use before and are whole; what is wrong is told.
    #[must_use]
    pub fn usable(root: &Path, warnings: &mut Vec<String>) -> Vec<ActiveSet> {
        let active = match Self::active(root) {
            Ok(Some(active)) => active,
            Ok(None) => return Vec::new(),
            Err(err) => {
                warnings.push(format!("no fetched content is used: {err}"));
                return Vec::new();
            }
        };
        let mut sets = vec![active];
        let past = State::read(root).unwrap_or_default().past;
        for earlier in past.iter().rev() {
            let known = sets.iter().any(|set| set.digest == earlier.digest);
            if let (false, Ok(set)) = (known, read_set(root, &earlier.digest)) {
                sets.push(set);
            }
        }
        sets
    }

    /// Returns what the store remembers.
    ///
    /// # Errors
    /// It is damaged, so that the owner's brakes are not known.
    pub fn state(&self) -> Result<State, StoreError> {
        State::read(&self.root)
    }

    /// Returns what the store in a folder remembers, without opening it for changes.
    ///
    /// # Errors
    /// It is damaged.
    pub fn read_state(root: &Path) -> Result<State, StoreError> {
        State::read(root)
    }

    /// Changes what the store remembers.
    ///
    /// # Errors
    /// It is damaged, or the disk is full.
    pub fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), StoreError> {
        let mut state = self.state()?;
        change(&mut state);
        state.write(&self.root)
    }

    /// Returns the folder in which a source remembers things.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn memory(&self, source: &str) -> Result<PathBuf, StoreError> {
        let path = self.root.join("memory").join(source);
        fs::create_dir_all(&path).map_err(|err| StoreError::io(&path, err))?;
        Ok(path)
    }

    /// Returns an empty folder for files that are being fetched.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn staging(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.root.join("staging").join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|err| StoreError::io(&path, err))?;
        Ok(path)
    }

    /// Removes what an interruption left, and remembers a set that came into use just before one.
    fn tidy(&self) -> Result<(), StoreError> {
        let staging = self.root.join("staging");
        for entry in fs::read_dir(&staging).map_err(|err| StoreError::io(&staging, err))?.flatten()
        {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        let _ = fs::remove_file(self.root.join("current.new"));
        if let Some(named) = named_by_link(&self.root)? {
            let state = self.state()?;
            if state.past.last().is_none_or(|last| last.digest != named) {
                self.change(|state| state.came_into_use(&named, 0, "found in use"))?;
            }
        }
        Ok(())
    }
}

/// Returns the folder of Holdfast's state on this machine, or of this user.
#[must_use]
pub fn state_folder() -> Option<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("HOLDFAST_STATE") {
        return Some(folder);
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/holdfast"));
    }
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("holdfast"))
}

/// Returns the digest of the set that `current` names.
fn named_by_link(root: &Path) -> Result<Option<String>, StoreError> {
    let link = root.join("current");
    let target = match fs::read_link(&link) {
        Ok(target) => target,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(StoreError::io(&link, err)),
    };
    let name =
        target.to_str().and_then(|text| text.strip_prefix("sets/")).filter(|name| is_digest(name));
    match name {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(StoreError {
            path: link,
            kind: StoreErrorKind::Damaged("it names no set".to_owned()),
        }),
    }
}

/// True for the name of a set.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// True for a name that a source may have.
#[must_use]
pub fn is_source_name(text: &str) -> bool {
    manifest::is_name(text) && text.len() <= 64 && text != "set.json"
}

/// Returns the first letters of a digest, for people.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Reads a set: its manifest must have its digest, and every file must be there with its length.
///
/// # Errors
/// It is not whole.
pub fn read_set(root: &Path, digest: &str) -> Result<ActiveSet, StoreError> {
    let dir = root.join("sets").join(digest);
    let manifest = SetManifest::read(&dir, Some(digest))?;
    for file in &manifest.files {
        let path = dir.join(&file.source).join(&file.name);
        let meta = fs::symlink_metadata(&path).map_err(|err| StoreError::io(&path, err))?;
        if !meta.is_file() || meta.len() != file.len {
            return Err(StoreError::damaged(&path, "it has another length than the manifest says"));
        }
    }
    Ok(ActiveSet { digest: digest.to_owned(), dir, manifest, instead_of: None })
}

/// Reads every byte of a set and compares digests.
///
/// # Errors
/// It is not whole.
pub fn verify_set(root: &Path, digest: &str) -> Result<ActiveSet, StoreError> {
    let set = read_set(root, digest)?;
    for file in &set.manifest.files {
        let path = set.dir.join(&file.source).join(&file.name);
        let found = disk::digest_of(&path).map_err(|err| StoreError::io(&path, err))?;
        if found != file.blake3 {
            return Err(StoreError::damaged(&path, "it has another digest than the manifest says"));
        }
    }
    Ok(set)
}

/// Takes the lock. Who held it last may have started a process, which has it a moment longer, until it is another
/// program: so it is asked for again for a while.
fn take(lock: &File) -> Result<(), rustix::io::Errno> {
    let asked = Instant::now();
    loop {
        match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if asked.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            taken => return taken,
        }
    }
}

const LOCK_WAIT: Duration = Duration::from_millis(500);

/// The store cannot do something.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct StoreError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub kind: StoreErrorKind,
}

/// Why the store cannot do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The disk.
    #[error("{0}")]
    Io(io::Error),
    /// Somebody else is at it.
    #[error("another update is running")]
    Busy,
    /// Not what it was when it was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A name that cannot be that of a source or a database.
    #[error("not a name for a source or a database")]
    Name,
    /// Nothing to go back to.
    #[error("there is no earlier set to go back to")]
    NothingBefore,
    /// No such set.
    #[error("there is no set with this digest")]
    Unknown,
}

impl StoreError {
    pub(crate) fn io(path: &Path, err: io::Error) -> Self {
        Self { path: path.to_owned(), kind: StoreErrorKind::Io(err) }
    }

    pub(crate) fn damaged(path: &Path, why: &str) -> Self {
        Self { path: path.to_owned(), kind: StoreErrorKind::Damaged(why.to_owned()) }
    }
}

#[cfg(test)]
mod tests;
