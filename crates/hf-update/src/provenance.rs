//! Where a database came from: source, author, publisher, licence, time. It stands in the manifest of its set.

use serde::{Deserialize, Serialize};

/// Where one database came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Where it was fetched: an address or a path.
    pub url: String,
    /// Who wrote it, as far as the source says.
    pub author: String,
    /// Who signs or hands it out.
    pub publisher: String,
    /// Its licence, as an SPDX expression where there is one; empty when the source does not say.
    pub licence: String,
    /// Its version, as the source counts.
    pub version: String,
    /// By what it was verified; empty for nothing.
    pub proof: String,
    /// When it was fetched, in seconds since 1970.
    pub fetched_at: u64,
    /// What of the source could not be expressed as signatures, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}
