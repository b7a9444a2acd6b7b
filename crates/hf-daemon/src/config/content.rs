//! `[content]`: where signatures come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[content]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ContentConfig {
    /// Files and folders; empty for the usual places.
    pub databases: Vec<PathBuf>,
    /// The built-in rules besides.
    pub with_builtin: bool,
    /// Only signed databases.
    pub official_only: bool,
    /// Malformed signatures are skipped instead of refusing their file.
    pub keep_going: bool,
    /// Folder of certificates in which detached signatures may end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<PathBuf>,
    /// Seconds between looks for changed databases; 0 for never.
    pub check_seconds: u64,
    /// Tell, once a day, when no signed database is younger than so many days; 0 for never.
    pub stale_after_days: u64,
    /// Refuse to start when no signed database is younger than so many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_if_older_than_days: Option<u64>,
}

impl Default for ContentConfig {
    fn default() -> Self {
        Self {
            databases: Vec::new(),
            with_builtin: false,
            official_only: false,
            keep_going: false,
            certificates: None,
            check_seconds: 600,
            stale_after_days: 7,
            fail_if_older_than_days: None,
        }
    }
}
