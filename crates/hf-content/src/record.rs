//! The note beside the packs that saves reading sources and packs again: for a group of sources, how
//! they looked when they were read and which pack was made of them.

use std::fs::File;
use std::io::Read;

use hf_pack::FORMAT_VERSION;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::compile::COMPILER_VERSION;
use crate::ignores::Ignores;
use crate::read::Seen;
use crate::sources::Group;
use crate::stamp::Stamp;
use crate::{ContentOptions, cache::RECORD_SUFFIX};

/// What is remembered of a group. It is a hint only: whatever does not fit is worked out anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Name of the pack.
    pub(crate) key: String,
    /// Digest over the pack's header and table.
    pub(crate) pack_digest: [u8; 32],
    /// The pack's stamp after it was verified; none while it could still change unnoticed.
    pub(crate) pack: Option<Stamp>,
    /// The sources' stamps, in the order of the group.
    pub(crate) sources: Vec<Option<Stamp>>,
}

impl Record {
    /// Reads a group's record, and its file for [`crate::prune::is_due`].
    pub(crate) fn read(cache: &Cache, id: &str) -> Option<(Self, File)> {
        let mut file = cache.read(&format!("{id}{RECORD_SUFFIX}"))?;
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(RECORD_MAX).read_to_end(&mut text).ok()?;
        Some((serde_json::from_slice(&text).ok()?, file))
    }

    /// Writes a group's record. That it fails costs only time.
    pub(crate) fn write(&self, cache: &Cache, id: &str) {
        if let Ok(text) = serde_json::to_vec(self) {
            let _ = cache.write(&format!("{id}{RECORD_SUFFIX}"), &text);
        }
    }
}

/// Returns the name under which a group's record is kept: paths, options and rules, no content.
pub(crate) fn group_id(group: &Group, options: &ContentOptions, ignores: &Ignores) -> String {
    let mut hasher = common("group", options, ignores);
    for source in &group.sources {
        let path = std::path::absolute(&source.path).unwrap_or_else(|_| source.path.clone());
        add(&mut hasher, path.as_os_str().as_encoded_bytes());
    }
    name(&hasher)
}

/// Returns the name of the pack that these sources give.
pub(crate) fn pack_key(
    group: &Group,
    seen: &[Seen],
    options: &ContentOptions,
    ignores: &Ignores,
) -> String {
    let mut hasher = common("pack", options, ignores);
    for (source, seen) in group.sources.iter().zip(seen) {
        add(&mut hasher, source.name.as_bytes());
        add(&mut hasher, &seen.digest);
    }
    name(&hasher)
}

fn common(kind: &str, options: &ContentOptions, ignores: &Ignores) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, kind.as_bytes());
    add(&mut hasher, &FORMAT_VERSION.to_le_bytes());
    add(&mut hasher, COMPILER_VERSION.as_bytes());
    add(&mut hasher, format!("{:?}", options.load).as_bytes());
    add(&mut hasher, ignores.digest().as_bytes());
    hasher
}

fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn name(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// Ours: some 200 bytes for each source.
const RECORD_MAX: u64 = 16 << 20;
