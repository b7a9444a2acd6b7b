//! fanotify groups that are asked before a file is opened.
//!
//! A group gets an [`Event`] for every open of a regular file below its marks; whoever opens waits
//! in the kernel until the event is answered. When the last descriptor of the group is closed, as
//! at the death of its process, the kernel allows all that waits.
//! Promises: every event with a file is a [`Permit`] or a [`Note`]; a permit that is dropped without
//! an answer gives the one it was made with, so that a panic leaves nobody waiting. Descriptors are
//! closed on exec. Reading never blocks on what is opened (`O_NONBLOCK`).
//! Leaves out: events on directories, moves and names; audit records.
//! Sources: fanotify(7), fanotify_init(2), fanotify_mark(2) (man-pages 6.9).

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// A group of class "content": asked before the opener gets its descriptor.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
}

/// What a mark covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One mount: not the same files seen through another one.
    Mount,
    /// The whole file system, through whatever mount and namespace.
    FileSystem,
}

/// The answer to whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The open goes on.
    Allow,
    /// The open fails with `EPERM`.
    Deny,
}

/// An event as the kernel wrote it. Its descriptors are only numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent {
    /// What happened: bits `FAN_…`.
    pub mask: u64,
    /// The file, opened for us; negative when there is none.
    pub fd: i32,
    /// The process that opens; 0 when it lives in a namespace that we do not see.
    pub pid: i32,
}

/// Something that the kernel told.
#[derive(Debug)]
pub enum Event {
    /// Somebody waits for an answer.
    Asked(Permit),
    /// Something happened to a marked file.
    Told(Note),
    /// Events of the second kind were lost.
    Overflow,
}

/// The right, and the duty, to answer one event.
#[derive(Debug)]
pub struct Permit {
    group: Arc<Group>,
    file: Option<File>,
    /// The process that opens; 0 when it lives in a namespace that we do not see.
    pub pid: i32,
    /// The file is opened to be executed.
    pub exec: bool,
    /// What is answered when nobody does.
    pub unanswered: Answer,
}

/// A file that was open for writing was closed.
#[derive(Debug)]
pub struct Note {
    /// The file.
    pub file: File,
}

impl Group {
    /// Opens a group with queues and marks without limit.
    ///
    /// # Errors
    /// As fanotify_init(2): without `CAP_SYS_ADMIN`, or in a kernel without permission events.
    pub fn open() -> io::Result<Self> {
        let flags = libc::FAN_CLASS_CONTENT
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS;
        let files = libc::O_RDONLY
            | libc::O_LARGEFILE
            | libc::O_CLOEXEC
            | libc::O_NONBLOCK
            | libc::O_NOATIME;
        // SAFETY: takes two numbers.
        let raw = unsafe { libc::fanotify_init(flags, files.cast_unsigned()) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd })
    }

    /// Asks for opens, and opens for execution, of files of the mount or file system of `path`.
    ///
    /// # Errors
    /// As fanotify_mark(2).
    pub fn protect(&self, scope: Scope, path: &Path) -> io::Result<()> {
        self.mark_path(libc::FAN_MARK_ADD | scope.flag(), ASKED, path)
    }

    /// Takes a mark of [`Group::protect`] back.
    ///
    /// # Errors
    /// As fanotify_mark(2); `ENOENT` when there is none.
    pub fn release(&self, scope: Scope, path: &Path) -> io::Result<()> {
        self.mark_path(libc::FAN_MARK_REMOVE | scope.flag(), ASKED, path)
    }

    /// Stops asking for this file until it is written to, or the kernel needs the memory; tells
    /// when somebody closes it who could have written to it through a map.
    ///
    /// # Errors
    /// As fanotify_mark(2).
    pub fn ignore(&self, file: impl AsFd) -> io::Result<()> {
        let add = libc::FAN_MARK_ADD | libc::FAN_MARK_EVICTABLE;
        // First the watch: what is ignored is always watched.
        self.mark_file(add, libc::FAN_CLOSE_WRITE, file.as_fd())?;
        self.mark_file(add | libc::FAN_MARK_IGNORE, ASKED, file.as_fd())
    }

    /// Asks for this file again.
    ///
    /// # Errors
    /// As fanotify_mark(2). A file that was not ignored is none.
    pub fn ask_again(&self, file: impl AsFd) -> io::Result<()> {
        let remove = libc::FAN_MARK_REMOVE;
        let first = self.mark_file(remove | libc::FAN_MARK_IGNORE, ASKED, file.as_fd());
        let second = self.mark_file(remove, libc::FAN_CLOSE_WRITE, file.as_fd());
        for result in [first, second] {
            match result {
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Asks for every file again.
    ///
    /// # Errors
    /// As fanotify_mark(2).
    pub fn ask_all_again(&self) -> io::Result<()> {
        self.mark_path(libc::FAN_MARK_FLUSH, 0, Path::new("/"))
    }

    /// Reads what is there, without waiting; returns the number of events. `unanswered` is what
    /// permits answer when they are dropped.
    ///
    /// # Errors
    /// The kernel cannot open the file of the next event for us (it denied the open then), or it
    /// speaks another version of the protocol. Events that came before are in `events` anyway.
    pub fn read(
        self: &Arc<Self>,
        unanswered: Answer,
        events: &mut Vec<Event>,
    ) -> io::Result<usize> {
        let mut buffer = [0u8; BUFFER_BYTES];
        let got = match rustix::io::read(&self.fd, &mut buffer) {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        let mut count = 0usize;
        let mut broken = None;
        for raw in parse(buffer.get(..got).unwrap_or_default()) {
            match raw {
                Ok(raw) => {
                    events.push(self.own(raw, unanswered));
                    count = count.saturating_add(1);
                }
                Err(error) => broken = Some(io::Error::other(error)),
            }
        }
        broken.map_or(Ok(count), Err)
    }

    /// Makes values with owners of an event that was just read.
    fn own(self: &Arc<Self>, raw: RawEvent, unanswered: Answer) -> Event {
        if raw.fd < 0 {
            return Event::Overflow;
        }
        // SAFETY: the kernel opened this descriptor for the event, and it is taken once.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(raw.fd) });
        if raw.mask & ASKED == 0 {
            return Event::Told(Note { file });
        }
        let exec = raw.mask & libc::FAN_OPEN_EXEC_PERM != 0;
        Event::Asked(Permit {
            group: Arc::clone(self),
            file: Some(file),
            pid: raw.pid,
            exec,
            unanswered,
        })
    }

    fn respond(&self, fd: RawFd, answer: Answer) -> io::Result<()> {
        let word = match answer {
            Answer::Allow => libc::FAN_ALLOW,
            Answer::Deny => libc::FAN_DENY,
        };
        let mut response = [0u8; 8];
        let (first, second) = response.split_at_mut(4);
        first.copy_from_slice(&fd.to_ne_bytes());
        second.copy_from_slice(&word.to_ne_bytes());
        loop {
            match rustix::io::write(&self.fd, &response) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn mark_path(&self, flags: u32, mask: u64, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path ends in NUL and lives until the call is over.
        let done = unsafe {
            libc::fanotify_mark(self.fd.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr())
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn mark_file(&self, flags: u32, mask: u64, file: BorrowedFd<'_>) -> io::Result<()> {
        let (group, file) = (self.fd.as_raw_fd(), file.as_raw_fd());
        // SAFETY: without a path the mark is on the file of the descriptor, which is open.
        let done = unsafe { libc::fanotify_mark(group, flags, mask, file, std::ptr::null()) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Scope {
    fn flag(self) -> u32 {
        match self {
            Self::Mount => libc::FAN_MARK_MOUNT,
            Self::FileSystem => libc::FAN_MARK_FILESYSTEM,
        }
    }
}

impl Permit {
    /// Returns the file, open for reading. Reading it asks nobody.
    ///
    /// # Panics
    /// Never: the file is there until the answer, which consumes the permit.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("a permit that is not answered has its file")
    }

    /// Answers, and closes the file.
    ///
    /// # Errors
    /// The kernel does not take it: the opener was killed meanwhile.
    pub fn answer(mut self, answer: Answer) -> io::Result<()> {
        self.give(answer)
    }

    fn give(&mut self, answer: Answer) -> io::Result<()> {
        match self.file.take() {
            // Closed after the answer, for which it is the name of the event.
            Some(file) => self.group.respond(file.as_raw_fd(), answer),
            None => Ok(()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let unanswered = self.unanswered;
        let _ = self.give(unanswered);
    }
}

/// The kernel's buffer is not what this program understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEvent {
    /// The buffer ends within an event, or an event says that it is shorter than its head.
    #[error("an event of fanotify is cut off")]
    Cut,
    /// The kernel speaks another version.
    #[error("fanotify speaks version {0}, not 3")]
    Version(u8),
}

/// Reads a buffer of events; ends at the first that is bad.
pub fn parse(mut bytes: &[u8]) -> impl Iterator<Item = Result<RawEvent, BadEvent>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let event = one(bytes);
        bytes = match &event {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(event.map(|(event, _)| event))
    })
}

/// `struct fanotify_event_metadata`: event_len u32, vers u8, reserved u8, metadata_len u16, mask u64,
/// fd s32, pid s32. Source: fanotify(7).
fn one(bytes: &[u8]) -> Result<(RawEvent, &[u8]), BadEvent> {
    let (head, _) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(BadEvent::Cut)?;
    let [l0, l1, l2, l3, version, _, _, _, mask @ .., f0, f1, f2, f3, p0, p1, p2, p3] = *head;
    if version != libc::FANOTIFY_METADATA_VERSION {
        return Err(BadEvent::Version(version));
    }
    let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    let rest = bytes.get(len..).filter(|_| len >= HEAD_BYTES).ok_or(BadEvent::Cut)?;
    let event = RawEvent {
        mask: u64::from_ne_bytes(mask),
        fd: i32::from_ne_bytes([f0, f1, f2, f3]),
        pid: i32::from_ne_bytes([p0, p1, p2, p3]),
    };
    Ok((event, rest))
}

/// Source: fanotify(7), `FAN_EVENT_METADATA_LEN`.
const HEAD_BYTES: usize = 24;

/// Ours: 64 events at once.
const BUFFER_BYTES: usize = HEAD_BYTES * 64;

/// What is asked before it happens.
const ASKED: u64 = libc::FAN_OPEN_PERM | libc::FAN_OPEN_EXEC_PERM;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: u32, version: u8, mask: u64, fd: i32, pid: i32) -> Vec<u8> {
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend([version, 0]);
        bytes.extend(24u16.to_ne_bytes());
        bytes.extend(mask.to_ne_bytes());
        bytes.extend(fd.to_ne_bytes());
        bytes.extend(pid.to_ne_bytes());
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], want: &[Result<RawEvent, BadEvent>]) {
        assert_eq!(parse(bytes).collect::<Vec<_>>(), want);
    }

    #[test]
    fn buffers() {
        let raw = |fd| RawEvent { mask: ASKED, fd, pid: 7 };
        let good = |fd| event(24, 3, ASKED, fd, 7);
        check(&[], &[]);
        check(&[good(4), good(5)].concat(), &[Ok(raw(4)), Ok(raw(5))]);
        // An information record behind the head is passed over.
        let mut long = event(32, 3, ASKED, 4, 7);
        long.extend([0; 8]);
        check(&[long, good(5)].concat(), &[Ok(raw(4)), Ok(raw(5))]);
        check(&good(4)[..23], &[Err(BadEvent::Cut)]);
        check(&[good(4), event(25, 3, 0, 1, 1)].concat(), &[Ok(raw(4)), Err(BadEvent::Cut)]);
        check(&event(0, 3, 0, 1, 1), &[Err(BadEvent::Cut)]);
        check(&event(24, 2, 0, 1, 1), &[Err(BadEvent::Version(2))]);
    }
}
