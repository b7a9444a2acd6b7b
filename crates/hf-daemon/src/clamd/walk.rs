//! Files below a path that a client names, opened with the client's rights.
//!
//! Runs on a thread of its own, since file systems may be slow. When the client's rights differ from
//! the service's, that thread takes them over for good and ends with the walk.
//! Promises: what is opened is what is scanned; no device, pipe or socket is opened; links are
//! followed only as configured; the number of open folders is bounded by the depth.
//! Sources: replies of clamd 1.4.6; open(2).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use hf_sys::users::Identity;
use regex_automata::meta::Regex;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tokio::sync::mpsc::Sender;

/// What a walk does.
#[derive(Debug)]
pub(super) struct WalkChoice {
    pub(super) exclude: Vec<Regex>,
    pub(super) depth_max: u32,
    pub(super) follow_folders: bool,
    pub(super) follow_files: bool,
    pub(super) cross: bool,
}

/// What a walk meets.
#[derive(Debug)]
pub(super) enum Step {
    /// A file, open.
    File { path: Vec<u8>, file: File, size: u64 },
    /// Something to tell the client: what comes behind `PATH: `.
    Told { path: Vec<u8>, text: String, log: Option<String> },
    /// Something for the log alone.
    Log(String),
    /// The named path is done.
    End(Named),
}

/// What a named path was, which decides whether `PATH: OK` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Nothing that could be scanned, and that was told.
    Nothing,
    /// A file.
    File,
    /// A folder, or a link to one or to nothing.
    Folder,
    /// A device, or a link to a file that is not followed.
    Other,
}

/// Starts a walk. `rights` are taken over first when they are given.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(
    path: Vec<u8>,
    choice: Arc<WalkChoice>,
    rights: Option<Identity>,
    steps: Sender<Step>,
) -> std::io::Result<()> {
    let work = move || {
        let mut walk = Walk { choice: &choice, steps: &steps, device: None };
        let path = trimmed(&path);
        if let Some(identity) = &rights
            && hf_sys::users::assume(identity).is_err()
        {
            let _ = walk.tell(path, "Access denied. ERROR".to_owned(), None);
            let _ = steps.blocking_send(Step::End(Named::Nothing));
            return;
        }
        if let Ok(named) = walk.root(path) {
            let _ = steps.blocking_send(Step::End(named));
        }
    };
    std::thread::Builder::new().name("walk".to_owned()).stack_size(STACK).spawn(work)?;
    Ok(())
}

struct Walk<'a> {
    choice: &'a WalkChoice,
    steps: &'a Sender<Step>,
    /// The device to stay on.
    device: Option<u64>,
}

/// The client is gone, or has what it wanted.
struct Gone;

impl Walk<'_> {
    /// Walks the named path.
    fn root(&mut self, path: &[u8]) -> Result<Named, Gone> {
        let nothing = |()| Named::Nothing;
        if self.excluded(path) {
            return self.tell(path, "Excluded".to_owned(), None).map(nothing);
        }
        let here = rustix::fs::CWD;
        let name = OsStr::from_bytes(path);
        let mut stat = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(errno) => return self.unknown(path, errno).map(nothing),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let target = match rustix::fs::statat(here, name, AtFlags::empty()) {
                Ok(target) => target,
                Err(_) if !self.follows_any() => return Ok(Named::Folder),
                Err(errno) => return self.unknown(path, errno).map(nothing),
            };
            if !self.follows(&target) {
                let folder = FileType::from_raw_mode(target.st_mode) == FileType::Directory;
                return Ok(if folder { Named::Folder } else { Named::Other });
            }
            stat = target;
        }
        self.device = Some(stat.st_dev);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let sent = self.file(here, name, path)?;
                Ok(if sent { Named::File } else { Named::Nothing })
            }
            FileType::Directory => {
                match open_folder(here, name, self.choice.follow_folders) {
                    Ok(folder) => self.folder(folder, path, 0)?,
                    Err(errno) => self.unknown(path, errno)?,
                }
                Ok(Named::Folder)
            }
            _ => {
                let log = format!("Not supported file type: {}", crate::log::name_line(path));
                self.tell(path, "Not supported file type ERROR".to_owned(), Some(log))?;
                Ok(Named::Other)
            }
        }
    }

    /// Walks a folder: its files first, then the folders in it, both in the order of their inodes,
    /// which is nearly that on disk.
    fn folder(&mut self, folder: OwnedFd, path: &[u8], depth: u32) -> Result<(), Gone> {
        let mut dir = match Dir::read_from(&folder) {
            Ok(dir) => dir,
            Err(errno) => return self.unknown(path, errno),
        };
        let deepest = match self.choice.depth_max {
            0 => DEPTH_MAX,
            depth_max => depth_max.min(DEPTH_MAX),
        };
        loop {
            let mut entries = entries(&mut dir);
            if entries.is_empty() {
                return Ok(());
            }
            entries.sort_unstable_by_key(|(name, kind, ino)| {
                (*kind == FileType::Directory, *ino, name.clone())
            });
            for (name, kind, _) in entries {
                let mut full = path.to_vec();
                if full.last() != Some(&b'/') {
                    full.push(b'/');
                }
                full.extend_from_slice(&name);
                self.entry(folder.as_fd(), &name, kind, &full, depth, deepest)?;
            }
        }
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
        path: &[u8],
        depth: u32,
        deepest: u32,
    ) -> Result<(), Gone> {
        if self.excluded(path) {
            return self.tell(path, "Excluded".to_owned(), None);
        }
        let name = OsStr::from_bytes(name);
        let mut kind = kind;
        if kind != FileType::RegularFile {
            let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(errno) => return self.unknown(path, errno),
            };
            let mut stat = stat;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                if !self.follows_any() {
                    return Ok(());
                }
                stat = match rustix::fs::statat(folder, name, AtFlags::empty()) {
                    Ok(stat) => stat,
                    Err(errno) => return self.unknown(path, errno),
                };
                if !self.follows(&stat) {
                    return Ok(());
                }
            }
            kind = FileType::from_raw_mode(stat.st_mode);
            if self.elsewhere(&stat) {
                return self.tell(path, "Excluded (another filesystem)".to_owned(), None);
            }
        }
        match kind {
            FileType::RegularFile => self.file(folder, name, path).map(drop),
            FileType::Directory if depth.saturating_add(1) > deepest => {
                let path = crate::log::name_line(path);
                let text = format!("WARNING: Directory recursion limit reached, skipping {path}");
                self.send(Step::Log(text))
            }
            FileType::Directory => match open_folder(folder, name, self.choice.follow_folders) {
                Ok(inner) => self.folder(inner, path, depth.saturating_add(1)),
                Err(errno) => self.unknown(path, errno),
            },
            _ => {
                let path = crate::log::name_line(path);
                self.send(Step::Log(format!("Not supported file type: {path}")))
            }
        }
    }

    /// Opens a file and sends it; false when something else was told.
    fn file(&mut self, folder: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<bool, Gone> {
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if !self.choice.follow_files {
            flags |= OFlags::NOFOLLOW;
        }
        let told = |()| false;
        let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::ACCESS | Errno::PERM) => {
                return self.tell(path, "Access denied. ERROR".to_owned(), None).map(told);
            }
            Err(Errno::NOENT) => return self.unknown(path, Errno::NOENT).map(told),
            Err(_) => {
                let text = "Can't open file or directory ERROR".to_owned();
                return self.tell(path, text, None).map(told);
            }
        };
        match rustix::fs::fstat(&file) {
            // It may have been replaced since it was looked at.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                if self.elsewhere(&stat) {
                    let text = "Excluded (another filesystem)".to_owned();
                    return self.tell(path, text, None).map(told);
                }
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.send(Step::File { path: path.to_vec(), file, size }).map(|()| true)
            }
            _ => self.tell(path, "Not supported file type ERROR".to_owned(), None).map(told),
        }
    }

    fn follows_any(&self) -> bool {
        self.choice.follow_files || self.choice.follow_folders
    }

    fn follows(&self, target: &Stat) -> bool {
        match FileType::from_raw_mode(target.st_mode) {
            FileType::Directory => self.choice.follow_folders,
            _ => self.choice.follow_files,
        }
    }

    fn elsewhere(&self, stat: &Stat) -> bool {
        !self.choice.cross && self.device.is_some_and(|device| device != stat.st_dev)
    }

    fn excluded(&self, path: &[u8]) -> bool {
        self.choice.exclude.iter().any(|regex| regex.is_match(path))
    }

    fn unknown(&mut self, path: &[u8], errno: Errno) -> Result<(), Gone> {
        let text = format!("File path check failure: {}. ERROR", errno_text(errno));
        let name = crate::log::name_line(path);
        let log = format!("WARNING: File path check failure on: {name}");
        self.tell(path, text, Some(log))
    }

    fn tell(&mut self, path: &[u8], text: String, log: Option<String>) -> Result<(), Gone> {
        self.send(Step::Told { path: path.to_vec(), text, log })
    }

    fn send(&mut self, step: Step) -> Result<(), Gone> {
        self.steps.blocking_send(step).map_err(|_| Gone)
    }
}

/// Returns the next entries, as many as may be in memory at once.
fn entries(dir: &mut Dir) -> Vec<(Vec<u8>, FileType, u64)> {
    let mut some = Vec::new();
    while some.len() < ENTRIES_AT_ONCE
        && let Some(Ok(entry)) = dir.read()
    {
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            some.push((name.to_vec(), entry.file_type(), entry.ino()));
        }
    }
    some
}

fn open_folder(at: BorrowedFd<'_>, name: &OsStr, follow: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Returns a path without the slashes at its end.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(1, |at| at.saturating_add(1));
    path.get(..end).unwrap_or(path)
}

/// Returns the system's words for an error, without its number.
pub(super) fn errno_text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Ours: a folder deeper than this is left out whatever was configured.
const DEPTH_MAX: u32 = 512;

/// Ours: a larger folder is walked in several parts.
const ENTRIES_AT_ONCE: usize = 16_384;

/// Ours: some hundred bytes for each level.
const STACK: usize = 1 << 20;
