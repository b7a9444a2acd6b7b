//! A pack that is open: a read-only map with a checked table of sections.
#![expect(unsafe_code, reason = "mapping a file is the one thing that needs it")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};

use crate::layout::{self, ENTRY_LEN, Entry, HEADER_LEN, Header};
use crate::{PackMeta, SectionId};

/// A pack was refused. Never caused by a scanned file.
#[derive(Debug, thiserror::Error)]
pub enum OpenPackError {
    /// The file cannot be mapped.
    #[error("cannot read pack")]
    Io(#[from] io::Error),
    /// It does not begin as a pack does.
    #[error("not a pack")]
    NotAPack,
    /// Its format version is not ours.
    #[error("pack format version {0} is not supported")]
    Version(u32),
    /// It was cut off or something was added.
    #[error("pack has {found} bytes instead of {stated}")]
    Length {
        /// Length in the header.
        stated: u64,
        /// Length of the file.
        found: u64,
    },
    /// Header or table are altered.
    #[error("pack header is damaged")]
    Checksum,
    /// The table contradicts itself.
    #[error("pack layout is damaged: {0}")]
    Layout(&'static str),
    /// The meta data cannot be read.
    #[error("pack meta data is damaged")]
    Meta,
}

/// A pack's bytes are not those that were written.
#[derive(Debug, thiserror::Error)]
pub enum VerifyPackError {
    /// The file cannot be read.
    #[error("cannot read pack")]
    Read(#[from] io::Error),
    /// This section is altered.
    #[error("section {0} of the pack is damaged")]
    Section(SectionId),
    /// Bytes between sections are not zero, or sections overlap.
    #[error("pack is damaged between its sections")]
    Between,
}

/// An open pack.
///
/// Sections start at their alignment in memory too, whatever the pack was opened from.
#[derive(Debug)]
pub struct Pack {
    map: Mmap,
    file: Option<File>,
    entries: Vec<Entry>,
    meta: PackMeta,
    digest: [u8; 32],
}

impl Pack {
    /// Maps a pack and checks header, table and meta data; the sections' bytes are not read.
    ///
    /// Nobody may write to the file while it is open: `hf-content` publishes packs by rename in a
    /// directory that only its owner can write to, or seals them in memory.
    ///
    /// # Errors
    /// The file is no pack of this version, or was cut off or altered.
    pub fn open(file: File) -> Result<Arc<Self>, OpenPackError> {
        let found = file.metadata()?.len();
        if found < HEADER_LEN as u64 {
            return Err(OpenPackError::NotAPack);
        }
        // SAFETY: packs are never written in place or truncated once they have their name or their
        // seal (see above), so the mapped bytes do not change. Every read is a checked slice read.
        let map = unsafe { Mmap::map(&file)? };
        Self::check(map, Some(file))
    }

    /// Opens a pack from memory.
    ///
    /// # Errors
    /// As [`Pack::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>, OpenPackError> {
        if bytes.len() < HEADER_LEN {
            return Err(OpenPackError::NotAPack);
        }
        let mut map = MmapMut::map_anon(bytes.len())?;
        map.copy_from_slice(bytes);
        Self::check(map.make_read_only()?, None)
    }

    fn check(map: Mmap, file: Option<File>) -> Result<Arc<Self>, OpenPackError> {
        let header = Header::decode(&map, map.len() as u64)?;
        let head = map.first_chunk::<HEADER_LEN>().ok_or(OpenPackError::NotAPack)?;
        let table = usize::try_from(header.table_off).ok().and_then(|off| map.get(off..));
        let table = table.ok_or(OpenPackError::Layout("section table out of place"))?;
        let digest = layout::checksum(head, table);
        if digest != layout::stated_checksum(head) {
            return Err(OpenPackError::Checksum);
        }
        let entries: Vec<Entry> =
            table.as_chunks::<ENTRY_LEN>().0.iter().map(Entry::decode).collect();
        for entry in &entries {
            entry.check(header.table_off)?;
        }
        if !entries.is_sorted_by(|a, b| a.id < b.id) {
            return Err(OpenPackError::Layout("sections out of order"));
        }
        let mut pack =
            Self { map, file, entries, meta: PackMeta::default(), digest: *digest.as_bytes() };
        let meta = pack.section(SectionId::META);
        if meta.len() > META_MAX {
            return Err(OpenPackError::Meta);
        }
        pack.meta = postcard::from_bytes(meta).map_err(|_| OpenPackError::Meta)?;
        Ok(Arc::new(pack))
    }

    /// Returns a section's bytes; empty when it is absent.
    #[must_use]
    pub fn section(&self, id: SectionId) -> &[u8] {
        let found = self.entries.binary_search_by_key(&id, |entry| entry.id);
        found.ok().and_then(|idx| self.entries.get(idx)).map_or(&[], |entry| self.bytes(entry))
    }

    /// Returns where in [`Pack::as_bytes`] a section is, for those who look it up often; empty when it
    /// is absent.
    #[must_use]
    pub fn section_range(&self, id: SectionId) -> std::ops::Range<usize> {
        let found = self.entries.binary_search_by_key(&id, |entry| entry.id);
        let entry = found.ok().and_then(|idx| self.entries.get(idx));
        entry.map_or(0..0, Self::range)
    }

    /// Returns the ids of all sections with their lengths, in the order of the ids.
    pub fn sections(&self) -> impl Iterator<Item = (SectionId, u64)> + '_ {
        self.entries.iter().map(|entry| (entry.id, entry.len))
    }

    /// Returns what the pack says of itself.
    #[must_use]
    pub fn meta(&self) -> &PackMeta {
        &self.meta
    }

    /// Returns the digest over header and table. The table holds the sections' digests, so two
    /// packs with the same digest that both [`Pack::verify`] are the same.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the file it is mapped from, for handing the pack to another process.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// Returns all its bytes, for writing it elsewhere.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads the whole pack and compares it with its digests. Of a file no more than a piece is in memory.
    ///
    /// # Errors
    /// Something was altered, or cannot be read.
    pub fn verify(&self) -> Result<(), VerifyPackError> {
        let mut in_order: Vec<&Entry> = self.entries.iter().collect();
        in_order.sort_by_key(|entry| (entry.off, entry.len));
        let mut end = HEADER_LEN as u64;
        for entry in in_order {
            if entry.off < end {
                return Err(VerifyPackError::Between);
            }
            let mut zero = true;
            self.read(end, entry.off, |gap| zero &= gap.iter().all(|byte| *byte == 0))?;
            if !zero {
                return Err(VerifyPackError::Between);
            }
            end = entry.off.saturating_add(entry.len);
            let mut hasher = blake3::Hasher::new();
            self.read(entry.off, end, |bytes| {
                hasher.update(bytes);
            })?;
            if hasher.finalize() != blake3::Hash::from_bytes(entry.digest) {
                return Err(VerifyPackError::Section(entry.id));
            }
        }
        let table_len = (self.entries.len() * ENTRY_LEN) as u64;
        if end.checked_add(table_len) != Some(self.map.len() as u64) {
            return Err(VerifyPackError::Between);
        }
        Ok(())
    }

    /// Calls `see` with the bytes of a range, piece by piece. Pages of a map stay with the process that looked at
    /// them, half a gigabyte for a large pack; what is read from the file does not.
    fn read(&self, from: u64, to: u64, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(file) = &self.file else {
            let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            let bytes = range.and_then(|(from, to)| self.map.get(from..to));
            see(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            return Ok(());
        };
        let mut piece = vec![0u8; PIECE];
        let mut at = from;
        while at < to {
            let len = usize::try_from(to - at).map_or(PIECE, |left| left.min(PIECE));
            let piece = piece.get_mut(..len).unwrap_or_default();
            file.read_exact_at(piece, at)?;
            see(piece);
            at = at.saturating_add(len as u64);
        }
        Ok(())
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        self.map.get(Self::range(entry)).unwrap_or_default()
    }

    /// Returns where an entry's bytes are; nowhere in the map when its numbers cannot be.
    fn range(entry: &Entry) -> std::ops::Range<usize> {
        let from = usize::try_from(entry.off).unwrap_or(usize::MAX);
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        from..from.saturating_add(len)
    }
}

/// Ours: read at a time to verify.
const PIECE: usize = 256 << 10;
/// Ours: the meta data of a pack is some kilobytes; more is damage.
const META_MAX: usize = 16 << 20;
