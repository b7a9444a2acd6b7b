//! Counters of the guard.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the guard did since it was started.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            latency: [Counter; BUCKETS],
        }

        impl Metrics {
            fn counts(&self) -> Value {
                json!({ $(stringify!($name): self.$name.count(),)* })
            }
        }
    };
}

counters! {
    /// Questions of the kernel.
    asked,
    /// Allowed.
    allowed,
    /// Denied.
    denied,
    /// Of the guard itself and its workers.
    own,
    /// Empty files.
    empty,
    /// Outside of what is protected, or no regular file.
    outside,
    /// Excluded by path, process or user.
    excluded,
    /// Larger than the configured size.
    too_large,
    /// Answered from the cache.
    cache_hits,
    /// Scans that were begun.
    scans,
    /// Questions that joined a scan which had begun.
    joined,
    /// Files that the kernel was told not to ask for.
    remembered,
    /// Not remembered: open for writing, or changed meanwhile.
    not_remembered,
    /// Marks taken back since a writer closed the file.
    written,
    /// Answered by policy at the deadline.
    timeouts,
    /// Answered by policy since too many were waiting.
    overloads,
    /// Answered by policy since the scan failed.
    errors,
    /// Answered by policy since not everything was looked at.
    incomplete,
    /// Detections.
    detected,
    /// Questions that the kernel could not hand over (it denied them).
    unreadable,
    /// Threads that panicked over a question, which was answered by policy.
    panics,
    /// Lines of the log that were lost.
    lines_lost,
    /// Content or configuration was loaded again.
    reloads,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Counts how long an answer took.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = usize::try_from(u64::BITS.saturating_sub(micros.leading_zeros())).unwrap_or(0);
        if let Some(counter) = self.latency.get(bucket.min(BUCKETS.saturating_sub(1))) {
            counter.add();
        }
    }

    /// Returns all, with the histogram of answers: `[upper bound in microseconds, count]`.
    pub(crate) fn to_json(&self) -> Value {
        let histogram: Vec<Value> = self
            .latency
            .iter()
            .zip(0u32..)
            .map(|(counter, bucket)| (1u64.checked_shl(bucket), counter.count()))
            .filter(|(_, count)| *count > 0)
            .map(|(bound, count)| json!([bound, count]))
            .collect();
        json!({ "counts": self.counts(), "latency_us": histogram })
    }
}

/// Ours: the last one is for 17 minutes and more.
const BUCKETS: usize = 31;
