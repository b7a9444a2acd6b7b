//! ICAP: proxies ask whether what they pass on may pass.
//!
//! Promises: one scan for each body; an answer says `204` where the client allows it; what is found is
//! replaced by a page. What cannot be scanned follows the policy of the configuration.
//! Leaves out: content encodings, which are objects that the engine opens; TLS (`icaps`), for which a
//! tunnel is put before it.
//! Sources: RFC 3507.

pub mod answer;
pub mod block;
pub mod chunked;
mod connection;
pub mod request;

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::listen::{Address, Arrival, ListenError, Listener, SocketAccess};
use crate::room::Room;
use crate::scan::Door;
use crate::service::Service;

/// `[icap]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct IcapConfig {
    /// Where it waits; nowhere by default, and then there is no ICAP.
    pub listen: Vec<Address>,
    /// Permission bits of socket files, in octal digits.
    pub socket_mode: String,
    /// Group of socket files, by name or number; none for the process's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_group: Option<String>,
    /// Names of the service; all do the same.
    pub services: Vec<String>,
    /// Larger bodies are not scanned.
    pub max_object_bytes: u64,
    /// Bytes that clients send before they ask whether to go on.
    pub preview_bytes: u64,
    /// Connections at once; more wait.
    pub max_connections: usize,
    /// How long clients may remember what the service can do.
    pub options_ttl_seconds: u64,
    /// What happens to what is too large to be scanned.
    pub on_too_large: OnTrouble,
    /// What happens to what could not be scanned wholly.
    pub on_incomplete: OnTrouble,
    /// What happens when a scan fails.
    pub on_error: OnTrouble,
    /// What happens when a scan takes longer than `scan-seconds`.
    pub on_timeout: OnTrouble,
    /// How long a scan may take, waiting for its turn included.
    pub scan_seconds: u64,
    /// How long a connection may be idle between requests.
    pub idle_seconds: u64,
    /// How long the head of a request may take.
    pub header_seconds: u64,
    /// How long the next data of a body may take.
    pub body_seconds: u64,
    /// How long 256 KiB of an answer may take.
    pub write_seconds: u64,
    /// HTML for what is blocked, with `{{url}}`, `{{threat}}`, `{{reason}}` and `{{client}}`; at most 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_page: Option<PathBuf>,
}

/// What happens to something that was not scanned as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTrouble {
    /// It passes.
    Allow,
    /// It is replaced by a page that says so.
    Block,
}

impl Default for IcapConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            socket_mode: "660".to_owned(),
            socket_group: None,
            services: SERVICES.iter().map(|name| (*name).to_owned()).collect(),
            max_object_bytes: 100 << 20,
            preview_bytes: 4096,
            max_connections: 256,
            options_ttl_seconds: 3600,
            on_too_large: OnTrouble::Allow,
            on_incomplete: OnTrouble::Allow,
            on_error: OnTrouble::Block,
            on_timeout: OnTrouble::Block,
            scan_seconds: 180,
            idle_seconds: 300,
            header_seconds: 30,
            body_seconds: 60,
            write_seconds: 60,
            block_page: None,
        }
    }
}

/// ICAP, with its sockets open.
#[derive(Debug)]
pub struct Icap {
    config: IcapConfig,
    page: String,
    listeners: Vec<Listener>,
}

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum IcapError {
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The page for what is blocked cannot be read.
    #[error("cannot read block-page {}: {why}", path.display())]
    Page {
        /// Its path.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    config: IcapConfig,
    page: String,
    service: Service,
}

impl Icap {
    /// Opens the sockets; none when nothing is to be listened on. Socket files are given to `owner`.
    ///
    /// # Errors
    /// See [`IcapError`].
    pub fn open(config: &IcapConfig, owner: Option<(u32, u32)>) -> Result<Option<Self>, IcapError> {
        if config.listen.is_empty() {
            return Ok(None);
        }
        let page = match &config.block_page {
            Some(path) => page(path)?,
            None => answer::PAGE.to_owned(),
        };
        let access = SocketAccess {
            mode: &config.socket_mode,
            group: config.socket_group.as_deref(),
            owner,
        };
        let listeners = Listener::open_all(&config.listen, access)?;
        Ok(Some(Self { config: config.clone(), page, listeners }))
    }

    /// Returns where it waits.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listeners.iter().map(Listener::address)
    }

    /// Serves until the service ends.
    ///
    /// # Errors
    /// A socket cannot be used.
    pub async fn serve(self, service: Service) -> io::Result<()> {
        let room = Room::new(self.config.max_connections);
        let shared =
            Arc::new(Shared { config: self.config, page: self.page, service: service.clone() });
        let serve = move |stream, arrival: Arrival| {
            let Arrival { peer, name, place } = arrival;
            let client = shared.service.client(Door::Icap, &peer, name);
            connection::converse(Arc::clone(&shared), stream, client, place)
        };
        Listener::serve_all(self.listeners, service, room, serve).await
    }
}

impl Shared {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.config.services.iter().any(|name| name == service)
    }

    /// Returns what changes when answers may: at most 32 bytes (RFC 3507 §4.7).
    fn istag(&self) -> String {
        let digest = self.service.status().content.hex();
        format!("HF-{}", digest.get(..24).unwrap_or_default())
    }
}

fn page(path: &std::path::Path) -> Result<String, IcapError> {
    let failed = |why: String| IcapError::Page { path: path.to_owned(), why };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(PAGE_MAX + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > PAGE_MAX {
        return Err(failed(format!("it has more than {PAGE_MAX} bytes")));
    }
    Ok(text)
}

/// Names by which other ICAP services are configured in proxies.
const SERVICES: [&str; 9] = [
    "avscan",
    "holdfast",
    "reqmod",
    "request",
    "respmod",
    "response",
    "squidclamav",
    "srv_clamav",
    "virus_scan",
];

/// Ours.
const PAGE_MAX: u64 = 64 << 10;
