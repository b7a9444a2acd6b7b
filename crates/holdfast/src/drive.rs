//! Many files through several workers, with the results in the order of the walk.
//!
//! One thread walks, one thread a worker scans, the caller's thread receives. All queues are bounded, so
//! a slow receiver slows the walk instead of filling memory.

mod queue;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use hf_core::Report;
use hf_quarantine::Identity;
use hf_worker::{ScanRequest, Worker};

use queue::{Receiver, Sender, queue};

use crate::walk::{Note, Plan, Step, WalkOptions, walk_planned, walk_stack_bytes};

/// What to walk.
#[derive(Debug)]
pub(crate) enum Named {
    /// A path that the user named.
    Path(PathBuf),
    /// A file that is already open, under the name to tell.
    Open(PathBuf, File),
}

/// One result, in the order of the walk.
#[derive(Debug)]
pub(crate) enum Event {
    /// A directory was entered.
    Directory,
    /// Something was not scanned.
    Note(PathBuf, Note),
    /// A file was scanned.
    Scanned(Scanned),
}

/// A file that was scanned.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The path as the user would write it.
    pub(crate) path: PathBuf,
    /// The very file that was scanned, if it is kept.
    pub(crate) file: Option<File>,
    /// What it was before it was scanned, if it is kept and was reached by a path.
    pub(crate) identity: Option<Identity>,
    /// Size in bytes when it was opened.
    pub(crate) size: u64,
    /// What was found.
    pub(crate) report: Report,
}

/// What becomes of the descriptor of a scanned file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// It comes with the result.
    Kept,
    /// It is closed.
    Closed,
}

struct Job {
    seq: u64,
    path: PathBuf,
    file: File,
    identity: Option<Identity>,
    size: u64,
}

/// Walks and scans; ends when everything is told or `receive` breaks.
///
/// # Errors
/// The system has no thread left for the walk, or none for any worker.
pub(crate) fn drive(
    named: Vec<Named>,
    options: &WalkOptions,
    workers: Vec<Worker>,
    files: Files,
    receive: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> io::Result<()> {
    drive_planned(named, (options, &Plan::default()), workers, files, receive)
}

/// As [`drive`], the walk as a plan says.
///
/// # Errors
/// As [`drive`].
pub(crate) fn drive_planned(
    named: Vec<Named>,
    (options, plan): (&WalkOptions, &Plan<'_>),
    workers: Vec<Worker>,
    files: Files,
    receive: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> io::Result<()> {
    let pace = &Pace::new(files);
    let (jobs_in, jobs_out) = queue::<Job>(QUEUE_LEN);
    let (events_in, events_out) = queue::<(u64, Event)>(EVENTS_LEN);
    thread::scope(|scope| {
        let notes = events_in.clone();
        let walk = move || walk_all(named, (options, plan), pace, files, (&jobs_in, &notes));
        let builder = thread::Builder::new().stack_size(walk_stack_bytes(options));
        builder.spawn_scoped(scope, walk)?;
        let mut started = Err(io::ErrorKind::NotFound.into());
        for worker in workers {
            let jobs = jobs_out.clone();
            let events = events_in.clone();
            let work = move || scan_all(worker, &jobs, &events, pace, files);
            match thread::Builder::new().spawn_scoped(scope, work) {
                Ok(_) => started = Ok(()),
                // Fewer are slower, and do the same.
                Err(error) if started.is_err() => started = Err(error),
                Err(_) => break,
            }
        }
        drop(events_in);
        drop(jobs_out);
        started?;
        in_order(&events_out, pace, receive);
        pace.stop();
        // Senders that wait for room end when the receiver is gone.
        drop(events_out);
        Ok(())
    })
}

/// Keeps the walk from running far ahead of what is told: one object that takes long would else pile
/// up the results behind it without bound.
struct Pace {
    /// Number of the next event to tell; none when the run is to end.
    next: Mutex<Option<u64>>,
    moved: Condvar,
    ahead: u64,
}

impl Pace {
    fn new(files: Files) -> Self {
        let ahead = match files {
            Files::Kept => AHEAD_WITH_FILES,
            Files::Closed => AHEAD,
        };
        Self { next: Mutex::new(Some(0)), moved: Condvar::new(), ahead }
    }

    fn stop(&self) {
        self.set(None);
    }

    fn set(&self, next: Option<u64>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.moved.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Waits until an event may be begun; false when the run is to end.
    fn wait(&self, seq: u64) -> bool {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let far = |next: &mut Option<u64>| {
            next.is_some_and(|next| seq >= next.saturating_add(self.ahead))
        };
        let next = self.moved.wait_while(next, far).unwrap_or_else(PoisonError::into_inner);
        next.is_some()
    }
}

fn walk_all(
    named: Vec<Named>,
    (options, plan): (&WalkOptions, &Plan<'_>),
    pace: &Pace,
    files: Files,
    (jobs, events): (&Sender<Job>, &Sender<(u64, Event)>),
) {
    let mut seq = 0u64;
    let mut visit = |step: Step, by_path: bool| {
        if !pace.wait(seq) {
            return ControlFlow::Break(());
        }
        let sent = match step {
            Step::File { path, file, size } => {
                // Before a byte of it is read, so that a change during the scan shows.
                let wanted = by_path && files == Files::Kept;
                let identity = wanted.then(|| Identity::of(&file).ok()).flatten();
                jobs.send(Job { seq, path, file, identity, size })
            }
            Step::Directory => events.send((seq, Event::Directory)),
            Step::Note { path, note } => events.send((seq, Event::Note(path, note))),
        };
        seq = seq.saturating_add(1);
        if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let (first, after) = match &plan.resume {
        Some((root, after)) if after.as_os_str().is_empty() => (root.saturating_add(1), None),
        Some((root, after)) => (*root, Some(after.as_path())),
        None => (0, None),
    };
    for (number, item) in named.into_iter().enumerate().skip(first) {
        let after = after.filter(|_| number == first);
        let ended = match item {
            Named::Path(path) => {
                walk_planned(&path, options, (plan, after), &mut |step| visit(step, true))
            }
            Named::Open(path, file) => {
                let size = file.metadata().map_or(0, |meta| meta.len());
                visit(Step::File { path, file, size }, false)
            }
        };
        if ended.is_break() {
            return;
        }
    }
}

/// Keeps one worker busy: small files wait in it, a large one has it for itself.
fn scan_all(
    mut worker: Worker,
    jobs: &Receiver<Job>,
    events: &Sender<(u64, Event)>,
    pace: &Pace,
    files: Files,
) {
    let mut paths: BTreeMap<u64, (PathBuf, Option<Identity>)> = BTreeMap::new();
    loop {
        while worker.has_room() && !pace.is_stopped() {
            let Some(job) = jobs.next(worker.is_idle()) else { break };
            let Job { seq, path, file, identity, size } = job;
            let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
            let request = ScanRequest { id: seq, name, ..ScanRequest::default() };
            paths.insert(seq, (path, identity));
            worker.submit(hf_worker::Job { request, file, size });
        }
        let Some(answer) = worker.answer() else { return };
        let hf_worker::Answer { job, report, .. } = answer;
        let seq = job.request.id;
        let (path, identity) = paths.remove(&seq).unwrap_or_default();
        let file = (files == Files::Kept).then_some(job.file);
        let scanned = Scanned { path, file, identity, size: job.size, report };
        if !events.send((seq, Event::Scanned(scanned))) {
            return;
        }
    }
}

fn in_order(
    events: &Receiver<(u64, Event)>,
    pace: &Pace,
    receive: &mut dyn FnMut(Event) -> ControlFlow<()>,
) {
    let mut next = 0u64;
    let mut early = BTreeMap::new();
    while let Some(several) = events.all() {
        early.extend(several);
        while let Some(event) = early.remove(&next) {
            next = next.saturating_add(1);
            if receive(event).is_break() {
                return pace.stop();
            }
        }
        pace.set(Some(next));
    }
    for event in early.into_values() {
        if receive(event).is_break() {
            return;
        }
    }
}

/// Jobs that wait between walk and workers: enough for full batches, few enough descriptors.
const QUEUE_LEN: usize = 64;

/// Results that wait to be told; the files that come with them are few beside those that wait behind one that takes
/// long.
const EVENTS_LEN: usize = 256;

/// Ours: results are some hundred bytes each.
const AHEAD: u64 = 1 << 16;
/// Ours: with the rest below the 1024 descriptors that a process has by default.
const AHEAD_WITH_FILES: u64 = 512;
