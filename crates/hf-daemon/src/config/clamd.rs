//! `[clamd]`: the door that speaks the clamd protocol. Names follow `clamd.conf`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// With whose rights a path that a client names is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathRights {
    /// The client's own, as the kernel knows it; a client over TCP has nobody's. Takes effect when
    /// the service runs as root; as another user it has that user's rights only.
    #[default]
    Client,
    /// The service's, as clamd does.
    Service,
}

/// `[clamd]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ClamdConfig {
    /// Local socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_socket: Option<PathBuf>,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_socket_group: Option<String>,
    /// Its mode, in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_socket_mode: Option<String>,
    /// Replace a socket file that nobody listens to.
    pub fix_stale_socket: bool,
    /// TCP port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_port: Option<u16>,
    /// Addresses for it; empty for all of this machine.
    pub tcp_addresses: Vec<String>,
    /// Connections that the kernel keeps before they are accepted.
    pub max_connection_queue: u32,
    /// Connections at once; more wait in the kernel.
    pub max_connections: usize,
    /// Bytes of one stream; 0 for no bound.
    pub stream_max_bytes: u64,
    /// Commands of one connection at once.
    pub max_queue: usize,
    /// Told by `STATS`, and most workers at once.
    pub max_threads: usize,
    /// Seconds until a begun command must be whole.
    pub command_read_seconds: u64,
    /// Seconds until more of a stream must have come, or another command in a session.
    pub read_seconds: u64,
    /// Milliseconds that a client may take to take in what it asked for.
    pub send_ms: u64,
    /// Told by `STATS`.
    pub idle_seconds: u64,
    /// Regular expressions of paths that are left out.
    pub exclude_paths: Vec<String>,
    /// Deepest folder below a named one; 0 for no bound but the system's.
    pub max_directory_depth: u32,
    /// Follow links to folders.
    pub follow_directory_links: bool,
    /// Follow links to files.
    pub follow_file_links: bool,
    /// Leave the file system of a named folder.
    pub cross_file_systems: bool,
    /// Answer `SHUTDOWN`.
    pub shutdown_command: bool,
    /// Answer `RELOAD`.
    pub reload_command: bool,
    /// Answer `SELFCHECK`.
    pub self_check_command: bool,
    /// Answer `VERSION` and `VERSIONCOMMANDS`.
    pub version_command: bool,
    /// Answer `STATS`.
    pub stats_command: bool,
    /// Answer `ALLMATCHSCAN`.
    pub all_match_command: bool,
    /// With whose rights named paths are opened.
    pub path_rights: PathRights,
    /// Run for each finding, by a shell; the names are in its environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virus_event: Option<String>,
}

impl Default for ClamdConfig {
    fn default() -> Self {
        Self {
            local_socket: None,
            local_socket_group: None,
            local_socket_mode: None,
            fix_stale_socket: true,
            tcp_port: None,
            tcp_addresses: Vec::new(),
            max_connection_queue: 200,
            max_connections: 1000,
            stream_max_bytes: 100 << 20,
            max_queue: 100,
            max_threads: 10,
            command_read_seconds: 30,
            read_seconds: 120,
            send_ms: 500,
            idle_seconds: 30,
            exclude_paths: Vec::new(),
            max_directory_depth: 15,
            follow_directory_links: false,
            follow_file_links: false,
            cross_file_systems: true,
            shutdown_command: true,
            reload_command: true,
            self_check_command: true,
            version_command: true,
            stats_command: true,
            all_match_command: true,
            path_rights: PathRights::Client,
            virus_event: None,
        }
    }
}
