//! What RAR's decoders wrote: the dictionary, the filters that wait for their block, and the output.

use std::collections::VecDeque;

use hf_core::Sink;

use super::filters::Filter;
use crate::codec::copies::copy_back;
use crate::codec::prefix::Broken;

/// Where unpacked bytes go: kept up to the sink's cap, counted behind it.
pub(crate) struct Output<'s> {
    pub(super) sink: &'s mut dyn Sink,
    pub(super) bytes: Vec<u8>,
    cap: u64,
    total: u64,
    claimed_len: u64,
    /// Go on behind the cap, because members that follow need the dictionary.
    pub(super) whole: bool,
    crc: crc32fast::Hasher,
    unpolled: usize,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("total", &self.total).finish_non_exhaustive()
    }
}

impl<'s> Output<'s> {
    pub(super) fn new(sink: &'s mut dyn Sink, claimed_len: Option<u64>, whole: bool) -> Self {
        let cap = sink.child_cap();
        let claimed_len = claimed_len.unwrap_or(u64::MAX);
        let first = usize::try_from(claimed_len.min(cap).min(1 << 20)).unwrap_or(0);
        let bytes = Vec::with_capacity(first);
        let crc = crc32fast::Hasher::new();
        Self { sink, bytes, cap, total: 0, claimed_len, whole, crc, unpolled: 0 }
    }

    /// Takes bytes in order.
    ///
    /// # Errors
    /// The cap was reached, or the scan ends.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Broken> {
        let left = self.claimed_len.saturating_sub(self.total);
        let data = data.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(data);
        let room = self.cap.saturating_sub(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let kept = data.get(..room).unwrap_or(data);
        self.bytes.extend_from_slice(kept);
        self.crc.update(data);
        self.total = self.total.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.unpolled = self.unpolled.saturating_add(data.len());
        if self.unpolled >= 1 << 20 {
            self.unpolled = 0;
            self.poll()?;
        }
        if kept.len() < data.len() && !self.whole { Err(Broken::Capped) } else { Ok(()) }
    }

    pub(super) fn poll(&mut self) -> Result<(), Broken> {
        self.sink.poll().map_err(Broken::Stop)
    }

    pub(super) fn capped(&self) -> bool {
        self.total > u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Returns how many bytes are still to come.
    pub(super) fn left(&self) -> u64 {
        self.claimed_len.saturating_sub(self.total)
    }

    /// True when the end is known.
    pub(super) fn has_end(&self) -> bool {
        self.claimed_len != u64::MAX
    }

    pub(super) fn finish(self) -> (Vec<u8>, u32) {
        (self.bytes, self.crc.finalize())
    }
}

/// A filter with its block, in positions of the window.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) start: u64,
    pub(super) len: usize,
    pub(super) filter: Filter,
}

/// Ours: filters that wait at one time.
const PENDING_MAX: usize = 8192;
/// Ours: bytes that filters may work on, beside eight times the output.
const FILTERED_MAX: u64 = 16 << 20;
/// Bytes decoded before they are handed on.
pub(super) const STEP: usize = 256 << 10;

/// The dictionary and what was decoded behind it.
#[derive(Debug, Default)]
pub(super) struct Window {
    buf: Vec<u8>,
    /// Position of the first byte of `buf`.
    base: u64,
    /// Position up to which bytes were handed on.
    flushed: u64,
    /// Position where the member started.
    start: u64,
    dictionary: usize,
    pending: VecDeque<Pending>,
    filtered: u64,
    /// A distance went behind the dictionary's bound.
    pub(super) too_far: bool,
    /// A distance or a filter went outside of what there is.
    pub(super) wrong: Option<&'static str>,
}

impl Window {
    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        *self = Self { buf: std::mem::take(&mut self.buf), ..Self::default() };
        self.buf.clear();
    }

    /// Starts a member.
    pub(super) fn begin(&mut self, dictionary: usize) {
        self.dictionary = dictionary.max(self.dictionary);
        self.start = self.pos();
        self.flushed = self.start;
        self.pending.clear();
        self.filtered = 0;
        self.too_far = false;
        self.wrong = None;
    }

    #[inline]
    pub(super) fn pos(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.buf.len()).unwrap_or(0))
    }

    /// Returns how much of the member was decoded.
    pub(super) fn decoded(&self) -> u64 {
        self.pos().saturating_sub(self.start)
    }

    /// Returns how much of the member was handed on.
    pub(super) fn handed(&self) -> u64 {
        self.flushed.saturating_sub(self.start)
    }

    /// Returns the length at which to hand on, for [`Window::is_full`].
    pub(super) fn border(&mut self, left: u64) -> usize {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(STEP);
        self.buf.reserve(room.saturating_add(4096));
        self.buf.len().saturating_add(room)
    }

    #[inline]
    pub(super) fn is_full(&self, border: usize) -> bool {
        self.buf.len() >= border
    }

    #[inline]
    pub(super) fn literal(&mut self, byte: u8) {
        self.buf.push(byte);
    }

    /// Copies from the dictionary; what was never written is zero.
    #[inline]
    pub(super) fn copy(&mut self, distance: usize, len: usize) {
        let have = self.buf.len();
        if distance == 0 || distance > have {
            self.wrong = Some("rar: distance");
            self.too_far |= self.base > 0;
            let missing = if distance == 0 { len } else { distance.saturating_sub(have).min(len) };
            self.buf.resize(have.saturating_add(missing), 0);
            let left = len.saturating_sub(missing);
            if left > 0 {
                self.copy(distance, left);
            }
            return;
        }
        copy_back(&mut self.buf, distance, len);
    }

    /// Adds a filter whose block starts so many bytes ahead.
    pub(super) fn filter(&mut self, ahead: u64, len: usize, filter: Filter) -> Result<(), Broken> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Broken::Damaged("rar: filters"));
        }
        self.pending.push_back(Pending { start: self.pos().saturating_add(ahead), len, filter });
        Ok(())
    }

    pub(super) fn drop_filters(&mut self) {
        self.pending.clear();
    }

    /// Hands on what no filter waits for; at the end of the member everything.
    pub(super) fn flush(&mut self, out: &mut Output<'_>, ended: bool) -> Result<(), Broken> {
        loop {
            let pos = self.pos();
            while self.pending.front().is_some_and(|first| first.start < self.flushed) {
                self.pending.pop_front();
                self.wrong = Some("rar: filter");
            }
            let first = self.pending.front().filter(|first| first.start < pos || !ended);
            let raw_end = first.map_or(pos, |first| first.start.min(pos));
            if raw_end > self.flushed {
                out.write(slice(&self.buf, self.base, self.flushed, raw_end))?;
                self.flushed = raw_end;
            }
            let Some(first) = self.pending.front().filter(|first| first.start < pos) else {
                break;
            };
            let (start, len) = (first.start, first.len);
            let end = start.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            if end <= pos {
                self.run_filters(start, end, out)?;
            } else if ended {
                self.wrong = Some("rar: filter");
                out.write(slice(&self.buf, self.base, start, pos))?;
                self.flushed = pos;
                break;
            } else {
                break;
            }
        }
        self.trim();
        Ok(())
    }

    fn run_filters(&mut self, start: u64, end: u64, out: &mut Output<'_>) -> Result<(), Broken> {
        let mut data = slice(&self.buf, self.base, start, end).to_vec();
        let len = data.len();
        let file_off = start.saturating_sub(self.start);
        while let Some(next) =
            self.pending.pop_front_if(|next| next.start == start && next.len == len)
        {
            self.filtered = self.filtered.saturating_add(u64::try_from(len).unwrap_or(0));
            let budget = self.pos().saturating_sub(self.start).saturating_mul(8);
            if self.filtered > budget.saturating_add(FILTERED_MAX) {
                return Err(Broken::Damaged("rar: filters"));
            }
            if let Err(why) = next.filter.run(&mut data, file_off) {
                self.wrong = Some(why);
            }
        }
        self.flushed = end;
        out.write(&data)
    }

    /// Drops what is behind the dictionary.
    fn trim(&mut self) {
        let waiting = usize::try_from(self.pos().saturating_sub(self.flushed)).unwrap_or(0);
        let keep = self.dictionary.max(waiting);
        let slack = (self.dictionary / 2).max(1 << 20);
        if self.buf.len() > keep.saturating_add(slack) {
            let drop = self.buf.len().saturating_sub(keep);
            self.buf.drain(..drop);
            self.base = self.base.saturating_add(u64::try_from(drop).unwrap_or(0));
        }
    }
}

fn slice(buf: &[u8], base: u64, start: u64, end: u64) -> &[u8] {
    let at = |pos: u64| usize::try_from(pos.saturating_sub(base)).unwrap_or(usize::MAX);
    buf.get(at(start)..at(end)).unwrap_or_default()
}
