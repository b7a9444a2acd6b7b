//! Answers what nobody answered, and ends the guard when it cannot even do that: then the kernel allows all
//! that waits, and the supervisor starts the guard again.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::gate::Shared;

/// The reading thread's sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    begun: Instant,
    /// Milliseconds after `begun` at which it began to handle questions; 0 while it waits for some.
    busy_since_ms: AtomicU64,
    pub(crate) ended: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            busy_since_ms: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }
}

impl Pulse {
    pub(crate) fn busy(&self) {
        let now = self.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1);
        self.busy_since_ms.store(now, Ordering::Relaxed);
    }

    pub(crate) fn idle(&self) {
        self.busy_since_ms.store(0, Ordering::Relaxed);
    }

    fn stuck_for(&self) -> Duration {
        let since = self.busy_since_ms.load(Ordering::Relaxed);
        if since == 0 {
            return Duration::ZERO;
        }
        self.begun.elapsed().saturating_sub(Duration::from_millis(since))
    }
}

/// Watches until the guard ends. `heartbeat` is the supervisor's pipe.
pub(crate) fn watch(
    shared: &Shared,
    pulse: &Pulse,
    heartbeat: Option<OwnedFd>,
    lost_after: Duration,
) {
    let mut heartbeat = heartbeat.map(std::fs::File::from);
    let (mut table_missing, mut beat) = (0u32, 0u32);
    while !pulse.ended.load(Ordering::Relaxed) {
        std::thread::sleep(TICK);
        match shared.flights.overdue(Instant::now(), lost_after) {
            Some(overdue) => {
                table_missing = 0;
                let answer = shared.rules().without_verdict();
                for waiting in overdue {
                    shared.metrics.timeouts.add();
                    shared.give(waiting.permit, answer, waiting.since);
                }
            }
            None => table_missing = table_missing.saturating_add(1),
        }
        if table_missing > STUCK_TICKS || pulse.stuck_for() > STUCK {
            // Without the descriptor of the group nobody waits any more.
            std::process::abort();
        }
        beat = beat.saturating_add(1) % BEAT_TICKS;
        if beat == 0
            && let Some(pipe) = &mut heartbeat
        {
            // A supervisor that is gone is no reason to end.
            let _ = pipe.write(b".");
        }
    }
}

/// Ours: a deadline is kept to this.
const TICK: Duration = Duration::from_millis(50);

/// Ours: one beat a second.
const BEAT_TICKS: u32 = 20;

/// Ours: what is done under the lock, and for one buffer of questions, takes milliseconds.
const STUCK: Duration = Duration::from_secs(5);
const STUCK_TICKS: u32 = 100;
