//! Verdicts by content: the same bytes, packs and options give the same report.
//!
//! Promises: only bytes that could not change between hashing and scanning have an entry; errors,
//! deaths and what a deadline cut short never do. The key is made with a secret that is new at each
//! start. Bounded by entries and by the size of what is kept; the oldest generation goes first.
//! Leaves out: anything on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hf_core::{Reason, Report};

/// What a verdict depends on, in one digest.
pub(super) type Key = [u8; 32];

/// Two generations of entries: when the younger is full, the elder is dropped and they change
/// places; what is asked for moves to the younger. That is nearly "least recently used" without a
/// list to maintain.
#[derive(Debug)]
pub(super) struct Cache {
    state: Mutex<State>,
    entries_max: usize,
}

#[derive(Debug, Default)]
struct State {
    young: HashMap<Key, Arc<Report>>,
    old: HashMap<Key, Arc<Report>>,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { state: Mutex::default(), entries_max: entries_max / 2 }
    }

    pub(super) fn is_on(&self) -> bool {
        self.entries_max > 0
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Report>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = state.young.get(key) {
            return Some(Arc::clone(report));
        }
        let report = state.old.remove(key)?;
        state.young.insert(*key, Arc::clone(&report));
        Some(report)
    }

    pub(super) fn keep(&self, key: Key, report: &Arc<Report>) {
        if self.entries_max == 0 || !may_be_kept(report) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.young.len() >= self.entries_max {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert(key, Arc::clone(report));
    }

    /// Forgets everything: after a reload no key fits any more.
    pub(super) fn clear(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    pub(super) fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.young.len().saturating_add(state.old.len())
    }
}

/// True when scanning again would say the same, and keeping it costs little.
fn may_be_kept(report: &Report) -> bool {
    let passing = |reason: &Reason| matches!(reason, Reason::Deadline | Reason::Memory);
    report.error.is_none()
        && report.unscanned_more == 0
        && !report.unscanned.iter().any(|part| passing(&part.reason))
        && report.objects.len() <= OBJECTS_KEPT
        && report.hits.len() <= HITS_KEPT
        && report.unscanned.len() <= OBJECTS_KEPT
}

/// Ours: larger reports are not kept; they are of large containers.
const OBJECTS_KEPT: usize = 32;
const HITS_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use hf_core::Unscanned;

    #[test]
    fn bounded_and_recent() {
        let cache = Cache::new(4);
        let report = Arc::new(Report::default());
        for name in 0..6u8 {
            cache.keep([name; 32], &report);
            assert!(cache.find(&[0; 32]).is_some(), "what is asked for stays");
            assert!(cache.len() <= 4);
        }
        assert!(cache.find(&[2; 32]).is_none());
        cache.clear();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn what_may_pass_is_not_kept() {
        let cache = Cache::new(4);
        let cut = Unscanned { object: 0, name: Vec::new(), reason: Reason::Deadline };
        let cases = [
            Report::failed("worker killed"),
            Report { unscanned: vec![cut], ..Report::default() },
            Report { unscanned_more: 1, ..Report::default() },
        ];
        for report in cases {
            cache.keep([1; 32], &Arc::new(report));
            assert_eq!(cache.len(), 0);
        }
    }
}
