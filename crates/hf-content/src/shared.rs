//! Packs that somebody else compiled, for whoever may believe them.
//!
//! Who fetches content tries it, and compiles it for that. A service that opens the same content need not do
//! it again, in memory that it seldom gives back.
//! Promises: a pack is believed when it and its folder are root's or ours, or belong to the user whose are all of
//! the sources: who could make up the pack could as well make up what it is made of. Nobody else may write to
//! them. The name is that of the sources' digests and the options, as in the cache; bytes are verified as there.
//! Only files of root or ours are mapped where they lie: another user's could be written to under the map, whatever
//! its mode, so it is for copying into the cache.
//! Leaves out: writing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::sources::Group;

/// A folder with packs.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    dir: PathBuf,
    owner: u32,
}

impl Shared {
    /// Looks at the folder; none when it is not there, or others can write to it.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        let meta = std::fs::metadata(dir).ok().filter(std::fs::Metadata::is_dir)?;
        let closed = meta.mode() & 0o022 == 0;
        closed.then(|| Self { dir: dir.to_owned(), owner: meta.uid() })
    }

    /// Opens a pack that may be believed for these sources; says whether it may be mapped where it lies.
    pub(crate) fn read(&self, name: &str, group: &Group) -> Option<(File, bool)> {
        let ours = |uid: u32| uid == 0 || uid == rustix::process::geteuid().as_raw();
        if !ours(self.owner) {
            let of_owner =
                |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.uid() == self.owner);
            if !group.sources.iter().all(|source| of_owner(&source.path)) {
                return None;
            }
        }
        let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
        let path = self.dir.join(name);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let meta = file.metadata().ok()?;
        let owned = meta.uid() == self.owner || meta.uid() == 0;
        let fits = meta.is_file() && owned && meta.mode() & 0o022 == 0;
        fits.then(|| (file, ours(meta.uid())))
    }
}
