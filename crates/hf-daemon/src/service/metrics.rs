//! Counters of the service, and the last hour second by second.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hf_core::Verdict;

use crate::scan::{Answer, Client, Door};

/// Counters since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Objects answered.
    pub scans: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Verdicts.
    pub clean: u64,
    /// Verdicts.
    pub incomplete: u64,
    /// Verdicts.
    pub error: u64,
    /// Verdicts.
    pub detected: u64,
    /// Answers that the verdict cache gave.
    pub cache_hits: u64,
    /// Entries of the verdict cache now.
    pub cache_entries: u64,
    /// Workers that died over an object.
    pub deaths: u64,
    /// Reloads that changed the content.
    pub reloads: u64,
    /// Reloads that failed.
    pub reloads_failed: u64,
    /// Answers for each of [`Door::ALL`].
    pub doors: [u64; Door::ALL.len()],
    /// Answers that took (waiting included) at most as long as [`Metrics::BOUNDS_US`] says; the last
    /// is of those that took longer. Not cumulative.
    pub latency: [u64; Metrics::BOUNDS_US.len() + 1],
    /// Microseconds of all answers together.
    pub latency_sum_us: u64,
    /// The last hour, oldest first; seconds without an answer are left out.
    pub seconds: Vec<Second>,
}

impl Metrics {
    /// Upper bounds of the latency classes, in microseconds.
    pub const BOUNDS_US: [u64; 12] = [
        250, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 10_000_000,
        60_000_000,
    ];
}

/// What was answered within one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Second {
    /// Seconds since 1970.
    pub at: u64,
    /// Objects.
    pub scans: u32,
    /// Bytes.
    pub bytes: u64,
    /// Detections.
    pub detected: u32,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: SystemTime,
    /// Through which door it came.
    pub door: Door,
    /// Who sent it.
    pub client: String,
    /// What it was called: raw bytes that a stranger may have chosen.
    pub object: Vec<u8>,
    /// The names that were told.
    pub names: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    metrics: Metrics,
    seconds: VecDeque<Second>,
    findings: VecDeque<Finding>,
}

impl Counters {
    pub(super) fn answered(&self, client: &Client, name: &[u8], answer: &Answer) {
        let now = SystemTime::now();
        let at = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.metrics.count(client.door(), answer);
        counts.second(at, answer);
        if answer.verdict == Verdict::Detected {
            if counts.findings.len() >= FINDINGS_KEPT {
                counts.findings.pop_front();
            }
            counts.findings.push_back(Finding {
                at: now,
                door: client.door(),
                client: client.name().to_owned(),
                object: name.iter().copied().take(NAME_KEPT).collect(),
                names: answer.names.clone(),
                size: answer.size,
            });
        }
    }

    pub(super) fn reloaded(&self, done: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counter =
            if done { &mut counts.metrics.reloads } else { &mut counts.metrics.reloads_failed };
        *counter = counter.saturating_add(1);
    }

    pub(super) fn now(&self) -> Metrics {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Metrics { seconds: counts.seconds.iter().copied().collect(), ..counts.metrics.clone() }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.findings.iter().rev().cloned().collect()
    }
}

impl Metrics {
    fn count(&mut self, door: Door, answer: &Answer) {
        let add = |counter: &mut u64, n: u64| *counter = counter.saturating_add(n);
        add(&mut self.scans, 1);
        add(&mut self.bytes, answer.size);
        match answer.verdict {
            Verdict::Clean => add(&mut self.clean, 1),
            Verdict::Incomplete => add(&mut self.incomplete, 1),
            Verdict::Error => add(&mut self.error, 1),
            Verdict::Detected => add(&mut self.detected, 1),
        }
        add(&mut self.cache_hits, u64::from(answer.cached));
        add(&mut self.deaths, u64::from(answer.death.is_some()));
        if let Some(door) = self.doors.get_mut(door.idx()) {
            add(door, 1);
        }
        let us = answer.waited.saturating_add(answer.took).as_micros();
        let us = u64::try_from(us).unwrap_or(u64::MAX);
        let class = Self::BOUNDS_US.iter().position(|bound| us <= *bound);
        let class = class.unwrap_or(Self::BOUNDS_US.len());
        if let Some(class) = self.latency.get_mut(class) {
            add(class, 1);
        }
        add(&mut self.latency_sum_us, us);
    }
}

impl Counts {
    fn second(&mut self, at: u64, answer: &Answer) {
        while self.seconds.front().is_some_and(|one| one.at.saturating_add(HOUR) <= at) {
            self.seconds.pop_front();
        }
        if self.seconds.back().is_none_or(|last| last.at < at) {
            self.seconds.push_back(Second { at, ..Second::default() });
        }
        // A clock that was set back adds to the last second.
        if let Some(second) = self.seconds.back_mut() {
            second.scans = second.scans.saturating_add(1);
            second.bytes = second.bytes.saturating_add(answer.size);
            let detected = u32::from(answer.verdict == Verdict::Detected);
            second.detected = second.detected.saturating_add(detected);
        }
    }
}

/// How long something took, for [`Answer`].
pub(super) fn between(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}

/// Seconds that are kept.
const HOUR: u64 = 3600;

/// Ours: findings that are kept for who asks; logs have all.
const FINDINGS_KEPT: usize = 256;

/// Ours: bytes of an object's name that are kept.
const NAME_KEPT: usize = 4096;
