//! Putting a file back as it was.
//!
//! Promises: the whole entry is authenticated before anything has a name; the file appears complete, synced, with owner,
//! mode, attributes, lists and times, or not at all; no link is followed; what exists is replaced only when the caller
//! says so. The entry goes when the file is there.
//! Off-spec: holes are not recorded; chunks of zeros become holes.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::entry::{EntryError, Reader};
use crate::metadata;
use crate::place::{Place, Room, TakeError, rename_new};
use crate::record::{Id, Record};
use crate::vault::{Purpose, Vault, VaultError};

/// Where a file is put.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The path; none for where it was. A folder takes the file under its old name.
    pub to: Option<PathBuf>,
    /// Whatever is there is replaced.
    pub overwrite: bool,
    /// The entry stays.
    pub keep: bool,
}

/// A file that is back.
#[derive(Debug)]
pub struct Restored {
    /// Where.
    pub path: PathBuf,
    /// Its record.
    pub record: Record,
    /// What could not be given back, for people.
    pub lost: Vec<String>,
}

/// A file was not put back; the entry is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The entry cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Something has that name.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// The folder cannot be reached without following a link.
    #[error("cannot reach the folder of {}: {source}", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written there.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vault cannot be written.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Vault {
    /// Says where a file would be put, without doing it.
    ///
    /// # Errors
    /// What would keep it from being put there.
    pub fn restore_target(
        &self,
        record: &Record,
        target: &Target,
    ) -> Result<PathBuf, RestoreError> {
        let place = place_of(record, target)?;
        free(&place, target)?;
        Ok(place.path)
    }

    /// Puts a file back.
    ///
    /// # Errors
    /// The entry is damaged, something has its name, or it cannot be written; nothing has changed then.
    pub fn restore(&self, id: Id, target: &Target) -> Result<Restored, RestoreError> {
        let reader = self.reader(id)?;
        let place = place_of(&reader.record, target)?;
        free(&place, target)?;
        let pending = self.begin(&place, Purpose::Restore)?;
        let write = |source: io::Error| RestoreError::Write { path: place.path.clone(), source };
        let take = |error: TakeError| match error {
            TakeError::Io(source) => write(source),
            error => write(io::Error::other(error)),
        };
        let room = Room::make(place.folder(), &pending.record.room).map_err(take)?;
        let (inside, name) = room.at();
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(inside, name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|errno| write(errno.into()))?);
        let done = fill(&reader, &file).map_err(|error| match error {
            EntryError::Io(source) => write(source),
            error => RestoreError::Entry(error),
        });
        let done = done.and_then(|lost| {
            let moved = if target.overwrite {
                rustix::fs::renameat(inside, name, place.folder(), place.name())
            } else {
                rename_new(inside, name, place.folder(), place.name())
            };
            match moved {
                Ok(()) => Ok(lost),
                Err(Errno::EXIST) => Err(RestoreError::Exists(place.path.clone())),
                Err(errno) => Err(write(errno.into())),
            }
        });
        let lost = match done {
            Ok(lost) => lost,
            Err(error) => {
                let _ = rustix::fs::unlinkat(inside, name, AtFlags::empty());
                return Err(error);
            }
        };
        drop(room);
        sync_folder(&place).map_err(write)?;
        let record = reader.record.clone();
        if !target.keep {
            self.delete(id)?;
        }
        Ok(Restored { path: place.path.clone(), record, lost })
    }
}

fn place_of(record: &Record, target: &Target) -> Result<Place, RestoreError> {
    let was = PathBuf::from(std::ffi::OsStr::from_bytes(&record.path.0));
    let folder =
        |path: &Path, source: io::Error| RestoreError::Folder { path: path.to_path_buf(), source };
    let Some(to) = &target.to else {
        return Place::exactly(&was).map_err(|error| folder(&was, error));
    };
    // The caller names this place now, so its links count as they are.
    let name = if to.is_dir() { was.file_name() } else { to.file_name() };
    let parent = if to.is_dir() { Some(to.as_path()) } else { to.parent() };
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(name), Ok(parent)) = (name, std::fs::canonicalize(parent)) else {
        return Err(folder(to, Errno::NOENT.into()));
    };
    let path = parent.join(name);
    Place::exactly(&path).map_err(|error| folder(&path, error))
}

fn free(place: &Place, target: &Target) -> Result<(), RestoreError> {
    let there = place.identity();
    let there =
        there.map_err(|source| RestoreError::Folder { path: place.path.clone(), source })?;
    match there {
        Some(_) if !target.overwrite => Err(RestoreError::Exists(place.path.clone())),
        _ => Ok(()),
    }
}

/// Writes bytes and metadata and brings them to the disk; returns what could not be given.
fn fill(reader: &Reader<'_>, file: &File) -> Result<Vec<String>, EntryError> {
    let mut off = 0u64;
    reader.body(&mut |bytes| {
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_all_at(bytes, off)?;
        }
        off = off.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
        Ok(())
    })?;
    file.set_len(off)?;
    file.sync_all()?;
    let lost = metadata::apply(file, &reader.record.metadata);
    file.sync_all()?;
    Ok(lost)
}

fn sync_folder(place: &Place) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(place.folder(), ".", flags, Mode::empty()) {
        Ok(folder) => File::from(folder).sync_all(),
        // A folder that may be written but not read.
        Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
