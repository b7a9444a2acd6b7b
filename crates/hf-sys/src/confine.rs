//! Taking power from the calling process, in two steps, and saying what was taken.
//!
//! [`enter`] comes first thing in a fresh process with one thread: it cuts off what was inherited.
//! [`seal`] comes when everything that needs files is done: from then on the process only computes,
//! and talks on one socket.
//! Promises: what cannot be had is listed as not active; whether that is acceptable is the caller's
//! decision, and it is asked before any work.
//! Sources: close_range(2), unshare(2), capabilities(7), prctl(2).

use std::io;
use std::os::fd::BorrowedFd;

use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags};

use crate::bounds::{self, Bounds};
use crate::{landlocked, lifeline, syscalls};

/// One mechanism and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// What it is called (`seccomp`, `Landlock`, …).
    pub name: &'static str,
    /// In force.
    pub active: bool,
    /// Its level, or why it is not active; for people.
    pub detail: String,
}

impl Protection {
    pub(crate) fn on(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, active: true, detail: detail.into() }
    }

    pub(crate) fn off(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, active: false, detail: detail.into() }
    }

    fn of(name: &'static str, result: io::Result<&str>) -> Self {
        match result {
            Ok(detail) => Self::on(name, detail),
            Err(error) => Self::off(name, error.to_string()),
        }
    }
}

/// The mechanism without which a process is not confined.
pub const SECCOMP: &str = "seccomp";

/// The mechanism without which a process may use up the machine.
pub const BOUNDS: &str = "bounds";

/// Cuts a fresh process off from what it inherited: descriptors above 2, its parent's death, the
/// network and other namespaces, user id 0, capabilities, tracing.
///
/// `end` is the child's end of a [`lifeline`]. The process must still have one thread.
pub fn enter(end: BorrowedFd<'_>) -> Vec<Protection> {
    let first_to_go = bounds::first_to_go().map(|()| "first to go");
    let traced = |()| "forbidden to others";
    vec![
        Protection::of("descriptors", close_from(3).map(|()| "closed above 2")),
        Protection::of("lifeline", lifeline::hold(end).map(|()| "dies with its parent")),
        Protection::of("out-of-memory order", first_to_go),
        Protection::of("namespaces", own_namespaces()),
        Protection::of("identity", drop_identity()),
        Protection::of("capabilities", drop_capabilities().map(|()| "none")),
        Protection::of("tracing", not_dumpable().map(traced)),
    ]
}

/// Takes everything but computing, and talking on `socket` and `diagnostics`.
pub fn seal(bounds: &Bounds, socket: i32, diagnostics: i32) -> Vec<Protection> {
    let privileges = rustix::thread::set_no_new_privs(true).map_err(io::Error::from);
    let privileges = Protection::of("no new privileges", privileges.map(|()| "set"));
    // The bounds ask `/proc` what is in use, which Landlock forbids.
    let applied = Protection::of(BOUNDS, bounds::apply(bounds).map(|()| "memory, files, core"));
    let landlock = landlocked::forbid_all();
    let filter = syscalls::compute_only(socket, diagnostics);
    let filter = Protection::of(SECCOMP, filter.map(|()| "allow-list, else killed"));
    vec![privileges, applied, landlock, filter]
}

fn not_dumpable() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Closes every descriptor from `first` on.
fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called in a fresh process before anything owns a descriptor above 2, so that no
    // owner's descriptor is closed behind its back.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves into namespaces of its own: no network device, no shared memory of others.
fn own_namespaces() -> io::Result<&'static str> {
    let wanted = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: `FILES` is not among the flags.
    if unsafe { rustix::thread::unshare_unsafe(wanted) }.is_ok() {
        return Ok("network, IPC, names");
    }
    // SAFETY: `FILES` is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(wanted | UnshareFlags::NEWUSER) }?;
    Ok("users, network, IPC, names")
}

/// Becomes nobody when it is root. Others stay who they are: they have no power to give up.
fn drop_identity() -> io::Result<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Ok("not root");
    }
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok("nobody")
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, none)?)
}

/// The kernel's overflow user and group.
const NOBODY: u32 = 65_534;
