//! Content to be carried: a folder that is a mirror, or the same as an OCI image layout.
//!
//! Metadata, manifest, statements and proofs are those of the channel, byte for byte, so the machine that
//! imports checks what one with a network checks, by the same code.
//! Sources: OCI Image Layout 1.1 (`oci-layout`, `index.json`, `blobs/sha256/…`).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hf_channel::layout::{self, is_plain_path};
use hf_channel::{Digest, Manifest, Now, Stored};
use hf_trust::Time;
use hf_trust::quorum::bundle::BUNDLE_BYTES_MAX;
use hf_trust::tuf::{Limits, Reply, Request, Step, Trusted, Updater};
use serde::{Deserialize, Serialize};

use super::delegated::delegated;
use super::memory::{Memory, MemoryError};
use super::mirror::{Mirror, MirrorError};
use super::{Channel, Refusal, check};
use crate::fetch::Fetcher;

/// What is exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Only what a machine with this release lacks; whole files where no patch is.
    pub since: Option<u64>,
}

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Of which release.
    pub release: u64,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Content could not be exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The channel is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something cannot be had.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// What is remembered cannot be read.
    #[error("{}: {}", .0, .0.kind)]
    Memory(MemoryError),
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Something is not what it should be.
    #[error("{0}")]
    Damaged(String),
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |why| ExportError::Disk { path, why }
}

/// Writes what a machine without a network needs into a folder.
///
/// # Errors
/// The channel is refused on this machine, something cannot be had, or the disk fails.
pub fn export(
    channel: &Channel,
    memory: &Memory,
    fetcher: &Fetcher,
    to: &Path,
    options: ExportOptions,
    now: Time,
) -> Result<Exported, ExportError> {
    let mut last = None;
    for mirror in &channel.mirrors {
        let done = check(channel, mirror, fetcher, memory, now)
            .map_err(ExportError::from)
            .and_then(|_| copy(channel, memory, (mirror, fetcher), to, options, now));
        match done {
            Ok(exported) => return Ok(exported),
            Err(err @ ExportError::Disk { .. }) => return Err(err),
            Err(err) => last = Some(err),
        }
    }
    Err(last.unwrap_or_else(|| ExportError::Damaged("there is no mirror".to_owned())))
}

fn copy(
    channel: &Channel,
    memory: &Memory,
    from: (&Mirror, &Fetcher),
    to: &Path,
    options: ExportOptions,
    now: Time,
) -> Result<Exported, ExportError> {
    let mut out = Out { to, from, done: Exported::default() };
    let kept = memory.last().map_err(ExportError::Memory)?;
    let kept = kept.ok_or_else(|| ExportError::Damaged("nothing was accepted yet".to_owned()))?;
    let damaged = |err: hf_channel::ManifestError| ExportError::Damaged(err.to_string());
    let manifest = Manifest::parse(&kept.manifest).map_err(damaged)?;
    let metadata = out.metadata(channel, &manifest, now)?;
    let digest = Digest::of(&kept.manifest);
    let before = match options.since {
        None => None,
        Some(release) => {
            let all = memory.releases().map_err(ExportError::Memory)?;
            let all = all.iter().filter_map(|kept| Manifest::parse(&kept.manifest).ok());
            let found = all.into_iter().find(|manifest| manifest.release == release);
            let missing =
                || ExportError::Damaged(format!("release {release} is not remembered here"));
            Some(found.ok_or_else(missing)?)
        }
    };
    for stored in needed(&manifest, before.as_ref()) {
        out.object(&stored)?;
    }
    let proofs = out.read(&layout::proofs(&digest), BUNDLE_BYTES_MAX as u64)?;
    out.put(&layout::proofs(&digest), &proofs)?;
    out.put(&layout::manifest(&manifest.set, &digest), &kept.manifest)?;
    for (path, bytes) in &metadata {
        out.put(path, bytes)?;
    }
    out.done.release = manifest.release;
    Ok(out.done)
}

/// Returns the objects that a machine with `before` needs: patches, or whole files.
fn needed(manifest: &Manifest, before: Option<&Manifest>) -> Vec<Stored> {
    let Some(before) = before else { return manifest.objects() };
    let mut objects: Vec<Stored> = manifest.changes.into_iter().collect();
    for blob in manifest.blobs() {
        let old = before.blobs().find(|old| old.name == blob.name).map(|old| old.sha256);
        if old == Some(blob.sha256) {
            continue;
        }
        match blob.patches.iter().find(|patch| Some(patch.from) == old) {
            Some(patch) => objects.push(Stored { sha256: patch.sha256, size: patch.size }),
            None => objects.extend([blob.index, blob.data]),
        }
    }
    objects
}

struct Out<'a> {
    to: &'a Path,
    from: (&'a Mirror, &'a Fetcher),
    done: Exported,
}

impl Out<'_> {
    fn read(&self, path: &str, max: u64) -> Result<Vec<u8>, ExportError> {
        let (mirror, fetcher) = self.from;
        Ok(mirror.read(fetcher, path, max)?)
    }

    /// Returns all metadata that a client asks for who starts from the owner's root, in the order in
    /// which they are written: the timestamp last.
    fn metadata(
        &self,
        channel: &Channel,
        manifest: &Manifest,
        now: Time,
    ) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
        let (mirror, fetcher) = self.from;
        let trusted = Trusted { root: channel.root.clone(), ..Trusted::default() };
        let mut updater = Updater::new(trusted, now, Limits::default()).map_err(Refusal::from)?;
        let mut found = Vec::new();
        let mut fetch = |updater: &mut Updater, request: &Request| -> Result<(), Refusal> {
            let path = format!("{}/{}", layout::METADATA, request.file_name());
            match mirror.read_if_there(fetcher, &path, request.max_bytes)? {
                Some(bytes) => {
                    updater.reply(Reply::Bytes(&bytes))?;
                    found.push((path, bytes));
                }
                None => updater.reply(Reply::Missing)?,
            }
            Ok(())
        };
        while let Step::Fetch(request) = updater.step().map_err(Refusal::from)? {
            fetch(&mut updater, &request)?;
        }
        delegated(&mut updater, manifest, &mut fetch)?;
        found.sort_by_key(|(path, _)| path.ends_with("/timestamp.json"));
        let root = updater.root().header.version;
        let now = found.last().and_then(|(_, timestamp)| Now::new(root, timestamp));
        if let Some(bytes) = now.and_then(|now| now.to_bytes().ok()) {
            found.insert(found.len().saturating_sub(1), (layout::NOW.to_owned(), bytes));
        }
        Ok(found)
    }

    fn object(&mut self, stored: &Stored) -> Result<(), ExportError> {
        let (mirror, fetcher) = self.from;
        let path = layout::object(&stored.sha256);
        let to = self.to.join(&path);
        if !is_whole(&to, stored) {
            make_folder(&to)?;
            mirror.download(fetcher, &path, &to, stored.size)?;
            if !is_whole(&to, stored) {
                let _ = fs::remove_file(&to);
                return Err(ExportError::Damaged(format!("{mirror}: {path} has another digest")));
            }
        }
        self.count(stored.size);
        Ok(())
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let to = self.to.join(path);
        make_folder(&to)?;
        crate::store::write_whole(&to, bytes).map_err(disk(&to))?;
        self.count(bytes.len() as u64);
        Ok(())
    }

    fn count(&mut self, bytes: u64) {
        self.done.files = self.done.files.saturating_add(1);
        self.done.bytes = self.done.bytes.saturating_add(bytes);
    }
}

fn make_folder(path: &Path) -> Result<(), ExportError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(disk(folder))
}

fn is_whole(path: &Path, stored: &Stored) -> bool {
    let found = File::open(path).and_then(Digest::of_reader);
    found.is_ok_and(|(digest, len)| digest == stored.sha256 && len == stored.size)
}

/// `index.json` and the image's manifest, as far as they are used here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciIndex {
    schema_version: u32,
    manifests: Vec<OciBlob>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciManifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    config: OciBlob,
    layers: Vec<OciBlob>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciBlob {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: std::collections::BTreeMap<String, String>,
}

const TITLE: &str = "org.opencontainers.image.title";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT_TYPE: &str = "application/vnd.holdfast.channel.v1";
const FILE_TYPE: &str = "application/octet-stream";
/// The empty configuration of an artifact. Source: OCI Image Manifest, "Guidelines for Artifact Usage".
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Ours: no index or manifest is longer.
const OCI_JSON_MAX: u64 = 16 << 20;

/// Turns a folder that [`export`] made into an OCI image layout in another.
///
/// # Errors
/// The disk fails.
pub fn to_oci(from: &Path, to: &Path) -> Result<(), ExportError> {
    let mut paths = Vec::new();
    list(from, "", &mut paths)?;
    let blobs = to.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(disk(&blobs))?;
    let mut layers = Vec::new();
    for path in paths {
        let source = from.join(&path);
        let opened = File::open(&source).map_err(disk(&source))?;
        let (digest, size) = Digest::of_reader(opened).map_err(disk(&source))?;
        let target = blobs.join(digest.to_string());
        fs::copy(&source, &target).map_err(disk(&target))?;
        let annotations = [(TITLE.to_owned(), path)].into();
        layers.push(blob(FILE_TYPE, digest, size, annotations));
    }
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let path = blobs.join(digest.to_string());
        crate::store::write_whole(&path, bytes).map_err(disk(&path)).map(|()| digest)
    };
    let config = blob(EMPTY_TYPE, put(b"{}")?, 2, Default::default());
    let manifest = OciManifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE.to_owned(),
        artifact_type: ARTIFACT_TYPE.to_owned(),
        config,
        layers,
    };
    let json = |err: serde_json::Error| ExportError::Damaged(err.to_string());
    let bytes = serde_json::to_vec(&manifest).map_err(json)?;
    let digest = put(&bytes)?;
    let entry = blob(MANIFEST_TYPE, digest, bytes.len() as u64, Default::default());
    let index = OciIndex { schema_version: 2, manifests: vec![entry] };
    for (name, bytes) in [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json", serde_json::to_vec(&index).map_err(json)?),
    ] {
        let path = to.join(name);
        crate::store::write_whole(&path, &bytes).map_err(disk(&path))?;
    }
    Ok(())
}

fn blob(
    media_type: &str,
    digest: Digest,
    size: u64,
    annotations: std::collections::BTreeMap<String, String>,
) -> OciBlob {
    OciBlob {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{digest}"),
        size,
        annotations,
    }
}

fn list(top: &Path, below: &str, found: &mut Vec<String>) -> Result<(), ExportError> {
    let folder = top.join(below);
    let mut names: Vec<(String, bool)> = fs::read_dir(&folder)
        .map_err(disk(&folder))?
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().into_string().ok()?, entry.file_type().ok()?.is_dir()))
        })
        .collect();
    names.sort();
    for (name, is_folder) in names {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if is_folder {
            list(top, &path, found)?;
        } else if is_plain_path(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// True for a folder that is an OCI image layout.
#[must_use]
pub fn is_oci(folder: &Path) -> bool {
    folder.join("oci-layout").is_file()
}

/// Lays out the files of an OCI image layout as a mirror in another folder. Digests are compared; who
/// vouches for them is checked afterwards, as with every mirror.
///
/// # Errors
/// It is not one of ours, a file is missing or damaged, or the disk fails.
pub fn from_oci(from: &Path, to: &Path) -> Result<(), ExportError> {
    let damaged = |why: &str| ExportError::Damaged(format!("{}: {why}", from.display()));
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(disk(path))?;
        file.take(OCI_JSON_MAX).read_to_end(&mut bytes).map_err(disk(path))?;
        Ok::<_, ExportError>(bytes)
    };
    let place = |blob: &OciBlob| {
        let digest: Option<Digest> =
            blob.digest.strip_prefix("sha256:").and_then(|d| d.parse().ok());
        let digest = digest.ok_or_else(|| damaged("a digest is none"))?;
        Ok::<_, ExportError>((from.join("blobs/sha256").join(digest.to_string()), digest))
    };
    let index: OciIndex = serde_json::from_slice(&read(&from.join("index.json"))?)
        .map_err(|err| damaged(&err.to_string()))?;
    let [entry] = &index.manifests[..] else { return Err(damaged("it holds not one image")) };
    let (path, digest) = place(entry)?;
    let bytes = read(&path)?;
    if Digest::of(&bytes) != digest {
        return Err(damaged("its manifest has another digest"));
    }
    let manifest: OciManifest =
        serde_json::from_slice(&bytes).map_err(|err| damaged(&err.to_string()))?;
    if manifest.artifact_type != ARTIFACT_TYPE {
        return Err(damaged("it holds no channel"));
    }
    for layer in &manifest.layers {
        let title = layer.annotations.get(TITLE).filter(|title| is_plain_path(title));
        let title = title.ok_or_else(|| damaged("a layer has no path that stays inside"))?;
        let (path, digest) = place(layer)?;
        if !is_whole(&path, &Stored { sha256: digest, size: layer.size }) {
            return Err(damaged(&format!("{title} is missing or damaged")));
        }
        let target = to.join(title);
        make_folder(&target)?;
        let _ = fs::remove_file(&target);
        if fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(disk(&target))?;
        }
    }
    Ok(())
}
