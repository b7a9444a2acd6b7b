//! Opens content: for each group the stamped pack, else a verified one, else a new one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hf_pack::{Pack, WritePackError, anonymous_file, seal};

use crate::cache::{Cache, PACK_SUFFIX};
use crate::compile::{COMPILER_VERSION, compile};
use crate::detached::signature_beside;
use crate::ignores::Ignores;
use crate::prune::{is_due, prune};
use crate::read::{Seen, digests, read_ahead};
use crate::record::{Record, group_id, pack_key};
use crate::shared::Shared;
use crate::sources::{Group, GroupKind, groups};
use crate::stamp::Stamp;
use crate::{ContentError, ContentErrorKind, ContentOptions};

/// Opens content, with packs kept in a directory.
#[derive(Debug, Clone)]
pub struct ContentStore {
    dir: Option<PathBuf>,
    shared: Option<PathBuf>,
}

/// Open content.
#[derive(Debug, Clone, Default)]
pub struct OpenedContent {
    /// The packs: containers in the order of the paths, then the loose databases.
    pub packs: Vec<OpenedPack>,
    /// What the operator should know: left-out databases, an altered cache, the packs' own warnings.
    pub warnings: Vec<String>,
}

/// An open pack and where it came from.
#[derive(Debug, Clone)]
pub struct OpenedPack {
    /// The pack.
    pub pack: Arc<Pack>,
    /// What it took to open it.
    pub origin: PackOrigin,
}

/// What it took to open a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackOrigin {
    /// It was in the cache, and stamps said that nothing had changed.
    Stamped,
    /// It was in the cache and was read whole to verify it.
    Verified,
    /// It was compiled and put in the cache.
    Built,
    /// It was compiled and lives only in memory.
    InMemory,
    /// It was compiled elsewhere, and is one of the databases.
    Given,
}

impl OpenedContent {
    /// Returns the number of signatures, by ClamAV's count.
    #[must_use]
    pub fn signatures(&self) -> u64 {
        self.packs.iter().map(|opened| opened.pack.meta().signatures).sum()
    }
}

impl ContentStore {
    /// Keeps packs in a directory, which is made when it is missing.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self { dir: Some(cache_dir.into()), shared: None }
    }

    /// Keeps nothing: every pack is compiled in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { dir: None, shared: None }
    }

    /// Uses packs of this folder as well, which somebody else compiled: those that are root's or ours, and those of
    /// the user who owns the databases. Nothing is written there.
    #[must_use]
    pub fn with_shared(self, dir: Option<PathBuf>) -> Self {
        Self { shared: dir, ..self }
    }

    /// Opens the databases at these paths: files, and the database files in directories.
    ///
    /// # Errors
    /// A path cannot be read or a database is malformed. Trouble with the cache is only a warning.
    pub fn open(
        &self,
        paths: &[PathBuf],
        options: &ContentOptions,
    ) -> Result<OpenedContent, ContentError> {
        let mut content = OpenedContent::default();
        let groups = groups(paths, options, &mut content.warnings)?;
        let mut opening = Opening {
            cache: self.cache(&mut content.warnings),
            shared: self.shared.as_deref().and_then(Shared::open),
            options: options.clone(),
            ignores: Ignores::default(),
            warnings: content.warnings,
            keys: Vec::new(),
            built: false,
        };
        for group in &groups {
            let opened = opening.group(group)?;
            opening.ignores.add_pack(&opened.pack);
            opening.warnings.extend(opened.pack.meta().warnings.iter().cloned());
            if group.kind != GroupKind::Ignores {
                content.packs.push(opened);
            }
        }
        if let Some(cache) = opening.cache.as_ref().filter(|_| opening.built) {
            prune(cache, &opening.keys);
        }
        content.warnings = opening.warnings;
        Ok(content)
    }

    fn cache(&self, warnings: &mut Vec<String>) -> Option<Cache> {
        let opened = Cache::open(self.dir.as_ref()?);
        opened.map_err(|err| warnings.push(format!("packs are not kept: {err}"))).ok()
    }
}

/// The work of one call.
struct Opening {
    cache: Option<Cache>,
    shared: Option<Shared>,
    /// With the detached signature of the container that is being opened.
    options: ContentOptions,
    ignores: Ignores,
    warnings: Vec<String>,
    /// Packs in use.
    keys: Vec<String>,
    built: bool,
}

impl Opening {
    fn group(&mut self, group: &Group) -> Result<OpenedPack, ContentError> {
        if let (GroupKind::Pack, Some(source)) = (group.kind, group.sources.first()) {
            return self.given(&source.path);
        }
        self.options.load.containers.detached = match &group.sources[..] {
            [source] if group.kind == GroupKind::Container => signature_beside(&source.path)?,
            _ => None,
        };
        let Some(cache) = self.cache.clone() else { return self.in_memory(group) };
        let id = group_id(group, &self.options, &self.ignores);
        if let Some((pack, origin)) = self.stamped(&cache, &id, group) {
            return Ok(OpenedPack { pack, origin });
        }
        for _ in 0..ATTEMPTS {
            let seen = digests(group)?;
            let key = pack_key(group, &seen, &self.options, &self.ignores);
            let mut opened =
                self.verified(&cache, &key, group).map(|pack| (pack, PackOrigin::Verified));
            if opened.is_none() {
                let _lock = cache.lock(&key);
                opened = match self.cached_or_built(&cache, &key, group, &seen) {
                    Ok(opened) => opened,
                    Err(BuildError::Content(err)) => return Err(err),
                    Err(BuildError::Cache(err)) => {
                        let text = format!("packs are not kept: cannot write to the cache: {err}");
                        self.warnings.push(text);
                        self.cache = None;
                        return self.in_memory(group);
                    }
                };
            }
            if let Some((pack, origin)) = opened {
                let stamps = seen.iter().map(|seen| seen.stamp).collect();
                self.remember(&cache, &id, &key, &pack, stamps);
                return Ok(OpenedPack { pack, origin });
            }
        }
        let path = group.sources.first().map(|source| source.path.clone()).unwrap_or_default();
        Err(ContentError::new(path, ContentErrorKind::Changing))
    }

    /// Opens a pack that was compiled elsewhere. Who put it there has verified it: here only its header
    /// and table are, and whatever is read from it later is bounded anyway.
    fn given(&mut self, path: &Path) -> Result<OpenedPack, ContentError> {
        let file = File::open(path).map_err(|err| ContentError::read(path, err))?;
        let pack =
            Pack::open(file).map_err(|err| ContentError::new(path, ContentErrorKind::Open(err)))?;
        if pack.meta().compiler_version != COMPILER_VERSION {
            self.warnings.push(format!(
                "{}: compiled by another version ({}); an update brings one of this version",
                path.display(),
                pack.meta().compiler_version
            ));
        }
        Ok(OpenedPack { pack, origin: PackOrigin::Given })
    }

    /// Returns the pack that the group's record names, when every stamp fits.
    fn stamped(
        &mut self,
        cache: &Cache,
        id: &str,
        group: &Group,
    ) -> Option<(Arc<Pack>, PackOrigin)> {
        let (record, file) = Record::read(cache, id)?;
        if record.sources.len() != group.sources.len() {
            return None;
        }
        for (source, stamp) in group.sources.iter().zip(&record.sources) {
            let now = std::fs::metadata(&source.path).ok()?;
            if *stamp != Some(Stamp::of(&now)) {
                return None;
            }
        }
        let (pack, place) = self.find(cache, &record.key, group)?;
        if place == Place::Foreign {
            return None;
        }
        let stamp = Stamp::of(&pack.metadata().ok()?);
        // A disk may lose a bit without a trace in any stamp.
        let due = is_due(&file);
        if record.pack != Some(stamp) || due {
            // Its sources are unchanged, so its key stands; only its own bytes are in doubt.
            let pack = self.verified(cache, &record.key, group)?;
            self.remember(cache, id, &record.key, &pack, record.sources);
            return Some((pack, PackOrigin::Verified));
        }
        let pack = Pack::open(pack).ok().filter(|pack| *pack.digest() == record.pack_digest)?;
        self.keys.push(record.key);
        Some((pack, PackOrigin::Stamped))
    }

    /// Opens a pack of the cache, or of the shared folder; says where it is.
    fn find(&self, cache: &Cache, key: &str, group: &Group) -> Option<(File, Place)> {
        let name = pack_name(key);
        let own = cache.read(&name).map(|file| (file, Place::Cache));
        own.or_else(|| {
            let (file, stays) = self.shared.as_ref()?.read(&name, group)?;
            Some((file, if stays { Place::Shared } else { Place::Foreign }))
        })
    }

    /// As [`Opening::find`]; what another user could write to is copied into the cache first.
    fn settled(&self, cache: &Cache, key: &str, group: &Group) -> Option<(File, Place)> {
        let (mut file, place) = self.find(cache, key, group)?;
        if place != Place::Foreign {
            return Some((file, place));
        }
        let draft = cache.draft().ok()?;
        io::copy(&mut file, &mut draft.file()).ok()?;
        let name = pack_name(key);
        draft.publish(cache, &name).ok()?;
        cache.read(&name).map(|file| (file, Place::Foreign))
    }

    /// Returns a pack from the cache after reading it whole; an altered one is removed.
    fn verified(&mut self, cache: &Cache, key: &str, group: &Group) -> Option<Arc<Pack>> {
        let name = pack_name(key);
        let (file, place) = self.settled(cache, key, group)?;
        let written = |meta: &std::fs::Metadata| (meta.len(), meta.modified().ok());
        let before = written(&file.metadata().ok()?);
        let checked = Pack::open(file).map_err(|err| err.to_string()).and_then(|pack| {
            pack.verify().map_err(|err| err.to_string())?;
            // What was written behind the reader would have the stamp of what was read.
            let after = pack.file().and_then(|file| file.metadata().ok());
            match after.is_some_and(|after| written(&after) == before) {
                true => Ok(pack),
                false => Err("it was written to while it was read".to_owned()),
            }
        });
        match checked {
            Ok(pack) => {
                self.keys.push(key.to_owned());
                Some(pack)
            }
            Err(err) => {
                self.warnings.push(format!("{name} in the cache is not used: {err}"));
                if place != Place::Shared {
                    cache.remove(&name);
                }
                if place != Place::Cache {
                    // Of that folder nothing is believed any more, this time.
                    self.shared = None;
                }
                None
            }
        }
    }

    /// Under the lock: another builder may have been faster.
    fn cached_or_built(
        &mut self,
        cache: &Cache,
        key: &str,
        group: &Group,
        seen: &[Seen],
    ) -> Result<Option<(Arc<Pack>, PackOrigin)>, BuildError> {
        if let Some(pack) = self.verified(cache, key, group) {
            return Ok(Some((pack, PackOrigin::Verified)));
        }
        let built = self.build(cache, key, group, seen)?;
        Ok(built.map(|pack| (pack, PackOrigin::Built)))
    }

    /// Compiles a group into the cache; none when a source is no longer what its digest says.
    fn build(
        &mut self,
        cache: &Cache,
        key: &str,
        group: &Group,
        seen: &[Seen],
    ) -> Result<Option<Arc<Pack>>, BuildError> {
        let draft = cache.draft().map_err(BuildError::Cache)?;
        let compiled = read_ahead(group, |databases| {
            compile(databases, &self.options, &self.ignores, draft.file())
        });
        let (_, meta) = compiled.map_err(|err| match err.kind {
            ContentErrorKind::Write(WritePackError::Io(err)) => BuildError::Cache(err),
            kind => BuildError::Content(ContentError { kind, ..err }),
        })?;
        let read = meta.sources.iter().map(|source| source.digest);
        if !read.eq(seen.iter().map(|seen| seen.digest)) {
            return Ok(None);
        }
        let name = pack_name(key);
        draft.publish(cache, &name).map_err(BuildError::Cache)?;
        self.built = true;
        let gone = || BuildError::Cache(io::ErrorKind::NotFound.into());
        let file = cache.read(&name).ok_or_else(gone)?;
        settle(&file);
        let pack = Pack::open(file).map_err(|err| {
            BuildError::Content(ContentError::new(&name, ContentErrorKind::Open(err)))
        })?;
        self.keys.push(key.to_owned());
        Ok(Some(pack))
    }

    fn remember(
        &self,
        cache: &Cache,
        id: &str,
        key: &str,
        pack: &Pack,
        sources: Vec<Option<Stamp>>,
    ) {
        let meta = pack.file().and_then(|file| file.metadata().ok());
        let stamp = meta.and_then(|meta| Stamp::settled(&meta, SystemTime::now()));
        let pack_digest = *pack.digest();
        Record { key: key.to_owned(), pack_digest, pack: stamp, sources }.write(cache, id);
    }

    fn in_memory(&self, group: &Group) -> Result<OpenedPack, ContentError> {
        let memory = |err| ContentError::read("memory", err);
        let file = anonymous_file("content").map_err(memory)?;
        let (file, _) =
            read_ahead(group, |databases| compile(databases, &self.options, &self.ignores, file))?;
        seal(&file).map_err(memory)?;
        let pack = Pack::open(file)
            .map_err(|err| ContentError::new("memory", ContentErrorKind::Open(err)))?;
        Ok(OpenedPack { pack, origin: PackOrigin::InMemory })
    }
}

/// Why a group was not built.
enum BuildError {
    Content(ContentError),
    Cache(io::Error),
}

fn pack_name(key: &str) -> String {
    format!("{key}{PACK_SUFFIX}")
}

/// Where a pack was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the cache.
    Cache,
    /// In the shared folder, as a file of root or ours.
    Shared,
    /// In the shared folder, as a file that another user can write to.
    Foreign,
}

/// Lets a large new pack grow old enough for its stamp; a small one is verified next time.
fn settle(file: &File) {
    let large = file.metadata().is_ok_and(|meta| meta.len() > 16 << 20);
    if large {
        std::thread::sleep(Duration::from_millis(60));
    }
}

/// Ours: a source that changes more often than this cannot be read.
const ATTEMPTS: usize = 3;
