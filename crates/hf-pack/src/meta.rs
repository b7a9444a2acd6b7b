//! What a pack says of itself.

use hf_core::signature::NotRun;
use serde::{Deserialize, Serialize};

use crate::FORMAT_VERSION;

/// Where a pack came from and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackMeta {
    /// Version of the file format; the writer refuses any other than [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of the compiler whose sections these are.
    pub compiler_version: String,
    /// From a signed database: names are reported without `.UNOFFICIAL`.
    pub official: bool,
    /// The databases it was made from, in the order in which they were read.
    pub sources: Vec<SourceMeta>,
    /// Signatures in it, counted as ClamAV counts "known viruses".
    pub signatures: u64,
    /// What was read and counted but is not run.
    pub not_run: Vec<NotRunCount>,
    /// Warnings given when it was made, one line each.
    pub warnings: Vec<String>,
}

/// One database that went into a pack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceMeta {
    /// Base name of the file.
    pub name: String,
    /// BLAKE3 of its bytes.
    pub digest: [u8; 32],
    /// Signatures from it.
    pub signatures: u64,
    /// Version that a CVD states.
    pub version: Option<u32>,
    /// Build time that a CVD states, as text; empty when unknown.
    pub built_at: String,
    /// By what a container was verified, in words; empty when by nothing.
    #[serde(default)]
    pub proof: String,
}

/// How many of one kind are not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRunCount {
    /// Kind.
    pub what: NotRun,
    /// Number.
    pub count: u64,
}

impl Default for PackMeta {
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            compiler_version: String::new(),
            official: false,
            sources: Vec::new(),
            signatures: 0,
            not_run: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
