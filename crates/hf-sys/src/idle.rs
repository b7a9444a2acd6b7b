//! Getting out of everybody's way: processor and disk only when nobody else wants them.
//!
//! Threads and processes that are started afterwards inherit it.
//! Sources: sched(7) `SCHED_IDLE`, setpriority(2), ioprio_set(2).

use std::io;

/// Gives the calling thread, and what it starts, the lowest priorities; returns those that the kernel refused.
#[must_use]
pub fn idle() -> Vec<(&'static str, io::Error)> {
    let mut refused = Vec::new();
    let mut note = |what, done: bool| {
        if !done {
            refused.push((what, io::Error::last_os_error()));
        }
    };
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live value; 0 means the calling thread.
    let scheduled = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    note("processor", scheduled == 0);
    // SAFETY: the call takes numbers only; 0 means the calling thread.
    let nice = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICEST) };
    note("nice", nice == 0);
    // SAFETY: as above.
    let disk = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, IDLE_CLASS) };
    note("disk", disk == 0);
    refused
}

/// Returns whether the calling thread has the lowest priorities: processor, disk.
#[must_use]
pub fn is_idle() -> (bool, bool) {
    // SAFETY: the call takes a number only.
    let policy = unsafe { libc::sched_getscheduler(0) };
    // SAFETY: as above.
    let disk = unsafe { libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) };
    (policy == libc::SCHED_IDLE, disk == i64::from(IDLE_CLASS))
}

const NICEST: libc::c_int = 19;
/// `IOPRIO_WHO_PROCESS`. Source: linux/ioprio.h.
const WHO_PROCESS: libc::c_int = 1;
/// `IOPRIO_CLASS_IDLE` in its place. Source: linux/ioprio.h.
const IDLE_CLASS: libc::c_int = 3 << 13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_inherit_it() {
        std::thread::spawn(|| {
            assert!(idle().is_empty());
            let below = std::thread::spawn(is_idle).join().unwrap();
            assert_eq!((is_idle(), below), ((true, true), (true, true)));
        })
        .join()
        .unwrap();
        assert!(!is_idle().0);
    }
}
