//! The service: takes objects, gives them to sandboxed workers in fair turns, answers.
//!
//! A thread for each worker process ([`slot`]) takes what is next from one queue ([`queue`]) and keeps
//! its worker busy with several small objects at a time. A reload opens the new content, starts a new
//! worker beside each old one and lets them change places between two objects.
//! Promises: every object is answered exactly once, unless its client is gone; an object meets one
//! content, never half of two; content that cannot be used leaves the last good one. Bounded:
//! objects that wait (of a connection, of a peer, and all), entries of the cache, findings kept.
//! Leaves out: verdicts (`hf-policy`) and actions.

mod cache;
mod metrics;
mod queue;
mod reload;
mod slot;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use hf_core::{Report, Verdict};
use hf_policy::{Tell, decide};
use hf_worker::{Death, Protection, WorkerConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::content::{Content, ContentIdentity, ContentSource};
use crate::intake::{Intake, IntakeRoom};
use crate::log::Log;
use crate::scan::{Answer, Client, Door, Object, Peer, ScanChoice};

pub use metrics::{Finding, Metrics, Second};
pub use reload::ReloadError;

use cache::Cache;
use metrics::{Counters, between};
use queue::Queue;
use slot::Slot;

/// Is told what happens, by whoever does it: nothing here may wait.
pub trait Observer: Send + Sync {
    /// Every answer: who asked, what the object is called, and what came of it.
    fn answered(&self, client: &Client, name: &[u8], answer: &Answer);
    /// A worker died over an object.
    fn worker_died(&self, name: &[u8], death: &Death);
    /// Other content is in use.
    fn content_loaded(&self, content: &ContentIdentity);
    /// New content was refused.
    fn content_refused(&self, why: &str);
}

/// What a service is made of.
#[derive(Clone)]
pub struct ServiceSetup {
    /// Where content comes from.
    pub source: Arc<dyn ContentSource>,
    /// How workers are started; its packs are those of the content.
    pub worker: WorkerConfig,
    /// Workers at once; 0 means one for each core.
    pub workers: usize,
    /// Objects of one connection that may wait or be scanned; more wait with their client.
    pub connection_objects: usize,
    /// Objects of one peer, over all its connections.
    pub peer_objects: usize,
    /// Objects of everybody. Each holds a descriptor.
    pub objects: usize,
    /// Entries of the verdict cache; 0 for none.
    pub cache_entries: usize,
    /// Bytes of memory for what is being received and waits; beyond, it goes to disk.
    pub intake_bytes: u64,
    /// Folder for nameless temporary files.
    pub folder: PathBuf,
    /// Where it is said what happens.
    pub log: Log,
    /// Told what happens.
    pub observer: Option<Arc<dyn Observer>>,
}

impl ServiceSetup {
    /// Returns the usual values for a source of content.
    #[must_use]
    pub fn new(source: Arc<dyn ContentSource>) -> Self {
        Self {
            source,
            worker: WorkerConfig::default(),
            workers: 0,
            connection_objects: 64,
            peer_objects: 1024,
            objects: 4096,
            cache_entries: 65_536,
            intake_bytes: 128 << 20,
            folder: std::env::temp_dir(),
            log: Log::nowhere(),
            observer: None,
        }
    }
}

impl fmt::Debug for ServiceSetup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServiceSetup").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// How the service is.
#[derive(Debug, Clone)]
pub struct Status {
    /// The content that new objects meet.
    pub content: Arc<ContentIdentity>,
    /// When content was last opened without an error, whether it had changed or not.
    pub content_checked: SystemTime,
    /// Why the last reload failed, if it did.
    pub reload_error: Option<String>,
    /// Counts contents since the start, from 1.
    pub generation: u64,
    /// Objects that wait.
    pub queued: usize,
    /// Objects that are with a worker.
    pub scanning: usize,
    /// Workers that should run.
    pub workers: usize,
    /// Workers that run.
    pub workers_ready: usize,
    /// Process ids of the workers that run.
    pub worker_ids: Vec<u32>,
    /// The mechanisms of confinement of a worker; empty before the first is ready.
    pub protections: Vec<Protection>,
    /// Why the last start of a worker failed, if it did.
    pub worker_error: Option<String>,
    /// Since the start.
    pub uptime: Duration,
}

/// The service. Cheap to clone; ends with [`Service::shutdown`].
#[derive(Clone)]
pub struct Service(Arc<Inner>);

pub(crate) struct Inner {
    setup: ServiceSetup,
    queue: Queue,
    cache: Cache,
    counters: Counters,
    /// Key of everything that the cache is asked for.
    secret: [u8; 32],
    intake: Arc<IntakeRoom>,
    current: RwLock<Arc<Generation>>,
    state: Mutex<State>,
    slots: Vec<Arc<Slot>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    room: Arc<Semaphore>,
    peers: Mutex<HashMap<u64, Weak<Semaphore>>>,
    connections: AtomicU64,
    reloading: tokio::sync::Mutex<()>,
    stop: watch::Sender<bool>,
    started: Instant,
}

/// What changes now and then.
#[derive(Debug)]
struct State {
    content_checked: SystemTime,
    reload_error: Option<String>,
    stamp: u64,
    protections: Vec<Protection>,
    worker_error: Option<String>,
}

/// One content with the way its workers are started.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    identity: Arc<ContentIdentity>,
    worker: Arc<WorkerConfig>,
}

/// An object that waits, or is with a worker.
#[derive(Debug)]
pub(crate) struct Ticket {
    client: Client,
    object: Object,
    choice: ScanChoice,
    since: Instant,
    /// How often it may go to another worker when its own was killed.
    tries_left: u32,
    tell: oneshot::Sender<Answer>,
    /// Given back when the object is answered.
    _permits: [OwnedSemaphorePermit; 3],
}

/// A service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The content cannot be used; text for people.
    #[error("{0}")]
    Content(String),
    /// The system lacks threads or randomness.
    #[error("cannot start the service")]
    System(#[source] std::io::Error),
}

impl Service {
    /// Opens the content and starts the workers, which become ready by themselves; objects may be
    /// given at once. Raises the number of descriptors that this process may open to what its
    /// administrator allows.
    ///
    /// # Errors
    /// The content cannot be used, or the system is short of something.
    pub fn start(setup: ServiceSetup) -> Result<Self, StartError> {
        let _ = hf_sys::bounds::more_descriptors();
        let stamp = setup.source.stamp();
        let content = setup.source.open().map_err(StartError::Content)?;
        content.warnings.iter().for_each(|text| setup.log.warning(text));
        let secret = random().map_err(StartError::System)?;
        let cache = Cache::new(setup.cache_entries);
        let key = cache.is_on().then_some(secret);
        let intake = IntakeRoom::new(setup.intake_bytes, setup.folder.clone(), key);
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = if setup.workers == 0 { cores() } else { setup.workers };
        let first = Arc::new(Generation::new(1, content, &setup.worker));
        let inner = Arc::new(Inner {
            queue: Queue::default(),
            cache,
            counters: Counters::default(),
            secret,
            intake: Arc::new(intake),
            current: RwLock::new(Arc::clone(&first)),
            state: Mutex::new(State {
                content_checked: SystemTime::now(),
                reload_error: None,
                stamp,
                protections: Vec::new(),
                worker_error: None,
            }),
            slots: (0..workers).map(|_| Arc::new(Slot::default())).collect(),
            threads: Mutex::default(),
            room: Arc::new(Semaphore::new(setup.objects.clamp(1, Semaphore::MAX_PERMITS))),
            peers: Mutex::default(),
            connections: AtomicU64::new(0),
            reloading: tokio::sync::Mutex::new(()),
            stop: watch::channel(false).0,
            started: Instant::now(),
            setup,
        });
        for (number, slot) in inner.slots.iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("worker {number}"));
            let (service, slot, first) = (Arc::clone(&inner), Arc::clone(slot), Arc::clone(&first));
            let thread = thread.spawn(move || slot::run(&service, &slot, first, number));
            let thread = thread.map_err(|error| {
                inner.queue.close();
                StartError::System(error)
            })?;
            inner.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(Self(inner))
    }

    /// Returns a place in the rotation for a new connection. `name` is what logs call it.
    #[must_use]
    pub fn client(&self, door: Door, peer: &Peer, name: impl Into<String>) -> Client {
        let connection = self.0.connections.fetch_add(1, Ordering::Relaxed);
        Client::new(door, peer, connection, name.into(), self.0.setup.connection_objects.max(1))
    }

    /// Returns something to gather at most so many bytes in.
    #[must_use]
    pub fn intake(&self, bytes_max: u64) -> Intake {
        Intake::new(Arc::clone(&self.0.intake), bytes_max)
    }

    /// Scans one object. Waits while its connection, its peer or everybody has too many waiting.
    /// When the future is dropped, the object is taken back, if no worker has it yet.
    pub async fn scan(&self, client: &Client, object: Object, choice: ScanChoice) -> Answer {
        let since = Instant::now();
        let size = object.size;
        let object = match self.cached(client, object, &choice, since) {
            Ok(answer) => return answer,
            Err(object) => object,
        };
        let name = object.name.clone();
        let deadline = choice.deadline;
        let answer = self.queued(client, object, choice, since);
        let answer = match deadline {
            Some(deadline) => tokio::time::timeout(deadline, answer).await.ok(),
            None => Some(answer.await),
        };
        // Workers' threads tell of what they answer themselves.
        match answer {
            Some(Some(answer)) => answer,
            Some(None) => self.failed(client, &name, size, since, "the service is ending"),
            None => self.failed(client, &name, size, since, "no answer within the time given"),
        }
    }

    async fn queued(
        &self,
        client: &Client,
        object: Object,
        choice: ScanChoice,
        since: Instant,
    ) -> Option<Answer> {
        let peer = self.peer_room(client.0.peer);
        let permits = [
            Arc::clone(&client.0.room).acquire_owned().await.ok()?,
            peer.acquire_owned().await.ok()?,
            Arc::clone(&self.0.room).acquire_owned().await.ok()?,
        ];
        let (tell, told) = oneshot::channel();
        let client = client.clone();
        let ticket =
            Ticket { client, object, choice, since, tries_left: TRIES, tell, _permits: permits };
        self.0.queue.push(ticket).ok()?;
        told.await.ok()
    }

    fn peer_room(&self, peer: u64) -> Arc<Semaphore> {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = peers.get(&peer).and_then(Weak::upgrade) {
            return room;
        }
        if peers.len() >= PEERS_KEPT {
            peers.retain(|_, room| room.strong_count() > 0);
        }
        let room = Arc::new(Semaphore::new(self.0.setup.peer_objects.max(1)));
        peers.insert(peer, Arc::downgrade(&room));
        room
    }

    /// Answers from the cache, else gives the object back.
    fn cached(
        &self,
        client: &Client,
        object: Object,
        choice: &ScanChoice,
        since: Instant,
    ) -> Result<Answer, Object> {
        let generation = self.0.current();
        let key = self.0.key(&object, choice, &generation);
        let Some(report) = key.and_then(|key| self.0.cache.find(&key)) else { return Err(object) };
        let mut answer = answer(report, choice.all_match, Arc::clone(&generation.identity));
        answer.cached = true;
        answer.size = object.size;
        answer.took = between(since, Instant::now());
        answer.file = choice.keep_file.then_some(object.file);
        self.0.tell_all(client, &object.name, &answer);
        Ok(answer)
    }

    fn failed(&self, client: &Client, name: &[u8], size: u64, since: Instant, why: &str) -> Answer {
        let report = Arc::new(Report::failed(why));
        let mut answer = answer(report, false, Arc::clone(&self.0.current().identity));
        answer.waited = between(since, Instant::now());
        answer.size = size;
        self.0.tell_all(client, name, &answer);
        answer
    }

    /// Returns how the service is.
    #[must_use]
    pub fn status(&self) -> Status {
        let generation = self.0.current();
        let ids: Vec<u32> = self.0.slots.iter().filter_map(|slot| slot.process_id()).collect();
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            content: Arc::clone(&generation.identity),
            content_checked: state.content_checked,
            reload_error: state.reload_error.clone(),
            generation: generation.number,
            queued: self.0.queue.len(),
            scanning: self.0.slots.iter().map(|slot| slot.busy()).sum(),
            workers: self.0.slots.len(),
            workers_ready: ids.len(),
            worker_ids: ids,
            protections: state.protections.clone(),
            worker_error: state.worker_error.clone(),
            uptime: self.0.started.elapsed(),
        }
    }

    /// Returns the counters.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let cache_entries = u64::try_from(self.0.cache.len()).unwrap_or(u64::MAX);
        Metrics { cache_entries, ..self.0.counters.now() }
    }

    /// Returns the last findings, newest first (at most 256).
    #[must_use]
    pub fn recent_findings(&self) -> Vec<Finding> {
        self.0.counters.findings()
    }

    /// Returns where the service says what happens.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.setup.log
    }

    /// Asks every door to end; [`Service::stopping`] returns from now on.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// True from when the service is to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.stop.borrow()
    }

    /// Waits until the service is to end.
    pub async fn stopping(&self) {
        let mut stop = self.0.stop.subscribe();
        // The sender lives as long as the service.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Ends: what waits is still answered, then the workers end. Blocks; call it outside of async
    /// code or through `spawn_blocking`.
    pub fn shutdown(&self) {
        self.stop();
        self.0.queue.close();
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Service").field("workers", &self.0.slots.len()).finish_non_exhaustive()
    }
}

impl Generation {
    fn new(number: u64, content: Content, worker: &WorkerConfig) -> Self {
        let worker = WorkerConfig { packs: content.packs, ..worker.clone() };
        Self { number, identity: content.identity, worker: Arc::new(worker) }
    }
}

impl Inner {
    fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the cache's key for an object whose bytes cannot change any more.
    fn key(
        &self,
        object: &Object,
        choice: &ScanChoice,
        generation: &Generation,
    ) -> Option<cache::Key> {
        let fixed = object.fixed?;
        if choice.no_cache || choice.limits.is_some() || !self.cache.is_on() {
            return None;
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&fixed).update(&generation.identity.digest);
        hasher.update(&[u8::from(choice.all_match), u8::from(choice.full_tree)]);
        Some(*hasher.finalize().as_bytes())
    }

    fn tell_all(&self, client: &Client, name: &[u8], answer: &Answer) {
        self.counters.answered(client, name, answer);
        if let Some(observer) = &self.setup.observer {
            observer.answered(client, name, answer);
        }
    }
}

/// Makes an answer of a report; times, sizes and files are the caller's.
fn answer(report: Arc<Report>, all_match: bool, content: Arc<ContentIdentity>) -> Answer {
    let decision = decide(&report, if all_match { Tell::All } else { Tell::One });
    let verdict = decision.verdict;
    let names = match verdict {
        Verdict::Detected => decision.findings.iter().map(|hit| hit.name.clone()).collect(),
        _ => Vec::new(),
    };
    Answer {
        report,
        verdict,
        names,
        death: None,
        content,
        cached: false,
        size: 0,
        waited: Duration::ZERO,
        took: Duration::ZERO,
        file: None,
    }
}

fn random() -> std::io::Result<[u8; 32]> {
    use std::io::Read as _;
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Ours: an object whose worker is killed from outside goes to another so often.
const TRIES: u32 = 3;

/// Ours: peers that are remembered before those that are gone are forgotten.
const PEERS_KEPT: usize = 1024;
