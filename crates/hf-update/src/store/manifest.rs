//! What is in a set: `set.json`, whose BLAKE3 is the set's name.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::provenance::Provenance;

/// The manifest of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetManifest {
    /// Version of this form: 1.
    pub format: u32,
    /// Digest of what the scanner sees of it: sources, names and digests, without times and addresses.
    pub content: String,
    /// Its files, by source and name.
    pub files: Vec<SetFile>,
}

/// A file of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFile {
    /// The source that offered it, and the folder that it is in.
    pub source: String,
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// Its BLAKE3, as hexadecimal.
    pub blake3: String,
    /// Where it came from.
    pub provenance: Provenance,
}

/// The only form so far.
const FORMAT: u32 = 1;
/// Longest manifest in bytes; ours.
const MANIFEST_MAX: u64 = 64 << 20;

impl SetManifest {
    /// Makes the manifest of these files.
    pub(super) fn of(mut files: Vec<SetFile>) -> Self {
        files.sort_by(|a, b| (&a.source, &a.name).cmp(&(&b.source, &b.name)));
        let mut hasher = blake3::Hasher::new();
        for file in &files {
            hasher.update(format!("{}/{}\0{}\n", file.source, file.name, file.blake3).as_bytes());
        }
        Self { format: FORMAT, content: hasher.finalize().to_hex().to_string(), files }
    }

    /// Returns its bytes and their digest.
    pub(super) fn bytes(&self) -> (Vec<u8>, String) {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        let digest = blake3::hash(&bytes).to_hex().to_string();
        (bytes, digest)
    }

    /// Reads the manifest in a folder.
    ///
    /// # Errors
    /// It is missing, malformed, or has another digest.
    pub fn read(dir: &Path, digest: Option<&str>) -> Result<Self, StoreError> {
        let path = dir.join("set.json");
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MANIFEST_MAX).read_to_end(&mut bytes))
            .map_err(|err| StoreError::io(&path, err))?;
        if digest.is_some_and(|digest| blake3::hash(&bytes).to_hex().as_str() != digest) {
            return Err(StoreError::damaged(&path, "it has another digest than its folder's name"));
        }
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|err| StoreError::damaged(&path, &err.to_string()))?;
        if manifest.format != FORMAT {
            return Err(StoreError::damaged(
                &path,
                "it is of a newer form than this program knows",
            ));
        }
        match manifest.files.iter().all(|file| is_name(&file.source) && is_name(&file.name)) {
            true => Ok(manifest),
            false => Err(StoreError::damaged(&path, "it holds a name that cannot be a file's")),
        }
    }

    /// Returns the files of a source.
    #[must_use]
    pub fn of_source(&self, source: &str) -> Vec<SetFile> {
        self.files.iter().filter(|file| file.source == source).cloned().collect()
    }
}

/// True for a name that sources and databases may have: it cannot lead out of its folder.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}
