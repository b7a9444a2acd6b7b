//! What is to be scanned, in three lanes.
//!
//! Programs and small files go before large ones, so that a user who clicks does not wait for a backup; a
//! large one waits for a free thread at most [`PATIENCE`] longer than it must. Files that a server or a
//! program answers for have a lane and a thread of their own, so that one that does not answer holds up
//! nobody else.
//! Leaves out: a bound. The gate lets only so many wait.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::flights::FlightKey;
use crate::mountinfo::MountKind;
use crate::stamp::Facts;

/// A file to scan.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) key: FlightKey,
    pub(crate) file: File,
    pub(crate) facts: Facts,
    pub(crate) kind: MountKind,
    /// A write from now on gives the file another stamp.
    pub(crate) settled: bool,
    pub(crate) exec: bool,
    pub(crate) pid: i32,
    pub(crate) path: PathBuf,
    pub(crate) queued: Instant,
}

/// Which lanes a thread serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Small and large files.
    General,
    /// Small files only, so that there is always somebody for them.
    Small,
    /// Files that others answer for.
    Remote,
}

/// What a thread is to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// Scan this.
    Scan(Box<Task>),
    /// Content of another generation is there.
    Renew,
    /// Nothing more.
    End,
}

/// The lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Mutex<Queues>,
    local: Condvar,
    remote: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    small: VecDeque<Task>,
    large: VecDeque<Task>,
    remote: VecDeque<Task>,
    generation: u64,
    closed: bool,
}

impl Lanes {
    /// Adds a task.
    pub(crate) fn add(&self, task: Task) {
        let mut queues = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if task.kind != MountKind::Local {
            queues.remote.push_back(task);
            drop(queues);
            self.remote.notify_one();
        } else if task.exec || task.facts.stamp.size <= SMALL_BYTES {
            queues.small.push_back(task);
            drop(queues);
            self.local.notify_one();
        } else {
            queues.large.push_back(task);
            drop(queues);
            // One that serves small files only may be the one that wakes.
            self.local.notify_all();
        }
    }

    /// Waits for something to do. `generation` is that of the content which the thread has.
    pub(crate) fn next(&self, role: Role, generation: u64) -> Next {
        let mut queues = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queues.closed {
                return Next::End;
            }
            if queues.generation > generation {
                return Next::Renew;
            }
            if let Some(task) = queues.take(role) {
                return Next::Scan(Box::new(task));
            }
            let bell = if role == Role::Remote { &self.remote } else { &self.local };
            queues = bell.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that there is content of another generation.
    pub(crate) fn renew(&self, generation: u64) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).generation = generation;
        self.local.notify_all();
        self.remote.notify_all();
    }

    /// Ends the threads; what still waits is answered by its deadline, or with the guard's end.
    pub(crate) fn close(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.local.notify_all();
        self.remote.notify_all();
    }
}

impl Queues {
    fn take(&mut self, role: Role) -> Option<Task> {
        match role {
            Role::Remote => self.remote.pop_front(),
            Role::Small => self.small.pop_front(),
            Role::General => {
                let patient = self.large.front().is_none_or(|one| one.queued.elapsed() < PATIENCE);
                let (first, second) = if patient {
                    (&mut self.small, &mut self.large)
                } else {
                    (&mut self.large, &mut self.small)
                };
                first.pop_front().or_else(|| second.pop_front())
            }
        }
    }
}

/// Ours: what takes some milliseconds.
const SMALL_BYTES: u64 = 1 << 20;

/// Ours.
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(size: u64, exec: bool, kind: MountKind) -> Task {
        let temp = tempfile::tempfile().unwrap();
        temp.set_len(size).unwrap();
        let facts = Facts::of(&temp).unwrap();
        Task {
            key: FlightKey { id: facts.id, stamp: facts.stamp, alone: 0 },
            file: temp,
            facts,
            kind,
            settled: true,
            exec,
            pid: 1,
            path: PathBuf::new(),
            queued: Instant::now(),
        }
    }

    #[track_caller]
    fn check(lanes: &Lanes, role: Role, want: u64) {
        match lanes.next(role, 0) {
            Next::Scan(task) => assert_eq!(task.facts.stamp.size, want),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn small_ones_and_programs_first() {
        let lanes = Lanes::default();
        lanes.add(task(3 << 20, false, MountKind::Local));
        lanes.add(task(10, false, MountKind::Local));
        lanes.add(task(4 << 20, true, MountKind::Local));
        lanes.add(task(11, false, MountKind::Fuse));
        check(&lanes, Role::General, 10);
        check(&lanes, Role::Small, 4 << 20);
        check(&lanes, Role::Remote, 11);
        lanes.add(task(12, false, MountKind::Local));
        std::thread::sleep(PATIENCE);
        check(&lanes, Role::General, 3 << 20);
        check(&lanes, Role::General, 12);
        lanes.renew(1);
        assert!(matches!(lanes.next(Role::Small, 0), Next::Renew));
        lanes.close();
        assert!(matches!(lanes.next(Role::Small, 1), Next::End));
    }
}
