//! The manifest of one release of a set: its sources, its packs, and how to get each.
//!
//! It is what TUF names as a target and what publishers attest. JSON, unknown fields refused, at most
//! [`MANIFEST_LEN_MAX`] bytes. The digest of the bytes as they are is what counts; nothing is
//! serialised again to be compared.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::layout::is_plain_name;

/// Most bytes of a manifest.
pub const MANIFEST_LEN_MAX: usize = 4 << 20;
/// The word at the beginning of each manifest.
const FORMAT: &str = "holdfast-manifest/1";
/// Ours: most sources of a set, files of a source, packs and patches of a blob.
const ENTRIES_MAX: usize = 1000;
/// Ours: most bytes of a text field.
const TEXT_MAX: usize = 2000;
/// Ours: most bytes of one blob, 16 GiB.
const BLOB_LEN_MAX: u64 = 16 << 30;

/// One release of a set of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `holdfast-manifest/1`.
    pub format: String,
    /// Name of the set.
    pub set: String,
    /// Number of the release; grows by one.
    pub release: u64,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// Digest of the manifest before it.
    pub previous: Option<Digest>,
    /// What it was made from, in the order in which it is compiled.
    pub sources: Vec<SourceEntry>,
    /// What was compiled from it.
    pub packs: Vec<PackEntry>,
    /// The list of what changed since the release before (`Changes`).
    pub changes: Option<Stored>,
}

/// A source: whose signatures, under which licence, when and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEntry {
    /// Name within the set.
    pub id: String,
    /// For people.
    pub title: String,
    /// Who wrote the signatures.
    pub author: String,
    /// SPDX expression, or words.
    pub licence: String,
    /// Uses that the licence forbids, such as `commercial`; empty when none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbids: Vec<String>,
    /// Where it was fetched; empty for a local folder.
    pub url: String,
    /// When it was fetched, RFC 3339 in UTC.
    pub fetched: String,
    /// Its database files, sorted by name.
    pub files: Vec<Blob>,
}

/// A compiled pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackEntry {
    /// The pack.
    pub blob: Blob,
    /// Version of the compiler, with the fingerprint of its code.
    pub compiler: String,
    /// Version of the pack's format.
    pub pack_format: u32,
    /// Signatures in it, by ClamAV's count.
    pub signatures: u64,
}

/// A file, and in which forms the channel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Name of the file.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
    /// The index of its chunks.
    pub index: Stored,
    /// Its chunks, one after the other.
    pub data: Stored,
    /// Patches from earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchEntry>,
}

/// An object of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its digest, which is its name.
    pub sha256: Digest,
    /// Its bytes.
    pub size: u64,
}

/// A patch from one earlier version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchEntry {
    /// Digest of the version that it applies to.
    pub from: Digest,
    /// Digest of the patch.
    pub sha256: Digest,
    /// Bytes of the patch.
    pub size: u64,
}

/// A manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MANIFEST_LEN_MAX`].
    #[error("manifest has more than {MANIFEST_LEN_MAX} bytes")]
    TooLong,
    /// Not the JSON that it should be.
    #[error("manifest is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that it cannot have.
    #[error("manifest: {field}: {why}")]
    Field {
        /// Which.
        field: String,
        /// Why.
        why: &'static str,
    },
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// It is too long, not readable, or a field has an impossible value.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_LEN_MAX {
            return Err(ManifestError::TooLong);
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns a manifest without anything in it.
    #[must_use]
    pub fn new(set: &str, release: u64, created: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            set: set.to_owned(),
            release,
            created: created.to_owned(),
            previous: None,
            sources: Vec::new(),
            packs: Vec::new(),
            changes: None,
        }
    }

    /// Returns the bytes to publish.
    ///
    /// # Errors
    /// A field has an impossible value, or there is too much.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        self.check()?;
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        if bytes.len() > MANIFEST_LEN_MAX { Err(ManifestError::TooLong) } else { Ok(bytes) }
    }

    /// Returns every blob: of the packs, then of the sources.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let packs = self.packs.iter().map(|pack| &pack.blob);
        packs.chain(self.sources.iter().flat_map(|source| &source.files))
    }

    /// Returns every object that a full copy holds.
    #[must_use]
    pub fn objects(&self) -> Vec<Stored> {
        let mut all: Vec<Stored> = self.changes.into_iter().collect();
        for blob in self.blobs() {
            all.extend([blob.index, blob.data]);
            all.extend(blob.patches.iter().map(|p| Stored { sha256: p.sha256, size: p.size }));
        }
        all
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |field: &str, why| Err(ManifestError::Field { field: field.to_owned(), why });
        if self.format != FORMAT {
            return bad("format", "is not holdfast-manifest/1");
        }
        if !is_plain_name(&self.set) {
            return bad("set", "is no plain name");
        }
        if self.release == 0 {
            return bad("release", "counts from 1");
        }
        if !is_time(&self.created) {
            return bad("created", "is no time like 2026-12-01T00:00:00Z");
        }
        if self.sources.len() > ENTRIES_MAX || self.packs.len() > ENTRIES_MAX {
            return bad("sources", "are too many");
        }
        if self.sources.is_empty() {
            return bad("sources", "are missing");
        }
        let mut ids: Vec<&str> = self.sources.iter().map(|source| source.id.as_str()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return bad("sources", "have the same id twice");
        }
        let mut names: Vec<&str> =
            self.sources.iter().flat_map(|s| &s.files).map(|b| b.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return bad("sources", "have two files of one name");
        }
        if self.changes.is_some_and(|changes| changes.size > BLOB_LEN_MAX) {
            return bad("changes", "is too large");
        }
        self.sources.iter().try_for_each(SourceEntry::check)?;
        self.packs.iter().try_for_each(|pack| {
            text("compiler", &pack.compiler)?;
            pack.blob.check()
        })
    }
}

impl SourceEntry {
    fn check(&self) -> Result<(), ManifestError> {
        let bad = |why| Err(ManifestError::Field { field: format!("source {:?}", self.id), why });
        if !is_plain_name(&self.id) {
            return bad("its id is no plain name");
        }
        if self.files.len() > ENTRIES_MAX || self.forbids.len() > ENTRIES_MAX {
            return bad("too many files");
        }
        for (field, value) in [
            ("title", &self.title),
            ("author", &self.author),
            ("licence", &self.licence),
            ("url", &self.url),
        ] {
            text(field, value)?;
        }
        self.forbids.iter().try_for_each(|value| text("forbids", value))?;
        if !is_time(&self.fetched) {
            return bad("'fetched' is no time like 2026-12-01T00:00:00Z");
        }
        self.files.iter().try_for_each(Blob::check)
    }
}

impl Blob {
    fn check(&self) -> Result<(), ManifestError> {
        let bad = |why| Err(ManifestError::Field { field: format!("file {:?}", self.name), why });
        if !is_plain_name(&self.name) {
            return bad("is no plain name");
        }
        if self.size > BLOB_LEN_MAX || self.data.size > BLOB_LEN_MAX {
            return bad("is larger than 16 GiB");
        }
        if self.index.size > INDEX_LEN_MAX {
            return bad("its index of chunks is too large");
        }
        if self.patches.len() > ENTRIES_MAX {
            return bad("has too many patches");
        }
        if self.patches.iter().any(|patch| patch.size > crate::patch::PATCH_LEN_MAX) {
            return bad("has a patch that is too large");
        }
        Ok(())
    }
}

/// Ours: an index of chunks for the largest blob.
pub(crate) const INDEX_LEN_MAX: u64 = 64 << 20;

fn text(field: &str, value: &str) -> Result<(), ManifestError> {
    let good = value.len() <= TEXT_MAX && !value.chars().any(char::is_control);
    let why = "is too long, or holds control characters";
    if good { Ok(()) } else { Err(ManifestError::Field { field: field.to_owned(), why }) }
}

/// True for `2026-12-01T00:00:00Z`, digits where digits are.
pub(crate) fn is_time(text: &str) -> bool {
    let shape = b"0000-00-00T00:00:00Z";
    text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, want)| match want {
            b'0' => byte.is_ascii_digit(),
            want => byte == *want,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        let stored = Stored { sha256: Digest::of(b"x"), size: 1 };
        let blob = Blob {
            name: "a.ndb".to_owned(),
            sha256: Digest::of(b"a"),
            size: 1,
            index: stored,
            data: stored,
            patches: vec![PatchEntry { from: Digest::of(b"o"), sha256: Digest::of(b"p"), size: 9 }],
        };
        let mut manifest = Manifest::new("main", 1, "2026-12-01T00:00:00Z");
        manifest.sources.push(SourceEntry {
            id: "own".to_owned(),
            title: "Own".to_owned(),
            author: "A".to_owned(),
            licence: "MIT".to_owned(),
            forbids: Vec::new(),
            url: String::new(),
            fetched: "2026-12-01T00:00:00Z".to_owned(),
            files: vec![blob.clone()],
        });
        let blob = Blob { name: "main.pack".to_owned(), ..blob };
        manifest.packs.push(PackEntry {
            blob,
            compiler: "1".to_owned(),
            pack_format: 1,
            signatures: 1,
        });
        manifest
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = example();
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        assert_eq!(manifest.objects().len(), 6);
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Manifest), why: &str) {
        let mut manifest = example();
        change(&mut manifest);
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let error = Manifest::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn impossible_values_are_refused() {
        refused(|m| m.set = "../x".to_owned(), "set");
        refused(|m| m.release = 0, "release");
        refused(|m| m.created = "yesterday".to_owned(), "created");
        refused(|m| m.sources.clear(), "sources");
        refused(|m| m.sources[0].files[0].name = "a/b".to_owned(), "plain name");
        refused(|m| m.sources.push(m.sources[0].clone()), "twice");
        refused(|m| m.sources[0].title = "a\nb".to_owned(), "title");
        refused(|m| m.packs[0].blob.size = u64::MAX, "16 GiB");
        refused(|m| m.format = "holdfast-manifest/2".to_owned(), "format");
        let text = String::from_utf8(example().to_bytes().unwrap()).unwrap();
        let more = text.replacen('{', "{\"more\": 1,", 1);
        assert!(Manifest::parse(more.as_bytes()).is_err());
        assert!(Manifest::parse(&vec![b' '; MANIFEST_LEN_MAX + 1]).is_err());
    }
}
