//! Read leases: a moment in which nobody has a file open for writing.
//!
//! Promises: while a [`Lease`] lives nobody else opens the file for writing or truncates it (they wait,
//! or get `EWOULDBLOCK` if they do not want to); a lease is meant to be held for microseconds.
//! Sources: fcntl(2) "Leases".

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A lease, given back when it is dropped.
#[derive(Debug)]
pub struct Lease<'f> {
    file: BorrowedFd<'f>,
}

/// Takes a read lease on a file that is open for reading only; none when somebody has it open for
/// writing, mapped ones included. [`ignore_breaks`] must have been called.
///
/// # Errors
/// The file system knows no leases, or `CAP_LEASE` is missing for another user's file.
pub fn read_lease(file: &impl AsFd) -> io::Result<Option<Lease<'_>>> {
    let file = file.as_fd();
    // SAFETY: takes numbers only.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if done == 0 {
        return Ok(Some(Lease { file }));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EAGAIN) { Ok(None) } else { Err(error) }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // SAFETY: takes numbers only.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    }
}

/// Ignores `SIGIO`, with which the kernel asks for leases back and which else ends the process.
pub fn ignore_breaks() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::*;

    #[test]
    fn a_writer_is_seen() {
        ignore_breaks();
        let temp = tempfile::NamedTempFile::new().unwrap();
        let path = temp.path().to_owned();
        let reader = File::open(&path).unwrap();
        // The temporary file itself is open for writing.
        assert!(read_lease(&reader).unwrap().is_none());
        let path = temp.into_temp_path();
        let lease = read_lease(&reader).unwrap();
        assert!(lease.is_some());
        drop(lease);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        assert!(read_lease(&reader).unwrap().is_none());
        drop(writer);
        assert!(read_lease(&reader).unwrap().is_some());
    }
}
