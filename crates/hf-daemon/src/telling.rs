//! What the daemon tells as events: findings, what could not be scanned, dead workers, content, start and end.
//!
//! Promises: telling never holds up an answer; of what comes with every file, at most so many are told in a minute,
//! and how many there were besides.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hf_core::Verdict;
use hf_events::{Event, Events, Kind, Limiter};
use hf_worker::Death;

use crate::content::ContentIdentity;
use crate::scan::{Answer, Client};
use crate::service::Observer;

/// Tells events.
#[derive(Debug)]
pub(crate) struct Telling {
    /// None once it has ended.
    events: Mutex<Option<Events>>,
    limiter: Mutex<Limiter>,
}

impl Telling {
    pub(crate) fn new(events: Events) -> Self {
        Self { events: Mutex::new(Some(events)), limiter: Mutex::default() }
    }

    pub(crate) fn tell(&self, kind: Kind) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(events) = &*events {
            events.tell(Event::now("daemon", kind));
        }
    }

    /// Tells that the daemon serves from now on, or no longer.
    pub(crate) fn serving(&self, on: bool, reason: &str) {
        let (what, reason) = ("daemon".to_owned(), reason.to_owned());
        self.tell(Kind::ProtectionChanged { what, on, reason });
    }

    /// Tells when signed content is older than so many days.
    pub(crate) fn age(&self, content: &ContentIdentity, days_max: u64) {
        let Some(built) = content.newest_built else { return };
        let age = SystemTime::now().duration_since(built).unwrap_or_default();
        let days = age.as_secs() / DAY_SECONDS;
        if days > days_max {
            self.tell(Kind::ContentStale { days, days_max });
        }
    }

    /// Waits for the sinks; returns what they did not get, for people.
    pub(crate) fn finish(&self) -> Vec<String> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let troubles = events.map(|events| events.finish(PATIENCE)).unwrap_or_default();
        let told = troubles.into_iter().map(|trouble| {
            let why = trouble.last_error.map(|why| format!(": {why}")).unwrap_or_default();
            let (sink, lost, failed) = (trouble.sink, trouble.lost, trouble.failed);
            format!("events to {sink}: {lost} lost, {failed} not told{why}")
        });
        told.collect()
    }

    /// Returns how many of this kind were kept back; none when this one is, too.
    fn admit(&self, word: &'static str) -> Option<u64> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.admit(word, Instant::now())
    }

    fn not_scanned(&self, name: &[u8], answer: &Answer, verdict: &'static str, reason: String) {
        if let Some(others) = self.admit(verdict) {
            let (path, size) = (name.to_vec(), Some(answer.size));
            self.tell(Kind::NotScanned { path, size, verdict, reason, others });
        }
    }
}

impl Observer for Telling {
    fn answered(&self, _client: &Client, name: &[u8], answer: &Answer) {
        let report = &answer.report;
        match answer.verdict {
            Verdict::Clean => {}
            Verdict::Detected => {
                let decisive = |hit: &&hf_core::Hit| answer.name() == Some(&hit.name);
                let Some(hit) = report.hits.iter().find(decisive) else { return };
                self.tell(Kind::Finding {
                    path: name.to_vec(),
                    size: Some(answer.size),
                    sha256: None,
                    name: hit.name.clone(),
                    origin: hit.origin.clone(),
                    place: report.path(hit.object).into_iter().map(<[u8]>::to_vec).collect(),
                    opener: None,
                });
            }
            Verdict::Incomplete => {
                let first = report.unscanned.first().map(|part| part.reason.to_string());
                self.not_scanned(name, answer, "incomplete", first.unwrap_or_default());
            }
            Verdict::Error => {
                let why = report.error.clone().unwrap_or_default();
                self.not_scanned(name, answer, "error", why);
            }
        }
    }

    fn worker_died(&self, name: &[u8], death: &Death) {
        if let Some(others) = self.admit("worker-died") {
            let (path, reason) = (name.to_vec(), death.to_string());
            self.tell(Kind::WorkerDied { path, reason, others });
        }
    }

    fn content_loaded(&self, content: &ContentIdentity) {
        let databases = content.databases.iter().map(|one| match one.version {
            Some(version) => format!("{} {version}", one.name),
            None => one.name.clone(),
        });
        let databases = databases.take(DATABASES_MAX).collect();
        self.tell(Kind::ContentLoaded { signatures: content.signatures, databases });
    }

    fn content_refused(&self, why: &str) {
        self.tell(Kind::ContentRefused { reason: why.to_owned() });
    }
}

const DAY_SECONDS: u64 = 86_400;

/// Ours: an event is for people.
const DATABASES_MAX: usize = 64;

/// Ours: who ends the daemon does not wait long for a hook.
const PATIENCE: Duration = Duration::from_secs(5);
