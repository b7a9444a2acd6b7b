//! The door that speaks the clamd protocol.
//!
//! Promises: the replies of clamd 1.4.6, byte for byte, except where `docs/compatibility.md` says so
//! and why. Bounded: connections (all, and of one peer), commands and bytes of a connection that are
//! under way, the time for a command, for more of a stream and for taking in a reply.
//! Leaves out: making the listening sockets (`sockets.rs`).
//! Sources: clamd(8); black-box trials of clamd 1.4.6.

mod event;
pub mod frame;
mod link;
mod paths;
mod session;
mod stats;
mod stream;
mod verdict;
mod walk;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hf_sys::users::Identity;
use regex_automata::meta::Regex;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::config::{ClamdConfig, LogConfig, PathRights};
use crate::log::Log;
use crate::room::NowAndThen;
use crate::scan::Peer;
use crate::service::Service;

use event::Events;
use link::Link;
use session::Session;
use stats::Running;
use walk::WalkChoice;

/// The door.
#[derive(Debug, Clone)]
pub struct ClamdDoor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Service,
    config: ClamdConfig,
    log: Log,
    log_clean: bool,
    log_extended: bool,
    /// `ClamAV 1.4.6`.
    version: String,
    walk: Arc<WalkChoice>,
    running: Running,
    events: Option<Events>,
    connections: Arc<Semaphore>,
    peers: Mutex<HashMap<Peer, usize>>,
    /// Connections that were closed at once.
    closed: NowAndThen,
    /// The service runs as root, so that it can take over a client's rights.
    root: bool,
    own_uid: u32,
    reload: Semaphore,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
enum Who {
    Local(Identity),
    Remote(IpAddr, u16),
    /// A local client that the kernel does not know.
    Nobody,
}

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("ExcludePath: bad regular expression '{pattern}': {why}")]
pub struct DoorError {
    pattern: String,
    why: String,
}

impl ClamdDoor {
    /// Makes a door. `version` is what `VERSION` says of the engine (`ClamAV 1.4.6`).
    ///
    /// # Errors
    /// A regular expression is wrong.
    pub fn new(
        service: Service,
        config: ClamdConfig,
        log: &LogConfig,
        version: String,
    ) -> Result<Self, DoorError> {
        let exclude = config.exclude_paths.iter().map(|pattern| {
            path_regex(pattern).map_err(|why| DoorError { pattern: pattern.clone(), why })
        });
        let walk = Arc::new(WalkChoice {
            exclude: exclude.collect::<Result<_, _>>()?,
            depth_max: config.max_directory_depth,
            follow_folders: config.follow_directory_links,
            follow_files: config.follow_file_links,
            cross: config.cross_file_systems,
        });
        let events = config
            .virus_event
            .as_ref()
            .map(|command| Events::start(command.clone(), service.log().clone()));
        let uid = rustix::process::geteuid();
        Ok(Self(Arc::new(Shared {
            log: service.log().clone(),
            service,
            log_clean: log.clean,
            log_extended: log.extended,
            version,
            walk,
            running: Running::default(),
            events,
            connections: Arc::new(Semaphore::new(config.max_connections.clamp(1, 1 << 20))),
            peers: Mutex::default(),
            closed: NowAndThen::default(),
            root: uid.is_root(),
            own_uid: uid.as_raw(),
            reload: Semaphore::new(2),
            config,
        })))
    }

    /// Serves a local socket until the service stops.
    pub async fn serve_unix(&self, listener: UnixListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.0.service.stopping() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let who = hf_sys::users::peer(&stream).map_or(Who::Nobody, Who::Local);
                    self.begin(Link::Unix(stream), who).await;
                }
                Err(error) => self.refused(&error).await,
            }
        }
    }

    /// Serves a TCP socket until the service stops.
    pub async fn serve_tcp(&self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.0.service.stopping() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let _ = stream.set_nodelay(true);
                    let who = Who::Remote(address.ip().to_canonical(), address.port());
                    self.begin(Link::Tcp(stream), who).await;
                }
                Err(error) => self.refused(&error).await,
            }
        }
    }

    /// Gives a connection a task, once there is room for it. Those of a peer that has most of the room
    /// already are closed.
    async fn begin(&self, link: Link, who: Who) {
        let shared = Arc::clone(&self.0);
        let peer = who.peer();
        if !shared.enter(&peer) {
            if let Some(count) = shared.closed.count() {
                let line = format!("too many connections of {peer:?}: {count} closed");
                shared.log.warning(&line);
            }
            return;
        }
        let permit = tokio::select! {
            permit = Arc::clone(&shared.connections).acquire_owned() => permit,
            () = shared.service.stopping() => return,
        };
        tokio::spawn(async move {
            Session::new(Arc::clone(&shared), link, who).run().await;
            shared.leave(&peer);
            drop(permit);
        });
    }

    /// The system is short of something: it is given a moment.
    async fn refused(&self, error: &std::io::Error) {
        self.0.log.warning(&format!("a connection cannot be accepted: {error}"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Shared {
    fn enter(&self, peer: &Peer) -> bool {
        let most = self.config.max_connections.saturating_mul(3).div_ceil(4).max(1);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer.clone()).or_default();
        if *count >= most {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    fn leave(&self, peer: &Peer) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                peers.remove(peer);
            }
        }
    }

    /// Returns the rights with which a client's paths are opened; none for the service's own.
    fn rights(&self, who: &Who) -> Option<Identity> {
        if !self.root || self.config.path_rights == PathRights::Service {
            return None;
        }
        match who {
            Who::Local(identity) if identity.uid == 0 => None,
            Who::Local(identity) => Some(identity.clone()),
            Who::Remote(..) | Who::Nobody => {
                Some(Identity { uid: NOBODY, gid: NOBODY, groups: Vec::new() })
            }
        }
    }

    /// True when a client may end the service: over TCP as with clamd; a local one only as root or as
    /// the service's own user.
    fn may_stop(&self, who: &Who) -> bool {
        match who {
            Who::Local(identity) => identity.uid == 0 || identity.uid == self.own_uid,
            Who::Remote(..) => true,
            Who::Nobody => false,
        }
    }
}

impl Who {
    fn peer(&self) -> Peer {
        match self {
            Self::Local(identity) => Peer::User(identity.uid),
            Self::Remote(address, _) => Peer::Address(*address),
            Self::Nobody => Peer::User(NOBODY),
        }
    }

    /// Returns what logs call it, as clamd does.
    fn name(&self) -> String {
        match self {
            Self::Local(_) | Self::Nobody => "local".to_owned(),
            Self::Remote(address, port) => format!("{address}@{port}"),
        }
    }
}

/// Compiles an extended regular expression over the bytes of a path.
fn path_regex(text: &str) -> Result<Regex, String> {
    use regex_automata::util::syntax;
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder()
        .syntax(syntax)
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(1 << 20)))
        .build(text)
        .map_err(|error| {
            error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)
        })
}

/// The kernel's user for those that have none.
const NOBODY: u32 = 65_534;
