//! What a file has besides bytes: read from a descriptor, and put back through one.
//!
//! Leaves out: inode flags (`chattr`); the time of birth is read but no system lets it be set.
//! Limits: names of attributes 64 KiB together, a value 64 KiB (the kernel's), all values 4 MiB (ours); what is beyond
//! is counted.
//! Sources: xattr(7), statx(2), acl(5): access control lists are the attribute `system.posix_acl_access`.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Mode, StatxFlags, Timespec, Timestamps, XattrFlags};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::identity::Time;
use crate::raw::Raw;

const NAMES_MAX: usize = 64 << 10;
const VALUE_MAX: usize = 64 << 10;
const VALUES_MAX: usize = 4 << 20;

const ACL: &[u8] = b"system.posix_acl_access";

/// What a file has besides bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Names that lead to it; more than one means that others still do when it is taken.
    pub links: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Last read.
    pub atime: Time,
    /// Last change of the bytes.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
    /// When it was made, where the file system knows. Cannot be restored.
    pub btime: Option<Time>,
    /// Extended attributes, among them access control lists and labels.
    pub xattrs: Vec<(Raw, Raw)>,
    /// Attributes that were left out because they were too many.
    #[serde(default)]
    pub xattrs_left_out: u64,
}

impl Metadata {
    /// Reads it from an open file.
    ///
    /// # Errors
    /// As fstat(2); the file system refuses to tell attributes that it has.
    pub fn of(file: &File) -> io::Result<Self> {
        let stat = rustix::fs::fstat(file)?;
        let (xattrs, xattrs_left_out) = xattrs(file)?;
        Ok(Self {
            links: count(stat.st_nlink),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & MODE_BITS,
            atime: Time::new(stat.st_atime, stat.st_atime_nsec),
            mtime: Time::new(stat.st_mtime, stat.st_mtime_nsec),
            ctime: Time::new(stat.st_ctime, stat.st_ctime_nsec),
            btime: birth(file),
            xattrs,
            xattrs_left_out,
        })
    }
}

/// Returns a number that has other widths on other processors.
pub(crate) fn count(number: impl Into<u64>) -> u64 {
    number.into()
}

fn birth(file: &File) -> Option<Time> {
    let flags = AtFlags::EMPTY_PATH;
    let told = rustix::fs::statx(file, "", flags, StatxFlags::BTIME).ok()?;
    let known = told.stx_mask & StatxFlags::BTIME.bits() != 0;
    known.then_some(Time { s: told.stx_btime.tv_sec, ns: told.stx_btime.tv_nsec })
}

fn xattrs(file: &File) -> io::Result<(Vec<(Raw, Raw)>, u64)> {
    let mut names = vec![0u8; NAMES_MAX];
    let len = match rustix::fs::flistxattr(file, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok((Vec::new(), 0)),
        Err(errno) => return Err(errno.into()),
    };
    names.truncate(len);
    let (mut kept, mut left_out, mut bytes) = (Vec::new(), 0u64, 0usize);
    let mut value = vec![0u8; VALUE_MAX];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match rustix::fs::fgetxattr(file, OsStr::from_bytes(name), &mut value[..]) {
            Ok(len) if bytes.saturating_add(len) <= VALUES_MAX => {
                bytes = bytes.saturating_add(len);
                let value = value.get(..len).unwrap_or_default().to_vec();
                kept.push((Raw(name.to_vec()), Raw(value)));
            }
            // It went away since it was listed.
            Err(Errno::NODATA) => {}
            Ok(_) | Err(_) => left_out = left_out.saturating_add(1),
        }
    }
    kept.sort();
    Ok((kept, left_out))
}

/// Gives an open file the metadata of a record; returns what could not be given, for people.
///
/// In this order: owner, then what a change of owner clears (capabilities, set-id bits), the mode after attributes that
/// only who may write can set, then access control lists, which a change of mode would alter, then times. Set-id bits are left out when the owner could not be set.
#[must_use]
pub fn apply(file: &File, kept: &Metadata) -> Vec<String> {
    let mut failed = Vec::new();
    let mut note = |what: String, done: Result<(), Errno>| {
        if let Err(errno) = &done {
            failed.push(format!("{what}: {}", io::Error::from(*errno)));
        }
        done.is_ok()
    };
    let (uid, gid) = (Uid::from_raw(kept.uid), Gid::from_raw(kept.gid));
    let owned = note(
        format!("owner {}:{}", kept.uid, kept.gid),
        rustix::fs::fchown(file, Some(uid), Some(gid)),
    );
    let is_acl = |name: &Raw| name.0 == ACL;
    let attribute = |note: &mut dyn FnMut(String, Result<(), Errno>) -> bool, acl: bool| {
        for (name, value) in kept.xattrs.iter().filter(|(name, _)| is_acl(name) == acl) {
            let name = OsStr::from_bytes(&name.0);
            let done = rustix::fs::fsetxattr(file, name, &value.0, XattrFlags::empty());
            // What the system has set by itself already needs no right to set.
            let set = done.is_err() && has(file, name, &value.0);
            note(format!("attribute {}", name.to_string_lossy()), if set { Ok(()) } else { done });
        }
    };
    attribute(&mut note, false);
    let mut mode = kept.mode & MODE_BITS;
    if !owned {
        mode &= !SET_ID_BITS;
    }
    note(format!("mode {mode:o}"), rustix::fs::fchmod(file, Mode::from_raw_mode(mode)));
    attribute(&mut note, true);
    let spec = |time: Time| Timespec { tv_sec: time.s, tv_nsec: i64::from(time.ns) };
    let times = Timestamps { last_access: spec(kept.atime), last_modification: spec(kept.mtime) };
    note("times".to_owned(), rustix::fs::futimens(file, &times));
    failed
}

fn has(file: &File, name: &OsStr, wanted: &[u8]) -> bool {
    let mut value = vec![0u8; VALUE_MAX];
    let len = rustix::fs::fgetxattr(file.as_fd(), name, &mut value[..]);
    len.is_ok_and(|len| value.get(..len) == Some(wanted))
}

const MODE_BITS: u32 = 0o7777;
const SET_ID_BITS: u32 = 0o6000;
