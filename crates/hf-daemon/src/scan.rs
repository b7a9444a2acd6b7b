//! What a door asks the service, and what it is answered.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hf_core::{Limits, Report, Verdict};
use hf_worker::Death;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::content::ContentIdentity;

/// An object to scan: an open file and what it is called.
#[derive(Debug)]
pub struct Object {
    /// Open for reading. Its offset is neither used nor moved.
    pub file: File,
    /// What it is called: raw bytes, for reports and logs only.
    pub name: Vec<u8>,
    /// Bytes, as far as known.
    pub size: u64,
    /// Keyed digest of its bytes, when they cannot change any more.
    pub(crate) fixed: Option<[u8; 32]>,
    /// The room in memory that it takes.
    pub(crate) _memory: Option<OwnedSemaphorePermit>,
}

impl Object {
    /// Makes an object of a file, whose size is asked for.
    #[must_use]
    pub fn new(file: File, name: impl Into<Vec<u8>>) -> Self {
        let size = file.metadata().map_or(0, |meta| meta.len());
        Self { name: name.into(), ..Self::sized(file, size) }
    }

    /// Makes an object without a name of a file whose size is known.
    pub(crate) fn sized(file: File, size: u64) -> Self {
        Self { file, name: Vec::new(), size, fixed: None, _memory: None }
    }
}

/// Who waits more urgently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Priority {
    /// A program stands still until it is answered.
    Interactive,
    /// A request.
    #[default]
    Normal,
    /// Whenever there is nothing else to do (scheduled scans).
    Idle,
}

/// How one object is scanned.
#[derive(Debug, Clone, Default)]
pub struct ScanChoice {
    /// Every hit instead of the first.
    pub all_match: bool,
    /// Before or behind others.
    pub priority: Priority,
    /// Time from now in which an answer is worth something, waiting in the queue included; none for
    /// the time limit of a scan alone.
    pub deadline: Option<Duration>,
    /// The very file that was scanned comes back with the answer.
    pub keep_file: bool,
    /// Keep every object in the report, with digests.
    pub full_tree: bool,
    /// Replaces the service's limits.
    pub limits: Option<Arc<Limits>>,
    /// Neither ask the verdict cache nor add to it.
    pub no_cache: bool,
}

/// What became of an object.
#[derive(Debug)]
pub struct Answer {
    /// The report; shared, because cached verdicts are.
    pub report: Arc<Report>,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Names to tell, the decisive one first (all with [`ScanChoice::all_match`]); empty unless the
    /// verdict is `detected`.
    pub names: Vec<String>,
    /// Set when a worker died over it.
    pub death: Option<Death>,
    /// The content that the verdict came from.
    pub content: Arc<ContentIdentity>,
    /// It came from the verdict cache.
    pub cached: bool,
    /// Bytes of the object.
    pub size: u64,
    /// Time in the queue.
    pub waited: Duration,
    /// Time from leaving the queue to the answer.
    pub took: Duration,
    /// The file, with [`ScanChoice::keep_file`].
    pub file: Option<File>,
}

impl Answer {
    /// Returns the name to tell when only one is told.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }
}

/// Through which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// The clamd protocol.
    Clamd,
    /// HTTP.
    Http,
    /// ICAP.
    Icap,
    /// Milter.
    Milter,
    /// On-access events.
    OnAccess,
    /// Scheduled and commanded scans.
    Schedule,
}

impl Door {
    /// Every door, in the order of [`Door::idx`].
    pub const ALL: [Self; 6] =
        [Self::Clamd, Self::Http, Self::Icap, Self::Milter, Self::OnAccess, Self::Schedule];

    /// Returns its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clamd => "clamd",
            Self::Http => "http",
            Self::Icap => "icap",
            Self::Milter => "milter",
            Self::OnAccess => "on-access",
            Self::Schedule => "schedule",
        }
    }

    pub(crate) fn idx(self) -> usize {
        Self::ALL.iter().position(|door| *door == self).unwrap_or(0)
    }
}

/// Who a client is, as far as fairness goes: all of one peer share one turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A user of this machine, by uid.
    User(u32),
    /// A machine.
    Address(IpAddr),
    /// A part of this program.
    Own(&'static str),
    /// Somebody who authenticated under a name.
    Named(String),
}

/// A client: one connection of one peer. Cheap to clone; all clones share one place in the rotation
/// and one bound on what waits.
#[derive(Debug, Clone)]
pub struct Client(pub(crate) Arc<ClientInner>);

#[derive(Debug)]
pub(crate) struct ClientInner {
    pub(crate) door: Door,
    pub(crate) name: String,
    pub(crate) peer: u64,
    pub(crate) connection: u64,
    /// Objects of this connection that may wait or be scanned.
    pub(crate) room: Arc<Semaphore>,
}

impl Client {
    pub(crate) fn new(door: Door, peer: &Peer, connection: u64, name: String, room: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        peer.hash(&mut hasher);
        let room = Arc::new(Semaphore::new(room));
        Self(Arc::new(ClientInner { door, name, peer: hasher.finish(), connection, room }))
    }

    /// Returns the door it came through.
    #[must_use]
    pub fn door(&self) -> Door {
        self.0.door
    }

    /// Returns what logs call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}
