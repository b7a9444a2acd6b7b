//! The disk inside a virtual disk: assembled from the blocks that are used, within what a child may have.
//!
//! Promises: memory follows the blocks that are used and lie below the cap, with the holes between them. A
//! disk of which the used blocks reach behind the cap is handed over cut there, and what lies behind goes to
//! the sink as pieces of used blocks, so that nothing that is stored is left unmatched.

use std::borrow::Cow;

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

use crate::reader::size;

/// A used block of the guest's disk.
#[derive(Debug)]
pub(super) enum Block<'a> {
    /// As it is in the image.
    Stored(&'a [u8]),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

impl Block<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Stored(bytes) => bytes,
            Self::Unpacked(bytes) => bytes,
        }
    }
}

/// Collects the blocks of a guest's disk, in their order.
pub(super) struct Guest<'a, 's> {
    sink: &'s mut dyn Sink,
    image: &'a [u8],
    /// Bytes of the guest's disk as told.
    len: u64,
    bytes: Vec<u8>,
    /// Used blocks behind the cap, joined.
    behind: Vec<u8>,
    pieces: u32,
    missing: Vec<Reason>,
    cut: bool,
    /// Bytes that may still be unpacked.
    unpack_budget: u64,
    /// Bytes that may still be taken from the image as they are.
    stored_budget: u64,
}

/// Ours: bytes that an image may unpack to for each of its own, and on top of that. One packed block can
/// be named for every block of the disk.
const UNPACK_FACTOR: u64 = 64;
const UNPACK_MORE: u64 = 256 << 20;
/// Ours: how often an image may name each of its own bytes, on average.
const STORED_FACTOR: u64 = 2;

/// Ours: bytes of used blocks behind the cap that are handed over at once.
const PIECE_LEN: usize = 32 << 20;

impl<'a, 's> Guest<'a, 's> {
    /// Returns an empty disk of a length, of an image.
    pub(super) fn new(len: u64, image: &'a [u8], sink: &'s mut dyn Sink) -> Self {
        let image_len = u64::try_from(image.len()).unwrap_or(u64::MAX);
        Self {
            unpack_budget: image_len.saturating_mul(UNPACK_FACTOR).saturating_add(UNPACK_MORE),
            stored_budget: image_len.saturating_mul(STORED_FACTOR),
            sink,
            image,
            len,
            bytes: Vec::new(),
            behind: Vec::new(),
            pieces: 0,
            missing: Vec::new(),
            cut: false,
        }
    }

    /// Returns the sink, for what has to be told besides.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        self.sink
    }

    /// Returns how many bytes a block may unpack to.
    pub(super) fn unpack_room(&mut self, block_len: u64) -> u64 {
        if self.unpack_budget < block_len {
            self.miss(Reason::FormatLimit("blocks that overlap".into()));
        }
        block_len.min(self.unpack_budget)
    }

    /// Tells that a part is not there.
    pub(super) fn miss(&mut self, reason: Reason) {
        if self.missing.len() < 8 && !self.missing.contains(&reason) {
            self.missing.push(reason);
        }
    }

    /// Adds a block that stands in the image at an offset; what is cut there is told, unless the disk ends before.
    /// False when blocks overlap so often that no more are taken, which is told too.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn stored(&mut self, place: u64, off: u64, len: u64) -> Result<bool, Stop> {
        let rest = self.image.get(size(off)..).unwrap_or_default();
        let data = rest.get(..size(len)).unwrap_or(rest);
        if data.len() < size(len.min(self.len.saturating_sub(place))) {
            self.miss(Reason::Truncated);
        }
        let used = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let Some(left) = self.stored_budget.checked_sub(used) else {
            self.miss(Reason::FormatLimit("blocks that overlap".into()));
            return Ok(false);
        };
        self.stored_budget = left;
        self.add(place, &Block::Stored(data))?;
        Ok(true)
    }

    /// Adds a block at an offset of the guest's disk; blocks come in the order of their offsets.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn add(&mut self, off: u64, block: &Block<'_>) -> Result<(), Stop> {
        self.sink.poll()?;
        let bytes = block.bytes();
        if matches!(block, Block::Unpacked(_)) {
            let used = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.unpack_budget = self.unpack_budget.saturating_sub(used);
        }
        // Filled with zeros: as good as not there.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let left = self.len.saturating_sub(off);
        let bytes = bytes.get(..size(left)).unwrap_or(bytes);
        let cap = self.sink.child_cap().saturating_sub(self.held());
        let end = off.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end > cap || self.cut {
            self.cut = true;
            return self.add_behind(bytes);
        }
        let start = size(off);
        if self.bytes.len() <= start {
            self.bytes.resize(start, 0);
            self.bytes.extend_from_slice(bytes);
        } else {
            let end = size(end);
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            if let Some(there) = self.bytes.get_mut(start..end) {
                there.copy_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Bytes to keep free for pieces behind the cap.
    fn held(&self) -> u64 {
        let whole = self.len > self.sink.child_cap();
        if whole { 2 * u64::try_from(PIECE_LEN).unwrap_or(0) } else { 0 }
    }

    fn add_behind(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            // What is held already does not get more when the cap shrinks meanwhile.
            let piece_len = PIECE_LEN.min(size(self.sink.child_cap()));
            let room = piece_len.saturating_sub(self.behind.len());
            if room == 0 && self.behind.is_empty() {
                // Nothing may be handed over any more; `cut` tells it.
                return Ok(());
            }
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.behind.extend_from_slice(fits);
            bytes = rest;
            if self.behind.len() >= piece_len {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.behind.is_empty() {
            return Ok(());
        }
        self.pieces = self.pieces.saturating_add(1);
        let name = format!("[used blocks {}]", self.pieces);
        let data = std::mem::take(&mut self.behind);
        self.sink.child(Child { name: name.as_bytes(), data: &data, role: ChildRole::Member })
    }

    /// Hands the disk over, without the zeros at its end.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        self.flush()?;
        if self.cut {
            self.miss(self.sink.cap_reason());
        }
        for reason in std::mem::take(&mut self.missing) {
            self.sink.unscanned(b"disk", reason);
        }
        if self.bytes.is_empty() {
            return Ok(());
        }
        hand_over(&Cow::Owned(std::mem::take(&mut self.bytes)), self.sink)
    }
}

/// Hands a disk over.
///
/// # Errors
/// The scan ends here.
pub(super) fn hand_over(disk: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    sink.child(Child { name: b"disk", data: disk, role: super::partitions::role(disk) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    /// Found by fuzzing: what lay behind the cap came in pieces larger than it.
    #[test]
    fn pieces_keep_the_cap_too() {
        const CAP: u64 = 1 << 20;
        let mut recorder = Recorder::default();
        recorder.cap = CAP;
        let mut guest = Guest::new(64 << 20, b"image", &mut recorder);
        for at in 0..6u64 {
            let block = vec![b'a'; 3 << 19];
            guest.add(at << 22, &Block::Unpacked(block)).expect("no limit but the cap");
        }
        guest.finish().expect("no limit but the cap");
        let lens: Vec<usize> = recorder
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Child(_, child, _) => Some(child.len()),
                _ => None,
            })
            .collect();
        assert!(lens.iter().all(|len| *len <= 1 << 20), "{lens:?}");
        assert_eq!(lens.iter().sum::<usize>(), 6 * (3 << 19), "{lens:?}");
    }
}
