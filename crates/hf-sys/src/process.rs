//! A child process that can be killed and waited for without mistaking another one for it.
//!
//! Promises: it is always started by exec; it is killed and reaped when dropped; waiting has an end
//! even when the kernel does not let the process die (a hung network file system).
//! Sources: pidfd_open(2), wait4(2), getrusage(2).

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// A running child process.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    reaped: Option<(Exit, Usage)>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Somebody else took the answer, or the kernel keeps the process (see the header).
    Unknown,
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time for itself.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident size in bytes.
    pub peak_bytes: u64,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self::of(&command.spawn()?))
    }

    /// Takes over a child that has not been waited for.
    fn of(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        // Without pidfd (Linux before 5.3, some containers) waiting falls back on asking again.
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        Self { pid, pidfd, reaped: None }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills it. Does nothing once it is reaped.
    pub fn kill(&self) {
        if self.reaped.is_some() {
            return;
        }
        // A process that is gone, or whose user we may not signal, is noticed by waiting.
        let _ = match &self.pidfd {
            Some(pidfd) => rustix::process::pidfd_send_signal(pidfd, Signal::KILL),
            // Not reaped, so the number still is this child's.
            None => rustix::process::kill_process(self.pid, Signal::KILL),
        };
    }

    /// Waits at most so long, and returns how it ended and what it used.
    pub fn wait(&mut self, at_most: Duration) -> Option<(Exit, Usage)> {
        let end = Instant::now().checked_add(at_most);
        loop {
            if let Some(done) = self.reaped {
                return Some(done);
            }
            self.reaped = reap(self.pid);
            let left = end.map_or(at_most, |end| end.saturating_duration_since(Instant::now()));
            if self.reaped.is_none() {
                if left.is_zero() {
                    return None;
                }
                self.nap(left);
            }
        }
    }

    fn nap(&self, left: Duration) {
        let Some(pidfd) = &self.pidfd else {
            std::thread::sleep(left.min(Duration::from_millis(1)));
            return;
        };
        let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        // An interrupted wait is looked at again by the caller.
        let _ = rustix::event::poll(&mut polled, Some(&left));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A process stuck in the kernel is left behind as a zombie rather than blocking us.
        let _ = self.wait(Duration::from_secs(2));
    }
}

fn reap(pid: Pid) -> Option<(Exit, Usage)> {
    let mut status: libc::c_int = 0;
    let mut usage = empty_usage();
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: both pointers are to live, writable values of the right types.
    let got = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match got {
        0 => None,
        got if got == pid => Some((exit(status), Usage::from(&usage))),
        _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => None,
        _ => Some((Exit::Unknown, Usage::default())),
    }
}

fn exit(status: libc::c_int) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Unknown
    }
}

impl Usage {
    /// Returns what the calling process has used so far.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of(libc::RUSAGE_SELF)
    }

    /// Returns what those children have used that have ended and were waited for.
    #[must_use]
    pub fn of_ended_children() -> Self {
        Self::of(libc::RUSAGE_CHILDREN)
    }

    fn of(whose: libc::c_int) -> Self {
        let mut usage = empty_usage();
        // SAFETY: the pointer is to a live, writable value of the right type.
        let result = unsafe { libc::getrusage(whose, &raw mut usage) };
        if result == 0 { Self::from(&usage) } else { Self::default() }
    }

    /// Returns all processor time.
    #[must_use]
    pub fn processor(&self) -> Duration {
        self.user.saturating_add(self.system)
    }
}

impl From<&libc::rusage> for Usage {
    fn from(usage: &libc::rusage) -> Self {
        let time = |at: libc::timeval| {
            let micros = i128::from(at.tv_sec) * 1_000_000 + i128::from(at.tv_usec);
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let peak_kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
        Self {
            user: time(usage.ru_utime),
            system: time(usage.ru_stime),
            peak_bytes: peak_kib.saturating_mul(1024),
        }
    }
}

fn empty_usage() -> libc::rusage {
    // SAFETY: `rusage` is made of integers only, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn tells_how_it_ended() {
        let run = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            Process::start(&mut command).unwrap().wait(LONG).unwrap().0
        };
        assert_eq!(run("exit 7"), Exit::Code(7));
        assert_eq!(run("kill -TERM $$"), Exit::Signal(15));
    }

    #[test]
    fn kills_and_has_patience_only_so_long() {
        let mut process = Process::start(Command::new("/bin/sleep").arg("100")).unwrap();
        assert_eq!(process.wait(Duration::ZERO), None);
        assert_eq!(process.wait(Duration::from_millis(1)), None);
        process.kill();
        assert_eq!(process.wait(LONG).unwrap().0, Exit::Signal(9));
        process.kill();
    }

    #[test]
    fn tells_what_was_used() {
        let used = Usage::of_this_process();
        assert!(used.peak_bytes > 100_000);
    }
}
