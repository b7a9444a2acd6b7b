//! One run of a task: out of everybody's way, from where it stopped, passing over what has not changed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::Verdict;
use hf_events::{Event, Events, Kind};
use hf_quarantine::Identity;
use hf_schedule::seen::Devices;
use hf_schedule::{Counts, FileState, OnBattery, Power, Progress, Seen, State, Task};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};

use super::{Place, now};
use crate::commands::scan::{Part, Watch, run_part, telling};
use crate::commands::{exit, options};
use crate::content::Content;
use crate::drive::Scanned;
use crate::walk::Plan;

/// `holdfast schedule run`.
pub(super) fn run(place: &Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let name = matches.get_one::<String>("name").context("a name is required")?;
    let task = place.find(name)?.task;
    let mut scan = scan_options(&task)?;
    if matches.get_flag("dry-run") {
        let mut args = task.arguments();
        args.insert(2, "--dry-run".into());
        scan = parsed(&task, args)?;
    }
    let standing = super::standing(place, &task);
    if matches.get_flag("due") && !standing.due {
        return Ok(ExitCode::from(exit::CLEAN));
    }
    let state = State::open(&place.states(), &task.name)?;
    let Some(_lock) = state.lock()? else { anyhow::bail!("'{name}' runs already") };
    if task.idle {
        for (what, why) in hf_sys::idle() {
            errln!("holdfast: warning: no idle priority for {what}: {why}");
        }
    }
    let settings = place.settings()?;
    let events =
        Events::start(&settings.events).with_context(|| settings.path.display().to_string())?;
    let code = one_run(place, &task, &state, (&scan, matches.get_flag("restart")), &events);
    telling::finish(events);
    code.map(ExitCode::from)
}

/// Returns the options of the scan that a task is.
///
/// # Errors
/// One of its options is none of `holdfast scan`.
pub(super) fn scan_options(task: &Task) -> anyhow::Result<ArgMatches> {
    parsed(task, task.arguments())
}

fn parsed(task: &Task, args: Vec<std::ffi::OsString>) -> anyhow::Result<ArgMatches> {
    let parsed = options::command().try_get_matches_from(args);
    let parsed = parsed.map_err(|error| anyhow::anyhow!("task '{}': {error}", task.name))?;
    let (_, scan) = parsed.subcommand().context("it is a scan")?;
    Ok(scan.clone())
}

fn one_run(
    place: &Place,
    task: &Task,
    state: &State,
    (scan, restart): (&ArgMatches, bool),
    events: &Events,
) -> anyhow::Result<u8> {
    let fingerprint = task.fingerprint();
    let before = state.progress(&fingerprint).filter(|_| !restart);
    let started = before.as_ref().map_or_else(now, |progress| progress.started);
    let mut status = state.status();
    if before.is_none() {
        status.started = Some(started);
        status.since = if status.since == 0 { started } else { status.since };
        state.save_status(&status)?;
    }
    let known = Known {
        seen: Mutex::new(None),
        passed_over: AtomicU64::new(0),
        devices: Devices::mounted(),
    };
    let unchanged = |stat: &Stat| known.is_unchanged(stat);
    let battery = Battery::new(place.power(), task, events);
    let wait = || battery.wait();
    let plan = Plan {
        sorted: true,
        resume: before.as_ref().map(|progress| (progress.root, progress.after())),
        unchanged: task.changed_only.then_some(&unchanged as _),
        before_file: (task.on_battery == OnBattery::Pause).then_some(&wait as _),
    };
    if let Some(progress) = &before {
        outln!("holdfast: goes on after {} files", progress.counts.files);
    }
    let mut watcher = Watcher {
        task,
        state,
        fingerprint,
        started,
        known: &known,
        root: before.as_ref().map_or(0, |progress| progress.root),
        counts: before.as_ref().map(|progress| progress.counts).unwrap_or_default(),
        last: None,
        saved: Instant::now(),
        saved_seen: Instant::now(),
        unsaved: 0,
    };
    let part = Part { plan, watch: Some(&mut watcher), events: Some((events, &task.name)) };
    let code = run_part(scan, part)?;
    let code = worst(code, &watcher.counts);
    watcher.save_seen(before.is_none());
    let passed_over = known.passed_over.load(Ordering::Relaxed);
    if task.changed_only {
        outln!("holdfast: {passed_over} files have not changed since they were clean");
    }
    status.ended = Some(now());
    status.code = Some(code);
    state.save_status(&status)?;
    state.clear_progress();
    Ok(code)
}

/// Returns the code of a run with all its parts: that of the last says nothing of what came before it stopped.
fn worst(code: u8, counts: &Counts) -> u8 {
    if counts.detected > 0 {
        exit::DETECTED
    } else if counts.errors > 0 || code == exit::ERROR {
        exit::ERROR
    } else if counts.incomplete > 0 {
        exit::INCOMPLETE
    } else {
        code
    }
}

/// What is known of files.
struct Known {
    seen: Mutex<Option<Seen>>,
    passed_over: AtomicU64,
    devices: Devices,
}

impl Known {
    fn is_unchanged(&self, stat: &Stat) -> bool {
        let file = file_state(&Identity::from(stat));
        if !self.devices.trusts(file.dev) {
            return false;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let knows = seen.as_ref().is_some_and(|seen| seen.knows(&file));
        drop(seen);
        if knows {
            self.keep(&file, i64::MAX);
            self.passed_over.fetch_add(1, Ordering::Relaxed);
        }
        knows
    }

    fn keep(&self, file: &FileState, opened: i64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_mut() {
            seen.remember(file, opened);
        }
    }
}

fn file_state(identity: &Identity) -> FileState {
    FileState {
        dev: identity.dev,
        ino: identity.ino,
        size: identity.size,
        mtime: (identity.mtime.s, identity.mtime.ns),
        ctime: (identity.ctime.s, identity.ctime.ns),
    }
}

/// Keeps what was done on disk while it is done.
struct Watcher<'r> {
    task: &'r Task,
    state: &'r State,
    fingerprint: String,
    started: i64,
    known: &'r Known,
    root: usize,
    counts: Counts,
    last: Option<PathBuf>,
    saved: Instant,
    saved_seen: Instant,
    unsaved: u64,
}

impl Watcher<'_> {
    /// Returns the number of the task's path that leads to a path, and the rest.
    fn below(&mut self, path: &Path) -> Option<(usize, PathBuf)> {
        let roots = self.task.paths.iter().enumerate().skip(self.root);
        let mut found =
            roots.filter_map(|(root, named)| Some((root, path.strip_prefix(named).ok()?)));
        let (root, rest) = found.next()?;
        self.root = root;
        Some((root, rest.to_path_buf()))
    }

    fn save(&mut self) {
        let Some(last) = self.last.take() else { return };
        if let Some((root, rest)) = self.below(&last) {
            let at = (root, rest.as_path());
            let progress = Progress::new(&self.fingerprint, self.started, at, self.counts);
            // Without it a run that is stopped begins again, which costs time only.
            if let Err(error) = self.state.save_progress(&progress) {
                errln!("holdfast: warning: progress is not kept: {error}");
            }
        }
        self.saved = Instant::now();
        self.unsaved = 0;
        if self.saved_seen.elapsed() >= SAVE_SEEN {
            self.save_seen(false);
        }
    }

    fn save_seen(&mut self, whole_run: bool) {
        let seen = self.known.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref() {
            if let Err(error) = seen.save(&self.state.seen_path(), whole_run) {
                errln!("holdfast: warning: what was clean is not kept: {error}");
            }
            if seen.left_out > 0 && whole_run {
                errln!("holdfast: warning: {} clean files were too many to keep", seen.left_out);
            }
        }
        self.saved_seen = Instant::now();
    }
}

impl Watch for Watcher<'_> {
    fn content(&mut self, content: &Content) {
        if !self.task.changed_only {
            return;
        }
        let mut digest = Sha256::new();
        digest.update(env!("CARGO_PKG_VERSION"));
        digest.update(&self.fingerprint);
        // A program built anew may see more.
        let program = std::env::current_exe().and_then(std::fs::metadata);
        if let Ok(meta) = program {
            let built = meta.modified().ok();
            digest.update(format!("{built:?} {}", meta.len()));
        }
        for pack in &content.packs {
            let meta = pack.pack.meta();
            digest.update(format!("{} {}\n", meta.compiler_version, meta.signatures));
            for source in &meta.sources {
                digest.update(source.digest);
            }
        }
        let seen = Seen::load(&self.state.seen_path(), digest.finalize().into());
        *self.known.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    fn done(&mut self, path: &Path, scanned: Option<(&Scanned, Verdict)>) {
        if let Some((scanned, verdict)) = scanned {
            let counts = &mut self.counts;
            counts.files = counts.files.saturating_add(1);
            let counter = match verdict {
                Verdict::Clean => None,
                Verdict::Detected => Some(&mut counts.detected),
                Verdict::Incomplete => Some(&mut counts.incomplete),
                Verdict::Error => Some(&mut counts.errors),
            };
            if let Some(counter) = counter {
                *counter = counter.saturating_add(1);
            }
            self.remember(scanned, verdict);
        }
        self.last = Some(path.to_path_buf());
        self.unsaved = self.unsaved.saturating_add(1);
        if self.unsaved >= SAVE_FILES || self.saved.elapsed() >= SAVE {
            self.save();
        }
    }

    fn wants_files(&self) -> bool {
        self.task.changed_only
    }
}

impl Watcher<'_> {
    /// Remembers a clean file that was the same before and after its scan.
    fn remember(&self, scanned: &Scanned, verdict: Verdict) {
        let (Some(file), Some(identity)) = (&scanned.file, scanned.identity) else { return };
        let same = verdict == Verdict::Clean && Identity::of(file).is_ok_and(|now| now == identity);
        let state = file_state(&identity);
        if same && self.known.devices.trusts(state.dev) {
            // The beginning of this run is before any of its files was opened.
            self.known.keep(&state, self.started);
        }
    }
}

/// Waits while the machine runs on battery.
struct Battery<'r> {
    power: Power,
    task: &'r Task,
    events: &'r Events,
    asked: Mutex<Option<Instant>>,
}

impl<'r> Battery<'r> {
    fn new(power: Power, task: &'r Task, events: &'r Events) -> Self {
        Self { power, task, events, asked: Mutex::new(None) }
    }

    fn wait(&self) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < ASK) {
            return;
        }
        let mut paused = false;
        while self.power.on_battery() {
            if !paused {
                self.tell(true);
                paused = true;
            }
            std::thread::sleep(ASK_PAUSED);
        }
        if paused {
            self.tell(false);
        }
        *asked = Some(Instant::now());
    }

    fn tell(&self, paused: bool) {
        let reason = if paused { "the machine runs on battery" } else { "there is mains again" };
        errln!("holdfast: {}: {reason}", if paused { "paused" } else { "goes on" });
        let (task, reason) = (self.task.name.clone(), reason.to_owned());
        self.events.tell(Event::now("schedule", Kind::ScanPaused { task, paused, reason }));
    }
}

/// Ours: so much is done twice at most when a run is killed.
const SAVE: Duration = Duration::from_secs(5);
const SAVE_FILES: u64 = 1000;
const SAVE_SEEN: Duration = Duration::from_secs(60);
/// Ours: laptops are unplugged seldom.
const ASK: Duration = Duration::from_secs(5);
const ASK_PAUSED: Duration = Duration::from_secs(1);
