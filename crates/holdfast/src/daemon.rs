//! What the daemon needs of the program: its content, its name, and a life in the background.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hf_content::PackOrigin;
use hf_daemon::config::ContentConfig;
use hf_daemon::{Config, ContentSource, Log, Logs, RunSetup};
use hf_sig::PuaChoice;
use hf_worker::WorkerConfig;

use crate::clamav::CLAMAV_VERSION;
use crate::content::{self, OpenError, Wanted};

/// Opens what the configuration names.
#[derive(Debug)]
struct Databases {
    /// What a process that compiles is told.
    config: Config,
    wanted: Wanted,
    cache: Option<PathBuf>,
    fail_if_older_than_days: Option<u64>,
    log: Log,
}

impl ContentSource for Databases {
    fn open(&self) -> Result<hf_daemon::Content, String> {
        self.compile_apart();
        let opened = content::open_in(&self.wanted, self.cache.clone()).map_err(|error| {
            let OpenError::Rejected { .. } = &error else { return chain(&error) };
            error.lines_like_clamav().join("; ")
        })?;
        if let Some(days) = self.fail_if_older_than_days {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            let days = i64::try_from(days).unwrap_or(i64::MAX);
            if opened.newest_signed_days(now).is_none_or(|age| age > days) {
                return Err(format!("Virus database is older than {days} days!"));
            }
        }
        let folder = self.wanted.databases.first().filter(|path| path.is_dir());
        let suffix = content::version_suffix(folder.map(PathBuf::as_path));
        let built = opened.newest_signed().and_then(|built| u64::try_from(built).ok());
        let built = built.and_then(|built| UNIX_EPOCH.checked_add(Duration::from_secs(built)));
        let content = hf_daemon::Content::of_packs(&opened.packs, opened.warnings);
        let content = content.map_err(|error| chain(&error))?;
        Ok(content.with_version_suffix(suffix).with_newest_built(built))
    }

    fn stamp(&self) -> u64 {
        let paths = content::used_paths(&self.wanted);
        hf_daemon::content::stamp_of_paths(&paths)
    }
}

impl Databases {
    /// Lets another process put into the cache what is not there yet: compiling takes far more memory than
    /// serving, and what a process has taken it seldom gives back. Whatever comes of it, opening says.
    fn compile_apart(&self) {
        let Some(cache) = &self.cache else { return };
        let child = Command::new("/proc/self/exe")
            .arg0("holdfast")
            .env(COMPILE, cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return };
        if let Some(mut input) = child.stdin.take() {
            let _ = input.write_all(self.config.text().as_bytes());
        }
        // What was compiled, when anything was.
        if let Ok(output) = child.wait_with_output() {
            String::from_utf8_lossy(&output.stdout).lines().for_each(|line| self.log.info(line));
        }
    }
}

/// Is the process that compiles, if this was started to be it.
pub(crate) fn compile() -> Option<ExitCode> {
    let cache = PathBuf::from(std::env::var_os(COMPILE)?);
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::stdin().lock(), &mut text);
    let config = Config::parse(std::path::Path::new("standard input"), &text);
    let (Ok(_), Ok(config)) = (read, config) else { return Some(ExitCode::FAILURE) };
    let opened = content::open_in(&wanted(&config), Some(cache));
    let Ok(opened) = opened else { return Some(ExitCode::FAILURE) };
    let built = opened.packs.iter().filter(|pack| pack.origin == PackOrigin::Built);
    let signatures: u64 = built.map(|opened| opened.pack.meta().signatures).sum();
    if signatures > 0 {
        outln!("Compiled {signatures} signatures, which were in no cache.");
    }
    Some(ExitCode::SUCCESS)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Runs the daemon until it is told to end; `name` begins its last words when it cannot.
pub(crate) fn run(mut config: Config, name: &str) -> ExitCode {
    let detached = std::env::var_os(DETACHED).is_some();
    if !config.service.foreground && !detached {
        return in_background(name);
    }
    config.service.foreground = true;
    let passed = hf_daemon::sockets::passed();
    let told = |error: &dyn std::fmt::Display| {
        errln!("ERROR: {error}");
        ExitCode::FAILURE
    };
    let logs = match Logs::open(&config.log, !detached) {
        Ok(logs) => logs,
        Err(error) => return told(&error),
    };
    let log = logs.log();
    let cache = match cache(&config) {
        Ok(cache) => cache,
        Err(error) => return told(&error),
    };
    let source = Databases {
        config: config.clone(),
        wanted: wanted(&config),
        cache,
        fail_if_older_than_days: config.content.fail_if_older_than_days,
        log: log.clone(),
    };
    for path in &source.wanted.databases {
        log.info(&format!("Reading databases from {}", path.display()));
    }
    let setup = RunSetup {
        config,
        source: Arc::new(source),
        worker: WorkerConfig::default(),
        version: format!("ClamAV {CLAMAV_VERSION}"),
        passed,
        logs,
        ready: Box::new(move || {
            if detached {
                let_go();
            }
        }),
    };
    match hf_daemon::run(setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.error(&error.to_string());
            if detached { told(&error) } else { ExitCode::FAILURE }
        }
    }
}

fn wanted(config: &Config) -> Wanted {
    let ContentConfig { databases, with_builtin, official_only, keep_going, certificates, .. } =
        config.content.clone();
    let scan = &config.scan;
    let pua = match (scan.detect_pua, scan.include_pua.is_empty(), scan.exclude_pua.is_empty()) {
        (false, ..) => PuaChoice::None,
        (true, false, _) => PuaChoice::Only(scan.include_pua.clone()),
        (true, true, false) => PuaChoice::Without(scan.exclude_pua.clone()),
        (true, true, true) => PuaChoice::All,
    };
    let yara = if scan.yara { "yes" } else { "no" }.to_owned();
    Wanted {
        databases,
        with_builtin,
        official_only,
        yara,
        keep_going,
        pua,
        certificates,
        like_clamav: true,
    }
}

/// Returns where packs are kept; when the daemon is to become another user, a folder that is that
/// user's, so that a reload can write there too.
fn cache(config: &Config) -> Result<Option<PathBuf>, String> {
    let folder = content::cache_folder();
    let (Some(folder), Some(name)) = (folder, &config.service.user) else {
        return Ok(content::cache_folder());
    };
    let user = hf_sys::users::user(name.as_ref()).ok().flatten();
    let user = user.ok_or_else(|| format!("Can't get information about user {name}."))?;
    if user.uid == 0 || !rustix::process::geteuid().is_root() {
        return Ok(Some(folder));
    }
    let failed = |error: std::io::Error| format!("cannot make the cache: {error}");
    let own = folder.join(format!("user-{}", user.uid));
    std::fs::create_dir_all(&own).map_err(failed)?;
    std::os::unix::fs::chown(&own, Some(user.uid), Some(user.gid)).map_err(failed)?;
    Ok(Some(own))
}

/// Starts the daemon as a process of its own, and waits until it answers or has failed.
fn in_background(name: &str) -> ExitCode {
    let told = |error: std::io::Error| {
        errln!("ERROR: {name}: cannot start in the background: {error}");
        ExitCode::FAILURE
    };
    let mut args = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(arg0) = args.next() {
        command.arg0(arg0);
    }
    command.args(args).env(DETACHED, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return told(error),
    };
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line == READY {
        return ExitCode::SUCCESS;
    }
    match child.wait() {
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.filter(|code| *code != 0).unwrap_or(1))
        }
        Err(error) => told(error),
    }
}

/// Leaves the terminal and who waits for it, when clients are answered.
fn let_go() {
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(READY.as_bytes()).and_then(|()| out.flush());
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}

/// Set for the process that is the daemon.
const DETACHED: &str = "HOLDFAST_DETACHED";

/// Set, to the cache's folder, for a process that only compiles.
const COMPILE: &str = "HOLDFAST_COMPILE";

/// What it writes when it answers.
const READY: &str = "ready\n";
