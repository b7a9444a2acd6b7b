//! Output of a solid stream, of which a window is kept while its members are handed over in order.
//!
//! Promises: a stream is decoded once; members are asked for in the order of their starts; what lies before
//! the member in hand is dropped.

use hf_core::{Child, ChildRole, Sink, Stop};

use crate::reader::size;

/// Makes a solid stream piece by piece.
pub(super) trait Source {
    /// Appends the next piece, which starts at `made`; false when there is no more.
    ///
    /// # Errors
    /// The scan ends here.
    fn more(&mut self, made: u64, out: &mut Vec<u8>, sink: &mut dyn Sink) -> Result<bool, Stop>;
}

/// A window of the output.
#[derive(Debug)]
pub(super) struct Rolling<S> {
    pub(super) source: S,
    kept: Vec<u8>,
    base: u64,
    /// Output before this position belongs to members that were handed over.
    pub(super) used_to: u64,
    ended: bool,
    handed: u64,
}

impl<S: Source> Rolling<S> {
    /// Returns a window at the start of the output.
    pub(super) fn new(source: S) -> Self {
        Self { source, kept: Vec::new(), base: 0, used_to: 0, ended: false, handed: 0 }
    }

    /// Returns how many bytes were made.
    pub(super) fn made(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    /// True when there is no more to make.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Decodes until the output reaches a position or ends.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn fill_to(&mut self, end: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
        while self.made() < end && !self.ended {
            sink.poll()?;
            let droppable = size(self.used_to.saturating_sub(self.base)).min(self.kept.len());
            if droppable > 1 << 20 || droppable == self.kept.len() {
                self.kept.drain(..droppable);
                self.base = self.base.saturating_add(u64::try_from(droppable).unwrap_or(0));
            }
            let made = self.made();
            self.ended = !self.source.more(made, &mut self.kept, sink)?;
        }
        Ok(())
    }

    /// Returns a part of the output, as far as it is there.
    pub(super) fn range(&self, start: u64, len: u64) -> &[u8] {
        let from = size(start.saturating_sub(self.base)).min(self.kept.len());
        let end = from.saturating_add(size(len)).min(self.kept.len());
        self.kept.get(from..end).unwrap_or_default()
    }

    /// Decodes a member and hands over what there is of it; returns how much that was. None when members
    /// overlap so much that it was left out.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn member(
        &mut self,
        name: &[u8],
        start: u64,
        len: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<u64>, Stop> {
        let want = len.min(sink.child_cap());
        self.used_to = self.used_to.max(start.min(self.made()));
        let end = start.saturating_add(want);
        while self.made() < end && !self.ended {
            let next = end.min(self.made().saturating_add(1 << 20));
            self.fill_to(next, sink)?;
            self.used_to = self.used_to.max(start.min(self.made()));
        }
        self.handed = self.handed.saturating_add(want.min(self.made()));
        if self.handed > self.made().saturating_mul(8).saturating_add(1 << 20) {
            return Ok(None);
        }
        let data = self.range(start, want);
        if !data.is_empty() {
            sink.child(Child { name, data, role: ChildRole::Member })?;
        }
        Ok(Some(u64::try_from(data.len()).unwrap_or(u64::MAX)))
    }
}
