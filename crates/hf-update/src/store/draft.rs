//! A set that is being made: begins as the one in use, changes source by source, and is sealed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::manifest::is_name;
use super::{SetFile, SetManifest, SetStore, StoreError, StoreErrorKind, disk, is_digest};
use crate::source::Offer;

/// A set that is being made.
#[derive(Debug)]
pub struct Draft {
    dir: PathBuf,
    files: Vec<SetFile>,
}

/// A set that is on the disk, whole, and not in use yet.
#[derive(Debug, Clone)]
pub struct SealedSet {
    /// Its digest, as hexadecimal.
    pub digest: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: SetManifest,
}

impl SetStore {
    /// Begins a set with what is in use.
    ///
    /// # Errors
    /// The disk fails.
    pub fn draft(&self) -> Result<Draft, StoreError> {
        let dir = self.staging("set")?;
        let mut draft = Draft { dir, files: Vec::new() };
        if let Some(active) = Self::active(&self.root)? {
            for file in active.manifest.files {
                let from = active.dir.join(&file.source).join(&file.name);
                draft.put(file, &from)?;
            }
        }
        Ok(draft)
    }

    /// Puts a draft on the disk as a set.
    ///
    /// # Errors
    /// The disk fails.
    pub fn seal(&self, draft: Draft) -> Result<SealedSet, StoreError> {
        let manifest = SetManifest::of(draft.files);
        let (bytes, digest) = manifest.bytes();
        let dir = self.root.join("sets").join(&digest);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |err| StoreError::io(&path, err)
        };
        if super::read_set(&self.root, &digest).is_err() {
            let path = draft.dir.join("set.json");
            disk::write_whole(&path, &bytes).map_err(at(&path))?;
            let folders = manifest.files.iter().map(|file| draft.dir.join(&file.source));
            for folder in folders.chain([draft.dir.clone()]) {
                disk::sync_folder(&folder).map_err(at(&folder))?;
            }
            // What is there under this name is a damaged one.
            if dir.exists() {
                let aside = self.root.join("staging/damaged");
                let _ = fs::remove_dir_all(&aside);
                fs::rename(&dir, &aside).map_err(at(&dir))?;
            }
            fs::rename(&draft.dir, &dir).map_err(at(&dir))?;
            let sets = self.root.join("sets");
            disk::sync_folder(&sets).map_err(at(&sets))?;
        }
        Ok(SealedSet { digest, dir, manifest })
    }

    /// Removes sets that are neither in use nor among the last `keep` nor protected.
    ///
    /// # Errors
    /// The store cannot be read; a set that cannot be removed is left.
    pub fn prune(&self, keep: usize, protect: &[&str]) -> Result<(), StoreError> {
        let state = self.state()?;
        let active = super::named_by_link(&self.root)?;
        let last = state.past.iter().rev().map(|past| past.digest.as_str());
        let mut kept: Vec<&str> = Vec::new();
        for digest in last {
            if !kept.contains(&digest) && kept.len() < keep.max(2) {
                kept.push(digest);
            }
        }
        kept.extend(active.as_deref());
        kept.extend(state.brakes.pin.as_deref());
        kept.extend(protect);
        let sets = self.root.join("sets");
        for entry in fs::read_dir(&sets).map_err(|err| StoreError::io(&sets, err))?.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_digest(name)) else { continue };
            if !kept.contains(&name) {
                // First out of sight, so that nobody meets half of it.
                let aside = self.root.join("staging").join(name);
                if fs::rename(entry.path(), &aside).is_ok() {
                    let _ = fs::remove_dir_all(&aside);
                }
            }
        }
        Ok(())
    }
}

impl Draft {
    /// Returns what is in it so far.
    #[must_use]
    pub fn files(&self) -> &[SetFile] {
        &self.files
    }

    /// Replaces everything of a source.
    ///
    /// # Errors
    /// A name cannot be a database's, or the disk fails.
    pub fn replace(&mut self, source: &str, offers: &[Offer]) -> Result<(), StoreError> {
        let old = self.dir.join(source);
        let aside = self.dir.join(".old");
        let known: Vec<SetFile> =
            self.files.iter().filter(|file| file.source == source).cloned().collect();
        self.files.retain(|file| file.source != source);
        if old.exists() {
            fs::rename(&old, &aside).map_err(|err| StoreError::io(&old, err))?;
        }
        for offer in offers {
            let mut file = SetFile {
                source: source.to_owned(),
                name: offer.name.clone(),
                provenance: offer.provenance.clone(),
                ..SetFile::default()
            };
            let read = |err| StoreError::io(&offer.path, err);
            file.len = fs::metadata(&offer.path).map_err(read)?.len();
            file.blake3 = disk::digest_of(&offer.path).map_err(read)?;
            // The same bytes keep the time at which they were seen first.
            if let Some(same) =
                known.iter().find(|old| old.name == file.name && old.blake3 == file.blake3)
            {
                file.provenance.fetched_at = same.provenance.fetched_at;
            }
            self.put(file, &offer.path)?;
        }
        let _ = fs::remove_dir_all(&aside);
        Ok(())
    }

    /// Removes everything of a source.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&mut self, source: &str) -> Result<(), StoreError> {
        self.replace(source, &[])
    }

    fn put(&mut self, file: SetFile, from: &Path) -> Result<(), StoreError> {
        if !is_name(&file.source) || !is_name(&file.name) || file.source == "set.json" {
            let path = Path::new(&file.source).join(&file.name);
            return Err(StoreError { path, kind: StoreErrorKind::Name });
        }
        let twice =
            self.files.iter().any(|known| known.source == file.source && known.name == file.name);
        if twice {
            let path = Path::new(&file.source).join(&file.name);
            return Err(StoreError::damaged(&path, "the name is there twice"));
        }
        let folder = self.dir.join(&file.source);
        fs::create_dir_all(&folder).map_err(|err| StoreError::io(&folder, err))?;
        let to = folder.join(&file.name);
        link_or_copy(from, &to, file.len).map_err(|err| StoreError::io(&to, err))?;
        self.files.push(file);
        Ok(())
    }
}

/// Sets share the bytes that they have in common: their files are never written to again.
fn link_or_copy(from: &Path, to: &Path, len: u64) -> io::Result<()> {
    let read_only = Permissions::from_mode(0o444);
    let shared = fs::metadata(from)?.permissions().readonly() && fs::hard_link(from, to).is_ok();
    if shared {
        // It may be no set's yet, and only be in memory.
        File::open(to)?.sync_all()?;
    } else {
        let part = to.with_extension("copy");
        if fs::copy(from, &part)? != len {
            return Err(disk::ended_early());
        }
        fs::set_permissions(&part, read_only)?;
        File::open(&part)?.sync_all()?;
        fs::rename(&part, to)?;
    }
    Ok(())
}
