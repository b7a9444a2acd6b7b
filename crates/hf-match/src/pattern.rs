//! A body in the form in which it is matched: literal runs joined, one seed to look for per part.
//!
//! Promises: finds every place that the model describes, in ascending order, in time linear in the
//! object for each part, whatever the gaps are; polls through [`Work`].
//! Leaves out: where a match may start ([`crate::place`]) and what it means ([`crate::logical`]).

mod chain;
mod edge;
mod part;
mod seed;

pub(crate) use chain::{Chain, Found};
pub(crate) use edge::{edge_before, edge_behind, edge_len};
pub(crate) use part::Part;
pub(crate) use seed::{Run, Seed, best_seed, runs};

use hf_core::Stop;
use hf_core::signature::{Body, Gap};

/// A compiled body.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) parts: Vec<Part>,
    pub(crate) gaps: Vec<Gap>,
}

impl Pattern {
    pub(crate) fn new(body: &Body) -> Self {
        Self {
            parts: body.parts.iter().map(|part| Part::new(part, body.nocase, body.wide)).collect(),
            gaps: body.gaps.clone(),
        }
    }

    /// Returns how rare its rarest seed is, in sixteenths of a bit.
    pub(crate) fn rarity(&self) -> u32 {
        self.parts
            .iter()
            .filter_map(|part| part.seed.as_ref())
            .map(|seed| seed.rarity)
            .max()
            .unwrap_or(0)
    }

    /// False when the rarest seed of several parts is not in the object, so that no match is.
    pub(crate) fn may_match(&self, data: &[u8], work: &mut Work<'_>) -> Result<bool, Stop> {
        if self.parts.len() < 2 {
            return Ok(true);
        }
        let seeds = self.parts.iter().filter_map(|part| part.seed.as_ref());
        match seeds.max_by_key(|seed| seed.rarity) {
            Some(seed) => Ok(seed.find(data, 0, data.len(), work)?.is_some()),
            None => Ok(true),
        }
    }

    /// Returns about how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        self.parts.iter().map(Part::weight).sum::<usize>() + 64
    }
}

/// Counts work and polls when a MiB of it is done.
pub(crate) struct Work<'a> {
    left: usize,
    poll: &'a mut dyn FnMut() -> Result<(), Stop>,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> Work<'a> {
    pub(crate) fn new(poll: &'a mut dyn FnMut() -> Result<(), Stop>) -> Self {
        Self { left: POLL_EVERY, poll }
    }

    /// Takes note of so many bytes looked at.
    #[inline]
    pub(crate) fn spend(&mut self, amount: usize) -> Result<(), Stop> {
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.poll(),
        }
    }

    #[cold]
    fn poll(&mut self) -> Result<(), Stop> {
        self.left = POLL_EVERY;
        (self.poll)()
    }
}

/// Ours: the contract is one poll per MiB of work.
const POLL_EVERY: usize = 1 << 20;
