//! Which session a process belongs to.
//!
//! Promises: an answer is another process's session, never an error taken for one. A session whose
//! leader cannot be seen from here (kernel threads; a container's processes that were started from
//! outside) has no number, which is why the kernel answers 0: that is told as none.
//! Sources: getsid(2), setsid(2), `pid_namespaces(7)`.

use std::io;

/// Returns the session of a process, or none when it has no number here.
///
/// # Errors
/// There is no such process, or it may not be asked about.
pub fn of(pid: u32) -> io::Result<Option<u32>> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: getsid takes a number and touches no memory of ours. `rustix` takes the answer 0 for
    // impossible.
    let session = unsafe { libc::getsid(pid) };
    match u32::try_from(session) {
        Ok(0) => Ok(None),
        Ok(session) => Ok(Some(session)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Makes the calling process lead a session of its own, unless it does, and returns its number.
///
/// # Errors
/// The process leads a group within somebody else's session, as what a shell starts does.
pub fn lead() -> io::Result<u32> {
    // SAFETY: setsid takes nothing and touches no memory of ours.
    if unsafe { libc::setsid() } < 0 {
        let refused = io::Error::last_os_error();
        let own = std::process::id();
        return if of(own)? == Some(own) { Ok(own) } else { Err(refused) };
    }
    Ok(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_apart() {
        let own = of(std::process::id()).unwrap();
        assert_eq!(of(0).unwrap(), own);
        assert!(of(u32::MAX).is_err());
        // The kernel's own threads are in no session; a container does not show them.
        let comm = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
        if comm.trim_end() == "kthreadd" {
            assert_eq!(of(2).unwrap(), None);
        }
    }
}
