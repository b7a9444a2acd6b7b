//! A thread between two processes: when one ends, the other is killed.
//!
//! The parent keeps the writing end of a pipe and never writes; the child asks the kernel to be
//! killed when the pipe changes, which happens when the last writing end is closed.
//! `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that started the child ends, and a
//! pool of threads ends threads whenever it likes.
//! Sources: fcntl(2) `F_SETSIG`, `F_SETOWN`, `O_ASYNC`; prctl(2) `PR_SET_PDEATHSIG`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;

/// Returns both ends: the child's (reading) and the parent's (writing).
///
/// # Errors
/// No descriptors are left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Has the calling process killed as soon as the other end of this pipe is closed.
///
/// # Errors
/// The kernel refuses, or the other end is closed already.
pub fn hold(end: impl AsFd) -> io::Result<()> {
    let end = end.as_fd();
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: F_SETOWN with a process id changes only who gets the signal.
    let owned = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETOWN, pid) };
    if owned == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: F_SETSIG changes only which signal is sent; SIGKILL runs no handler.
    let chosen = unsafe { libc::fcntl(end.as_raw_fd(), F_SETSIG, libc::SIGKILL) };
    if chosen == -1 {
        return Err(io::Error::last_os_error());
    }
    let flags = rustix::fs::fcntl_getfl(end)?;
    rustix::fs::fcntl_setfl(end, flags | OFlags::from_bits_retain(ASYNC))?;
    // The other end may have been closed before the kernel was asked.
    let mut polled = [rustix::event::PollFd::new(&end, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&now))?;
    if polled[0].revents().contains(rustix::event::PollFlags::HUP) {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe));
    }
    Ok(())
}

/// `F_SETSIG` of `<fcntl.h>`, the same on every Linux; the libc crate leaves it out for glibc.
const F_SETSIG: libc::c_int = 10;

/// `O_ASYNC`, in the type of rustix' flags.
const ASYNC: u32 = libc::O_ASYNC.cast_unsigned();
