//! Output that is its own dictionary, for decoders of whole members in memory.

use hf_core::{Sink, Stop};

use super::copies::copy_back;
use super::prefix::Broken;
use crate::bounded::{Ended, Unpacked};

/// Bytes that came out, up to what is wanted.
pub(crate) struct Grow<'s> {
    sink: &'s mut dyn Sink,
    bytes: Vec<u8>,
    wanted: usize,
    capped: bool,
    /// What stands before the first byte.
    filler: u8,
    polled: usize,
}

impl<'s> Grow<'s> {
    /// Returns output that ends at a length, or at the sink's cap.
    pub(crate) fn new(sink: &'s mut dyn Sink, claimed_len: u64, filler: u8) -> Self {
        let cap = sink.child_cap();
        let wanted = usize::try_from(claimed_len.min(cap)).unwrap_or(usize::MAX);
        let bytes = Vec::with_capacity(wanted.min(1 << 20));
        Self { sink, bytes, wanted, capped: claimed_len > cap, filler, polled: 0 }
    }

    /// True when nothing more is wanted.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.wanted
    }

    #[inline]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Copies from what came before.
    #[inline]
    pub(crate) fn copy(&mut self, distance: usize, len: usize) {
        let mut left = len;
        let have = self.bytes.len();
        if distance > have || distance == 0 {
            let missing = if distance == 0 { len } else { distance.saturating_sub(have).min(len) };
            self.bytes.resize(have.saturating_add(missing), self.filler);
            left = left.saturating_sub(missing);
        }
        copy_back(&mut self.bytes, distance, left);
    }

    /// Asks for the deadline at every MiB.
    #[inline]
    pub(crate) fn poll(&mut self) -> Result<(), Broken> {
        if self.bytes.len().saturating_sub(self.polled) >= 1 << 20 {
            self.polled = self.bytes.len();
            self.sink.poll()?;
        }
        Ok(())
    }

    /// Says how a decoder ended that wrote here; one that ended too early was cut.
    pub(crate) fn finish(mut self, ended: Result<(), Broken>) -> Result<Unpacked, Stop> {
        let full = self.is_full();
        self.bytes.truncate(self.wanted);
        let ended = match ended {
            Err(Broken::Stop(stop)) => return Err(stop),
            _ if full && self.capped => Ended::Capped,
            _ if full => Ended::Whole,
            Err(Broken::Memory) => Ended::Memory,
            Err(Broken::Damaged(why)) => Ended::Damaged(why.into()),
            Err(Broken::Capped) => Ended::Capped,
            Err(Broken::Truncated) | Ok(()) => Ended::Truncated,
        };
        Ok(Unpacked { bytes: self.bytes, ended })
    }
}
