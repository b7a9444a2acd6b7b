//! The section `[quarantine]` of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::retention::Retention;

/// Where the vault of the machine is, and what `expire` keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct QuarantineConfig {
    /// The folder; none for the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<PathBuf>,
    /// Days that an entry is kept; none for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_days: Option<u64>,
    /// Bytes of all entries together; none for as many as fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

impl QuarantineConfig {
    /// Returns the limits.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            max_age_s: self.max_age_days.map(|days| days.saturating_mul(86_400)),
            max_bytes: self.max_bytes,
        }
    }
}
