//! What is protected: marks on mounts, kept up with what is mounted.
//!
//! Promises: a file system that appears is protected as soon as the kernel says that the table changed.
//! Leaves out: file systems that are mounted only in another namespace, unless it is the same file
//! system as one that is seen here.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use hf_sys::fanotify::{Group, Scope};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::Settings;
use crate::journal::Journal;
use crate::mountinfo::{Mount, MountKind, parse};
use crate::stamp::{EXACT, Facts, kernel_has_exact_times};

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: MountKind,
    /// A write always changes the stamp.
    pub(crate) exact_times: bool,
    /// The mount is one that is seen here, so that paths mean what they say.
    pub(crate) seen: bool,
}

/// What the gate needs to know of mounts.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_mount: HashMap<u64, Place>,
    by_device: HashMap<(u32, u32), Place>,
    /// Only what is below these; none for everything that is asked for.
    pub(crate) prefixes: Option<Vec<PathBuf>>,
    /// For people.
    pub(crate) protected: Vec<Protected>,
}

/// A mount that is protected.
#[derive(Debug, Clone)]
pub(crate) struct Protected {
    pub(crate) point: PathBuf,
    pub(crate) fstype: String,
    pub(crate) scope: Scope,
    pub(crate) kind: MountKind,
    pub(crate) read_only: bool,
    /// Why it is not.
    pub(crate) error: Option<String>,
}

impl Protected {
    fn is(&self, point: &Path, error: &str) -> bool {
        self.point == *point && self.error.as_deref() == Some(error)
    }
}

impl Table {
    /// Returns where a file is.
    pub(crate) fn place(&self, facts: &Facts) -> Place {
        if let Some(place) = self.by_mount.get(&facts.mount_id) {
            return *place;
        }
        match self.by_device.get(&facts.id.device) {
            Some(place) => Place { seen: false, ..*place },
            // The careful kind: nothing is believed of it but its stamp.
            None => Place { kind: MountKind::Network, exact_times: false, seen: false },
        }
    }
}

/// Marks, and the table that belongs to them.
#[derive(Debug)]
pub(crate) struct Mounts {
    group: Arc<Group>,
    journal: Journal,
    table: Arc<RwLock<Arc<Table>>>,
    file: File,
    exact_times: bool,
    /// By device, or by mount: what the mark was put on.
    marks: BTreeMap<Target, (PathBuf, Scope)>,
    /// What was found at the last time.
    told: Vec<Protected>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Device(u32, u32),
    Mount(u64),
}

impl Target {
    fn of(mount: &Mount, scope: Scope) -> Self {
        match scope {
            Scope::FileSystem => Self::Device(mount.device.0, mount.device.1),
            Scope::Mount => Self::Mount(mount.id),
        }
    }

    fn is(self, mount: &Mount) -> bool {
        [Scope::FileSystem, Scope::Mount].iter().any(|scope| Self::of(mount, *scope) == self)
    }
}

impl Mounts {
    pub(crate) fn new(
        group: Arc<Group>,
        journal: Journal,
        table: Arc<RwLock<Arc<Table>>>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            group,
            journal,
            table,
            file: File::open("/proc/self/mountinfo")?,
            exact_times: kernel_has_exact_times(),
            marks: BTreeMap::new(),
            told: Vec::new(),
        })
    }

    /// Waits until something was mounted or unmounted, or time is up.
    pub(crate) fn wait(&self, at_most: Timespec) {
        let mut polled = [PollFd::new(&self.file, PollFlags::PRI)];
        // An error shows at the next reading.
        let _ = rustix::event::poll(&mut polled, Some(&at_most));
    }

    /// Brings marks and table up to date.
    pub(crate) fn sync(&mut self, settings: &Settings) -> std::io::Result<()> {
        let mut text = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut text)?;
        let mounts = parse(&text);
        let wanted: Vec<&Mount> =
            mounts.iter().filter(|mount| is_wanted(mount, &mounts, settings)).collect();
        // The table is there before the first question.
        self.publish(&mounts, settings, self.told.clone());
        self.told = self.mark(&wanted, &mounts, settings.scope.scope());
        self.publish(&mounts, settings, self.told.clone());
        Ok(())
    }

    fn mark(&mut self, wanted: &[&Mount], all: &[Mount], scope: Scope) -> Vec<Protected> {
        let mut marks = BTreeMap::new();
        let mut protected = Vec::new();
        for mount in wanted {
            let target = Target::of(mount, scope);
            let old = self.marks.remove(&target).or_else(|| marks.get(&target).cloned());
            // Every time: a number may be that of another file system by now.
            let done = self.group.protect(scope, &mount.point);
            let point = mount.point.clone();
            let error = done.err().map(|error| error.to_string());
            match &error {
                None if old.is_none() => {
                    self.journal.line(format!("protects {} ({})", point.display(), mount.fstype));
                }
                Some(why) if !self.told.iter().any(|one| one.is(&point, why)) => {
                    self.journal.line(format!("cannot protect {}: {why}", point.display()));
                }
                _ => {}
            }
            if error.is_none() {
                marks.insert(target, old.unwrap_or((point.clone(), scope)));
            }
            protected.push(Protected {
                point,
                fstype: mount.fstype.clone(),
                scope,
                kind: mount.kind(),
                read_only: mount.read_only,
                error,
            });
        }
        let old = std::mem::replace(&mut self.marks, marks);
        self.release(old, wanted, all, scope);
        protected
    }

    /// Takes marks back from what is mounted and not to be protected any more. What is not mounted has lost
    /// its mark, and its path leads elsewhere now.
    fn release(
        &self,
        old: BTreeMap<Target, (PathBuf, Scope)>,
        wanted: &[&Mount],
        all: &[Mount],
        scope: Scope,
    ) {
        let mut released = false;
        for (target, (point, old_scope)) in old {
            let mounted = all.iter().find(|mount| target.is(mount));
            if let Some(mount) = mounted {
                released |= self.group.release(old_scope, &mount.point).is_ok();
            }
            self.journal.line(format!("protects {} no longer", point.display()));
        }
        if released {
            // Somebody may have unmounted one meanwhile, so that another one lost its mark.
            for mount in wanted {
                if let Err(error) = self.group.protect(scope, &mount.point) {
                    let point = mount.point.display();
                    self.journal.line(format!("cannot protect {point}: {error}"));
                }
            }
        }
    }

    fn publish(&self, mounts: &[Mount], settings: &Settings, protected: Vec<Protected>) {
        let mut table = Table { protected, ..Table::default() };
        for mount in mounts {
            let exact_times = self.exact_times && EXACT.contains(&mount.fstype.as_str());
            let place = Place { kind: mount.kind(), exact_times, seen: true };
            table.by_mount.insert(mount.id, place);
            table.by_device.insert(mount.device, place);
        }
        let whole = |path: &PathBuf| mounts.iter().any(|mount| mount.point == *path);
        if !settings.protect.iter().all(whole) {
            table.prefixes = Some(settings.protect.clone());
        }
        *self.table.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(table);
    }
}

fn is_wanted(mount: &Mount, all: &[Mount], settings: &Settings) -> bool {
    let kind = match mount.kind() {
        MountKind::Local => true,
        MountKind::Network => settings.network,
        MountKind::Fuse => settings.fuse,
        MountKind::Pseudo => false,
    };
    let asked = settings.protect.is_empty()
        || settings.protect.iter().any(|path| {
            mount.point.starts_with(path)
                || holder(path, all).is_some_and(|holder| holder.id == mount.id)
        });
    kind && asked
}

/// Returns the mount in which a path is: the deepest, and of several at one point the last.
fn holder<'m>(path: &Path, all: &'m [Mount]) -> Option<&'m Mount> {
    let holders = all.iter().filter(|mount| path.starts_with(&mount.point));
    holders.max_by_key(|mount| mount.point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_mounts() {
        let mounts = parse(
            b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /proc rw - proc proc rw\n\
              3 1 8:2 / /home rw - ext4 /dev/b rw\n4 3 0:9 / /home/me/net rw - nfs4 s:/ rw\n\
              5 1 0:7 / /mnt rw - fuse.sshfs s: rw\n6 3 8:3 / /home/me/usb rw - vfat /dev/c rw\n",
        );
        let check = |settings: &Settings, want: &[u64]| {
            let ids: Vec<u64> = mounts
                .iter()
                .filter(|mount| is_wanted(mount, &mounts, settings))
                .map(|mount| mount.id)
                .collect();
            assert_eq!(ids, want);
        };
        let protect = |paths: &[&str]| Settings {
            protect: paths.iter().map(PathBuf::from).collect(),
            ..Settings::default()
        };
        check(&Settings::default(), &[1, 3, 6]);
        check(&Settings { network: true, fuse: true, ..Settings::default() }, &[1, 3, 4, 5, 6]);
        check(&protect(&["/home"]), &[3, 6]);
        check(&protect(&["/home/me"]), &[3, 6]);
        check(&protect(&["/home/you"]), &[3]);
        check(&protect(&["/srv"]), &[1]);
        check(&protect(&["/proc"]), &[]);
    }
}
