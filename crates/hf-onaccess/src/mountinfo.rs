//! `/proc/self/mountinfo`: which file systems are where.
//!
//! Promises: a line that is malformed is left out, the others stay.
//! Sources: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, as statx(2) tells it.
    pub id: u64,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// Where it is.
    pub point: PathBuf,
    /// Type of the file system, for example `ext4` or `fuse.sshfs`.
    pub fstype: String,
    /// Mounted for reading only.
    pub read_only: bool,
}

/// What kind of file system something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// On a device of this machine, or in its memory.
    Local,
    /// Others may change files without this kernel's knowledge.
    Network,
    /// A program answers for it.
    Fuse,
    /// What is in it are no files.
    Pseudo,
}

impl Mount {
    /// Returns the kind of its file system.
    #[must_use]
    pub fn kind(&self) -> MountKind {
        let fstype = self.fstype.as_str();
        if fstype == "fuse" || fstype == "fuseblk" || fstype.starts_with("fuse.") {
            MountKind::Fuse
        } else if NETWORK.contains(&fstype) {
            MountKind::Network
        } else if PSEUDO.contains(&fstype) {
            MountKind::Pseudo
        } else {
            MountKind::Local
        }
    }
}

/// Reads the whole text.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`, where `master:1` stands for any number
/// of words.
fn line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ');
    let id = text(words.next()?)?.parse().ok()?;
    let _parent = words.next()?;
    let (major, minor) = text(words.next()?)?.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let _root = words.next()?;
    let point = PathBuf::from(OsString::from_vec(unescape(words.next()?)));
    let options = words.next()?;
    let mut after = words.skip_while(|word| *word != b"-").skip(1);
    let fstype = text(after.next()?)?.to_owned();
    let _source = after.next();
    let of_file_system = after.next().unwrap_or_default();
    let read_only = |options: &[u8]| options.split(|byte| *byte == b',').any(|word| word == b"ro");
    if !point.is_absolute() || fstype.is_empty() {
        return None;
    }
    let read_only = read_only(options) || read_only(of_file_system);
    Some(Mount { id, device, point, fstype, read_only })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescape(mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        let octal = (*first == b'\\').then(|| rest.split_first_chunk::<3>()).flatten();
        let value = octal.and_then(|(digits, _)| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match (value, octal) {
            (Some(value), Some((_, rest))) => {
                plain.push(value);
                bytes = rest;
            }
            _ => plain.push(*first),
        }
    }
    plain
}

const NETWORK: &[&str] = &[
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
];

const PSEUDO: &[&str] = &[
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "pipefs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sockfs",
    "sysfs",
    "tracefs",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text =
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw\n\
            22 1 0:21 / /proc rw - proc proc rw\n\
            nonsense\n\
            40 1 0:50 / /media/my\\040stick\\134 ro - vfat /dev/sdb1 rw\n\
            41 1 0:51 / /net rw shared:1 - fuse.sshfs me@there: rw\n\
            42 1 0:52 / /n rw - nfs4 there:/ ro,vers=4\n\
            43 1 0:52 / relative rw - nfs4 there:/ ro\n\
            44 1 0:53 / /cut rw -";
        let mounts = parse(text);
        let seen: Vec<_> = mounts
            .iter()
            .map(|m| (m.id, m.point.to_str().unwrap(), m.kind(), m.read_only))
            .collect();
        assert_eq!(
            seen,
            [
                (36, "/mnt2", MountKind::Local, false),
                (22, "/proc", MountKind::Pseudo, false),
                (40, "/media/my stick\\", MountKind::Local, true),
                (41, "/net", MountKind::Fuse, false),
                (42, "/n", MountKind::Network, true),
            ]
        );
        assert_eq!(mounts[0].device, (98, 0));
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\999"), b"\\999");
    }
}
