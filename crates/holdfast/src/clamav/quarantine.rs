//! `--remove`, `--move` and `--copy`: actions on exactly the file that was scanned.
//!
//! The scanned descriptor decides: a path that meanwhile leads to another file is left alone. A copy is
//! made from the descriptor itself.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::parse::Parsed;

/// What is done with an infected file.
#[derive(Debug)]
pub(crate) enum Action {
    Remove,
    Move(PathBuf),
    Copy(PathBuf),
}

/// A command line that names no folder; the lines to tell.
#[derive(Debug)]
pub(crate) struct NoFolder {
    /// For standard output.
    pub(crate) line: Option<String>,
    /// For standard error.
    pub(crate) error: Option<String>,
}

/// Returns the action that a command line asks for.
///
/// # Errors
/// A folder that is not there.
pub(crate) fn asked_for(parsed: &Parsed) -> Result<Option<Action>, NoFolder> {
    let folder = |given: &OsStr| -> Result<PathBuf, NoFolder> {
        let Ok(real) = std::fs::canonicalize(given) else {
            let given = given.display();
            let line = Some(format!("action_setup: Failed to get realpath of {given}"));
            return Err(NoFolder { line, error: None });
        };
        if !real.is_dir() {
            let real = real.display();
            let error = Some(format!("ERROR: '{real}' doesn't exist or is not a directory"));
            return Err(NoFolder { line: None, error });
        }
        Ok(real)
    };
    Ok(match (parsed.text("move"), parsed.text("copy")) {
        (Some(given), _) => Some(Action::Move(folder(given)?)),
        (None, Some(given)) => Some(Action::Copy(folder(given)?)),
        (None, None) => parsed.on("remove").then_some(Action::Remove),
    })
}

/// Does the action; returns the line to print.
///
/// # Errors
/// The line to print when it could not be done.
pub(crate) fn act(action: &Action, path: &Path, scanned: Option<&File>) -> Result<String, String> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let who = if real == *path {
        path.display().to_string()
    } else {
        format!("{} (real path: '{}')", path.display(), real.display())
    };
    let Some(file) = scanned else {
        return Err(format!("Can't act on {}: it was closed", path.display()));
    };
    match action {
        Action::Remove => match remove(&real, file) {
            Ok(()) => Ok(format!("{who}: Removed.")),
            Err(error) => Err(format!("Can't remove file '{}': {error}", path.display())),
        },
        Action::Move(folder) => match move_to(&real, file, folder) {
            Ok(to) => Ok(format!("{who}: moved to '{}'", to.display())),
            Err(error) => {
                Err(format!("Can't move file {} to {}: {error}", path.display(), folder.display()))
            }
        },
        Action::Copy(folder) => match copy_to(&real, file, folder) {
            Ok(to) => Ok(format!("{who}: copied to '{}'", to.display())),
            Err(error) => Err(format!("Can't copy file '{}': {error}", path.display())),
        },
    }
}

/// Takes the file out of its name first, so that what is deleted is what was looked at.
fn remove(real: &Path, scanned: &File) -> io::Result<()> {
    let (folder, name) = open_folder(real)?;
    same_file(&folder, &name, scanned)?;
    let aside = aside_name(&name);
    rename(&folder, &name, &folder, &aside)?;
    if let Err(error) = same_file(&folder, &aside, scanned) {
        rename(&folder, &aside, &folder, &name)?;
        return Err(error);
    }
    rustix::fs::unlinkat(&folder, &aside, AtFlags::empty())?;
    Ok(())
}

fn move_to(real: &Path, scanned: &File, target: &Path) -> io::Result<PathBuf> {
    let (folder, name) = open_folder(real)?;
    same_file(&folder, &name, scanned)?;
    let into = open_dir(target)?;
    for number in 0..NAMES_MAX {
        let to = numbered(&name, number);
        match rustix::fs::renameat_with(&folder, &name, &into, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                if let Err(error) = same_file(&into, &to, scanned) {
                    rename(&into, &to, &folder, &name)?;
                    return Err(error);
                }
                return Ok(target.join(to));
            }
            Err(Errno::EXIST) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
                let copied = copy_to(real, scanned, target)?;
                remove(real, scanned)?;
                return Ok(copied);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::from(Errno::EXIST))
}

fn copy_to(real: &Path, scanned: &File, target: &Path) -> io::Result<PathBuf> {
    let name = real.file_name().ok_or_else(|| io::Error::from(Errno::INVAL))?;
    let into = open_dir(target)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for number in 0..NAMES_MAX {
        let to = numbered(name, number);
        match rustix::fs::openat(&into, &to, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => {
                let mut out = File::from(fd);
                if let Err(error) = copy_all(scanned, &mut out) {
                    rustix::fs::unlinkat(&into, &to, AtFlags::empty())?;
                    return Err(error);
                }
                return Ok(target.join(to));
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::from(Errno::EXIST))
}

fn copy_all(from: &File, to: &mut File) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0u8; 1 << 16];
    let mut off = 0u64;
    loop {
        let len = from.read_at(&mut buffer, off)?;
        if len == 0 {
            return to.sync_all();
        }
        to.write_all(buffer.get(..len).unwrap_or_default())?;
        off = off.saturating_add(u64::try_from(len).unwrap_or(0));
    }
}

fn open_folder(real: &Path) -> io::Result<(File, OsString)> {
    let invalid = || io::Error::from(Errno::INVAL);
    let folder = real.parent().ok_or_else(invalid)?;
    let name = real.file_name().ok_or_else(invalid)?;
    Ok((open_dir(folder)?, name.to_owned()))
}

fn open_dir(folder: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(folder, flags, Mode::empty())?))
}

fn same_file(folder: &File, name: &OsStr, scanned: &File) -> io::Result<()> {
    let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let here = rustix::fs::fstat(scanned.as_fd())?;
    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) {
        Ok(())
    } else {
        Err(io::Error::other("the file was replaced after it was scanned"))
    }
}

fn rename(from: &File, name: &OsStr, to: &File, new: &OsStr) -> io::Result<()> {
    match rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => Ok(rustix::fs::renameat(from, name, to, new)?),
        done => Ok(done?),
    }
}

fn aside_name(name: &OsStr) -> OsString {
    let cut = name.as_bytes();
    let cut = cut.get(..cut.len().min(ASIDE_LEN)).unwrap_or_default();
    let mut aside = OsString::from(format!(".holdfast-{}-", std::process::id()));
    aside.push(OsStr::from_bytes(cut));
    aside
}

/// ClamAV adds `.001` to a name that is taken.
fn numbered(name: &OsStr, number: u32) -> OsString {
    let mut numbered = name.to_owned();
    if number > 0 {
        numbered.push(format!(".{number:03}"));
    }
    numbered
}

/// Names tried before giving up.
const NAMES_MAX: u32 = 1000;
/// Bytes of the old name kept in a name aside; a name has at most 255.
const ASIDE_LEN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Option<File> {
        Some(File::open(path).unwrap())
    }

    #[test]
    fn copies_moves_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let (source, vault) = (dir.path().join("bad"), dir.path().join("vault"));
        std::fs::create_dir(&vault).unwrap();
        std::fs::write(&source, "content").unwrap();
        for want in ["bad", "bad.001"] {
            act(&Action::Copy(vault.clone()), &source, open(&source).as_ref()).unwrap();
            assert_eq!(std::fs::read(vault.join(want)).unwrap(), b"content");
        }
        act(&Action::Move(vault.clone()), &source, open(&source).as_ref()).unwrap();
        assert!(!source.exists() && vault.join("bad.002").exists());
        let moved = vault.join("bad.002");
        act(&Action::Remove, &moved, open(&moved).as_ref()).unwrap();
        assert!(!moved.exists());
    }

    #[test]
    fn a_replaced_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad");
        std::fs::write(&path, "content").unwrap();
        let seen = open(&path);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        for action in [Action::Remove, Action::Move(dir.path().to_path_buf())] {
            assert!(act(&action, &path, seen.as_ref()).unwrap_err().contains("replaced"));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
    }
}
