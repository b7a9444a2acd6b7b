//! What a program that is started gets from us: nothing that it was not given.
//!
//! Sources: close_range(2), fcntl(2), signal-safety(7).

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Closes every descriptor but the first three when the program is started.
pub fn close_others(command: &mut Command) {
    // SAFETY: between fork and exec the function only makes system calls, which are safe there; it allocates nothing
    // and touches no lock.
    unsafe { command.pre_exec(mark_others) };
}

fn mark_others() -> io::Result<()> {
    // SAFETY: the call changes only flags of descriptors; closing them here would break the report of a failed exec.
    let done = unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    // Linux before 5.11.
    for fd in FIRST..DESCRIPTORS_MAX {
        // SAFETY: as above; a number that is no descriptor gives an error and nothing else.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

const FIRST: libc::c_int = 3;
/// `CLOSE_RANGE_CLOEXEC`. Source: linux/close_range.h.
const CLOEXEC: libc::c_uint = 4;
/// Ours: more than a process has by default.
const DESCRIPTORS_MAX: libc::c_int = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn nothing_is_inherited() {
        let (reader, writer) = io::pipe().unwrap();
        for end in [reader.as_raw_fd(), writer.as_raw_fd()] {
            // SAFETY: both ends are open.
            unsafe { libc::fcntl(end, libc::F_SETFD, 0) };
        }
        let list = |close: bool| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "echo /proc/$$/fd/*"]);
            if close {
                close_others(&mut command);
            }
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        let ours = format!("/fd/{}", writer.as_raw_fd());
        assert!(list(false).contains(&ours));
        assert!(!list(true).contains(&ours), "{}", list(true));
    }
}
