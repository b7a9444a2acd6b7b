//! Content as the service holds it: packs for workers, and what is told about them.
//!
//! Promises: an identity says exactly which packs, options and limits a verdict came from.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use hf_content::OpenedPack;
use hf_worker::Pack;

/// Opens content. Given by the program, which knows databases, caches and built-in rules.
pub trait ContentSource: Send + Sync {
    /// Opens what is there now; called again at each reload. Unchanged packs are cheap.
    ///
    /// # Errors
    /// It cannot be used; text for people. What was opened before stays in use.
    fn open(&self) -> Result<Content, String>;

    /// Returns a number that changes when what [`ContentSource::open`] would open has changed, as
    /// far as can be seen without reading it.
    fn stamp(&self) -> u64;
}

/// Content that is open.
#[derive(Debug, Clone)]
pub struct Content {
    /// What workers get.
    pub packs: Vec<(Pack, Arc<File>)>,
    /// What is told of it.
    pub identity: Arc<ContentIdentity>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Which content a verdict came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentIdentity {
    /// BLAKE3 over the digests of all packs in order.
    pub digest: [u8; 32],
    /// Signatures by ClamAV's count.
    pub signatures: u64,
    /// The databases with a version, in the order of the packs.
    pub databases: Vec<DatabaseVersion>,
    /// When it was opened.
    pub opened: SystemTime,
    /// What `VERSION` tells behind the engine's version (`/27000/Wed Feb 22 21:33:21 2023`); empty
    /// without a daily database.
    pub version_suffix: String,
    /// When the newest signed database was made, where that is known.
    pub newest_built: Option<SystemTime>,
    /// Bytes of all packs.
    pub bytes: u64,
}

/// A database with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseVersion {
    /// Base name of the file (`daily.cvd`); of loose databases, of each.
    pub name: String,
    /// As its header states, for signed containers.
    pub version: Option<u32>,
    /// As its header states, as text; empty when unknown.
    pub built_at: String,
    /// Signatures from it.
    pub signatures: u64,
    /// From a signed database.
    pub official: bool,
    /// By what it was verified, in words; empty when by nothing.
    pub proof: String,
}

impl Content {
    /// Makes content of open packs.
    ///
    /// # Errors
    /// The system has no descriptor or memory left.
    pub fn of_packs(opened: &[OpenedPack], warnings: Vec<String>) -> io::Result<Self> {
        let mut packs = Vec::with_capacity(opened.len());
        let mut hasher = blake3::Hasher::new();
        let mut databases = Vec::new();
        let (mut signatures, mut bytes) = (0u64, 0u64);
        for OpenedPack { pack, .. } in opened {
            let meta = pack.meta();
            hasher.update(pack.digest());
            signatures = signatures.saturating_add(meta.signatures);
            let pack_bytes = u64::try_from(pack.as_bytes().len()).unwrap_or(u64::MAX);
            bytes = bytes.saturating_add(pack_bytes);
            let label = meta.sources.first().map_or_else(String::new, |one| one.name.clone());
            let file = match pack.file() {
                Some(file) => file.try_clone()?,
                None => hf_sys::sealed_memory("pack", pack.as_bytes())?,
            };
            packs.push((Pack { label }, Arc::new(file)));
            databases.extend(meta.sources.iter().map(|source| DatabaseVersion {
                name: source.name.clone(),
                version: source.version,
                built_at: source.built_at.clone(),
                signatures: source.signatures,
                official: meta.official,
                proof: source.proof.clone(),
            }));
        }
        let digest = *hasher.finalize().as_bytes();
        let identity = ContentIdentity {
            digest,
            signatures,
            databases,
            opened: SystemTime::now(),
            version_suffix: String::new(),
            newest_built: None,
            bytes,
        };
        Ok(Self { packs, identity: Arc::new(identity), warnings })
    }

    /// Sets what `VERSION` tells behind the engine's version.
    #[must_use]
    pub fn with_version_suffix(mut self, suffix: String) -> Self {
        Arc::make_mut(&mut self.identity).version_suffix = suffix;
        self
    }

    /// Sets when the newest signed database was made.
    #[must_use]
    pub fn with_newest_built(mut self, built: Option<SystemTime>) -> Self {
        Arc::make_mut(&mut self.identity).newest_built = built;
        self
    }

    /// Content without any pack, with which only heuristics find something.
    #[must_use]
    pub fn none() -> Self {
        Self {
            packs: Vec::new(),
            identity: Arc::new(ContentIdentity {
                digest: *blake3::hash(b"").as_bytes(),
                signatures: 0,
                databases: Vec::new(),
                opened: SystemTime::now(),
                version_suffix: String::new(),
                newest_built: None,
                bytes: 0,
            }),
            warnings: Vec::new(),
        }
    }
}

impl ContentIdentity {
    /// Returns the digest in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }

    /// Returns the version that `VERSION` tells: of the daily database, if there is one.
    #[must_use]
    pub fn daily(&self) -> Option<&DatabaseVersion> {
        let daily = |one: &&DatabaseVersion| {
            one.version.is_some() && matches!(one.name.as_str(), "daily.cvd" | "daily.cld")
        };
        self.databases.iter().filter(daily).max_by_key(|one| one.version)
    }
}

impl fmt::Debug for dyn ContentSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ContentSource")
    }
}

/// Returns a number that changes when one of these files, or a file in one of these folders, is
/// written, added or removed.
#[must_use]
pub fn stamp_of_paths(paths: &[PathBuf]) -> u64 {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let mut hasher = blake3::Hasher::new();
    let mut add = |path: &std::path::Path| {
        hasher.update(path.as_os_str().as_bytes());
        if let Ok(meta) = std::fs::metadata(path) {
            for word in [meta.dev(), meta.ino(), meta.len()] {
                hasher.update(&word.to_le_bytes());
            }
            // A folder's own times change with what is beside the databases in it.
            let time = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            hasher.update(&time.0.to_le_bytes());
            hasher.update(&time.1.to_le_bytes());
        }
    };
    for path in paths {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(hf_content::is_database)
            })
            .collect();
        inside.sort();
        if inside.is_empty() {
            add(path);
        }
        inside.iter().for_each(|path| add(path));
    }
    let digest = *hasher.finalize().as_bytes();
    let mut first = [0u8; 8];
    first.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    u64::from_le_bytes(first)
}
