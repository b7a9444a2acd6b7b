//! The threads that have files scanned, each by a worker of its own.
//!
//! Promises: every task ends in answers for all that wait for it, also when the worker dies or the thread
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hf_core::{Report, Verdict};
use hf_policy::{Tell, decide};
use hf_sys::fanotify::Answer;
use hf_worker::{Death, Job, ScanRequest, Worker};

use crate::cache::Known;
use crate::gate::Shared;
use crate::generation::{Current, Generations};
use crate::journal::{Finding, Happening, Journal};
use crate::lanes::{Next, Role, Task};
use crate::mountinfo::MountKind;
use crate::opener;

/// What a thread needs.
#[derive(Debug, Clone)]
pub(crate) struct Scanning {
    pub(crate) shared: Arc<Shared>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) journal: Journal,
}

/// A worker with its content.
struct Held {
    content: Arc<Current>,
    worker: Worker,
}

/// What came of a scan.
enum Outcome {
    /// A verdict.
    Known(Box<Seen>),
    /// None.
    Failed(String),
}

/// A verdict with what led to it.
struct Seen {
    known: Known,
    content: Arc<Current>,
    findings: Vec<hf_quarantine::Finding>,
    /// Why not all could be looked at.
    incomplete: String,
}

impl Scanning {
    /// Serves lanes until they are closed.
    pub(crate) fn serve(&self, role: Role) {
        // The remote lane may never be needed: its worker comes with its first file.
        let mut held = if role == Role::Remote { None } else { self.worker().ok() };
        loop {
            let generation = held.as_ref().map_or(u64::MAX, |held| held.content.number);
            match self.shared.lanes.next(role, generation) {
                Next::Scan(task) => self.scan(*task, &mut held),
                Next::Renew => {
                    let old = held.take();
                    held = self.worker().ok();
                    old.into_iter().for_each(|old| old.worker.end());
                }
                Next::End => break,
            }
        }
        held.into_iter().for_each(|held| held.worker.end());
    }

    fn worker(&self) -> Result<Held, String> {
        match self.generations.worker() {
            Ok((content, worker)) => Ok(Held { content, worker }),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                let why = format!("{error}{}", cause.unwrap_or_default());
                self.journal.line(why.clone());
                Err(why)
            }
        }
    }

    fn scan(&self, task: Task, held: &mut Option<Held>) {
        let mut taken = held.take();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.outcome(&task, &mut taken)));
        let outcome = outcome.unwrap_or_else(|_| {
            self.shared.metrics.panics.add();
            Outcome::Failed("the guard's thread panicked".to_owned())
        });
        *held = taken;
        self.conclude(task, outcome);
    }

    /// Asks a worker, and another one when somebody killed it, perhaps before it had the file at all.
    fn outcome(&self, task: &Task, held: &mut Option<Held>) -> Outcome {
        let mut tries_left = TRIES;
        loop {
            tries_left = tries_left.saturating_sub(1);
            match self.asked(task, held) {
                Ok(outcome) => return outcome,
                Err(_) if tries_left > 0 => {}
                Err(why) => return Outcome::Failed(why),
            }
        }
    }

    /// Asks a worker once.
    ///
    /// # Errors
    /// It was killed from outside; says so.
    fn asked(&self, task: &Task, held: &mut Option<Held>) -> Result<Outcome, String> {
        if held.is_none() {
            match self.worker() {
                Ok(fresh) => *held = Some(fresh),
                Err(why) => return Ok(Outcome::Failed(why)),
            }
        }
        let Some(Held { content, worker }) = held else {
            return Ok(Outcome::Failed("no worker".to_owned()));
        };
        let file = match task.file.try_clone() {
            Ok(file) => file,
            Err(error) => return Ok(Outcome::Failed(error.to_string())),
        };
        let name = task.path.file_name().map(|name| name.as_encoded_bytes().to_vec());
        let request = ScanRequest { name: name.unwrap_or_default(), ..ScanRequest::default() };
        let answer = worker.scan(Job { request, file, size: task.facts.stamp.size });
        if let Some(death) = &answer.death {
            let (path, reason) = (task.path.clone(), death.to_string());
            self.journal.happened(Happening::WorkerDied { path, reason });
        }
        match known(&answer.report) {
            Err(why) if answer.death.as_ref().is_some_and(Death::is_from_outside) => Err(why),
            Err(why) => Ok(Outcome::Failed(why)),
            Ok(known) => Ok(Outcome::Known(Box::new(Seen::of(known, content, &answer.report)))),
        }
    }

    /// Remembers, answers and tells.
    fn conclude(&self, task: Task, outcome: Outcome) {
        let shared = &self.shared;
        let rules = shared.rules();
        let (answer, found, unscanned) = match outcome {
            Outcome::Known(seen) => {
                let (answer, ask) = rules.answer(&seen.known);
                let current = self.generations.current();
                let usable = task.settled || task.kind != MountKind::Local;
                if current.number == seen.content.number && usable {
                    shared.memory.keep(&task.file, &task.facts, task.kind, &seen.known, ask);
                }
                drop(current);
                match seen.known {
                    Known::Detected(name) => {
                        (answer, Some((name, seen.content, seen.findings)), None)
                    }
                    Known::Incomplete => {
                        shared.metrics.incomplete.add();
                        (answer, None, Some((false, seen.incomplete)))
                    }
                    Known::Clean => (answer, None, None),
                }
            }
            Outcome::Failed(why) => {
                shared.metrics.errors.add();
                self.journal.line(format!("{}: {why} ERROR", task.path.display()));
                (rules.after_error(), None, Some((true, why)))
            }
        };
        let unscanned = unscanned.map(|(failed, reason)| Happening::NotScanned {
            path: task.path.clone(),
            size: task.facts.stamp.size,
            failed,
            reason,
        });
        // Who asked is looked up while it waits; a file that nobody needs is not held any longer.
        let key = task.key;
        let finding = found.map(|(name, content, findings)| Finding {
            denied: answer == Answer::Deny,
            pid: task.pid,
            program: opener::program(task.pid),
            user: opener::user(task.pid),
            removed: task.facts.names == 0,
            identity: task.facts.identity(),
            findings,
            content: Arc::clone(&content.sources),
            path: task.path,
            file: task.file,
            name,
        });
        for waiting in shared.flights.land(&key) {
            shared.give(waiting.permit, answer, waiting.since);
        }
        unscanned.into_iter().for_each(|happening| self.journal.happened(happening));
        if let Some(finding) = finding {
            shared.metrics.detected.add();
            self.journal.found(finding);
        }
    }
}

impl Seen {
    fn of(known: Known, content: &Arc<Current>, report: &Report) -> Self {
        let detected = matches!(known, Known::Detected(_));
        let findings = detected.then(|| hf_quarantine::Finding::of_report(report));
        let first = report.unscanned.first().map(|part| part.reason.to_string());
        Self {
            known,
            content: Arc::clone(content),
            findings: findings.unwrap_or_default(),
            incomplete: first.unwrap_or_default(),
        }
    }
}

/// Returns what a report says; the reason when it says nothing.
fn known(report: &Report) -> Result<Known, String> {
    let decision = decide(report, Tell::One);
    match decision.verdict {
        Verdict::Clean => Ok(Known::Clean),
        Verdict::Incomplete => Ok(Known::Incomplete),
        Verdict::Detected => Ok(Known::Detected(decision.name().unwrap_or("unnamed").to_owned())),
        Verdict::Error => Err(report.error.clone().unwrap_or_else(|| "no verdict".to_owned())),
    }
}

/// Ours: how many workers may be killed over one file.
const TRIES: u32 = 3;
