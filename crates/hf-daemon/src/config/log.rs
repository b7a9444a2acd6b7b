//! `[log]`: where it is said what happens.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[log]`. Without a file and without syslog and journal, lines go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LogConfig {
    /// A file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Bytes after which the file is full; 0 for no bound.
    pub file_max_bytes: u64,
    /// A full file is renamed, with the time behind its name, and a new one begun; otherwise nothing
    /// more is written to it.
    pub rotate: bool,
    /// Each line of the file begins with the time.
    pub time: bool,
    /// Objects without a finding too.
    pub clean: bool,
    /// More of what happens.
    pub verbose: bool,
    /// To syslog.
    pub syslog: bool,
    /// Facility of syslog, by its name there (`LOG_LOCAL6`).
    pub facility: String,
    /// To systemd's journal, with fields.
    pub journal: bool,
    /// With a finding, the MD5 and size of the file.
    pub extended: bool,
    /// Another process may write to the file at the same time.
    pub unlock: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            file: None,
            file_max_bytes: 1 << 20,
            rotate: false,
            time: false,
            clean: false,
            verbose: false,
            syslog: false,
            facility: "LOG_LOCAL6".to_owned(),
            journal: false,
            extended: false,
            unlock: false,
        }
    }
}
