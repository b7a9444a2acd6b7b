//! The first answer: what can be said at once is said by the thread that reads the questions.
//!
//! Promises: nothing here waits for a server, a program or a worker; the one thing that is read of a file
//! is what the kernel knows of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use hf_sys::fanotify::{Answer, Permit};
use rustix::fd::AsRawFd as _;

use crate::Settings;
use crate::cache::Known;
use crate::flights::{FlightKey, Flights, Waiting};
use crate::lanes::{Lanes, Task};
use crate::metrics::Metrics;
use crate::mountinfo::MountKind;
use crate::mounts::{Place, Table};
use crate::opener;
use crate::remember::{Ask, Memory};
use crate::stamp::Facts;

/// Settings with what was looked up for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) settings: Settings,
    pub(crate) user_ids: Vec<u32>,
}

impl Rules {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { user_ids: settings.excluded_ids(), settings }
    }

    /// Returns the answer for what is known, and whether it is asked again.
    pub(crate) fn answer(&self, known: &Known) -> (Answer, Ask) {
        let answer = match known {
            Known::Clean => Answer::Allow,
            Known::Incomplete => self.settings.on_incomplete.answer(),
            Known::Detected(_) => Answer::Deny,
        };
        let ask = match (answer, known) {
            (Answer::Deny, _) | (_, Known::Detected(_)) => Ask::Always,
            (Answer::Allow, _) => Ask::NoMore,
        };
        (self.prevented(answer), ask)
    }

    /// Returns the answer for a scan that failed.
    pub(crate) fn after_error(&self) -> Answer {
        self.prevented(self.settings.on_error.answer())
    }

    /// Returns the answer when there is none in time.
    pub(crate) fn without_verdict(&self) -> Answer {
        self.prevented(self.settings.on_timeout.answer())
    }

    fn prevented(&self, answer: Answer) -> Answer {
        if self.settings.prevention { answer } else { Answer::Allow }
    }
}

/// What all threads of the guard share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rules: RwLock<Arc<Rules>>,
    pub(crate) table: Arc<RwLock<Arc<Table>>>,
    pub(crate) memory: Memory,
    pub(crate) flights: Flights,
    pub(crate) lanes: Lanes,
    pub(crate) metrics: Arc<Metrics>,
    /// Of the guard and all that it started.
    pub(crate) session: u32,
    /// Questions that may wait at once.
    pub(crate) waiting_max: usize,
    pub(crate) alone: AtomicU64,
}

impl Shared {
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives an answer and counts it.
    pub(crate) fn give(&self, permit: Permit, answer: Answer, since: Instant) {
        match answer {
            Answer::Allow => self.metrics.allowed.add(),
            Answer::Deny => self.metrics.denied.add(),
        }
        // An opener that was killed meanwhile needs no answer.
        let _ = permit.answer(answer);
        self.metrics.took(since.elapsed());
    }

    /// Answers a question, or has the file scanned.
    pub(crate) fn admit(&self, permit: Permit, since: Instant) {
        self.metrics.asked.add();
        let facts = Facts::of(permit.file());
        let place = facts.as_ref().map(|facts| self.table().place(facts)).ok();
        // Every file that is made is opened empty first: whoever unpacks an archive waits for this.
        if let (Ok(facts), Some(place)) = (&facts, place)
            && facts.regular
            && facts.stamp.size == 0
            && place.kind == MountKind::Local
        {
            self.metrics.empty.add();
            return self.give(permit, Answer::Allow, since);
        }
        if opener::is_own(self.session, permit.pid) {
            self.metrics.own.add();
            return self.give(permit, Answer::Allow, since);
        }
        let (Ok(facts), Some(place)) = (facts, place) else {
            let answer = self.rules().after_error();
            self.metrics.errors.add();
            return self.give(permit, answer, since);
        };
        if !facts.regular || place.kind == MountKind::Pseudo {
            self.metrics.outside.add();
            return self.give(permit, Answer::Allow, since);
        }
        let rules = self.rules();
        let ask = |known: &Known| rules.answer(known).1;
        let known = self.memory.known(permit.file(), &facts, place.kind, ask);
        if known.is_some() {
            self.metrics.cache_hits.add();
        }
        match known {
            Some(known) if rules.answer(&known).0 == Answer::Allow => {
                self.give(permit, Answer::Allow, since);
            }
            known => self.look_closer(permit, &facts, place, known, since),
        }
    }

    /// The answer needs to know who and where.
    fn look_closer(
        &self,
        permit: Permit,
        facts: &Facts,
        place: Place,
        known: Option<Known>,
        since: Instant,
    ) {
        let rules = self.rules();
        let path = path(&permit);
        let table = self.table();
        let below = |prefixes: &[PathBuf]| prefixes.iter().any(|one| path.starts_with(one));
        // A path means something only where the mounts are ours.
        if place.seen && table.prefixes.as_deref().is_some_and(|prefixes| !below(prefixes)) {
            self.metrics.outside.add();
            return self.give(permit, Answer::Allow, since);
        }
        let by_path = place.seen && below(&rules.settings.exclude_paths);
        if by_path || opener::is_excluded(&rules.settings, &rules.user_ids, permit.pid) {
            self.metrics.excluded.add();
            return self.give(permit, Answer::Allow, since);
        }
        if let Some(known) = known {
            let (answer, _) = rules.answer(&known);
            return self.give(permit, answer, since);
        }
        if facts.stamp.size > rules.settings.max_file_size {
            self.metrics.too_large.add();
            return self.give(permit, Answer::Allow, since);
        }
        if self.flights.waiting() >= self.waiting_max {
            self.metrics.overloads.add();
            return self.give(permit, rules.without_verdict(), since);
        }
        self.have_scanned(permit, facts, place, path, since, &rules);
    }

    fn have_scanned(
        &self,
        permit: Permit,
        facts: &Facts,
        place: Place,
        path: PathBuf,
        since: Instant,
        rules: &Rules,
    ) {
        let Ok(file) = permit.file().try_clone() else {
            self.metrics.overloads.add();
            return self.give(permit, rules.without_verdict(), since);
        };
        let alone = match place.kind {
            MountKind::Fuse => self.alone.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            _ => 0,
        };
        let key = FlightKey { id: facts.id, stamp: facts.stamp, alone };
        let task = Task {
            key,
            file,
            facts: *facts,
            kind: place.kind,
            settled: facts.stamp.settled(place.exact_times, SystemTime::now()),
            exec: permit.exec,
            pid: permit.pid,
            path,
            queued: since,
        };
        let waiting = if rules.settings.prevention {
            let time = Duration::from_millis(rules.settings.deadline_ms);
            let deadline = since.checked_add(time).unwrap_or(since);
            Some(Waiting { permit, since, deadline })
        } else {
            self.give(permit, Answer::Allow, since);
            None
        };
        if self.flights.join(key, waiting) {
            self.metrics.scans.add();
            self.lanes.add(task);
        } else {
            self.metrics.joined.add();
        }
    }
}

/// Returns where the file is, as the kernel names it.
fn path(permit: &Permit) -> PathBuf {
    let link = format!("/proc/self/fd/{}", permit.file().as_raw_fd());
    std::fs::read_link(link).unwrap_or_default()
}
