//! A bound on events that come with every file: so many of a kind in a minute, and how many there were besides.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Counts events by their word.
#[derive(Debug)]
pub struct Limiter {
    most: u64,
    kinds: HashMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    told: u64,
    untold: u64,
}

impl Limiter {
    /// Lets so many of each kind through in a minute.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, kinds: HashMap::new() }
    }

    /// Returns how many of this kind were kept back since one was let through; none when this one is kept back.
    pub fn admit(&mut self, word: &'static str, now: Instant) -> Option<u64> {
        let fresh = Window { begun: now, told: 0, untold: 0 };
        let window = self.kinds.entry(word).or_insert(fresh);
        if now.saturating_duration_since(window.begun) >= MINUTE {
            (window.begun, window.told) = (now, 0);
        }
        if window.told >= self.most {
            window.untold = window.untold.saturating_add(1);
            return None;
        }
        window.told = window.told.saturating_add(1);
        Some(std::mem::take(&mut window.untold))
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(A_MINUTE)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Ours: more of a kind in a minute nobody reads.
const A_MINUTE: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_minute() {
        let mut limiter = Limiter::new(2);
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(limiter.admit("a", at(0)), Some(0));
        assert_eq!(limiter.admit("a", at(1)), Some(0));
        assert_eq!(limiter.admit("a", at(2)), None);
        assert_eq!(limiter.admit("a", at(59)), None);
        assert_eq!(limiter.admit("b", at(59)), Some(0));
        assert_eq!(limiter.admit("a", at(60)), Some(2));
        assert_eq!(limiter.admit("a", at(61)), Some(0));
        assert_eq!(limiter.admit("a", at(62)), None);
    }
}
