//! Container images in tar archives: what `docker save` writes, and OCI image layouts.
//!
//! Promises: only names for members; whatever the manifests say, every member is opened as it is without
//! them. Work and memory follow the manifests, of at most 4 MiB each and 16 MiB together.
//! Sources: Docker Image Specification 1.2; OCI Image Layout and Image Manifest 1.1.

use std::collections::BTreeMap;

use serde_json::Value;

/// Ours: bytes of one manifest, and of all that are read.
const MANIFEST_LEN_MAX: usize = 4 << 20;
const MANIFESTS_LEN_MAX: usize = 16 << 20;
/// Ours: indexes within indexes.
const DEPTH_MAX: u32 = 4;
/// Ours: images that are told.
const IMAGES_MAX: usize = 256;
/// Ours: layers and other members of all images.
const LABELS_MAX: usize = 4096;
/// Bytes of a name.
const LABEL_LEN_MAX: usize = 1024;

/// Members by name.
pub(super) type Members<'a> = BTreeMap<&'a [u8], &'a [u8]>;

/// Names for layers and other members by the member's own.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// By the name of the member.
    pub(super) by_name: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Names of the images.
    pub(super) images: Vec<String>,
    read_len: usize,
}

impl Labels {
    /// Reads the manifests among some members; nothing when there are none.
    pub(super) fn of(members: &Members<'_>) -> Self {
        let mut labels = Self::default();
        labels.docker(members);
        if let Some(index) = labels.json(members, b"index.json") {
            labels.index(&index, None, members, 0);
        }
        labels
    }

    fn json(&mut self, members: &Members<'_>, name: &[u8]) -> Option<Value> {
        let text = members.get(name).filter(|text| text.len() <= MANIFEST_LEN_MAX)?;
        self.read_len = self.read_len.saturating_add(text.len());
        if self.read_len > MANIFESTS_LEN_MAX {
            return None;
        }
        serde_json::from_slice(text).ok()
    }

    fn docker(&mut self, members: &Members<'_>) -> Option<()> {
        let manifest = self.json(members, b"manifest.json")?;
        for (idx, image) in manifest.as_array()?.iter().enumerate() {
            let tag = image.get("RepoTags").and_then(|tags| tags.get(0)).and_then(Value::as_str);
            let tag = tag.map_or_else(|| format!("image {}", idx.saturating_add(1)), str::to_owned);
            if let Some(config) = image.get("Config").and_then(Value::as_str) {
                self.add(config.as_bytes(), &format!("{tag}/config"));
            }
            let layers = image.get("Layers").and_then(Value::as_array);
            let names = layers.into_iter().flatten().filter_map(Value::as_str);
            self.layers(&tag, names.map(|name| (name.to_owned(), name.to_owned())).collect());
        }
        Some(())
    }

    fn index(&mut self, index: &Value, name: Option<&str>, members: &Members<'_>, depth: u32) {
        let manifests = index.get("manifests").and_then(Value::as_array);
        for entry in manifests.into_iter().flatten() {
            let Some(digest) = entry.get("digest").and_then(Value::as_str) else { continue };
            let note = |key: &str| entry.get("annotations")?.get(key)?.as_str();
            let platform = |key: &str| entry.get("platform")?.get(key)?.as_str();
            let own = note("io.containerd.image.name")
                .or_else(|| note("org.opencontainers.image.ref.name"))
                .or(name)
                .unwrap_or(digest);
            let tag = match (platform("os"), platform("architecture")) {
                (Some(os), Some(architecture)) if depth > 0 => {
                    format!("{own} ({os}/{architecture})")
                }
                _ => own.to_owned(),
            };
            let Some(manifest) = self.json(members, blob(digest).as_bytes()) else { continue };
            if manifest.get("manifests").is_some() {
                if depth < DEPTH_MAX {
                    self.index(&manifest, Some(&tag), members, depth.saturating_add(1));
                }
                continue;
            }
            self.add(blob(digest).as_bytes(), &format!("{tag}/manifest"));
            let digest_of = |value: &Value| Some(value.get("digest")?.as_str()?.to_owned());
            if let Some(config) = manifest.get("config").and_then(digest_of) {
                self.add(blob(&config).as_bytes(), &format!("{tag}/config"));
            }
            let layers = manifest.get("layers").and_then(Value::as_array);
            let digests = layers.into_iter().flatten().filter_map(digest_of);
            self.layers(&tag, digests.map(|digest| (blob(&digest), digest)).collect());
        }
    }

    /// Adds the layers of an image: names of members, and what to call them.
    fn layers(&mut self, tag: &str, layers: Vec<(String, String)>) {
        if self.images.len() < IMAGES_MAX && !self.images.iter().any(|image| image == tag) {
            self.images.push(tag.to_owned());
        }
        let count = layers.len();
        for (idx, (member, id)) in layers.into_iter().enumerate() {
            let number = idx.saturating_add(1);
            self.add(member.as_bytes(), &format!("{tag}/layer {number} of {count} ({id})"));
        }
    }

    fn add(&mut self, member: &[u8], label: &str) {
        let mut label = label.as_bytes().to_vec();
        label.truncate(LABEL_LEN_MAX);
        if self.by_name.len() >= LABELS_MAX {
            return;
        }
        self.by_name.entry(member.to_vec()).or_insert(label);
    }
}

/// Returns the member that holds what a digest names.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
