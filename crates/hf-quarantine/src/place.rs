//! The name of a file in its folder, and taking exactly that file out of it.
//!
//! Promises: no symbolic link is followed on the way to the folder; what is removed is the scanned file and nothing
//! else, whoever owns the folder. The file is first renamed into a folder made for this, which only we may enter, and
//! looked at there: between look and removal nobody can swap it. A file that turns out to be another is put back.
//! Leaves out: other names of the same file (hard links), which are counted and told.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, IFlags, Mode, OFlags, RenameFlags, ResolveFlags, StatVfsMountFlags,
};
use rustix::io::Errno;

use crate::crypt;
use crate::identity::Identity;
use crate::metadata::count;
use crate::record::Id;
use crate::vault::VaultError;
use hf_core::hex::to_hex;

/// A file was not taken. Unless the text says otherwise, it is where it was.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// Bytes or attributes changed after the file was opened for the scan.
    #[error("the file was changed after it was scanned")]
    Changed,
    /// Its name leads to another file now.
    #[error("the file was replaced after it was scanned")]
    Replaced,
    /// It is a device, pipe, socket or folder.
    #[error("it is not a regular file")]
    NotRegular,
    /// It is on a read-only file system.
    #[error("it is on a read-only file system")]
    ReadOnly,
    /// It, or its folder, has the immutable or append-only flag.
    #[error("it or its folder is immutable or append-only (chattr)")]
    Immutable,
    /// It is in the vault, and still has its name, or got another.
    #[error("it is in the vault as {id}, but its name could not be removed: {why}")]
    Remains {
        /// The entry.
        id: Id,
        /// Why.
        why: String,
    },
    /// The vault could not take it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It cannot be read, reached or removed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for TakeError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ROFS => Self::ReadOnly,
            errno => Self::Io(errno.into()),
        }
    }
}

/// A name in an open folder.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
    /// The real path.
    pub path: PathBuf,
}

impl Place {
    /// Opens the folder in which a path's file really is, links resolved once, now.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn of(path: &Path) -> io::Result<Self> {
        Self::exactly(&std::fs::canonicalize(path)?)
    }

    /// Opens the folder of an absolute path that has no link in it.
    ///
    /// # Errors
    /// It cannot be reached, or a link is on the way.
    pub fn exactly(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::INVAL.into());
        };
        Ok(Self { folder: open_folder(folder)?, name: name.to_owned(), path: path.to_path_buf() })
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Returns the name in it.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns what has the name now; none when nothing has it.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn identity(&self) -> io::Result<Option<Identity>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Identity::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Says beforehand what would keep the file from being taken.
    ///
    /// # Errors
    /// What would.
    pub fn check(&self, file: &File, seen: &Identity) -> Result<(), TakeError> {
        let stat = rustix::fs::fstat(file)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(TakeError::NotRegular);
        }
        if Identity::from(&stat) != *seen {
            return Err(TakeError::Changed);
        }
        match self.identity()? {
            Some(there) if there.same_inode(seen) => {}
            _ => return Err(TakeError::Replaced),
        }
        let mount = rustix::fs::fstatvfs(&self.folder)?;
        if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(TakeError::ReadOnly);
        }
        if is_fixed(file.as_fd()) || self.folder_is_fixed() {
            return Err(TakeError::Immutable);
        }
        Ok(())
    }

    fn folder_is_fixed(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.folder, ".", flags, Mode::empty());
        folder.is_ok_and(|folder| is_fixed(folder.as_fd()))
    }

    /// Removes the name if it leads to this file; returns how many other names the file still has.
    ///
    /// # Errors
    /// It leads elsewhere, or cannot be removed: then it is as it was.
    pub fn remove(&self, file: &File, seen: &Identity) -> Result<u64, TakeError> {
        self.remove_through(&Room::new_name()?, file, seen)
    }

    /// As [`Place::remove`], through a folder of this name.
    pub(crate) fn remove_through(
        &self,
        room: &str,
        file: &File,
        seen: &Identity,
    ) -> Result<u64, TakeError> {
        let links = |file| rustix::fs::fstat(file).map(|stat| count(stat.st_nlink));
        let before = links(file)?;
        // Another file is not taken out of its name, not even for the moment until it is put back.
        if !self.identity()?.is_some_and(|there| there.same_inode(seen)) {
            return Err(TakeError::Replaced);
        }
        let room = Room::make(self.folder(), room)?;
        let (inside, name) = room.at();
        rename_new(self.folder(), &self.name, inside, name).map_err(|errno| {
            if errno == Errno::PERM && is_fixed(file.as_fd()) {
                TakeError::Immutable
            } else {
                TakeError::from(errno)
            }
        })?;
        let there = rustix::fs::statat(inside, name, AtFlags::SYMLINK_NOFOLLOW);
        let there = there.map(|stat| Identity::from(&stat));
        // The change time is the rename's by now.
        let same = there.as_ref().is_ok_and(|there| {
            there.same_inode(seen) && (there.size, there.mtime) == (seen.size, seen.mtime)
        });
        if !same {
            let changed = there.is_ok_and(|there| there.same_inode(seen));
            rename_new(inside, name, self.folder(), &self.name).map_err(|errno| {
                let kept = room.keep();
                io::Error::other(format!(
                    "another file had its name, and could not be put back ({}): it is in {kept}",
                    io::Error::from(errno),
                ))
            })?;
            return Err(if changed { TakeError::Changed } else { TakeError::Replaced });
        }
        if let Err(errno) = rustix::fs::unlinkat(inside, name, AtFlags::empty()) {
            let _ = rename_new(inside, name, self.folder(), &self.name);
            return Err(errno.into());
        }
        Ok(links(file).unwrap_or(before.saturating_sub(1)))
    }
}

/// A folder that only we may enter, inside one that may be anybody's; removed when dropped.
///
/// On a full disk there is none, and a free name in the folder itself has to do.
#[derive(Debug)]
pub(crate) struct Room<'f> {
    outer: BorrowedFd<'f>,
    name: String,
    inner: Option<OwnedFd>,
}

impl<'f> Room<'f> {
    /// Returns a name that nobody has guessed.
    pub(crate) fn new_name() -> io::Result<String> {
        Ok(format!(".holdfast-{}", to_hex(&crypt::random::<8>()?)))
    }

    /// Makes one of this name.
    pub(crate) fn make(outer: BorrowedFd<'f>, name: &str) -> Result<Self, TakeError> {
        let name = name.to_owned();
        match rustix::fs::mkdirat(outer, &name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::NOSPC | Errno::DQUOT | Errno::MLINK) => {
                return Ok(Self { outer, name, inner: None });
            }
            Err(errno) => return Err(errno.into()),
        }
        Self::enter(outer, name)
    }

    /// Enters one that is there.
    pub(crate) fn enter(outer: BorrowedFd<'f>, name: String) -> Result<Self, TakeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(outer, &name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&inner)?;
        // Whoever may write in the outer folder may have put another in its place.
        let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
        if ours { Ok(Self { outer, name, inner: Some(inner) }) } else { Err(TakeError::Replaced) }
    }

    /// Returns the folder and the name to use in it.
    pub(crate) fn at(&self) -> (BorrowedFd<'_>, &OsStr) {
        match &self.inner {
            Some(inner) => (inner.as_fd(), OsStr::new(INSIDE)),
            None => (self.outer, OsStr::new(&self.name)),
        }
    }

    /// Returns the name of what stays behind.
    fn keep(&self) -> String {
        match &self.inner {
            Some(_) => format!("{}/{INSIDE}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.inner.is_some() {
            // Not empty when something could not be put back, which was told.
            let _ = rustix::fs::unlinkat(self.outer, &self.name, AtFlags::REMOVEDIR);
        }
    }
}

const INSIDE: &str = "taken";

/// Renames, and never replaces anything.
pub(crate) fn rename_new(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new: &OsStr,
) -> Result<(), Errno> {
    match rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // Some file systems have no such rename: a second name can never replace anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(from, name, to, new, AtFlags::empty())?;
            rustix::fs::unlinkat(from, name, AtFlags::empty())
        }
        done => done,
    }
}

fn is_fixed(file: BorrowedFd<'_>) -> bool {
    let fixed = IFlags::IMMUTABLE | IFlags::APPEND;
    rustix::fs::ioctl_getflags(file).is_ok_and(|flags| flags.intersects(fixed))
}

/// Opens a folder without following a link; the path is absolute.
pub(crate) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::NOSYS) => return step_by_step(path),
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Does what openat2 does on kernels before 5.6.
fn step_by_step(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::open("/", flags, Mode::empty())?;
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => {
                at = rustix::fs::openat(&at, name, flags, Mode::empty())?;
            }
            std::path::Component::RootDir | std::path::Component::CurDir => {}
            _ => return Err(Errno::XDEV.into()),
        }
    }
    Ok(at)
}

/// Ours: the kernel asks to try again when it lost a race with a rename.
const TRIES: u32 = 16;
