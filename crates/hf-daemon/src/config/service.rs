//! `[service]`: what all doors share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[service]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ServiceConfig {
    /// Workers at once; 0 means one for each core.
    pub workers: usize,
    /// Bytes of memory of one worker beyond its content.
    pub worker_memory_bytes: u64,
    /// Objects after which a worker is replaced by a fresh one; 0 for never.
    pub worker_objects: u64,
    /// Entries of the verdict cache; 0 for none.
    pub cache_entries: usize,
    /// Bytes of memory for what is being received; beyond it goes to disk.
    pub intake_memory_bytes: u64,
    /// Folder for nameless temporary files; none for the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporary_folder: Option<PathBuf>,
    /// User that the service becomes after its sockets are open, when it is started as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// Stay in the foreground instead of becoming a daemon.
    pub foreground: bool,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            worker_memory_bytes: 2 << 30,
            worker_objects: 0,
            cache_entries: 65_536,
            intake_memory_bytes: 128 << 20,
            temporary_folder: None,
            user: None,
            pid_file: None,
            foreground: true,
        }
    }
}
