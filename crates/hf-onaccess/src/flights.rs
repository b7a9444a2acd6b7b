//! Questions that wait for a scan; those for the same state of the same file wait for one scan together.
//!
//! Promises: a question is in one place only, so that it is answered once: by the end of its scan, by its
//! deadline, or by being dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hf_sys::fanotify::Permit;

use crate::stamp::{FileId, Stamp};

/// A question that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) permit: Permit,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
}

/// What is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) id: FileId,
    pub(crate) stamp: Stamp,
    /// Other than 0 where the same state need not be the same bytes.
    pub(crate) alone: u64,
}

/// All that wait.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: Mutex<HashMap<FlightKey, Flight>>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Flight {
    begun: Instant,
    waiting: Vec<Waiting>,
}

impl Flights {
    /// Adds a question, or none when the answer was given already; true when its scan has to be begun.
    pub(crate) fn join(&self, key: FlightKey, waiting: Option<Waiting>) -> bool {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first = false;
        let flight = flights.entry(key).or_insert_with(|| {
            first = true;
            Flight { begun: Instant::now(), waiting: Vec::new() }
        });
        self.waiting.fetch_add(usize::from(waiting.is_some()), Ordering::Relaxed);
        flight.waiting.extend(waiting);
        first
    }

    /// Ends a scan; returns those that waited for it.
    pub(crate) fn land(&self, key: &FlightKey) -> Vec<Waiting> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = flights.remove(key).map(|flight| flight.waiting).unwrap_or_default();
        drop(flights);
        self.waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
        waiting
    }

    /// Returns the questions whose deadline has passed; none when the table cannot be had at the moment.
    /// Forgets scans that nobody can be doing any more.
    pub(crate) fn overdue(&self, now: Instant, lost_after: Duration) -> Option<Vec<Waiting>> {
        let mut flights = match self.flights.try_lock() {
            Ok(flights) => flights,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        let mut overdue = Vec::new();
        for flight in flights.values_mut() {
            overdue.extend(flight.waiting.extract_if(.., |one| one.deadline <= now));
        }
        flights.retain(|_, flight| {
            !flight.waiting.is_empty() || now.saturating_duration_since(flight.begun) < lost_after
        });
        drop(flights);
        self.waiting.fetch_sub(overdue.len(), Ordering::Relaxed);
        Some(overdue)
    }

    /// Returns how many questions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}
