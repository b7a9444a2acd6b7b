//! Remembering that a file is clean, in the kernel and beside it, without remembering a state that nobody
//! scanned.
//!
//! While a read lease is held, nobody has the file open for writing, and whoever wants to waits. If the
//! file then is in the state that was scanned, it is safe to tell the kernel not to ask for it: every
//! later write with write(2) and the like takes the mark away, and a later map for writing is told when
//! it is gone. Without the lease nothing is remembered.
//! Leaves out: what is written through a map while that map is there; see `docs/onaccess.md`.
//! Sources: fcntl(2) "Leases"; fanotify_mark(2) `FAN_MARK_IGNORE`, `FAN_MARK_EVICTABLE`.

use std::fs::File;
use std::sync::Arc;

use hf_sys::FileHandle;
use hf_sys::fanotify::Group;
use hf_sys::lease::read_lease;

use crate::cache::{Cache, Known};
use crate::metrics::Metrics;
use crate::mountinfo::MountKind;
use crate::stamp::Facts;

/// What the guard knows of files.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) group: Arc<Group>,
    pub(crate) cache: Cache,
    pub(crate) metrics: Arc<Metrics>,
}

/// Whether the kernel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It need not ask again.
    NoMore,
    /// It shall ask every time.
    Always,
}

impl Memory {
    /// Returns what is known of a file that somebody opens, if that still holds; `ask` says of what is
    /// known whether the kernel shall go on asking.
    pub(crate) fn known(
        &self,
        file: &File,
        facts: &Facts,
        kind: MountKind,
        ask: impl FnOnce(&Known) -> Ask,
    ) -> Option<Known> {
        if kind == MountKind::Fuse {
            return None;
        }
        let handle = || FileHandle::of(file).ok();
        let known = self.cache.look_up(facts.id, &facts.stamp, handle)?;
        let mark = || {
            if ask(&known) == Ask::NoMore {
                self.ignore(file);
            }
        };
        let holds = match kind {
            // Where others write, only they know; the server was asked at the open.
            MountKind::Network => true,
            _ => self.if_nobody_writes(file, facts, mark).is_some(),
        };
        if !holds {
            self.cache.forget(facts.id);
        }
        holds.then_some(known)
    }

    /// Keeps what was found out about a file in the state of `facts`.
    pub(crate) fn keep(
        &self,
        file: &File,
        facts: &Facts,
        kind: MountKind,
        known: &Known,
        ask: Ask,
    ) {
        let handle = FileHandle::of(file).ok();
        let keep = || {
            if ask == Ask::NoMore && kind == MountKind::Local {
                self.ignore(file);
            }
            self.cache.keep(facts.id, handle, facts.stamp, known.clone());
        };
        let kept = match kind {
            MountKind::Local => self.if_nobody_writes(file, facts, keep),
            MountKind::Network => {
                Facts::of(file).is_ok_and(|now| now.stamp == facts.stamp).then(keep)
            }
            MountKind::Fuse | MountKind::Pseudo => None,
        };
        if kept.is_none() {
            self.cache.forget(facts.id);
            self.metrics.not_remembered.add();
        }
    }

    /// Somebody who could write to the file closed it.
    pub(crate) fn was_written(&self, file: &File) {
        if let Ok(facts) = Facts::of(file) {
            self.cache.forget(facts.id);
        }
        // A mark that cannot be taken back is one that is not there.
        let _ = self.group.ask_again(file);
        self.metrics.written.add();
    }

    /// Does something while nobody can write, if the file is in the state of `facts`.
    fn if_nobody_writes<T>(
        &self,
        file: &File,
        facts: &Facts,
        something: impl FnOnce() -> T,
    ) -> Option<T> {
        let lease = read_lease(file).ok().flatten()?;
        let now = Facts::of(file).ok()?;
        let done = (now.stamp == facts.stamp).then(something);
        drop(lease);
        done
    }

    fn ignore(&self, file: &File) {
        match self.group.ignore(file) {
            Ok(()) => self.metrics.remembered.add(),
            // Without the mark it is asked again, and the cache answers.
            Err(_) => self.metrics.not_remembered.add(),
        }
    }
}
