//! Signals as something to read, for a program that waits for several things at once.
//!
//! Promises: no handler runs anywhere. A signal that came is read once.
//! Sources: signalfd(2), pthread_sigmask(3).

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// A signal that this program waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Read everything again (`SIGHUP`).
    Reload,
    /// End in order (`SIGTERM`, `SIGINT`).
    End,
}

/// Signals of the calling process.
#[derive(Debug)]
pub struct Signals {
    file: File,
}

impl Signals {
    /// Blocks `SIGHUP`, `SIGINT` and `SIGTERM` in the calling thread and those that it starts from now
    /// on, so that they can be read here. To be called before the first thread is started.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn take() -> io::Result<Self> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: makes the set empty.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: it was just filled.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            // SAFETY: the set is valid, and so is the number.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: the set is valid; the old one is not asked for.
        let error =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is valid; -1 asks for a new descriptor.
        let raw = unsafe { libc::signalfd(-1, &raw const set, flags) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { file: File::from(fd) })
    }

    /// Returns a signal that came, without waiting.
    pub fn arrived(&mut self) -> Option<Signal> {
        let mut info = [0u8; INFO_BYTES];
        let got = self.file.read(&mut info).unwrap_or(0);
        let (number, _) = info.get(..got)?.split_first_chunk::<4>()?;
        let number = i32::try_from(u32::from_ne_bytes(*number)).unwrap_or(0);
        Some(if number == libc::SIGHUP { Signal::Reload } else { Signal::End })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Source: signalfd(2), `struct signalfd_siginfo`; the number of the signal is its first field.
const INFO_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read() {
        // In a thread of its own: the mask is the thread's.
        let thread = std::thread::spawn(|| {
            let mut signals = Signals::take().unwrap();
            assert_eq!(signals.arrived(), None);
            // SAFETY: the signal goes to this thread, where it is blocked.
            unsafe { libc::raise(libc::SIGHUP) };
            assert_eq!(signals.arrived(), Some(Signal::Reload));
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGTERM) };
            assert_eq!(signals.arrived(), Some(Signal::End));
            assert_eq!(signals.arrived(), None);
        });
        thread.join().unwrap();
    }
}
