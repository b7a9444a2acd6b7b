//! The guard's socket: one word in, one line of JSON out.
//!
//! Words: `status` (what is protected, counters), `reload` (as `SIGHUP`).
//! Promises: only root is answered, whatever the mode of the socket's folder; a peer that is slow or
//! silent costs two seconds of this thread and nothing else.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_sys::fanotify::Scope;
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Value, json};

use crate::gate::Shared;
use crate::generation::Generations;
use crate::mountinfo::MountKind;
use crate::watchdog::Pulse;

/// An answer of the guard.
pub type Asked = Value;

/// Asks the guard that listens on this socket.
///
/// # Errors
/// Nobody listens, or the answer is none.
pub fn ask(socket: &Path, word: &str) -> io::Result<Asked> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ASK_TIME))?;
    stream.set_write_timeout(Some(ASK_TIME))?;
    writeln!(stream, "{word}")?;
    let mut text = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

/// The server's side.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    pub(crate) shared: Arc<Shared>,
    pub(crate) generations: Arc<Generations>,
    begun: Instant,
}

impl Control {
    /// Listens; a socket that a dead guard left is replaced.
    pub(crate) fn bind(
        path: &Path,
        shared: Arc<Shared>,
        generations: Arc<Generations>,
    ) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another guard listens there"));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, shared, generations, begun: Instant::now() })
    }

    /// Serves until the guard ends.
    pub(crate) fn serve(&self, pulse: &Pulse) {
        let tick = Timespec::try_from(Duration::from_millis(200)).unwrap_or_default();
        while !pulse.ended.load(std::sync::atomic::Ordering::Relaxed) {
            let mut polled = [PollFd::new(&self.listener, PollFlags::IN)];
            // What fails here fails again at `accept`.
            let _ = rustix::event::poll(&mut polled, Some(&tick));
            if let Ok((stream, _)) = self.listener.accept() {
                // A peer that goes away gets nothing.
                let _ = self.answer(&stream);
            }
        }
    }

    fn answer(&self, mut stream: &UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PEER_TIME))?;
        stream.set_write_timeout(Some(PEER_TIME))?;
        let (user, _) = hf_sys::users::peer_ids(&stream)?;
        if user != 0 {
            return writeln!(stream, "{}", json!({"error": "only root is answered"}));
        }
        let mut word = String::new();
        BufReader::new(stream.take(WORD_MAX)).read_line(&mut word)?;
        let answer = match word.trim_end() {
            "status" => self.status(),
            "reload" => {
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::HUP)?;
                json!({"reloading": true})
            }
            other => json!({"error": format!("unknown word '{}'", other.escape_debug())}),
        };
        writeln!(stream, "{answer}")
    }

    fn status(&self) -> Value {
        let shared = &self.shared;
        let table = shared.table();
        let rules = shared.rules();
        let mounts: Vec<Value> = table
            .protected
            .iter()
            .map(|one| {
                json!({
                    "path": one.point.to_string_lossy(),
                    "fstype": one.fstype,
                    "kind": match one.kind {
                        MountKind::Local => "local",
                        MountKind::Network => "network",
                        MountKind::Fuse => "fuse",
                        MountKind::Pseudo => "pseudo",
                    },
                    "scope": match one.scope {
                        Scope::FileSystem => "file-system",
                        Scope::Mount => "mount",
                    },
                    "read_only": one.read_only,
                    "error": one.error,
                })
            })
            .collect();
        let current = Arc::clone(&self.generations.current());
        json!({
            "pid": std::process::id(),
            "up_s": self.begun.elapsed().as_secs(),
            "prevention": rules.settings.prevention,
            "deadline_ms": rules.settings.deadline_ms,
            "below": table.prefixes.as_ref().map(|prefixes| {
                prefixes.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
            }),
            "mounts": mounts,
            "content": {
                "generation": current.number,
                "identity": current.identity,
                "signatures": current.signatures,
            },
            "waiting": shared.flights.waiting(),
            "cached": shared.memory.cache.len(),
            "metrics": shared.metrics.to_json(),
        })
    }
}

/// Ours.
const ASK_TIME: Duration = Duration::from_secs(10);
/// Ours.
const PEER_TIME: Duration = Duration::from_secs(2);
/// Ours.
const ANSWER_MAX: u64 = 16 << 20;
/// Ours.
const WORD_MAX: u64 = 64;
