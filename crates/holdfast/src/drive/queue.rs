//! A bounded queue between threads that wakes its ends seldom.
//!
//! A channel wakes the other end for each item, which for small files costs more than what is done with
//! them. Here a sender that waits for room is woken when half of the queue is free, and a receiver that takes
//! all at once looks every [`LOOK`] unless the queue is half full or its senders are gone.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a receiver that takes all at once looks, at least.
const LOOK: Duration = Duration::from_millis(15);

struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    receivers: usize,
    /// Senders that wait for room.
    full: usize,
    /// Receivers that wait for one item.
    hungry: usize,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    room: Condvar,
    items: Condvar,
    capacity: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_senders(&self, state: &State<T>) {
        if state.full > 0 && state.items.len() <= self.capacity / 2 {
            self.room.notify_all();
        }
    }
}

/// Makes a queue that holds so many items.
pub(super) fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let items = VecDeque::with_capacity(capacity);
    let state = State { items, senders: 1, receivers: 1, full: 0, hungry: 0 };
    let (room, items) = (Condvar::new(), Condvar::new());
    let shared = Arc::new(Shared { state: Mutex::new(state), room, items, capacity });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The end that sends.
pub(super) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Sends, waiting for room; false when nobody receives any more.
    pub(super) fn send(&self, item: T) -> bool {
        let Shared { room, items, capacity, .. } = &*self.0;
        let mut state = self.0.lock();
        if state.items.len() >= *capacity && state.receivers > 0 {
            state.full += 1;
            let wait =
                |state: &mut State<T>| state.items.len() > capacity / 2 && state.receivers > 0;
            state = room.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
            state.full -= 1;
        }
        if state.receivers == 0 {
            return false;
        }
        state.items.push_back(item);
        if state.hungry > 0 || state.items.len() == (capacity / 2).max(1) {
            items.notify_one();
        }
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.items.notify_all();
        }
    }
}

/// The end that receives.
pub(super) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// Returns the next item; waits for it if asked to, and gives none when all senders are gone.
    pub(super) fn next(&self, wait: bool) -> Option<T> {
        let mut state = self.0.lock();
        if wait && state.items.is_empty() {
            state.hungry += 1;
            let none = |state: &mut State<T>| state.items.is_empty() && state.senders > 0;
            state = self.0.items.wait_while(state, none).unwrap_or_else(PoisonError::into_inner);
            state.hungry -= 1;
        }
        let item = state.items.pop_front();
        self.0.wake_senders(&state);
        item
    }

    /// Returns all items that are there, waiting for some; none when all senders are gone.
    pub(super) fn all(&self) -> Option<VecDeque<T>> {
        let mut state = self.0.lock();
        loop {
            if state.senders == 0 {
                return Some(std::mem::take(&mut state.items)).filter(|items| !items.is_empty());
            }
            // What is there waits for more, but not long.
            let filling = |state: &mut State<T>| {
                state.items.len() < (self.0.capacity / 2).max(1) && state.senders > 0
            };
            let waited = self.0.items.wait_timeout_while(state, LOOK, filling);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !state.items.is_empty() {
                let items = std::mem::take(&mut state.items);
                self.0.wake_senders(&state);
                return Some(items);
            }
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.lock().receivers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            self.0.room.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_once_and_in_order() {
        for capacity in [1, 2, 7, 64] {
            let (sender, receiver) = queue(capacity);
            std::thread::scope(|scope| {
                scope.spawn(move || (0..1000).for_each(|number| assert!(sender.send(number))));
                let mut got = Vec::new();
                while let Some(items) = receiver.all() {
                    assert!(items.len() <= capacity);
                    got.extend(items);
                }
                assert_eq!(got, (0..1000).collect::<Vec<_>>());
            });
        }
    }

    #[test]
    fn several_receivers_share_the_items() {
        let (sender, receiver) = queue(8);
        let receivers = [receiver.clone(), receiver.clone(), receiver];
        let sum: u64 = std::thread::scope(|scope| {
            let workers = receivers.map(|receiver| {
                scope.spawn(move || std::iter::from_fn(|| receiver.next(true)).sum::<u64>())
            });
            (1..=1000).for_each(|number| assert!(sender.send(number)));
            drop(sender);
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(sum, 500_500);
    }

    #[test]
    fn senders_end_when_nobody_receives() {
        let (sender, receiver) = queue(2);
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || while sender.send(1) {});
            assert_eq!(receiver.next(true), Some(1));
            drop(receiver);
            sending.join().unwrap();
        });
    }

    #[test]
    fn nothing_is_waited_for_unless_asked() {
        let (sender, receiver) = queue::<u8>(2);
        assert_eq!(receiver.next(false), None);
        assert!(sender.send(3));
        drop(sender);
        assert_eq!((receiver.next(true), receiver.next(true)), (Some(3), None));
        assert!(receiver.all().is_none());
    }
}
