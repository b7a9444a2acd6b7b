//! Descriptors that a service manager opened for this process.
//!
//! Sources: sd_listen_fds(3).

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns the descriptors passed at start with their names, in order; a second call returns none.
#[must_use]
pub fn take_passed() -> Vec<(OwnedFd, String)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    let ours = number("LISTEN_PID")
        .is_some_and(|pid| pid == rustix::process::getpid().as_raw_nonzero().get());
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, PASSED_MAX);
    if !ours || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = Vec::new();
    for raw in FIRST..FIRST.saturating_add(count) {
        // SAFETY: F_GETFD takes no pointer and reports a descriptor that is not open.
        let open = unsafe { libc::fcntl(raw, libc::F_GETFD) } >= 0;
        let name = names.next().unwrap_or_default().to_owned();
        if open {
            // SAFETY: it is open, and the protocol gives it to us alone; this runs once.
            let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
            let _ = rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC);
            passed.push((descriptor, name));
        }
    }
    passed
}

/// The protocol's.
const FIRST: i32 = 3;

/// Ours.
const PASSED_MAX: i32 = 128;
