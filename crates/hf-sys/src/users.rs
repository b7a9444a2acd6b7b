//! Who users and groups are, who is at the other end of a local socket, and becoming somebody else.
//!
//! Promises: [`become_user`] holds for the whole process and cannot be taken back; [`assume`] holds for the
//! calling thread only, and is for threads that end with what they do.
//! Leaves out: changing back.
//! Sources: getpwnam_r(3), getgrnam_r(3), getgrouplist(3), unix(7) SO_PEERGROUPS, setresuid(2) "C library/kernel
//! differences", credentials(7).

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;

use rustix::thread::CapabilitySet;

/// A user with all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Other groups.
    pub groups: Vec<u32>,
}

/// Returns a user of the system by name, with the groups it is a member of; none when there is no such user.
///
/// # Errors
/// The system's tables cannot be read.
pub fn user(name: &OsStr) -> io::Result<Option<Identity>> {
    let Ok(name) = CString::new(name.as_bytes()) else { return Ok(None) };
    let mut buffer = vec![0u8; TABLE_LINE];
    // SAFETY: all zeros is a value of this plain C struct.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let text = buffer.as_mut_ptr().cast();
    // SAFETY: name ends in NUL, entry and found are ours, and text has the length that is told.
    let error = unsafe {
        libc::getpwnam_r(name.as_ptr(), &raw mut entry, text, TABLE_LINE, &raw mut found)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    if found.is_null() {
        return Ok(None);
    }
    let groups = groups(&name, entry.pw_gid);
    Ok(Some(Identity { uid: entry.pw_uid, gid: entry.pw_gid, groups }))
}

fn groups(name: &CStr, gid: u32) -> Vec<u32> {
    let mut list = vec![0 as libc::gid_t; GROUPS_MAX];
    let mut count = libc::c_int::try_from(GROUPS_MAX).unwrap_or(libc::c_int::MAX);
    // SAFETY: the list has room for as many as count says.
    let result =
        unsafe { libc::getgrouplist(name.as_ptr(), gid, list.as_mut_ptr(), &raw mut count) };
    if result < 0 {
        return vec![gid];
    }
    list.truncate(usize::try_from(count).unwrap_or(0));
    list
}

/// Returns the id of a group by name; none when there is no such group.
///
/// # Errors
/// The system's tables cannot be read.
pub fn group(name: &OsStr) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name.as_bytes()) else { return Ok(None) };
    let mut buffer = vec![0u8; TABLE_LINE];
    // SAFETY: all zeros is a value of this plain C struct.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    let text = buffer.as_mut_ptr().cast();
    // SAFETY: name ends in NUL, entry and found are ours, and text has the length that is told.
    let error = unsafe {
        libc::getgrnam_r(name.as_ptr(), &raw mut entry, text, TABLE_LINE, &raw mut found)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok((!found.is_null()).then_some(entry.gr_gid))
}

/// Returns who connected to a local socket, as the kernel noted it at that moment.
///
/// # Errors
/// It is no local stream socket.
pub fn peer(socket: impl AsFd) -> io::Result<Identity> {
    let (uid, gid) = peer_ids(&socket)?;
    let mut groups = vec![0 as libc::gid_t; GROUPS_MAX];
    let size = size_of::<libc::gid_t>();
    let mut len = libc::socklen_t::try_from(GROUPS_MAX * size).unwrap_or(0);
    let fd = socket.as_fd().as_raw_fd();
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERGROUPS);
    // SAFETY: groups has the length in bytes that is told.
    let result =
        unsafe { libc::getsockopt(fd, level, option, groups.as_mut_ptr().cast(), &raw mut len) };
    // Before Linux 4.13, or with more groups than fit: the primary one is all that is known.
    let count = if result == 0 { usize::try_from(len).unwrap_or(0) / size } else { 0 };
    groups.truncate(count);
    Ok(Identity { uid, gid, groups })
}

/// Returns the user and the group of who connected to a local socket.
///
/// # Errors
/// It is no local stream socket.
pub fn peer_ids(socket: &impl AsFd) -> io::Result<(u32, u32)> {
    // A peer in a namespace that cannot be seen from here has no number of a process, which is why
    // it is not asked for through a type that has none for that.
    let mut peer = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    let fd = socket.as_fd().as_raw_fd();
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: peer has the length in bytes that is told.
    check(unsafe { libc::getsockopt(fd, level, option, (&raw mut peer).cast(), &raw mut len) })?;
    Ok((peer.uid, peer.gid))
}

/// Makes the whole process a user's, for good.
///
/// # Errors
/// This process may not; it may then have some of its former rights.
pub fn become_user(identity: &Identity) -> io::Result<()> {
    let (uid, gid) = (identity.uid, identity.gid);
    // SAFETY: the pointer is to as many ids as are told.
    check(unsafe { libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

/// Gives the calling thread, and no other, the rights of a user on files: all its ids and groups
/// change and it keeps no capability.
///
/// # Errors
/// This process may not become that user; the thread is then to be ended.
pub fn assume(identity: &Identity) -> io::Result<()> {
    let (uid, gid) = (identity.uid, identity.gid);
    let (count, groups) = (identity.groups.len(), identity.groups.as_ptr());
    // The raw calls, because the library's change all threads.
    // SAFETY: the pointer is to as many ids as are told.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, count, groups) })?;
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    if uid != 0 {
        let none = CapabilitySet::empty();
        let sets =
            rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets)?;
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ours: bytes of one line of the tables.
const TABLE_LINE: usize = 64 << 10;

/// Ours: the kernel allows more, people do not have them.
const GROUPS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known() {
        let root = user(OsStr::new("root")).unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(user(OsStr::new("nobody at all")).unwrap(), None);
        assert_eq!(group(OsStr::new("root")).unwrap(), Some(0));
        assert_eq!(group(OsStr::new("no such group")).unwrap(), None);
    }

    #[test]
    fn the_other_end_is_ourselves() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let us = peer(&one).unwrap();
        assert_eq!(us.uid, rustix::process::getuid().as_raw());
        assert_eq!(us.gid, rustix::process::getgid().as_raw());
    }

    #[test]
    fn a_thread_becomes_somebody_and_the_others_do_not() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: not root");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let secret = temp.path().join("secret");
        std::fs::write(&secret, b"x").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&secret, mode).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(temp.path(), mode).unwrap();
        let path = secret.clone();
        let nobody = Identity { uid: 65534, gid: 65534, groups: vec![65534] };
        let thread = std::thread::spawn(move || {
            assume(&nobody).unwrap();
            std::fs::read(path).map_err(|error| error.kind())
        });
        assert_eq!(thread.join().unwrap().unwrap_err(), io::ErrorKind::PermissionDenied);
        assert_eq!(std::fs::read(secret).unwrap(), b"x");
    }
}
