//! The journal of systemd, in its own protocol: one datagram an event, with fields.
//!
//! Promises: a value with any bytes is written with its length, so that no byte of it can begin another field.
//! Limits: values are cut at 8 KiB; the kernel is waited for at most one second.
//! Sources: systemd, "Native Journal Protocol"; systemd.journal-fields(7).

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::event::{Event, Kind};
use crate::events::Sink;

/// The journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::new(PathBuf::from("/run/systemd/journal/socket"))
    }
}

impl Journal {
    /// Returns the journal behind this socket.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, socket: None }
    }

    fn socket(&mut self) -> io::Result<&UnixDatagram> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(WAIT))?;
            self.socket = Some(socket);
        }
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Sink for Journal {
    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        let datagram = datagram(event);
        let path = self.path.clone();
        self.socket()?.send_to(&datagram, &path).map(|_| ())
    }
}

/// Returns the datagram of an event.
#[must_use]
pub fn datagram(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |name: &str, value: &[u8]| field(&mut bytes, name, value);
    put("MESSAGE", event.message().as_bytes());
    put("PRIORITY", (event.priority() as u8).to_string().as_bytes());
    put("SYSLOG_IDENTIFIER", b"holdfast");
    put("HOLDFAST_EVENT", event.word().as_bytes());
    put("HOLDFAST_SOURCE", event.source.as_bytes());
    match &event.kind {
        Kind::Finding { path, size, sha256, name, origin, .. } => {
            put("HOLDFAST_PATH", path);
            put("HOLDFAST_FINDING", name.as_bytes());
            put("HOLDFAST_SIGNATURE_ORIGIN", origin.as_bytes());
            put("HOLDFAST_SHA256", sha256.as_deref().unwrap_or_default().as_bytes());
            put("HOLDFAST_SIZE", size.map(|size| size.to_string()).unwrap_or_default().as_bytes());
        }
        Kind::Action { path, action, outcome, entry, reason } => {
            put("HOLDFAST_PATH", path);
            put("HOLDFAST_ACTION", action.as_bytes());
            put("HOLDFAST_OUTCOME", crate::ecs::outcome(*outcome).as_bytes());
            put("HOLDFAST_ENTRY", entry.as_deref().unwrap_or_default().as_bytes());
            put("HOLDFAST_REASON", reason.as_bytes());
        }
        Kind::NotScanned { path, verdict, reason, .. } => {
            put("HOLDFAST_PATH", path);
            put("HOLDFAST_VERDICT", verdict.as_bytes());
            put("HOLDFAST_REASON", reason.as_bytes());
        }
        Kind::WorkerDied { path, reason, .. } => {
            put("HOLDFAST_PATH", path);
            put("HOLDFAST_REASON", reason.as_bytes());
        }
        Kind::ScanStarted { task, .. }
        | Kind::ScanPaused { task, .. }
        | Kind::ScanEnded { task, .. } => put("HOLDFAST_TASK", task.as_bytes()),
        Kind::ContentRefused { reason } => put("HOLDFAST_REASON", reason.as_bytes()),
        Kind::ProtectionChanged { what, .. } => put("HOLDFAST_PROTECTION", what.as_bytes()),
        Kind::Update { from, .. } => put("HOLDFAST_UPDATE_FROM", from.as_bytes()),
        Kind::ContentLoaded { .. } | Kind::ContentStale { .. } | Kind::Dropped { .. } => {}
    }
    bytes
}

/// A field of text as `NAME=value`, any other with its length. Empty ones are left out.
fn field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    let value = value.get(..value.len().min(VALUE_MAX)).unwrap_or_default();
    if value.is_empty() {
        return;
    }
    bytes.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        bytes.push(b'\n');
        bytes.extend(u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
}

const VALUE_MAX: usize = 8 << 10;
const WAIT: Duration = Duration::from_secs(1);
