//! Walking files and directories: each file is opened once, by its directory's descriptor.
//!
//! Promises: no file is opened by following a link unless the caller asks; a named pipe or device never
//! blocks the walk and is never opened; a directory that is its own ancestor through links ends there.
//! Leaves out: scanning.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regex_automata::meta::Regex;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// When links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Never.
    Never,
    /// Only those that the user named.
    Named,
    /// Always.
    Always,
}

/// How to walk.
#[derive(Debug)]
pub(crate) struct WalkOptions {
    pub(crate) recursive: bool,
    /// Levels of directories, of which a named one is the first; those below are told as
    /// [`Note::TooDeep`].
    pub(crate) max_levels: u32,
    pub(crate) follow_dirs: Follow,
    pub(crate) follow_files: Follow,
    pub(crate) cross_filesystems: bool,
    /// Leave out `/proc`, `/sys` and other file systems that hold no files.
    pub(crate) skip_pseudo: bool,
    pub(crate) exclude: Vec<Regex>,
    pub(crate) exclude_dir: Vec<Regex>,
    pub(crate) include: Vec<Regex>,
    pub(crate) include_dir: Vec<Regex>,
}

/// Why something was not handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    SymbolicLink,
    Excluded,
    ExcludedProc,
    OtherFilesystem,
    AccessDenied,
    CannotOpenDirectory(String),
    CannotOpen(String),
    /// It cannot be reached; the text says why.
    Missing(String),
    NotRegular {
        /// The user named it.
        named: bool,
    },
    Empty,
    TooDeep,
    LinkLoop,
}

/// One step of a walk.
#[derive(Debug)]
pub(crate) enum Step {
    /// A directory is entered.
    Directory,
    /// A file to scan.
    File {
        /// The path as the user would write it.
        path: PathBuf,
        /// Opened for reading.
        file: File,
        /// Size in bytes.
        size: u64,
    },
    /// Something that is not scanned.
    Note {
        /// The path as the user would write it.
        path: PathBuf,
        /// Why.
        note: Note,
    },
}

/// What a task that comes again adds to a walk; nothing by default.
#[derive(Default)]
pub(crate) struct Plan<'p> {
    /// In the order of names, so that a path says what is behind and ahead of it.
    pub(crate) sorted: bool,
    /// Number of a named path and the last path below it that is done; empty when it is done itself. Needs
    /// `sorted`.
    pub(crate) resume: Option<(usize, PathBuf)>,
    /// Says of a file that it need not be scanned; it is passed over without a word.
    pub(crate) unchanged: Option<&'p (dyn Fn(&Stat) -> bool + Sync)>,
    /// Is called before a file is opened, and may wait.
    pub(crate) before_file: Option<&'p (dyn Fn() + Sync)>,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("sorted", &self.sorted).field("resume", &self.resume).finish()
    }
}

/// Receives steps; `Break` ends the walk.
pub(crate) type Visit<'v> = dyn FnMut(Step) -> ControlFlow<()> + 'v;

/// Walks one named path.
pub(crate) fn walk(named: &Path, options: &WalkOptions, visit: &mut Visit<'_>) -> ControlFlow<()> {
    walk_planned(named, options, (&Plan::default(), None), visit)
}

/// Walks one named path as a plan says; what comes before `after`, below the path, is left out.
pub(crate) fn walk_planned(
    named: &Path,
    options: &WalkOptions,
    (plan, after): (&Plan<'_>, Option<&Path>),
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let after = after.into_iter().flat_map(Path::components);
    let behind = after.map(|part| part.as_os_str().as_bytes().to_vec()).collect();
    let mut walker = Walker { options, plan, behind, visit, ancestors: Vec::new() };
    let note = |note| Step::Note { path: named.to_path_buf(), note };
    let link = match rustix::fs::lstat(named) {
        Ok(stat) => stat,
        Err(Errno::ACCESS) => return (walker.visit)(note(Note::AccessDenied)),
        Err(error) => return (walker.visit)(note(Note::Missing(text(error)))),
    };
    let is_link = FileType::from_raw_mode(link.st_mode) == FileType::Symlink;
    let stat = if is_link { rustix::fs::stat(named) } else { Ok(link) };
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => return (walker.visit)(note(Note::Missing(text(error)))),
    };
    // Nothing asks for the real path of a file that is surely taken.
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let all = options.exclude.is_empty() && options.include.is_empty() && stat.st_size > 0;
    let real = if is_file && all { None } else { std::fs::canonicalize(named).ok() };
    let real = real.as_deref().unwrap_or(named);
    let at = At { parent: CWD, name: named.as_os_str(), path: named, real };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if is_link && options.follow_dirs == Follow::Never => {
            (walker.visit)(note(Note::SymbolicLink))
        }
        FileType::RegularFile if is_link && options.follow_files == Follow::Never => {
            (walker.visit)(note(Note::SymbolicLink))
        }
        FileType::Directory if options.max_levels == 0 => (walker.visit)(note(Note::TooDeep)),
        FileType::Directory => walker.directory(&at, &stat, 1, true),
        FileType::RegularFile => walker.file(&at, &stat, true),
        _ => (walker.visit)(note(Note::NotRegular { named: true })),
    }
}

/// Returns the stack that a walk needs, which recurses from folder to folder.
pub(crate) fn walk_stack_bytes(options: &WalkOptions) -> usize {
    let levels = usize::try_from(options.max_levels.min(LEVELS_MAX)).unwrap_or(0);
    STACK_BYTES.saturating_add(levels.saturating_mul(LEVEL_STACK_BYTES))
}

struct At<'a> {
    parent: BorrowedFd<'a>,
    name: &'a OsStr,
    path: &'a Path,
    real: &'a Path,
}

struct Walker<'o, 'p, 'v> {
    options: &'o WalkOptions,
    plan: &'o Plan<'p>,
    /// Names that lead to the last path that is done; empty once it is passed.
    behind: VecDeque<Vec<u8>>,
    visit: &'o mut Visit<'v>,
    /// Device and inode of the directories around, outermost first.
    ancestors: Vec<(u64, u64)>,
}

impl Walker<'_, '_, '_> {
    fn note(&mut self, path: &Path, note: Note) -> ControlFlow<()> {
        (self.visit)(Step::Note { path: path.to_path_buf(), note })
    }

    fn directory(&mut self, at: &At<'_>, stat: &Stat, level: u32, follow: bool) -> ControlFlow<()> {
        if !selected(&self.options.exclude_dir, &self.options.include_dir, at.real) {
            return self.note(at.path, Note::Excluded);
        }
        let id = (stat.st_dev, stat.st_ino);
        if self.ancestors.contains(&id) {
            return self.note(at.path, Note::LinkLoop);
        }
        let fd = match open(at, OFlags::DIRECTORY, follow) {
            Ok(fd) => fd,
            Err(error) => return self.note(at.path, Note::CannotOpenDirectory(text(error))),
        };
        if self.options.skip_pseudo && is_pseudo(fd.as_fd()) {
            return self.note(at.path, Note::ExcludedProc);
        }
        let root_device = self.ancestors.first().map_or(stat.st_dev, |first| first.0);
        if !self.options.cross_filesystems && stat.st_dev != root_device {
            return self.note(at.path, Note::OtherFilesystem);
        }
        (self.visit)(Step::Directory)?;
        self.ancestors.push(id);
        let done = self.entries(at, &fd, level);
        self.ancestors.pop();
        done
    }

    fn entries(&mut self, at: &At<'_>, fd: &OwnedFd, level: u32) -> ControlFlow<()> {
        let listing = match Dir::read_from(fd) {
            Ok(listing) => listing,
            Err(error) => return self.note(at.path, Note::CannotOpenDirectory(text(error))),
        };
        if self.plan.sorted {
            return self.in_order(at, fd, listing, level);
        }
        for entry in listing {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.note(at.path, Note::CannotOpenDirectory(text(error))),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.entry(at, fd.as_fd(), name, entry.file_type(), level)?;
        }
        ControlFlow::Continue(())
    }

    /// Visits the entries of a folder in the order of their names, from behind what is done. All names of a folder
    /// are in memory at once, some ten bytes each.
    fn in_order(&mut self, at: &At<'_>, fd: &OwnedFd, listing: Dir, level: u32) -> ControlFlow<()> {
        let mut entries: Vec<(CString, FileType)> = Vec::new();
        for entry in listing {
            match entry {
                Ok(entry) => entries.push((entry.file_name().to_owned(), entry.file_type())),
                Err(error) => {
                    self.note(at.path, Note::CannotOpenDirectory(text(error)))?;
                    break;
                }
            }
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        let done = self.behind.pop_front();
        // Whether the last path that is done lies further below the entry of that name.
        let below = !self.behind.is_empty();
        for (name, kind) in entries {
            let bytes = name.as_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            match done.as_deref().map(|done| bytes.cmp(done)) {
                Some(Ordering::Less) => continue,
                Some(Ordering::Equal) if !below => continue,
                Some(Ordering::Equal) => {}
                _ => self.behind.clear(),
            }
            self.entry(at, fd.as_fd(), &name, kind, level)?;
        }
        self.behind.clear();
        ControlFlow::Continue(())
    }

    fn entry(
        &mut self,
        at: &At<'_>,
        parent: BorrowedFd<'_>,
        name: &CStr,
        listed: FileType,
        level: u32,
    ) -> ControlFlow<()> {
        let name = OsStr::from_bytes(name.to_bytes());
        let path = join(at.path, name);
        let real = at.real.join(name);
        let at = At { parent, name, path: &path, real: &real };
        if listed == FileType::Directory && !self.options.recursive {
            return ControlFlow::Continue(());
        }
        let link = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return ControlFlow::Continue(()),
            Err(Errno::ACCESS) => return self.note(&path, Note::AccessDenied),
            Err(error) => return self.note(&path, Note::CannotOpen(text(error))),
        };
        let is_link = FileType::from_raw_mode(link.st_mode) == FileType::Symlink;
        let stat = if is_link {
            let followed = rustix::fs::statat(parent, name, AtFlags::empty());
            let Ok(stat) = followed else { return self.note(&path, Note::SymbolicLink) };
            stat
        } else {
            link
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if is_link && self.options.follow_dirs != Follow::Always => {
                self.note(&path, Note::SymbolicLink)
            }
            FileType::RegularFile if is_link && self.options.follow_files != Follow::Always => {
                self.note(&path, Note::SymbolicLink)
            }
            FileType::Directory if !self.options.recursive => ControlFlow::Continue(()),
            FileType::Directory if level >= self.options.max_levels.min(LEVELS_MAX) => {
                self.note(&path, Note::TooDeep)
            }
            FileType::Directory => self.directory(&at, &stat, level.saturating_add(1), is_link),
            FileType::RegularFile => self.file(&at, &stat, is_link),
            _ => self.note(&path, Note::NotRegular { named: false }),
        }
    }

    fn file(&mut self, at: &At<'_>, stat: &Stat, follow: bool) -> ControlFlow<()> {
        if !selected(&self.options.exclude, &self.options.include, at.real) {
            return self.note(at.path, Note::Excluded);
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 && at.real.starts_with("/proc") {
            return self.note(at.path, Note::ExcludedProc);
        }
        if size == 0 {
            return self.note(at.path, Note::Empty);
        }
        if self.plan.unchanged.is_some_and(|unchanged| unchanged(stat)) {
            return ControlFlow::Continue(());
        }
        if let Some(wait) = self.plan.before_file {
            wait();
        }
        let fd = match open_patiently(at, OFlags::NONBLOCK | OFlags::NOCTTY, follow) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) => return self.note(at.path, Note::AccessDenied),
            Err(Errno::LOOP) => return self.note(at.path, Note::SymbolicLink),
            Err(error @ Errno::NOENT) => return self.note(at.path, Note::Missing(text(error))),
            Err(error) => return self.note(at.path, Note::CannotOpen(text(error))),
        };
        (self.visit)(Step::File { path: at.path.to_path_buf(), file: File::from(fd), size })
    }
}

/// Waits for a descriptor: those of files that are being scanned become free.
fn open_patiently(at: &At<'_>, flags: OFlags, follow: bool) -> Result<OwnedFd, Errno> {
    let until = Instant::now() + DESCRIPTOR_WAIT;
    loop {
        match open(at, flags, follow) {
            Err(Errno::MFILE | Errno::NFILE) if Instant::now() < until => {
                std::thread::sleep(DESCRIPTOR_POLL);
            }
            opened => return opened,
        }
    }
}

fn open(at: &At<'_>, flags: OFlags, follow: bool) -> Result<OwnedFd, Errno> {
    let mut flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    // A scan must not change access times where the owner allows that.
    match rustix::fs::openat(at.parent, at.name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(at.parent, at.name, flags, Mode::empty()),
        opened => opened,
    }
}

/// Joins as people write it: `dir/` and `name` give `dir/name`.
fn join(folder: &Path, name: &OsStr) -> PathBuf {
    let mut path = folder.as_os_str().as_bytes().to_vec();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    PathBuf::from(OsStr::from_bytes(&path))
}

pub(crate) fn selected(exclude: &[Regex], include: &[Regex], real: &Path) -> bool {
    let path = real.as_os_str().as_bytes();
    let path = path.get(..path.len().min(MATCHED_PATH_LEN)).unwrap_or_default();
    if exclude.iter().any(|regex| regex.is_match(path)) {
        return false;
    }
    include.is_empty() || include.iter().any(|regex| regex.is_match(path))
}

fn is_pseudo(fd: BorrowedFd<'_>) -> bool {
    let Ok(stat) = rustix::fs::fstatfs(fd) else { return false };
    u64::try_from(stat.f_type).is_ok_and(|kind| PSEUDO_FILESYSTEMS.contains(&kind))
}

/// Returns the system's words without the number that Rust adds.
fn text(error: Errno) -> String {
    let text = std::io::Error::from(error).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// ClamAV looks only at this many bytes of a path when it excludes or includes.
const MATCHED_PATH_LEN: usize = 512;

/// Ours: deeper than any tree that is not an attack; `max_levels` beyond it counts as this.
const LEVELS_MAX: u32 = 1 << 14;
/// Ours: several times what one level takes, and what a thread has by default.
const LEVEL_STACK_BYTES: usize = 4 << 10;
const STACK_BYTES: usize = 2 << 20;

/// Ours: as long as an ordinary file takes, and not as long as that nobody believes in an end.
const DESCRIPTOR_WAIT: Duration = Duration::from_secs(10);
const DESCRIPTOR_POLL: Duration = Duration::from_millis(2);

/// Magic numbers of file systems without files worth scanning. Source: linux/magic.h.
const PSEUDO_FILESYSTEMS: [u64; 10] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0x6165_676c, // pstore
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> WalkOptions {
        WalkOptions {
            recursive: true,
            max_levels: 100,
            follow_dirs: Follow::Never,
            follow_files: Follow::Never,
            cross_filesystems: true,
            skip_pseudo: true,
            exclude: Vec::new(),
            exclude_dir: Vec::new(),
            include: Vec::new(),
            include_dir: Vec::new(),
        }
    }

    fn files(root: &Path, plan: Option<(&Plan<'_>, Option<&Path>)>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut visit = |step| {
            if let Step::File { path, .. } = step {
                files.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
            ControlFlow::Continue(())
        };
        let done = match plan {
            Some(plan) => walk_planned(root, &options(), plan, &mut visit),
            None => walk(root, &options(), &mut visit),
        };
        assert!(done.is_continue());
        files
    }

    #[test]
    fn a_walk_goes_on_where_it_stopped() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        for path in ["a", "b/a", "b/b/x", "b/b/y", "b/c", "b.x", "b-/z", "c", "\u{e9}/q"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let plan = Plan { sorted: true, ..Plan::default() };
        let all = files(root, Some((&plan, None)));
        let text: Vec<_> = all.iter().map(|path| path.to_str().unwrap()).collect();
        let want = ["a", "b/a", "b/b/x", "b/b/y", "b/c", "b-/z", "b.x", "c", "\u{e9}/q"];
        assert_eq!(text, want);
        let mut unsorted = files(root, None);
        unsorted.sort();
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(unsorted, sorted);
        for (idx, after) in all.iter().enumerate() {
            assert_eq!(files(root, Some((&plan, Some(after)))), all[idx + 1..], "{after:?}");
        }
        // What was done may be gone, or a folder that was a file.
        for (after, first) in [("b/b/xx", "b/b/y"), ("b/aa/q", "b/b/x"), ("0", "a"), ("a/x", "b/a")]
        {
            let left = files(root, Some((&plan, Some(Path::new(after)))));
            // A file whose name leads to what is done is looked at again.
            let left: Vec<_> =
                left.iter().filter(|path| path.to_str() != Some("a") || first == "a").collect();
            assert_eq!(left[0], Path::new(first), "{after}");
        }
        assert_eq!(files(root, Some((&plan, Some(Path::new("\u{e9}/q"))))), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_plan_passes_over_what_has_not_changed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("long"), "long").unwrap();
        std::fs::write(temp.path().join("x"), "x").unwrap();
        let waits = std::sync::atomic::AtomicU32::new(0);
        let wait = || {
            waits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        };
        let unchanged = |stat: &Stat| stat.st_size == 4;
        let plan =
            Plan { unchanged: Some(&unchanged), before_file: Some(&wait), ..Plan::default() };
        assert_eq!(files(temp.path(), Some((&plan, None))), [PathBuf::from("x")]);
        assert_eq!(waits.into_inner(), 1);
    }
}
