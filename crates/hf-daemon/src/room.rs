//! The places of a door: how many connections are served at once, and of whom.
//!
//! Promises: one peer never has more than three quarters of the places, so that others find one at once,
//! however many connections it opens. What it opens beyond waits for a place of its own; of those that wait
//! at most as many as there are places, and 64 at least, are kept of one peer, and more are closed. All
//! that wait are at most four times as many as there are places; then a door accepts nobody for a while.
//! Leaves out: when a connection that does nothing gives its place up; see [`Place::is_crowded`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::scan::Peer;

/// The places of a door.
#[derive(Debug)]
pub struct Room {
    /// Places that are free.
    free: Arc<Semaphore>,
    /// Connections that may still be accepted.
    accepted: Arc<Semaphore>,
    /// Most places of one peer.
    each: usize,
    /// Most connections of one peer that wait.
    waiting_max: usize,
    peers: Mutex<HashMap<Peer, Arc<Seats>>>,
    /// Connections that were closed at once.
    pub(crate) closed: NowAndThen,
}

/// The places of one peer.
#[derive(Debug)]
struct Seats {
    free: Arc<Semaphore>,
    /// Connections that were accepted, whether they have a place or not.
    connections: AtomicUsize,
}

/// A connection that was accepted, with a place or waiting for one.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    peer: Peer,
    seats: Arc<Seats>,
    _accepted: OwnedSemaphorePermit,
}

impl Room {
    /// Makes so many places, one at least.
    #[must_use]
    pub fn new(places: usize) -> Arc<Self> {
        let places = places.clamp(1, PLACES_MAX);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(places)),
            accepted: Arc::new(Semaphore::new(places.saturating_mul(4).max(4 * WAITING_MIN))),
            each: places.saturating_mul(3).div_ceil(4),
            waiting_max: places.max(WAITING_MIN),
            peers: Mutex::default(),
            closed: NowAndThen::default(),
        })
    }

    /// Waits until one more connection may be accepted; none when the room is gone.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.accepted).acquire_owned().await.ok()
    }

    /// Lets a connection in; none when too many of this peer wait already.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: &Peer,
        permit: OwnedSemaphorePermit,
    ) -> Option<Place> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let free = Arc::new(Semaphore::new(self.each));
            Arc::new(Seats { free, connections: AtomicUsize::new(0) })
        };
        let seats = Arc::clone(peers.entry(peer.clone()).or_insert_with(new));
        if seats.connections.load(Ordering::Relaxed) >= self.each.saturating_add(self.waiting_max) {
            return None;
        }
        seats.connections.fetch_add(1, Ordering::Relaxed);
        let (room, peer) = (Arc::clone(self), peer.clone());
        Some(Place { room, peer, seats, _accepted: permit })
    }
}

impl Place {
    /// Waits for a place; it is free again when what is returned is dropped.
    pub(crate) async fn take(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        // The peer's own first: who waits for that takes nobody's place.
        let own = Arc::clone(&self.seats.free).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.room.free).acquire_owned().await.ok()?;
        Some((own, all))
    }

    /// True when others, or more of the same peer, wait for a place: one that does nothing is to go.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let waits = self.seats.connections.load(Ordering::Relaxed) > self.room.each;
        self.room.free.available_permits() == 0 || waits
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.room.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.seats.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            peers.remove(&self.peer);
        }
    }
}

/// Says now and then how often something happened, which others could make happen without end.
#[derive(Debug, Default)]
pub(crate) struct NowAndThen(Mutex<(Option<Instant>, u64)>);

impl NowAndThen {
    /// Counts; returns how often since it was said last, this time with it, when it is to be said again.
    pub(crate) fn count(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, count) = &mut *state;
        *count = count.saturating_add(1);
        if said.is_some_and(|at| at.elapsed() < SAID_EVERY) {
            return None;
        }
        *said = Some(Instant::now());
        Some(std::mem::take(count))
    }
}

/// Ours.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Ours: so that a small door does not turn away a few at once.
const WAITING_MIN: usize = 64;

/// Ours: more descriptors than this no process has.
const PLACES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_peer_leaves_places_to_others() {
        let room = Room::new(8);
        let many = Peer::User(1);
        let mut places = Vec::new();
        loop {
            let permit = room.wait().await.unwrap();
            let Some(place) = room.enter(&many, permit) else { break };
            places.push(place);
        }
        assert_eq!(places.len(), 6 + 64);
        let mut taken = Vec::new();
        for place in places.iter().take(6) {
            taken.push(place.take().await.unwrap());
        }
        assert!(places[0].is_crowded());
        let mut seventh = Box::pin(places[6].take());
        let now = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(now, &mut seventh).await.is_err(), "it waits");
        let other = room.enter(&Peer::User(2), room.wait().await.unwrap()).unwrap();
        let place = tokio::time::timeout(now, other.take()).await.unwrap().unwrap();
        assert!(!other.is_crowded(), "of the other nobody waits, and one place is free");
        taken.pop();
        drop(tokio::time::timeout(now, &mut seventh).await.unwrap().unwrap());
        drop((place, other, taken, seventh));
        places.clear();
        assert!(room.peers.lock().unwrap().is_empty());
        assert_eq!((room.free.available_permits(), room.accepted.available_permits()), (8, 256));
    }
}
