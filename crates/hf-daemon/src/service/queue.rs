//! What waits for a worker, and whose turn it is.
//!
//! Turns go round between peers, and within a peer between its connections; only within one
//! connection it is first come, first served. Interactive requests go before others, idle ones
//! behind; each sixteenth turn is the least urgent one's, so that nobody waits for ever.
//! Promises: bounded by the permits that come with each ticket, not here; a peer that queues much
//! delays each other peer by at most one object a turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Ticket;
use crate::scan::Priority;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    classes: [Class; 3],
    len: usize,
    turns: u32,
    closed: bool,
    /// Counts calls of [`Queue::wake_all`].
    calls: u64,
    /// Threads that wait for something to do.
    idle: usize,
}

/// Requests of one urgency.
#[derive(Debug, Default)]
struct Class {
    turns: VecDeque<u64>,
    peers: HashMap<u64, PeerQueue>,
}

#[derive(Debug, Default)]
struct PeerQueue {
    turns: VecDeque<u64>,
    connections: HashMap<u64, VecDeque<Ticket>>,
    len: usize,
}

impl Class {
    fn push(&mut self, ticket: Ticket) {
        let client = ticket.client.0.clone();
        let peer = self.peers.entry(client.peer).or_insert_with(|| {
            self.turns.push_back(client.peer);
            PeerQueue::default()
        });
        let connection = peer.connections.entry(client.connection).or_insert_with(|| {
            peer.turns.push_back(client.connection);
            VecDeque::new()
        });
        connection.push_back(ticket);
        peer.len = peer.len.saturating_add(1);
    }

    fn pop(&mut self) -> Option<Ticket> {
        let peer = self.turns.pop_front()?;
        let ticket = self.pop_in(peer);
        if self.peers.contains_key(&peer) {
            self.turns.push_back(peer);
        }
        ticket
    }

    /// Takes one of this peer out of turn.
    fn pop_of(&mut self, peer: u64) -> Option<Ticket> {
        let ticket = self.pop_in(peer)?;
        if !self.peers.contains_key(&peer) {
            self.turns.retain(|other| *other != peer);
        }
        Some(ticket)
    }

    fn pop_in(&mut self, peer_key: u64) -> Option<Ticket> {
        let peer = self.peers.get_mut(&peer_key)?;
        let connection_key = peer.turns.pop_front()?;
        let connection = peer.connections.get_mut(&connection_key)?;
        let ticket = connection.pop_front();
        if connection.is_empty() {
            peer.connections.remove(&connection_key);
        } else {
            peer.turns.push_back(connection_key);
        }
        peer.len = peer.len.saturating_sub(1);
        if peer.turns.is_empty() {
            self.peers.remove(&peer_key);
        }
        ticket
    }

    fn len_of(&self, peer: u64) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.len)
    }
}

fn class_of(priority: Priority) -> usize {
    match priority {
        Priority::Interactive => 0,
        Priority::Normal => 1,
        Priority::Idle => 2,
    }
}

impl State {
    fn pop(&mut self) -> Option<Ticket> {
        self.turns = self.turns.wrapping_add(1);
        let backwards = self.turns.is_multiple_of(LEAST_URGENT_TURN);
        let mut take = |class: &mut Class| class.pop();
        let ticket = if backwards {
            self.classes.iter_mut().rev().find_map(&mut take)
        } else {
            self.classes.iter_mut().find_map(&mut take)
        };
        if ticket.is_some() {
            self.len = self.len.saturating_sub(1);
        }
        ticket
    }
}

/// Why [`Queue::take`] returned.
#[derive(Debug)]
pub(super) enum Taken {
    /// Somebody's turn.
    Ticket(Box<Ticket>),
    /// Nothing waits, or there is mail.
    Nothing,
    /// The service ends, and nothing waits.
    Closed,
}

impl Queue {
    /// Adds a ticket; gives it back when the service ends.
    pub(super) fn push(&self, ticket: Ticket) -> Result<(), Box<Ticket>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(Box::new(ticket));
        }
        if let Some(class) = state.classes.get_mut(class_of(ticket.choice.priority)) {
            class.push(ticket);
            state.len = state.len.saturating_add(1);
        }
        let idle = state.idle > 0;
        drop(state);
        if idle {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Returns another of the same peer and urgency, and how many of them still wait; with `alone`
    /// only while nobody else waits. So a worker has several objects at a time, all of one peer: one that
    /// takes long holds up no other.
    pub(super) fn take_of(
        &self,
        peer: u64,
        priority: Priority,
        alone: bool,
    ) -> Option<(Ticket, usize)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let len = state.len;
        let class = state.classes.get_mut(class_of(priority))?;
        if alone && class.len_of(peer) != len {
            return None;
        }
        let ticket = class.pop_of(peer)?;
        let left = class.len_of(peer);
        state.len = len.saturating_sub(1);
        Some((ticket, left))
    }

    /// Returns how many of a peer wait.
    pub(super) fn len_of(&self, peer: u64, priority: Priority) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.classes.get(class_of(priority)).map_or(0, |class| class.len_of(peer))
    }

    /// Returns who is next; waits until there is somebody, the queue is closed, or everybody was
    /// woken since `calls`, which is brought up to date.
    pub(super) fn wait(&self, calls: &mut u64) -> Taken {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.calls != *calls {
                *calls = state.calls;
                return Taken::Nothing;
            }
            if let Some(ticket) = state.pop() {
                return Taken::Ticket(Box::new(ticket));
            }
            if state.closed {
                return Taken::Closed;
            }
            state.idle = state.idle.saturating_add(1);
            let waited = self.wake.wait_timeout(state, AT_LEAST);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle = state.idle.saturating_sub(1);
        }
    }

    /// Wakes every thread that waits.
    pub(super) fn wake_all(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls = state.calls.wrapping_add(1);
        drop(state);
        self.wake.notify_all();
    }

    /// Takes no more tickets; what waits is still done.
    pub(super) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_all();
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).len
    }
}

/// Ours: every so many turns the least urgent class comes first.
const LEAST_URGENT_TURN: u32 = 16;

/// Ours: a lost wake-up would cost no more than this.
const AT_LEAST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

    use super::*;
    use crate::scan::{Client, Door, Object, Peer, ScanChoice};

    fn permit() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    fn ticket(peer: u32, connection: u64, name: &str, priority: Priority) -> Ticket {
        let file = std::fs::File::open("/dev/null").unwrap();
        Ticket {
            client: Client::new(Door::Clamd, &Peer::User(peer), connection, String::new(), 1),
            object: Object::new(file, name.as_bytes()),
            choice: ScanChoice { priority, ..ScanChoice::default() },
            since: Instant::now(),
            tries_left: 0,
            tell: oneshot::channel().0,
            _permits: [permit(), permit(), permit()],
        }
    }

    fn order(tickets: Vec<Ticket>) -> Vec<String> {
        let queue = Queue::default();
        for ticket in tickets {
            queue.push(ticket).unwrap();
        }
        queue.close();
        let mut calls = 0;
        std::iter::from_fn(|| match queue.wait(&mut calls) {
            Taken::Ticket(ticket) => Some(String::from_utf8(ticket.object.name).unwrap()),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn turns_go_round_between_peers_and_connections() {
        let normal = |peer, connection, name| ticket(peer, connection, name, Priority::Normal);
        let tickets = vec![
            normal(1, 1, "a1"),
            normal(1, 1, "a2"),
            normal(1, 1, "a3"),
            normal(1, 2, "b1"),
            normal(2, 3, "c1"),
            normal(2, 3, "c2"),
        ];
        assert_eq!(order(tickets), ["a1", "c1", "b1", "c2", "a2", "a3"]);
    }

    #[test]
    fn several_of_one_peer_at_a_time() {
        let queue = Queue::default();
        let normal = |peer, connection, name| ticket(peer, connection, name, Priority::Normal);
        for ticket in [normal(1, 1, "a1"), normal(1, 2, "b1"), normal(2, 3, "c1")] {
            queue.push(ticket).unwrap();
        }
        let peer = normal(1, 1, "").client.0.peer;
        assert_eq!(queue.len_of(peer, Priority::Normal), 2);
        assert!(queue.take_of(peer, Priority::Normal, true).is_none(), "another waits");
        let (first, left) = queue.take_of(peer, Priority::Normal, false).unwrap();
        assert_eq!((first.object.name.as_slice(), left), (&b"a1"[..], 1));
        assert!(queue.take_of(peer, Priority::Idle, false).is_none());
        assert_eq!(queue.take_of(peer, Priority::Normal, false).unwrap().1, 0);
        assert!(queue.take_of(peer, Priority::Normal, false).is_none());
        assert_eq!(queue.len(), 1);
        queue.close();
        let mut calls = 0;
        assert!(matches!(queue.wait(&mut calls), Taken::Ticket(_)));
        assert!(matches!(queue.wait(&mut calls), Taken::Closed));
    }

    #[test]
    fn the_urgent_come_first_and_the_idle_not_never() {
        let mut tickets = vec![ticket(1, 1, "idle", Priority::Idle)];
        tickets.extend((0..20).map(|_| ticket(1, 1, "normal", Priority::Normal)));
        tickets.push(ticket(2, 2, "urgent", Priority::Interactive));
        let order = order(tickets);
        assert_eq!(order[0], "urgent");
        assert_eq!(order.iter().position(|name| name == "idle"), Some(15));
    }
}
