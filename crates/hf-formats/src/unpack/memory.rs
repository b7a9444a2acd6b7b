//! The memory of an interpreted program: some regions of bytes, nothing outside them.
//!
//! Promises: every access is checked; all regions together are at most [`BYTES_MAX`]; notes which lines
//! were written and which were executed.
//! Leaves out: protection. Whatever is there may be read, written and executed.

use std::ops::Range;

/// Bytes of all regions; ours.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// Regions; ours.
const REGIONS_MAX: usize = 96;
/// Bytes of a line, about which notes are kept.
pub(super) const LINE_BITS: u32 = 6;

/// The program wrote here.
pub(super) const WRITTEN: u8 = 1;
/// Instructions were decoded from here, and are kept.
const CODE: u8 = 2;
/// Instructions were executed here since it was written.
pub(super) const EXECUTED: u8 = 4;

/// A range of memory.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
    /// Notes of each line.
    pub(super) notes: Vec<u8>,
}

impl Region {
    fn new(start: u64, bytes: Vec<u8>) -> Self {
        let notes = vec![0; (bytes.len() >> LINE_BITS).saturating_add(1)];
        Self { start, bytes, notes }
    }

    fn contains(&self, address: u64, len: usize) -> Option<usize> {
        let off = usize::try_from(address.checked_sub(self.start)?).ok()?;
        (off.checked_add(len)? <= self.bytes.len()).then_some(off)
    }
}

/// All regions.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) regions: Vec<Region>,
    last: usize,
    bytes: usize,
    /// Changes whenever executed code may have changed.
    pub(super) generation: u32,
    /// Values that are functions: where one is written is noted.
    pub(super) functions: Range<u64>,
    /// Where functions were written, and what was there before; at most [`FUNCTIONS_MAX`].
    pub(super) function_writes: Vec<(u64, u64)>,
}

/// Ours.
const FUNCTIONS_MAX: usize = 1 << 16;

/// An access outside all regions, at this address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) address: u64,
    pub(super) is_write: bool,
}

impl Memory {
    /// Adds a region, or says that there is no room for it.
    pub(super) fn add(&mut self, start: u64, bytes: Vec<u8>) -> Option<()> {
        let total = self.bytes.checked_add(bytes.len())?;
        if total > BYTES_MAX || self.regions.len() >= REGIONS_MAX {
            return None;
        }
        self.bytes = total;
        self.regions.push(Region::new(start, bytes));
        Some(())
    }

    /// Returns how many bytes may still be added.
    pub(super) fn room(&self) -> usize {
        BYTES_MAX.saturating_sub(self.bytes)
    }

    fn find(&mut self, address: u64, len: usize) -> Option<(usize, usize)> {
        if let Some(off) = self.regions.get(self.last).and_then(|last| last.contains(address, len))
        {
            return Some((self.last, off));
        }
        let (idx, off) = self
            .regions
            .iter()
            .enumerate()
            .find_map(|(idx, region)| Some((idx, region.contains(address, len)?)))?;
        self.last = idx;
        Some((idx, off))
    }

    /// Reads a little-endian number of 1, 2, 4 or 8 bytes.
    pub(super) fn read(&mut self, address: u64, size: u8) -> Result<u64, Fault> {
        let len = usize::from(size);
        let fault = Fault { address, is_write: false };
        let (idx, off) = self.find(address, len).ok_or(fault)?;
        let bytes = self.regions.get(idx).and_then(|region| region.bytes.get(off..));
        let bytes = bytes.ok_or(fault)?;
        let value = match size {
            1 => bytes.first().map(|byte| u64::from(*byte)),
            2 => bytes.first_chunk().map(|raw| u64::from(u16::from_le_bytes(*raw))),
            4 => bytes.first_chunk().map(|raw| u64::from(u32::from_le_bytes(*raw))),
            _ => bytes.first_chunk().map(|raw| u64::from_le_bytes(*raw)),
        };
        value.ok_or(fault)
    }

    /// Writes the low bytes of a number.
    pub(super) fn write(&mut self, address: u64, size: u8, value: u64) -> Result<(), Fault> {
        let len = usize::from(size);
        let fault = Fault { address, is_write: true };
        let (idx, off) = self.find(address, len).ok_or(fault)?;
        let region = self.regions.get_mut(idx).ok_or(fault)?;
        if size >= 4
            && self.functions.contains(&value)
            && self.function_writes.len() < FUNCTIONS_MAX
        {
            let mut before = [0; 8];
            let stored = region.bytes.get(off..).and_then(|bytes| bytes.get(..len)).ok_or(fault)?;
            before.get_mut(..len).ok_or(fault)?.copy_from_slice(stored);
            self.function_writes.push((address, u64::from_le_bytes(before)));
        }
        let raw = value.to_le_bytes();
        let from = raw.get(..len).ok_or(fault)?;
        region
            .bytes
            .get_mut(off..)
            .and_then(|to| to.get_mut(..len))
            .ok_or(fault)?
            .copy_from_slice(from);
        for line in [off >> LINE_BITS, off.wrapping_add(len).wrapping_sub(1) >> LINE_BITS] {
            if let Some(note) = region.notes.get_mut(line) {
                if *note & CODE != 0 {
                    self.generation = self.generation.wrapping_add(1);
                }
                *note = *note & !(CODE | EXECUTED) | WRITTEN;
            }
        }
        Ok(())
    }

    /// Returns up to `len` bytes from an address on, as far as there are any in its region.
    pub(super) fn slice(&mut self, address: u64, len: usize) -> &[u8] {
        let Some((idx, off)) = self.find(address, 1) else { return &[] };
        let rest = self.regions.get(idx).and_then(|region| region.bytes.get(off..));
        let rest = rest.unwrap_or_default();
        rest.get(..len.min(rest.len())).unwrap_or_default()
    }

    /// Writes bytes; nothing is written when they do not all fit.
    pub(super) fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.fill_with(address, bytes.len(), |to| to.copy_from_slice(bytes))
    }

    /// Lets a closure fill bytes that are there.
    pub(super) fn fill_with(
        &mut self,
        address: u64,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Fault> {
        let fault = Fault { address, is_write: true };
        if len == 0 {
            return Ok(());
        }
        let (idx, off) = self.find(address, len).ok_or(fault)?;
        let region = self.regions.get_mut(idx).ok_or(fault)?;
        let end = off.checked_add(len).ok_or(fault)?;
        fill(region.bytes.get_mut(off..end).ok_or(fault)?);
        let lines = off >> LINE_BITS..=end.wrapping_sub(1) >> LINE_BITS;
        for note in region.notes.get_mut(lines).unwrap_or_default() {
            if *note & CODE != 0 {
                self.generation = self.generation.wrapping_add(1);
            }
            *note = *note & !(CODE | EXECUTED) | WRITTEN;
        }
        Ok(())
    }

    /// Copies within memory like `rep movsb` with the pointer going up.
    pub(super) fn copy_up(&mut self, from: u64, to: u64, len: usize) -> Result<(), Fault> {
        let source = self.slice(from, len);
        if source.len() < len {
            let address = from.wrapping_add(u64::try_from(source.len()).unwrap_or(0));
            return Err(Fault { address, is_write: false });
        }
        let distance = usize::try_from(to.wrapping_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = source.to_vec();
        if distance > 0 && distance < len {
            // The copy overlaps its source, so that it repeats the first bytes.
            for at in distance..len {
                let value = bytes.get(at.wrapping_sub(distance)).copied().unwrap_or(0);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
        }
        self.store(to, &bytes)
    }

    /// Notes that code at an address (of so many bytes) is kept decoded.
    pub(super) fn note_code(&mut self, address: u64, len: usize) {
        let Some((idx, off)) = self.find(address, len) else { return };
        let Some(region) = self.regions.get_mut(idx) else { return };
        for line in [off >> LINE_BITS, off.wrapping_add(len).wrapping_sub(1) >> LINE_BITS] {
            if let Some(note) = region.notes.get_mut(line) {
                *note |= CODE | EXECUTED;
            }
        }
    }

    /// Returns the notes of the line at an address.
    pub(super) fn notes(&mut self, address: u64) -> u8 {
        let Some((idx, off)) = self.find(address, 1) else { return 0 };
        let note = self.regions.get(idx).and_then(|region| region.notes.get(off >> LINE_BITS));
        note.copied().unwrap_or(0)
    }
}
