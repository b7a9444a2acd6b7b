//! The folder of the vault: its key, its entries, and what was begun and not ended.
//!
//! ```text
//! key             32 random bytes, readable by the owner alone
//! entries/ID      one file an entry (`entry.rs`)
//! entries/.new-*  entries being written; locked as long as their writer lives
//! pending/*       where in the file system something is under way; locked likewise
//! ```
//!
//! Promises: the folder belongs to the caller and to nobody else, or it is not used; an entry appears whole or not at
//! all; what a killed process left behind is put in order by the next one that writes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hf_core::hex::to_hex;
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::crypt::{self, Cipher, KEY_LEN};
use crate::entry::{EntryError, Reader, Writer};
use crate::identity::{Identity, Time};
use crate::metadata::Metadata;
use crate::place::{Place, Room, TakeError};
use crate::raw::Raw;
use crate::record::{By, Content, Finding, Id, Record};

/// The vault cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is none.
    #[error("there is no vault at {}", .0.display())]
    None(PathBuf),
    /// It, or its key, belongs to or is open for others.
    #[error("{} is not ours alone: {why}", path.display())]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The key is not there, though entries are.
    #[error("the key {} is missing or has not 32 bytes: the entries cannot be read without it", .0.display())]
    Key(PathBuf),
    /// Something else.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An open vault.
#[derive(Debug)]
pub struct Vault {
    path: PathBuf,
    root: OwnedFd,
    entries: OwnedFd,
    cipher: Cipher,
}

/// One row of a list.
#[derive(Debug)]
pub struct Listed {
    /// The entry.
    pub id: Id,
    /// Bytes on disk.
    pub stored_len: u64,
    /// The record, or why it cannot be read.
    pub record: Result<Record, EntryError>,
}

/// What is known of a file before it is read.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What found it.
    pub content: Vec<Content>,
    /// Who takes it.
    pub by: By,
}

/// A file that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Its record.
    pub record: Record,
    /// Other names that the same file still has.
    pub links_left: u64,
}

impl Vault {
    /// Returns where the vault is when nothing else is said: `/var/lib/holdfast/quarantine` for root, else in the
    /// user's data folder; none when there is no such folder.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        if rustix::process::geteuid().is_root() {
            return Some(PathBuf::from("/var/lib/holdfast/quarantine"));
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let data = set("XDG_DATA_HOME").map(PathBuf::from);
        let data =
            data.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")));
        data.map(|data| data.join("holdfast/quarantine"))
    }

    /// Opens a vault, and makes it if there is none; puts in order what killed processes left.
    ///
    /// # Errors
    /// It cannot be made or opened, or is not ours alone.
    pub fn create(path: &Path) -> Result<Self, VaultError> {
        let io = |source: io::Error| VaultError::Io { path: path.to_path_buf(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        for folder in [path.to_path_buf(), path.join(ENTRIES), path.join(PENDING)] {
            match rustix::fs::mkdir(&folder, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(io(errno.into())),
            }
        }
        let root = folder(path)?;
        make_key(path, &root)?;
        let vault = Self::open(path)?;
        vault.recover();
        Ok(vault)
    }

    /// Opens a vault that is there.
    ///
    /// # Errors
    /// There is none, or it is not ours alone.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let root = folder(path)?;
        let entries = folder(&path.join(ENTRIES))?;
        let cipher = Cipher::new(read_key(path, &root)?);
        Ok(Self { path: path.to_path_buf(), root, entries, cipher })
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, source: impl Into<io::Error>) -> VaultError {
        VaultError::Io { path: self.path.clone(), source: source.into() }
    }

    /// Takes a file: writes its entry, then removes its name.
    ///
    /// `seen` is what the file was when it was opened for the scan.
    ///
    /// # Errors
    /// The file was changed or replaced since, cannot be removed, or the vault cannot be written. Then the file
    /// is where it was and there is no entry, but for [`TakeError::Remains`].
    pub fn take(
        &self,
        path: &Path,
        file: &File,
        seen: &Identity,
        provenance: Provenance,
    ) -> Result<Taken, TakeError> {
        let place = Place::of(path)?;
        place.check(file, seen)?;
        let record = self.store(&place, file, seen, provenance)?;
        let pending = self.begin(&place, Purpose::Take)?;
        match place.remove_through(&pending.record.room, file, seen) {
            Ok(links_left) => Ok(Taken { record, links_left }),
            Err(error) => {
                let there = place.identity().ok().flatten();
                if there.is_some_and(|there| there.same_inode(seen)) {
                    // The original is where it was; the entry would only be a second one.
                    self.delete(record.id).map_err(|error| self.error(io::Error::other(error)))?;
                    return Err(error);
                }
                Err(TakeError::Remains { id: record.id, why: error.to_string() })
            }
        }
    }

    /// Writes the entry of a file and makes it durable; the file stays.
    fn store(
        &self,
        place: &Place,
        file: &File,
        seen: &Identity,
        provenance: Provenance,
    ) -> Result<Record, TakeError> {
        let metadata = Metadata::of(file)?;
        let taken = now();
        let id = new_id(taken).map_err(|error| self.error(error))?;
        let (name, new) = self.new_file().map_err(|error| self.error(error))?;
        let stored = self.write(place, file, seen, provenance, metadata, (id, taken), &new);
        let done = stored.and_then(|record| {
            // After this the entry is there, whole.
            let flags = RenameFlags::NOREPLACE;
            let entry = id.to_string();
            rustix::fs::renameat_with(&self.entries, &name, &self.entries, &entry, flags)
                .and_then(|()| rustix::fs::fsync(&self.entries))
                .map_err(|errno| self.error(errno))?;
            Ok(record)
        });
        if done.is_err() {
            let _ = rustix::fs::unlinkat(&self.entries, &name, AtFlags::empty());
        }
        done
    }

    #[expect(clippy::too_many_arguments, reason = "one caller, which has them apart")]
    fn write(
        &self,
        place: &Place,
        file: &File,
        seen: &Identity,
        provenance: Provenance,
        metadata: Metadata,
        (id, taken): (Id, Time),
        new: &File,
    ) -> Result<Record, TakeError> {
        let vault = |error: io::Error| TakeError::Vault(self.error(error));
        let new = new.try_clone().map_err(vault)?;
        let mut writer = Writer::begin(&self.cipher, new, id).map_err(vault)?;
        read_all(file, seen.size, &mut |bytes| writer.body(bytes).map_err(vault))?;
        // Whatever was read is what was scanned, or it is not taken.
        if Identity::of(file)? != *seen {
            return Err(TakeError::Changed);
        }
        let record = |size, sha256| Record {
            version: Record::VERSION,
            id,
            path: Raw(place.path.as_os_str().as_bytes().to_vec()),
            dev: seen.dev,
            ino: seen.ino,
            metadata,
            size,
            sha256,
            findings: provenance.findings,
            content: provenance.content,
            taken,
            by: provenance.by,
        };
        writer.end(record).map_err(vault)
    }

    /// Makes a locked file in the folder of entries.
    fn new_file(&self) -> io::Result<(String, File)> {
        let name = format!("{NEW}{}", to_hex(&crypt::random::<8>()?));
        Ok((name.clone(), locked_new(&self.entries, &name)?))
    }

    /// Returns all entries, oldest first.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, VaultError> {
        let ids = self.ids()?;
        Ok(ids
            .into_iter()
            .map(|id| {
                let reader = self.reader(id);
                let stored_len = match &reader {
                    Ok(reader) => reader.stored_len,
                    Err(_) => self.stored_len(id),
                };
                Listed { id, stored_len, record: reader.map(|reader| reader.record) }
            })
            .collect())
    }

    /// Returns the names of all entries, oldest first.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn ids(&self) -> Result<Vec<Id>, VaultError> {
        let names = names(&self.entries).map_err(|error| self.error(error))?;
        let ids = names.iter().filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
        let mut ids: Vec<Id> = ids.collect();
        ids.sort_unstable();
        Ok(ids)
    }

    pub(crate) fn stored_len(&self, id: Id) -> u64 {
        let stat = rustix::fs::statat(&self.entries, id.to_string(), AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Returns the entry whose name begins so.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn find(&self, beginning: &str) -> Result<Id, EntryError> {
        let beginning = beginning.to_ascii_lowercase();
        let ids = self.ids().map_err(|error| EntryError::Io(io::Error::other(error)))?;
        let mut fits = ids.into_iter().filter(|id| id.to_string().starts_with(&beginning));
        match (fits.next(), fits.next()) {
            (Some(id), None) if !beginning.is_empty() => Ok(id),
            (Some(_), _) => Err(EntryError::Ambiguous),
            (None, _) => Err(EntryError::NotFound),
        }
    }

    /// Opens an entry.
    ///
    /// # Errors
    /// There is none of this name, or it is damaged.
    pub fn reader(&self, id: Id) -> Result<Reader<'_>, EntryError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.entries, id.to_string(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(EntryError::NotFound),
            Err(errno) => return Err(EntryError::Io(errno.into())),
        };
        Reader::open(&self.cipher, file, id)
    }

    /// Deletes an entry for good.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub fn delete(&self, id: Id) -> Result<(), EntryError> {
        match rustix::fs::unlinkat(&self.entries, id.to_string(), AtFlags::empty()) {
            Ok(()) => Ok(rustix::fs::fsync(&self.entries).map_err(io::Error::from)?),
            Err(Errno::NOENT) => Err(EntryError::NotFound),
            Err(errno) => Err(EntryError::Io(errno.into())),
        }
    }

    /// Notes that something is under way in a folder; the note goes away when dropped.
    pub(crate) fn begin(&self, place: &Place, purpose: Purpose) -> Result<Pending<'_>, VaultError> {
        let folder = place.path.parent().unwrap_or(Path::new("/"));
        let begun = || -> io::Result<Pending<'_>> {
            let record = PendingRecord {
                folder: Raw(folder.as_os_str().as_bytes().to_vec()),
                name: Raw(place.name().as_bytes().to_vec()),
                room: Room::new_name()?,
                purpose,
                identity: place.identity()?.map(|there| (there.dev, there.ino)),
            };
            let name = format!("{PENDING}/{}", to_hex(&crypt::random::<8>()?));
            let mut file = locked_new(&self.root, &name)?;
            file.write_all(&serde_json::to_vec(&record)?)?;
            Ok(Pending { vault: self, name, record, _lock: file })
        };
        begun().map_err(|error| self.error(error))
    }

    /// Puts in order what processes left that were killed.
    fn recover(&self) {
        for name in names(&self.entries).unwrap_or_default() {
            if name.starts_with(NEW.as_bytes()) && is_abandoned(&self.entries, &name).is_some() {
                let _ =
                    rustix::fs::unlinkat(&self.entries, OsStr::from_bytes(&name), AtFlags::empty());
            }
        }
        let Ok(pending) = folder(&self.path.join(PENDING)) else { return };
        for name in names(&pending).unwrap_or_default() {
            let Some(file) = is_abandoned(&pending, &name) else { continue };
            let mut text = Vec::new();
            let read = (&file).take(PENDING_MAX).read_to_end(&mut text);
            if read.is_ok()
                && let Ok(record) = serde_json::from_slice::<PendingRecord>(&text)
            {
                record.recover();
            }
            let _ = rustix::fs::unlinkat(&pending, OsStr::from_bytes(&name), AtFlags::empty());
        }
    }
}

/// What is done in somebody's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// A file whose entry is complete is removed.
    Take,
    /// A file is written whose entry stays until it is complete.
    Restore,
}

/// What is under way, as it is kept on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PendingRecord {
    folder: Raw,
    name: Raw,
    /// The folder in which it happens.
    pub(crate) room: String,
    purpose: Purpose,
    /// Device and inode of the file to take.
    identity: Option<(u64, u64)>,
}

impl PendingRecord {
    /// Ends what was begun: removes what has an entry, puts back what does not.
    fn recover(&self) -> Option<()> {
        let folder = PathBuf::from(OsStr::from_bytes(&self.folder.0));
        let place = Place::exactly(&folder.join(OsStr::from_bytes(&self.name.0))).ok()?;
        // Dropping the room removes it.
        let room = Room::enter(place.folder(), self.room.clone()).ok()?;
        let (inside, name) = room.at();
        let stat = rustix::fs::statat(inside, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let ours = self.identity == Some((stat.st_dev, stat.st_ino));
        if self.purpose == Purpose::Restore || ours {
            return rustix::fs::unlinkat(inside, name, AtFlags::empty()).ok();
        }
        crate::place::rename_new(inside, name, place.folder(), place.name()).ok()
    }
}

/// Something under way.
#[derive(Debug)]
pub(crate) struct Pending<'v> {
    vault: &'v Vault,
    name: String,
    pub(crate) record: PendingRecord,
    _lock: File,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.vault.root, &self.name, AtFlags::empty());
    }
}

fn locked_new(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(File::from(file))
}

/// Returns the file if nobody who lives has it locked.
fn is_abandoned(folder: &OwnedFd, name: &[u8]) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(folder, OsStr::from_bytes(name), flags, Mode::empty()).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(File::from(file))
}

fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let listing = Dir::read_from(folder)?;
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Opens a folder that is ours alone.
fn folder(path: &Path) -> Result<OwnedFd, VaultError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Err(VaultError::None(path.to_path_buf())),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(not_ours(path, "it is not a folder")),
        opened => opened,
    };
    let io = |errno: Errno| VaultError::Io { path: path.to_path_buf(), source: errno.into() };
    let opened = opened.map_err(io)?;
    ours_alone(path, opened.as_fd())?;
    Ok(opened)
}

fn ours_alone(path: &Path, fd: std::os::fd::BorrowedFd<'_>) -> Result<(), VaultError> {
    let stat = rustix::fs::fstat(fd)
        .map_err(|errno| VaultError::Io { path: path.to_path_buf(), source: errno.into() })?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(not_ours(path, "another user owns it"));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(not_ours(path, "others have rights on it (chmod go=)"));
    }
    Ok(())
}

fn not_ours(path: &Path, why: &'static str) -> VaultError {
    VaultError::NotOurs { path: path.to_path_buf(), why }
}

/// Makes the key if there is none and no entry needs one.
fn make_key(path: &Path, root: &OwnedFd) -> Result<(), VaultError> {
    let io = |source: io::Error| VaultError::Io { path: path.join(KEY), source };
    if rustix::fs::statat(root, KEY, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Ok(());
    }
    let entries = folder(&path.join(ENTRIES))?;
    let kept = names(&entries).map_err(io)?;
    if kept.iter().any(|name| !name.starts_with(NEW.as_bytes())) {
        return Err(VaultError::Key(path.join(KEY)));
    }
    let made = || -> io::Result<()> {
        let name = format!("{NEW}{}", to_hex(&crypt::random::<8>()?));
        let mut file = locked_new(root, &name)?;
        file.write_all(&crypt::random::<KEY_LEN>()?)?;
        file.sync_all()?;
        match rustix::fs::renameat_with(root, &name, root, KEY, RenameFlags::NOREPLACE) {
            // Another process was first.
            Err(Errno::EXIST) => rustix::fs::unlinkat(root, &name, AtFlags::empty())?,
            done => done?,
        }
        Ok(rustix::fs::fsync(root)?)
    };
    made().map_err(io)
}

fn read_key(path: &Path, root: &OwnedFd) -> Result<[u8; KEY_LEN], VaultError> {
    let path = path.join(KEY);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(root, KEY, flags, Mode::empty());
    let Ok(file) = file else { return Err(VaultError::Key(path)) };
    ours_alone(&path, file.as_fd())?;
    let mut key = Vec::new();
    let limit = u64::try_from(KEY_LEN).unwrap_or(0).saturating_add(1);
    let read = File::from(file).take(limit).read_to_end(&mut key);
    match (read, <[u8; KEY_LEN]>::try_from(key.as_slice())) {
        (Ok(_), Ok(key)) => Ok(key),
        _ => Err(VaultError::Key(path)),
    }
}

/// Reads a file of which so many bytes are expected.
pub(crate) fn read_all(
    file: &File,
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> Result<(), TakeError>,
) -> Result<(), TakeError> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0u8; READ_LEN];
    let mut off = 0u64;
    loop {
        let len = match file.read_at(&mut buffer, off) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        off = off.saturating_add(u64::try_from(len).unwrap_or(0));
        if off > size || (len == 0 && off < size) {
            return Err(TakeError::Changed);
        }
        if len == 0 {
            return Ok(());
        }
        take(buffer.get(..len).unwrap_or_default())?;
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { s: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), ns: since.subsec_nanos() }
}

fn new_id(taken: Time) -> io::Result<Id> {
    let seconds = u64::try_from(taken.s).unwrap_or(0) << 32;
    let random = u32::from_be_bytes(crypt::random()?);
    Ok(Id(seconds | u64::from(random)))
}

const KEY: &str = "key";
const ENTRIES: &str = "entries";
const PENDING: &str = "pending";
/// What names of files begin with that are being written.
const NEW: &str = ".new-";
/// Ours: longer than two names and a path can be as digits.
const PENDING_MAX: u64 = 64 << 10;
const READ_LEN: usize = 256 << 10;
