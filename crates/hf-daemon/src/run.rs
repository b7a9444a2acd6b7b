//! The life of the daemon: sockets, rights given up, service, doors, signals, the end.
//!
//! Promises: sockets and log are open before rights are given up, and no client is answered before
//! they are; SIGHUP reopens the log, SIGUSR2 reloads, SIGTERM and SIGINT end in order: no new
//! connections, what runs is answered, then workers end and files are removed.
//! Sources: clamd(8), sd_notify(3).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hf_sys::notify::{monotonic_us, notify, watchdog};
use hf_sys::users::Identity;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clamd::ClamdDoor;
use crate::config::Config;
use crate::content::ContentSource;
use crate::doors::Doors;
use crate::log::Log;
use crate::logs::Logs;
use crate::service::{Observer, Service, ServiceSetup};
use crate::sockets::{self, Listener, LocalSocket, SocketFile};
use crate::telling::Telling;
use crate::words::ctime;

/// What a daemon is made of.
pub struct RunSetup {
    /// How it is configured.
    pub config: Config,
    /// Where content comes from.
    pub source: Arc<dyn ContentSource>,
    /// How workers are started; limits and options are the configuration's.
    pub worker: hf_worker::WorkerConfig,
    /// What `VERSION` says of the engine (`ClamAV 1.4.6`).
    pub version: String,
    /// Sockets that the service manager opened. They are taken before anything else is opened, so that
    /// their numbers are theirs.
    pub passed: Vec<(Listener, String)>,
    /// Where it is said what happens.
    pub logs: Logs,
    /// Called when clients are answered.
    pub ready: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for RunSetup {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RunSetup").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The daemon cannot run; text for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);

/// Runs until it is told to end.
///
/// # Errors
/// It could not be started.
pub fn run(setup: RunSetup) -> Result<(), RunError> {
    let RunSetup { config, source, worker, version, passed, logs, ready } = setup;
    let log = logs.log();
    let failed = |error: &dyn std::fmt::Display| RunError(error.to_string());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    log.info(&format!("+++ Started at {}", ctime(now())));
    let user = user(&config)?;
    let owner = user.as_ref().map(|user| (user.uid, user.gid));
    let doors = Doors::open(&config, owner).map_err(|error| failed(&error))?;
    for (door, address) in doors.addresses() {
        log.info(&format!("{door}: waiting at {address}"));
    }
    let sockets = Sockets::open(&config, passed, user.as_ref(), !doors.is_empty(), &log)?;
    let pid_file =
        config.service.pid_file.as_deref().map(|path| PidFile::write(path, user.as_ref()));
    let pid_file = pid_file.transpose().map_err(|error| failed(&error))?;
    if let Some(user) = &user {
        logs.give_to(user.uid, user.gid);
        hf_sys::users::become_user(user)
            .map_err(|error| RunError(format!("cannot become the configured user: {error}")))?;
        let name = config.service.user.as_deref().unwrap_or_default();
        log.info(&format!("Running as user {name} (UID {}, GID {})", user.uid, user.gid));
    }
    log.info(&format!("{version}: holdfast daemon {}", env!("CARGO_PKG_VERSION")));
    let telling = telling(&config)?;
    let observer = telling.clone().map(|telling| telling as Arc<dyn Observer>);
    let setup = service_setup(&config, source, worker, log.clone());
    let service = Service::start(ServiceSetup { observer, ..setup })
        .map_err(|error| failed(&chain(&error)))?;
    let signatures = service.status().content.signatures;
    log.info(&format!("Loaded {signatures} signatures."));
    let door = ClamdDoor::new(service.clone(), config.clamd.clone(), &config.log, version)
        .map_err(|error| failed(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(threads())
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("doors")
        .build()
        .map_err(|error| failed(&error))?;
    let files = runtime.block_on(async {
        let files = serve(&door, sockets)?;
        let doors = tokio::spawn(serve_doors(doors, service.clone()));
        ready();
        notify("READY=1");
        log.info(&format!("Listening daemon: PID: {}", std::process::id()));
        if let Some(telling) = &telling {
            telling.content_loaded(&service.status().content);
            telling.serving(true, "it was started");
        }
        tend(&service, &config, &logs, telling.as_deref()).await?;
        // What they are answering gets this long.
        let _ = tokio::time::timeout(FINISH, doors).await;
        Ok::<_, RunError>(files)
    })?;
    notify("STOPPING=1");
    log.info("Shutting down.");
    // Those that are being answered get this long.
    runtime.shutdown_timeout(Duration::from_secs(5));
    service.shutdown();
    if let Some(telling) = telling {
        telling.serving(false, "it was ended");
        telling.finish().iter().for_each(|text| log.warning(text));
    }
    for file in &files {
        if file.remove() {
            log.info("Socket file removed.");
        }
    }
    drop(pid_file);
    log.info(&format!("--- Stopped at {}", ctime(now())));
    Ok(())
}

fn user(config: &Config) -> Result<Option<Identity>, RunError> {
    let Some(name) = &config.service.user else { return Ok(None) };
    let own = rustix::process::geteuid();
    let found = hf_sys::users::user(name.as_ref()).ok().flatten();
    let unknown = || RunError(format!("Can't get information about user {name}."));
    let found = found.ok_or_else(unknown)?;
    // Started as that user, or as root in order to stay it: there is nothing to give up.
    Ok(Some(found).filter(|found| own.is_root() && found.uid != 0))
}

fn service_setup(
    config: &Config,
    source: Arc<dyn ContentSource>,
    worker: hf_worker::WorkerConfig,
    log: Log,
) -> ServiceSetup {
    let service = &config.service;
    let usual = ServiceSetup::new(source);
    let most = config.clamd.max_threads.max(1);
    let workers = if service.workers == 0 { threads().min(most) } else { service.workers };
    ServiceSetup {
        worker: hf_worker::WorkerConfig {
            limits: config.scan.limits(),
            options: config.scan.options(),
            memory_bytes: service.worker_memory_bytes,
            objects_max: Some(service.worker_objects).filter(|objects| *objects > 0),
            ..worker
        },
        workers,
        cache_entries: service.cache_entries,
        intake_bytes: service.intake_memory_bytes,
        folder: service.temporary_folder.clone().unwrap_or_else(|| usual.folder.clone()),
        log,
        ..usual
    }
}

/// Returns what tells events, when somebody wants them.
fn telling(config: &Config) -> Result<Option<Arc<Telling>>, RunError> {
    if config.events.is_silent() {
        return Ok(None);
    }
    let events = hf_events::Events::start(&config.events)
        .map_err(|error| RunError(format!("[events]: {error}")))?;
    Ok(Some(Arc::new(Telling::new(events))))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Listening sockets before the runtime is there.
struct Sockets {
    listeners: Vec<Listener>,
    files: Vec<SocketFile>,
}

impl Sockets {
    fn open(
        config: &Config,
        passed: Vec<(Listener, String)>,
        user: Option<&Identity>,
        others: bool,
        log: &Log,
    ) -> Result<Self, RunError> {
        let clamd = &config.clamd;
        log.info(&format!("Received {} file descriptor(s) from systemd.", passed.len()));
        let mut sockets = Self { listeners: Vec::new(), files: Vec::new() };
        let (mut have_local, mut have_tcp) = (false, false);
        for (listener, _name) in passed {
            have_local |= matches!(listener, Listener::Unix(_));
            have_tcp |= matches!(listener, Listener::Tcp(_));
            sockets.listeners.push(listener);
        }
        let failed = |error: sockets::SocketError| RunError(error.to_string());
        if let (Some(port), false) = (clamd.tcp_port, have_tcp) {
            let made = sockets::tcp(&clamd.tcp_addresses, port, clamd.max_connection_queue);
            for listener in made.map_err(failed)? {
                if let Ok(address) = listener.local_addr() {
                    log.info(&format!("TCP: Bound to [{}]:{}", address.ip(), address.port()));
                }
                sockets.listeners.push(Listener::Tcp(listener));
            }
        }
        if let (Some(path), false) = (&clamd.local_socket, have_local) {
            let listener = sockets::local(&LocalSocket {
                path,
                group: clamd.local_socket_group.as_deref(),
                mode: clamd.local_socket_mode.as_deref(),
                fix_stale: clamd.fix_stale_socket,
                queue: clamd.max_connection_queue,
                owner: user.map(|user| (user.uid, user.gid)),
            });
            sockets.listeners.push(Listener::Unix(listener.map_err(failed)?));
            sockets.files.push(SocketFile::new(path));
            log.info(&format!("LOCAL: Unix socket file {}", path.display()));
        }
        if sockets.listeners.is_empty() && !others {
            let text = "Please define server type (local and/or TCP).";
            return Err(RunError(text.to_owned()));
        }
        Ok(sockets)
    }
}

/// Starts the doors; returns the files that are to be removed at the end.
fn serve(door: &ClamdDoor, sockets: Sockets) -> Result<Vec<SocketFile>, RunError> {
    let failed = |error: std::io::Error| RunError(error.to_string());
    for listener in sockets.listeners {
        let door = door.clone();
        match listener {
            Listener::Unix(listener) => {
                let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
                tokio::spawn(async move { door.serve_unix(listener).await });
            }
            Listener::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
                tokio::spawn(async move { door.serve_tcp(listener).await });
            }
        }
    }
    Ok(sockets.files)
}

/// Serves the doors beside the clamd protocol; one that fails ends the service, which then is started
/// anew or not by who watches it.
async fn serve_doors(doors: Doors, service: Service) {
    if let Err(error) = doors.serve(service.clone()).await {
        service.log().error(&format!("a door failed: {error}"));
        service.stop();
    }
}

/// Waits for signals, looks for changed content, feeds the watchdog; returns when it is to end.
async fn tend(
    service: &Service,
    config: &Config,
    logs: &Logs,
    telling: Option<&Telling>,
) -> Result<(), RunError> {
    let listen = |kind: SignalKind| -> Result<Signal, RunError> {
        signal(kind).map_err(|error| RunError(format!("cannot listen to signals: {error}")))
    };
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (mut hup, mut usr2) = (listen(SignalKind::hangup())?, listen(SignalKind::user_defined2())?);
    let check = config.content.check_seconds;
    if check > 0 {
        service.log().info(&format!("Self checking every {check} seconds."));
    }
    let every = |seconds: u64| tokio::time::interval(Duration::from_secs(seconds.max(1)));
    let mut check_at = every(if check > 0 { check } else { NEVER_SECONDS });
    check_at.reset();
    let stale_after = config.content.stale_after_days;
    // The first look is at once.
    let mut age_at = every(DAY_SECONDS);
    let watchdog = watchdog();
    let mut alive_at =
        tokio::time::interval(watchdog.unwrap_or(Duration::from_secs(NEVER_SECONDS)));
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            () = service.stopping() => return Ok(()),
            _ = hup.recv() => {
                logs.reopen();
                service.log().info("SIGHUP caught: re-opening log file.");
            }
            _ = usr2.recv() => reload(service),
            _ = check_at.tick() => self_check(service),
            _ = age_at.tick() => if let (Some(telling), days @ 1..) = (telling, stale_after) {
                telling.age(&service.status().content, days);
            },
            _ = alive_at.tick() => if watchdog.is_some() { notify("WATCHDOG=1") },
        }
    }
    service.stop();
    Ok(())
}

/// Reloads beside everything else.
fn reload(service: &Service) {
    let service = service.clone();
    tokio::spawn(async move {
        notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
        service.log().info("Reading databases anew.");
        if let Ok(changed) = service.reload().await {
            let count = service.status().content.signatures;
            let word = if changed { "correctly reloaded" } else { "unchanged" };
            service.log().info(&format!("Database {word} ({count} signatures)"));
        }
        notify("READY=1");
    });
}

fn self_check(service: &Service) {
    let asked = service.clone();
    tokio::spawn(async move {
        let other = asked.clone();
        let changed = tokio::task::spawn_blocking(move || other.content_changed()).await;
        if changed.unwrap_or(false) {
            let text = "SelfCheck: Database modification detected. Forcing reload.";
            asked.log().info(text);
            reload(&asked);
        } else {
            asked.log().info("SelfCheck: Database status OK.");
        }
    });
}

/// The file with the process id, while the daemon runs.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path, user: Option<&Identity>) -> Result<Self, RunError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |error: std::io::Error| {
            RunError(format!("Can't save PID in file {}: {error}", path.display()))
        };
        // A link that somebody put there is not written through.
        let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .custom_flags(flags)
            .open(path)
            .map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        if let Some(user) = user {
            let _ = std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid));
        }
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Ours: longer than doors give to what is being answered.
const FINISH: Duration = Duration::from_secs(12);

/// Ours: threads for what may wait for disks.
const BLOCKING_THREADS: usize = 32;

/// Ours: what is a day older is told again.
const DAY_SECONDS: u64 = 86_400;

/// A year.
const NEVER_SECONDS: u64 = 31_536_000;
