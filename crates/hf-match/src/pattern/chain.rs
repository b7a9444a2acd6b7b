//! Parts in order with gaps: finds each place of the last part that a chain of the others reaches.
//!
//! A stream per part hands its ends, ascending, to the next part, which looks only where an end
//! allows it to start. Each stream moves forward only, so the time is linear in the object for every
//! part, and the memory is constant, however the gaps are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hf_core::Stop;
use hf_core::signature::Gap;

use super::{Part, Pattern, Work};
use crate::place::Place;

/// A match of a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Start of the first part: of several the smallest.
    pub(crate) start: usize,
    /// Start of the last part.
    pub(crate) last: usize,
    /// End of the last part: of several the largest.
    pub(crate) end: usize,
}

/// The matches of a body in one object, in the order of the last part's start; each start once.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    data: &'a [u8],
    pattern: &'a Pattern,
    streams: Vec<Stream>,
    /// Where the first part may start, ascending; empty for anywhere.
    only: Vec<usize>,
    zero_is_unbounded: bool,
    ends: Vec<usize>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Where to look next.
    pos: usize,
    /// Last place where it may start in the interval that is being searched; none when there is no
    /// such interval.
    upto: Option<usize>,
    /// Start of the first part for the interval.
    origin: usize,
    /// Ends found and not yet handed on, with the start of the first part.
    pending: BinaryHeap<Reverse<(usize, usize)>>,
    /// No further match will come.
    dry: bool,
}

impl<'a> Chain<'a> {
    /// Looks for matches whose first part starts at a place.
    pub(crate) fn new(
        pattern: &'a Pattern,
        data: &'a [u8],
        place: &Place,
        zero_is_unbounded: bool,
    ) -> Self {
        let mut streams: Vec<Stream> = Vec::new();
        let mut only = Vec::new();
        let bounds = match place {
            Place::Nowhere => None,
            Place::Between(from, upto) => Some((*from, *upto)),
            Place::At(places) => {
                only.clone_from(places);
                places.first().copied().zip(places.last().copied())
            }
        };
        if let Some((from, upto)) = bounds {
            streams.extend(pattern.parts.iter().map(|_| Stream::default()));
            if let Some(first) = streams.first_mut() {
                first.pos = from;
                first.upto = Some(upto);
            }
        }
        Self { data, pattern, streams, only, zero_is_unbounded, ends: Vec::new() }
    }

    /// Returns the next match.
    pub(crate) fn next(&mut self, work: &mut Work<'_>) -> Result<Option<Found>, Stop> {
        let Some(last_idx) = self.streams.len().checked_sub(1) else { return Ok(None) };
        let Some((start, origin)) = self.next_start(last_idx, work)? else { return Ok(None) };
        let end = self.ends.last().copied().unwrap_or(start);
        let start_of_first = if last_idx == 0 { start } else { origin };
        Ok(Some(Found { start: start_of_first, last: start, end }))
    }

    /// Finds the next start of a part; its ends are then in `self.ends`.
    fn next_start(
        &mut self,
        idx: usize,
        work: &mut Work<'_>,
    ) -> Result<Option<(usize, usize)>, Stop> {
        loop {
            let Some(stream) = self.streams.get_mut(idx) else { return Ok(None) };
            if let Some(upto) = stream.upto {
                let pos = stream.pos;
                let part = self.pattern.parts.get(idx);
                let found = match part {
                    Some(part) => find(part, self.data, pos, upto, &mut self.ends, work)?,
                    None => None,
                };
                if let Some(start) = found {
                    stream.pos = start.saturating_add(1);
                    if idx == 0 && !self.only.is_empty() && self.only.binary_search(&start).is_err()
                    {
                        continue;
                    }
                    return Ok(Some((start, stream.origin)));
                }
                stream.upto = None;
                stream.pos = upto.saturating_add(1);
            }
            if stream.pos > self.data.len() {
                return Ok(None);
            }
            let Some(before) = idx.checked_sub(1) else { return Ok(None) };
            let Some((end, origin)) = self.next_end(before, work)? else { return Ok(None) };
            let gap = self.pattern.gaps.get(before).copied().unwrap_or(Gap { min: 0, max: None });
            let Some(stream) = self.streams.get_mut(idx) else { return Ok(None) };
            let max = gap.max.filter(|max| *max != 0 || !self.zero_is_unbounded);
            let upto = max.map_or(self.data.len(), |max| end.saturating_add(to_usize(max)));
            if upto >= stream.pos {
                stream.pos = stream.pos.max(end.saturating_add(to_usize(gap.min)));
                stream.upto = Some(upto.min(self.data.len()));
                stream.origin = origin;
            }
        }
    }

    /// Hands on the ends of a part in ascending order.
    fn next_end(
        &mut self,
        idx: usize,
        work: &mut Work<'_>,
    ) -> Result<Option<(usize, usize)>, Stop> {
        let min_len = self.pattern.parts.get(idx).map_or(0, |part| part.min_len);
        loop {
            let Some(stream) = self.streams.get_mut(idx) else { return Ok(None) };
            let ready = stream.pending.peek().map(|Reverse((end, _))| *end);
            // A later match ends at `pos + min_len` or behind it.
            let settled =
                ready.is_some_and(|end| stream.dry || end <= stream.pos.saturating_add(min_len));
            if settled || stream.dry {
                return Ok(stream.pending.pop().map(|Reverse(entry)| entry));
            }
            match self.next_start(idx, work)? {
                Some((start, origin)) => {
                    let origin = if idx == 0 { start } else { origin };
                    let ends = std::mem::take(&mut self.ends);
                    if let Some(stream) = self.streams.get_mut(idx) {
                        stream.pending.extend(ends.iter().map(|end| Reverse((*end, origin))));
                    }
                    self.ends = ends;
                }
                None => {
                    if let Some(stream) = self.streams.get_mut(idx) {
                        stream.dry = true;
                    }
                }
            }
        }
    }
}

/// Finds the first start of a part between `pos` and `upto`, both included, with its ends.
fn find(
    part: &Part,
    data: &[u8],
    pos: usize,
    upto: usize,
    ends: &mut Vec<usize>,
    work: &mut Work<'_>,
) -> Result<Option<usize>, Stop> {
    let Some(last) = data.len().checked_sub(part.min_len) else { return Ok(None) };
    let upto = upto.min(last);
    let mut pos = pos;
    while pos <= upto {
        let mut to = upto;
        if let Some(seed) = &part.seed {
            let from = pos.saturating_add(seed.before_min);
            let until = upto.saturating_add(seed.before_max);
            let Some(at) = seed.find(data, from, until, work)? else { return Ok(None) };
            pos = pos.max(at.saturating_sub(seed.before_max));
            to = upto.min(at - seed.before_min);
        }
        while pos <= to {
            work.spend(8)?;
            part.ends(data, pos, ends);
            if !ends.is_empty() {
                return Ok(Some(pos));
            }
            pos += 1;
        }
    }
    Ok(None)
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
