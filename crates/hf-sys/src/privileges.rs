//! Giving up privileges that a process of root does not need, for itself and whatever it starts.
//!
//! Sources: capabilities(7), prctl(2) `PR_CAPBSET_DROP`, `PR_SET_NO_NEW_PRIVS`.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

pub use rustix::thread::CapabilitySet as Capabilities;

/// Keeps only these capabilities, also for programs that are started later, which get no privilege
/// by being executed either. To be called before the first thread is started. Those that the process
/// does not have are not given to it.
///
/// # Errors
/// The kernel refuses.
pub fn keep_only(kept: Capabilities) -> io::Result<()> {
    for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it yet; or, without `CAP_SETPCAP`, it cannot be done.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let now = rustix::thread::capabilities(None)?;
    let sets = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}
