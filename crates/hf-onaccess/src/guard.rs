//! The guard put together: what is started in which order, and what runs until the end.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hf_sys::fanotify::{Event, Group};
use hf_sys::privileges::{Capabilities, keep_only};
use hf_sys::signals::{Signal, Signals};
use hf_worker::SpawnError;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Resource;

use crate::Settings;
use crate::cache::Cache;
use crate::control::Control;
use crate::flights::Flights;
use crate::gate::{Rules, Shared};
use crate::generation::{Content, Generations};
use crate::journal::{Findings, Happening, Journal};
use crate::lanes::{Lanes, Role};
use crate::metrics::Metrics;
use crate::mounts::{Mounts, Table};
use crate::remember::Memory;
use crate::scanning::Scanning;
use crate::watchdog::{Pulse, watch};

/// Reads settings; with them come lines for people.
pub type ReadSettings = Box<dyn Fn() -> Result<(Settings, Vec<String>), String> + Send>;

/// What a guard is made of.
pub struct Guard {
    /// Reads the settings, at the start and whenever they are to be read again, with what the operator should
    /// know about them.
    ///
    /// # Errors
    /// They are refused; a guard that runs goes on with those that it has.
    pub settings: ReadSettings,
    /// Where content comes from.
    pub content: Arc<dyn Content>,
    /// What is done with what is told.
    pub findings: Box<dyn Findings>,
    /// Pipe for signs of life.
    pub heartbeat: Option<OwnedFd>,
    /// Capabilities that are kept besides those that guarding takes: for what is done after a finding.
    pub more_capabilities: Capabilities,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// The guard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Settings are refused.
    #[error("{0}")]
    Settings(String),
    /// Content cannot be opened.
    #[error("{0}")]
    Content(String),
    /// A worker cannot be started.
    #[error(transparent)]
    Worker(#[from] SpawnError),
    /// The kernel does not let us ask.
    #[error("cannot ask the kernel for permission events")]
    Fanotify(#[source] std::io::Error),
    /// The socket cannot be used.
    #[error("cannot listen on {}", .0.display())]
    Socket(PathBuf, #[source] std::io::Error),
    /// Nothing that was asked for can be protected.
    #[error("nothing is protected: {0}")]
    Nothing(String),
    /// Anything else of the system.
    #[error("cannot start")]
    System(#[from] std::io::Error),
}

/// Guards until `SIGTERM`; `SIGHUP` reads settings and content again.
///
/// # Errors
/// See [`RunError`]. Nothing ends a guard that runs but a signal.
pub fn run(guard: Guard) -> Result<(), RunError> {
    let Guard { settings: read_settings, content, findings, heartbeat, more_capabilities } = guard;
    let (settings, notes) = read_settings().map_err(RunError::Settings)?;
    let mut signals = Signals::take()?;
    hf_sys::lease::ignore_breaks();
    // What is started from here on is known by its session, which nobody else may be in.
    let session = hf_sys::session::lead()?;
    // Whoever opens waits for us; not to be asked for is no reason to wait longer.
    let _ = rustix::process::nice(NICE);
    let _ = hf_sys::bounds::more_descriptors();
    let group = Arc::new(Group::open().map_err(RunError::Fanotify)?);
    keep_only(KEPT | more_capabilities)?;
    let metrics = Arc::new(Metrics::default());
    let journal = Journal::start(Arc::clone(&metrics), findings)?;
    notes.iter().for_each(|text| journal.line(format!("note: {text}")));
    let loaded = content.open().map_err(RunError::Content)?;
    loaded.warnings.iter().for_each(|text| journal.line(format!("warning: {text}")));
    let threads = threads(&settings);
    let generations = Arc::new(Generations::new(loaded, threads.saturating_add(1))?);
    let rules = Rules::new(settings.clone());
    let shared = Arc::new(Shared {
        rules: RwLock::new(Arc::new(rules)),
        table: Arc::new(RwLock::new(Arc::new(Table::default()))),
        memory: Memory {
            group: Arc::clone(&group),
            cache: Cache::default(),
            metrics: Arc::clone(&metrics),
        },
        flights: Flights::default(),
        lanes: Lanes::default(),
        metrics,
        session,
        waiting_max: waiting_max(),
        alone: AtomicU64::new(0),
    });
    let control = Control::bind(&settings.socket, Arc::clone(&shared), Arc::clone(&generations))
        .map_err(|error| RunError::Socket(settings.socket.clone(), error))?;
    let pulse = Arc::new(Pulse::default());
    let running = Running {
        shared: Arc::clone(&shared),
        generations,
        journal: journal.clone(),
        pulse: Arc::clone(&pulse),
        content,
        read_settings,
        threads,
    };
    running.start(control, heartbeat)?;
    let mut mounts = Mounts::new(group, journal.clone(), Arc::clone(&shared.table))?;
    let protected = mounts.sync(&settings).map_err(RunError::System).and_then(|()| {
        let table = shared.table();
        let any = table.protected.iter().any(|one| one.error.is_none());
        let why = || match table.protected.iter().find_map(|one| one.error.clone()) {
            Some(error) => error,
            None => "no such file system is mounted".to_owned(),
        };
        // Without a list, what is not there yet may come.
        if any || settings.protect.is_empty() { Ok(()) } else { Err(RunError::Nothing(why())) }
    });
    if protected.is_ok() {
        journal
            .line(format!("guards, with {} signatures", running.generations.current().signatures));
        let guarding = |on, reason: &str| {
            journal.happened(Happening::Guarding { on, reason: reason.to_owned() });
        };
        guarding(true, "it was started");
        running.manage(&mut signals, mounts);
        guarding(false, "it was ended");
    }
    pulse.ended.store(true, Ordering::Relaxed);
    shared.lanes.close();
    let _ = std::fs::remove_file(&settings.socket);
    journal.flush();
    // Threads that still scan are not waited for: the process ends, and the kernel allows what waits.
    protected
}

struct Running {
    shared: Arc<Shared>,
    generations: Arc<Generations>,
    journal: Journal,
    pulse: Arc<Pulse>,
    content: Arc<dyn Content>,
    read_settings: ReadSettings,
    threads: usize,
}

impl Running {
    fn start(&self, control: Control, heartbeat: Option<OwnedFd>) -> Result<(), RunError> {
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
        };
        let scanning = Scanning {
            shared: Arc::clone(&self.shared),
            generations: Arc::clone(&self.generations),
            journal: self.journal.clone(),
        };
        let general = std::iter::repeat_n(Role::General, self.threads);
        for role in general.chain([Role::Small, Role::Remote]) {
            let scanning = scanning.clone();
            start("scan", Box::new(move || scanning.serve(role)))?;
        }
        let pulse = Arc::clone(&self.pulse);
        start("control", Box::new(move || control.serve(&pulse)))?;
        let (shared, pulse) = (Arc::clone(&self.shared), Arc::clone(&self.pulse));
        start("watchdog", Box::new(move || watch(&shared, &pulse, heartbeat, LOST_AFTER)))?;
        let (shared, pulse) = (Arc::clone(&self.shared), Arc::clone(&self.pulse));
        let journal = self.journal.clone();
        start("questions", Box::new(move || read_questions(&shared, &pulse, &journal)))?;
        Ok(())
    }

    /// Waits for signals, mounts and time; returns at the end.
    fn manage(&self, signals: &mut Signals, mut mounts: Mounts) {
        let pulse = Arc::clone(&self.pulse);
        let shared = Arc::clone(&self.shared);
        let journal = self.journal.clone();
        // A reload takes as long as it takes; a stick that is put in meanwhile is protected at once.
        let sync = move || {
            let tick = Timespec::try_from(MOUNT_TICK).unwrap_or_default();
            while !pulse.ended.load(Ordering::Relaxed) {
                mounts.wait(tick);
                if let Err(error) = mounts.sync(&shared.rules().settings) {
                    journal.line(format!("cannot read the table of mounts: {error}"));
                }
            }
        };
        let mounts = thread::Builder::new().name("mounts".to_owned()).spawn(sync);
        if let Err(error) = &mounts {
            self.journal.line(format!("new mounts are not protected: {error}"));
        }
        let mut looked = Instant::now();
        loop {
            let mut polled = [PollFd::new(&*signals, PollFlags::IN)];
            let tick = Timespec::try_from(Duration::from_secs(1)).unwrap_or_default();
            let _ = rustix::event::poll(&mut polled, Some(&tick));
            let mut reload = false;
            while let Some(signal) = signals.arrived() {
                match signal {
                    Signal::Reload => reload = true,
                    Signal::End => {
                        self.pulse.ended.store(true, Ordering::Relaxed);
                        let _ = mounts.map(JoinHandle::join);
                        return;
                    }
                }
            }
            if reload {
                self.reload_settings();
            }
            let every = self.shared.rules().settings.content_check_s;
            if reload || (every > 0 && looked.elapsed() >= Duration::from_secs(every)) {
                self.reload_content();
                looked = Instant::now();
            }
        }
    }

    fn reload_settings(&self) {
        match (self.read_settings)() {
            Ok((settings, notes)) => {
                notes.iter().for_each(|text| self.journal.line(format!("note: {text}")));
                let rules = Arc::new(Rules::new(settings));
                *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
                // What was allowed by the old rules is asked for again.
                self.forget();
                self.shared.metrics.reloads.add();
                self.journal.line("settings were read again");
            }
            Err(why) => self.journal.line(format!("settings stay as they are: {why}")),
        }
    }

    fn reload_content(&self) {
        let loaded = match self.content.open() {
            Ok(loaded) => loaded,
            Err(why) => return self.content_refused(why),
        };
        if loaded.identity == self.generations.current().identity {
            return;
        }
        loaded.warnings.iter().for_each(|text| self.journal.line(format!("warning: {text}")));
        let signatures = loaded.signatures;
        let forget = || self.shared.memory.cache.clear();
        let workers = self.threads.saturating_add(1);
        match self.generations.change(loaded, workers, forget) {
            Ok(number) => {
                self.forget();
                self.shared.lanes.renew(number);
                self.shared.metrics.reloads.add();
                self.journal.line(format!("new content is in use, with {signatures} signatures"));
                self.journal.happened(Happening::ContentLoaded { signatures });
            }
            Err(error) => self.content_refused(error.to_string()),
        }
    }

    fn content_refused(&self, reason: String) {
        self.journal.line(format!("content stays as it is: {reason}"));
        self.journal.happened(Happening::ContentRefused { reason });
    }

    fn forget(&self) {
        self.shared.memory.cache.clear();
        if let Err(error) = self.shared.memory.group.ask_all_again() {
            self.journal.line(format!("marks cannot be taken back: {error}"));
        }
    }
}

/// Reads questions until the end.
fn read_questions(shared: &Shared, pulse: &Pulse, journal: &Journal) {
    let group = &shared.memory.group;
    let tick = Timespec::try_from(Duration::from_millis(200)).unwrap_or_default();
    let mut events = Vec::new();
    while !pulse.ended.load(Ordering::Relaxed) {
        let mut polled = [PollFd::new(&**group, PollFlags::IN)];
        let _ = rustix::event::poll(&mut polled, Some(&tick));
        pulse.busy();
        // One read takes what there is; whether there is more by then, the next poll says.
        let unanswered = shared.rules().without_verdict();
        let got = group.read(unanswered, &mut events);
        let since = Instant::now();
        for event in events.drain(..) {
            handle(shared, event, since);
        }
        if let Err(error) = got {
            shared.metrics.unreadable.add();
            journal.line(format!("a question could not be read, and was denied: {error}"));
        }
        pulse.idle();
    }
}

/// Handles one event; a panic over it answers by policy, since its permit is dropped.
fn handle(shared: &Shared, event: Event, since: Instant) {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match event {
        Event::Asked(permit) => shared.admit(permit, since),
        Event::Told(note) => shared.memory.was_written(&note.file),
        Event::Overflow => {}
    }));
    if done.is_err() {
        shared.metrics.panics.add();
    }
}

/// Returns the number of threads that scan large and small files.
fn threads(settings: &Settings) -> usize {
    match settings.workers {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    }
}

/// Each question that waits holds a descriptor, and its scan may hold two more.
fn waiting_max() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit.saturating_sub(DESCRIPTORS_KEPT) / 3).clamp(16, WAITING_MAX)
}

/// For marks; leases; reading anything, also where users hide things; asking who opens; workers that become
/// nobody and leave namespaces.
const KEPT: Capabilities = Capabilities::SYS_ADMIN
    .union(Capabilities::LEASE)
    .union(Capabilities::DAC_READ_SEARCH)
    .union(Capabilities::SYS_PTRACE)
    .union(Capabilities::SETUID)
    .union(Capabilities::SETGID)
    .union(Capabilities::SETPCAP)
    .union(Capabilities::KILL);

/// Ours.
const NICE: i32 = -10;

/// Ours: descriptors for content, workers, log and socket.
const DESCRIPTORS_KEPT: usize = 256;

/// Ours.
const WAITING_MAX: usize = 16_384;

/// Ours: a scan ends sooner, with its file or with its worker.
const LOST_AFTER: Duration = Duration::from_secs(300);

/// Ours: what the kernel does not tell is seen after this.
const MOUNT_TICK: Duration = Duration::from_secs(2);
