//! How many bodies are received or scanned at once, and of whom.
//!
//! Promises: one peer has at most three quarters of all turns, so that bodies which never end keep nobody else out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::scan::Client;

/// The turns of a door.
#[derive(Debug)]
pub(super) struct Turns {
    all: Semaphore,
    each: usize,
    /// Turns in use, by peer.
    used: Mutex<HashMap<u64, usize>>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    peer: u64,
    _permit: SemaphorePermit<'a>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let each = most.saturating_mul(3).div_ceil(4);
        Self { all: Semaphore::new(most), each, used: Mutex::default() }
    }

    /// Takes a turn; none when all, or this peer's, are taken.
    pub(super) fn take(&self, client: &Client) -> Option<Turn<'_>> {
        let peer = client.0.peer;
        let permit = self.all.try_acquire().ok()?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let count = used.entry(peer).or_default();
        if *count >= self.each {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Turn { turns: self, peer, _permit: permit })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut used = self.turns.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = used.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                used.remove(&self.peer);
            }
        }
    }
}
