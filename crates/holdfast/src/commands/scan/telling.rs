//! What a scan tells as events.

use std::time::Duration;

use hf_core::Verdict;
use hf_events::{Event, Events, Kind, Outcome};
use hf_policy::Decision;

use super::Counts;
use super::action::Done;
use crate::commands::outcome::{self, absolute};
use crate::drive::{Named, Scanned};

/// Tells events, if anybody wants them.
pub(super) struct Telling<'e> {
    events: Option<(&'e Events, &'e str)>,
}

impl<'e> Telling<'e> {
    /// Tells these, in the name of a task.
    pub(super) fn new(events: Option<(&'e Events, &'e str)>) -> Self {
        Self { events }
    }

    fn tell(&self, kind: impl FnOnce(&str) -> Kind) {
        if let Some((events, task)) = self.events {
            events.tell(Event::now("scan", kind(task)));
        }
    }

    pub(super) fn started(&self, named: &[Named]) {
        let path = |named: &Named| match named {
            Named::Path(path) | Named::Open(path, _) => absolute(path),
        };
        self.tell(|task| Kind::ScanStarted {
            task: task.to_owned(),
            paths: named.iter().take(PATHS_MAX).map(path).collect(),
        });
    }

    pub(super) fn scanned(&self, scanned: &Scanned, decision: &Decision<'_>, done: Option<&Done>) {
        let Some(hit) = decision.findings.first() else { return };
        if decision.verdict != Verdict::Detected {
            return;
        }
        let report = &scanned.report;
        self.tell(|_| Kind::Finding {
            path: absolute(&scanned.path),
            size: Some(scanned.size),
            sha256: sha256(scanned, done),
            name: hit.name.clone(),
            origin: hit.origin.clone(),
            place: report.path(hit.object).into_iter().map(<[u8]>::to_vec).collect(),
            opener: None,
        });
        let Some(done) = done else { return };
        self.tell(|_| outcome::action(absolute(&scanned.path), done.word, &done.outcome));
    }

    pub(super) fn ended(&self, counts: &Counts, whole: bool) {
        self.tell(|task| Kind::ScanEnded {
            task: task.to_owned(),
            files: counts.files,
            detected: counts.detected,
            incomplete: counts.incomplete,
            errors: counts.errors,
            outcome: if whole { Outcome::Success } else { Outcome::Failure },
        });
    }
}

/// The digest, where it was computed for another purpose.
fn sha256(scanned: &Scanned, done: Option<&Done>) -> Option<String> {
    if let Some(Done { outcome: hf_quarantine::Outcome::Quarantined { record, .. }, .. }) = done {
        return Some(record.sha256.clone());
    }
    let digests = scanned.report.objects.first()?.digests.as_ref()?;
    Some(crate::display::hex(&digests.sha256))
}

/// Waits for the sinks, and says what they did not get.
pub(crate) fn finish(events: Events) {
    for trouble in events.finish(PATIENCE) {
        let why = trouble.last_error.map(|why| format!(": {why}")).unwrap_or_default();
        let (sink, lost, failed) = (trouble.sink, trouble.lost, trouble.failed);
        let unfinished = if trouble.unfinished { ", and it has not come to its end" } else { "" };
        errln!(
            "holdfast: warning: events to {sink}: {lost} lost, {failed} not told{why}{unfinished}"
        );
    }
}

const PATHS_MAX: usize = 64;
/// Ours: a hook has 30 seconds, unless it is given more.
const PATIENCE: Duration = Duration::from_secs(35);
