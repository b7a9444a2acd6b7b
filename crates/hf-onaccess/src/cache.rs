//! Verdicts of files in the state in which they were scanned.
//!
//! Promises: bounded: of the entries used last at least [`HALF`] are kept, and at most twice as many.
//! Leaves out: whether a state is still that of the file; see `remember.rs`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hf_sys::FileHandle;

use crate::stamp::{FileId, Stamp};

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing was found.
    Clean,
    /// Not everything was looked at, and nothing was found.
    Incomplete,
    /// This was found.
    Detected(String),
}

/// A verdict with what it belongs to.
#[derive(Debug, Clone)]
struct Entry {
    /// Which file had this number; none where the file system has no handles.
    handle: Option<FileHandle>,
    stamp: Stamp,
    known: Known,
}

/// Verdicts by file. When the young half is full it becomes the old one, which is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<FileId, Entry>,
    old: HashMap<FileId, Entry>,
}

impl Cache {
    fn halves(&self) -> MutexGuard<'_, Halves> {
        // A map is whole between two calls, and a panic does not happen within one.
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is known of a file in this state. The handle is asked for only when there is an entry.
    pub(crate) fn look_up(
        &self,
        id: FileId,
        stamp: &Stamp,
        handle: impl FnOnce() -> Option<FileHandle>,
    ) -> Option<Known> {
        let entry = {
            let mut halves = self.halves();
            let from_old = halves.old.remove(&id);
            if let Some(entry) = from_old {
                halves.insert(id, entry);
            }
            halves.young.get(&id).filter(|entry| entry.stamp == *stamp).cloned()
        }?;
        (entry.handle == handle()).then_some(entry.known)
    }

    /// Keeps a verdict.
    pub(crate) fn keep(&self, id: FileId, handle: Option<FileHandle>, stamp: Stamp, known: Known) {
        let mut halves = self.halves();
        halves.old.remove(&id);
        halves.insert(id, Entry { handle, stamp, known });
    }

    /// Forgets what is known of a file.
    pub(crate) fn forget(&self, id: FileId) {
        let mut halves = self.halves();
        halves.young.remove(&id);
        halves.old.remove(&id);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let halves = std::mem::take(&mut *self.halves());
        drop(halves);
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        let halves = self.halves();
        halves.young.len().saturating_add(halves.old.len())
    }
}

impl Halves {
    fn insert(&mut self, id: FileId, entry: Entry) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
    }
}

/// Ours: some 150 bytes each, so about 20 MiB when both halves are full.
const HALF: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Facts;

    #[test]
    fn keeps_what_is_used_and_no_more_than_twice_the_half() {
        let cache = Cache::default();
        let temp = tempfile::NamedTempFile::new().unwrap();
        let stamp = Facts::of(temp.as_file()).unwrap().stamp;
        std::fs::write(temp.path(), b"x").unwrap();
        let other = Facts::of(temp.as_file()).unwrap().stamp;
        let id = |inode| FileId { device: (0, 1), inode };
        let none = || None;
        for inode in 0..u64::try_from(HALF * 3).unwrap() {
            cache.keep(id(inode), None, stamp, Known::Clean);
            assert_eq!(cache.look_up(id(0), &stamp, none), Some(Known::Clean));
        }
        assert!(cache.len() <= 2 * HALF);
        assert_eq!(cache.look_up(id(1), &stamp, none), None);
        assert_eq!(cache.look_up(id(0), &other, none), None);
        cache.forget(id(0));
        assert_eq!(cache.look_up(id(0), &stamp, none), None);
        let handle = FileHandle::of(temp.as_file()).ok();
        cache.keep(id(7), handle.clone(), stamp, Known::Incomplete);
        assert_eq!(cache.look_up(id(7), &stamp, || handle.clone()), Some(Known::Incomplete));
        if handle.is_some() {
            assert_eq!(cache.look_up(id(7), &stamp, none), None);
        }
        cache.clear();
        assert_eq!(cache.len(), 0);
    }
}
