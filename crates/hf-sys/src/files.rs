//! Opening files without being led elsewhere, and files that live in memory.
//!
//! Promises: [`open_beneath`] never follows a symbolic link and never leaves its folder.
//! Leaves out: creating and changing files on disk.
//! Sources: openat2(2), memfd_create(2), fcntl(2) "File Sealing".

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::io::Errno;

/// Opens a file below a folder for reading, without following any symbolic link on the way and
/// without leaving the folder or passing through `/proc`'s magic links.
///
/// Devices, sockets and pipes open too, without blocking and without becoming the terminal: the
/// caller looks at the file's type before it reads.
///
/// # Errors
/// As open(2); a symbolic link gives `ELOOP`, and a way that leaves the folder `EXDEV`.
pub fn open_beneath(folder: impl AsFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let folder = folder.as_fd();
    let mut tries_left = TRIES;
    loop {
        match rustix::fs::openat2(folder, path, flags, Mode::empty(), resolve) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(Errno::INTR) => {}
            // The kernel lost a race with a rename and asks to try again. Somebody's lease on the
            // file looks the same, and lasts.
            Err(Errno::AGAIN) if tries_left > 0 => tries_left = tries_left.saturating_sub(1),
            // Before Linux 5.6, or in a container whose filter does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return step_by_step(folder, path, flags),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Ours.
const TRIES: u32 = 16;

/// Does what openat2 does with one openat a component.
fn step_by_step(folder: impl AsFd, path: &Path, flags: OFlags) -> io::Result<File> {
    let mut names: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err(Errno::XDEV.into()),
        }
    }
    let last = names.pop().unwrap_or(OsStr::new("."));
    let mut at: Option<OwnedFd> = None;
    let folder = folder.as_fd();
    for name in names {
        let here = at.as_ref().map_or(folder, AsFd::as_fd);
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = Some(open_link_or(here, name, way)?);
    }
    let here = at.as_ref().map_or(folder, AsFd::as_fd);
    Ok(File::from(open_link_or(here, last, flags | OFlags::NOFOLLOW)?))
}

/// Opens one component; a symbolic link in the place of a folder says `ENOTDIR` to openat, and
/// `ELOOP` to our callers.
fn open_link_or(
    folder: std::os::fd::BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOTDIR) => {
            let link = rustix::fs::readlinkat(folder, name, Vec::new()).is_ok();
            Err(if link { Errno::LOOP } else { Errno::NOTDIR }.into())
        }
        other => Ok(other?),
    }
}

/// Returns a file in memory with these bytes, which nobody can change any more.
///
/// # Errors
/// The kernel refuses memory or seals.
pub fn sealed_memory(name: &str, bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    file.write_all(bytes)?;
    seal_memory(&file)?;
    Ok(file)
}

/// Seals a file in memory that was made with `MFD_ALLOW_SEALING`: neither bytes nor length change.
///
/// # Errors
/// It is not such a file, or it is mapped for writing.
pub fn seal_memory(file: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn beneath_means_beneath() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().join("top");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::write(top.join("a/b/file"), b"in").unwrap();
        std::fs::write(temp.path().join("outside"), b"out").unwrap();
        symlink("b", top.join("a/link")).unwrap();
        symlink("../outside", top.join("last")).unwrap();
        let folder = File::open(&top).unwrap();
        let cases: &[(&str, Option<Errno>)] = &[
            ("a/b/file", None),
            ("./a/./b/file", None),
            ("a", None),
            ("a/link/file", Some(Errno::LOOP)),
            ("last", Some(Errno::LOOP)),
            ("../outside", Some(Errno::XDEV)),
            ("/etc/passwd", Some(Errno::XDEV)),
            ("a/none", Some(Errno::NOENT)),
            ("a/b/file/more", Some(Errno::NOTDIR)),
        ];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        for (path, want) in cases {
            let want = want.map(Errno::raw_os_error);
            let code = |result: io::Result<File>| result.err().and_then(|err| err.raw_os_error());
            assert_eq!(code(open_beneath(&folder, Path::new(path))), want, "{path}");
            assert_eq!(code(step_by_step(&folder, Path::new(path), flags)), want, "{path}, steps");
        }
    }

    #[test]
    fn sealed_memory_stays() {
        let mut file = sealed_memory("test", b"bytes").unwrap();
        assert!(file.write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
        assert_eq!(file.metadata().unwrap().len(), 5);
    }
}
