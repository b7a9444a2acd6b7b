//! What an LZMA decoder made, in one buffer that is both the dictionary and the output.

/// Bytes that a symbol may write behind the place that was asked for.
pub(super) const SPARE_LEN: usize = 320;

/// The output, as far back as matches reach.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) bytes: Vec<u8>,
    /// Where the next byte goes.
    pub(super) at: usize,
    /// What was handed out ends here.
    taken: usize,
    /// Where the dictionary starts in the buffer.
    pub(super) valid_from: usize,
    /// Where it started: what was dropped counts, so the value wraps.
    pub(super) origin: usize,
    keep_len: usize,
}

impl Window {
    /// Returns an empty window in which matches reach so far back.
    pub(super) fn new(keep_len: usize) -> Self {
        Self { bytes: Vec::new(), at: 0, taken: 0, valid_from: 0, origin: 0, keep_len }
    }

    /// Starts a new dictionary.
    pub(super) fn reset(&mut self) {
        self.valid_from = self.at;
        self.origin = self.at;
    }

    /// True when the dictionary's start was dropped.
    pub(super) fn dropped(&self) -> bool {
        self.at.wrapping_sub(self.origin) > self.at.saturating_sub(self.valid_from)
    }

    /// Makes room for so many bytes and [`SPARE_LEN`] behind them.
    pub(super) fn make_room(&mut self, len: usize) {
        let need = |at: usize| at.saturating_add(len).saturating_add(SPARE_LEN);
        if need(self.at) <= self.bytes.len() {
            return;
        }
        let slack = (self.keep_len / 4).clamp(1 << 20, 16 << 20);
        let droppable = self.taken.min(self.at.saturating_sub(self.keep_len));
        if droppable >= slack {
            self.bytes.copy_within(droppable..self.at, 0);
            self.at = self.at.saturating_sub(droppable);
            self.taken = self.taken.saturating_sub(droppable);
            self.valid_from = self.valid_from.saturating_sub(droppable);
            self.origin = self.origin.wrapping_sub(droppable);
        }
        let need = need(self.at);
        if need > self.bytes.len() {
            let most = self.keep_len.saturating_add(slack).saturating_add(1 << 18);
            let new_len = self.bytes.len().saturating_mul(2).min(most).max(need);
            self.bytes.reserve_exact(new_len.saturating_sub(self.bytes.len()));
            self.bytes.resize(new_len, 0);
        }
    }

    /// Appends bytes for which there is room.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        if let Some(to) = self.bytes.get_mut(self.at..end) {
            to.copy_from_slice(bytes);
            self.at = end;
        }
    }

    /// Returns how many bytes wait to be taken.
    pub(super) fn ready(&self) -> usize {
        self.at.saturating_sub(self.taken)
    }

    /// Moves waiting bytes into a buffer.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> usize {
        let len = self.ready().min(buf.len());
        let end = self.taken.saturating_add(len);
        if let (Some(to), Some(from)) = (buf.get_mut(..len), self.bytes.get(self.taken..end)) {
            to.copy_from_slice(from);
        }
        self.taken = end;
        len
    }
}
