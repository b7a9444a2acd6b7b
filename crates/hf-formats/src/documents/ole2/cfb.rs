//! A reader of compound files that gives what can still be read.
//!
//! Promises: memory in proportion to the object; every chain ends (a sector is read once a chain); a
//! broken chain gives the sectors before the break. A directory whose first sector is lost is looked for.
//! Leaves out: the red-black order of siblings, class ids, transactions (range-lock sector).
//! Sources: [1] MS-CFB (sector numbers, FAT, DIFAT, mini FAT, directory entries).

use hf_core::{Defect, Sink, Stop};

use crate::documents::le::{part, u16_at, u32_at, u64_at, units};
use crate::reader::size;

/// The magic at the start of every compound file ([1] §2.2).
pub(crate) const MAGIC: [u8; 8] = [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];

/// Directory entries that are read.
pub(crate) const ENTRIES_MAX: usize = 100_000;

/// Streams of an honest file are disjoint; each is read at most thrice.
const READ_FACTOR: u64 = 16;
const DEPTH_MAX: usize = 100;
const PATH_LEN_MAX: usize = 4096;
const HEADER_LEN: usize = 512;
const ENTRY_LEN: usize = 128;
const HEADER_DIFAT: usize = 109;
const SECTOR_MAX: u32 = 0xffff_fffa;

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Not in use.
    Free,
    /// A folder.
    Storage,
    /// A file.
    Stream,
    /// The root, which holds the mini stream.
    Root,
}

/// One directory entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Name as code units, without the NUL.
    pub(crate) units: Vec<u16>,
    /// What it is.
    pub(crate) kind: EntryKind,
    /// Index of the storage it lies in; none for orphans and the root.
    pub(crate) parent: Option<usize>,
    /// Reached from the root.
    pub(crate) linked: bool,
    /// Claimed size in bytes.
    pub(crate) len: u64,
    left: u32,
    right: u32,
    child: u32,
    start: u32,
}

impl Entry {
    /// Returns the name as text.
    pub(crate) fn name(&self) -> String {
        char::decode_utf16(self.units.iter().copied())
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    }
}

/// Bytes of a stream, and whether they are all that its size claims.
#[derive(Debug)]
pub(crate) struct Stream {
    /// What could be read.
    pub(crate) bytes: Vec<u8>,
    /// False when the chain broke before the claimed size.
    pub(crate) whole: bool,
    /// True when the sink's cap cut it.
    pub(crate) capped: bool,
}

/// An open compound file.
#[derive(Debug)]
pub(crate) struct Cfb<'a> {
    bytes: &'a [u8],
    sector_shift: u32,
    mini_shift: u32,
    mini_cutoff: u64,
    wide_sizes: bool,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini: Vec<u8>,
    /// Which chain read a sector last; ends loops without clearing a map for every chain.
    seen: Vec<u32>,
    mini_seen: Vec<u32>,
    chain: u32,
    /// Bytes that [`Cfb::read`] may still give: many entries may share one chain.
    left_to_read: u64,
    /// Directory entries in stored order.
    pub(crate) entries: Vec<Entry>,
    /// What was broken.
    pub(crate) defects: Vec<Defect>,
}

impl<'a> Cfb<'a> {
    /// Opens a compound file.
    ///
    /// # Errors
    /// The scan ends here; a broken file is only noted in [`Cfb::defects`].
    pub(crate) fn open(bytes: &'a [u8], sink: &mut dyn Sink) -> Result<Self, Stop> {
        let mut cfb = Self::with_geometry(bytes);
        cfb.read_fat(sink)?;
        let directory = cfb.read_directory(sink)?;
        cfb.parse_directory(&directory);
        cfb.link();
        let mini_fat = u32_at(bytes, 60).unwrap_or(SECTOR_MAX);
        let table = cfb.sectors(mini_fat, u64::MAX, sink)?;
        cfb.mini_fat = words(&table.bytes);
        cfb.mini_seen = vec![0; cfb.mini_fat.len()];
        if let Some(start) = cfb.entries.get(cfb.root()).map(|entry| entry.start) {
            cfb.mini = cfb.sectors(start, u64::MAX, sink)?.bytes;
        }
        Ok(cfb)
    }

    fn with_geometry(bytes: &'a [u8]) -> Self {
        let mut defects = Vec::new();
        let major = u16_at(bytes, 26).unwrap_or(3);
        let sane = |shift: Option<u16>, low: u32, high: u32| {
            shift.map(u32::from).filter(|shift| (low..=high).contains(shift))
        };
        let sector_shift = sane(u16_at(bytes, 30), 6, 20).unwrap_or_else(|| {
            defects.push(Defect::new(30, "Sector Shift"));
            if major == 4 { 12 } else { 9 }
        });
        let mini_shift = sane(u16_at(bytes, 32), 2, sector_shift).unwrap_or_else(|| {
            defects.push(Defect::new(32, "Mini Sector Shift"));
            6.min(sector_shift)
        });
        let cutoff = u32_at(bytes, 56).filter(|cutoff| *cutoff != 0).unwrap_or(4096);
        if cutoff != 4096 {
            defects.push(Defect::new(56, "Mini Stream Cutoff Size"));
        }
        let sector_count = bytes.len().checked_shr(sector_shift).unwrap_or(0).saturating_add(1);
        Self {
            bytes,
            sector_shift,
            mini_shift,
            mini_cutoff: u64::from(cutoff),
            wide_sizes: major >= 4,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini: Vec::new(),
            seen: vec![0; sector_count],
            mini_seen: Vec::new(),
            chain: 0,
            left_to_read: len64(bytes.len()).saturating_mul(READ_FACTOR).max(1 << 20),
            entries: Vec::new(),
            defects,
        }
    }

    fn root(&self) -> usize {
        self.entries.iter().position(|entry| entry.kind == EntryKind::Root).unwrap_or(0)
    }

    fn sector_len(&self) -> usize {
        1usize.checked_shl(self.sector_shift).unwrap_or(HEADER_LEN)
    }

    /// Returns the bytes of a sector; fewer or none at the end of the file ([1] §2.1).
    fn sector(&self, number: u32) -> &'a [u8] {
        let off = u64::from(number).saturating_add(1).saturating_mul(len64(self.sector_len()));
        part(self.bytes, size(off), self.sector_len())
    }

    /// Reads the FAT, whose sectors are listed in the header and in the DIFAT chain ([1] §2.5).
    fn read_fat(&mut self, sink: &mut dyn Sink) -> Result<(), Stop> {
        let mut listed: Vec<u32> = words(part(self.bytes, 76, HEADER_DIFAT.saturating_mul(4)));
        let chain = self.next_chain();
        let mut at = u32_at(self.bytes, 68).unwrap_or(SECTOR_MAX);
        while self.visit(at, chain) {
            sink.poll()?;
            let mut entries = words(self.sector(at));
            let Some(next) = entries.pop() else { break };
            listed.extend(entries);
            at = next;
        }
        let chain = self.next_chain();
        for number in listed {
            if number >= SECTOR_MAX {
                continue;
            }
            if self.visit(number, chain) {
                self.fat.extend(words(self.sector(number)));
            } else {
                self.defect(76, "FAT sector number");
            }
        }
        Ok(())
    }

    fn read_directory(&mut self, sink: &mut dyn Sink) -> Result<Vec<u8>, Stop> {
        let start = u32_at(self.bytes, 48).unwrap_or(SECTOR_MAX);
        let cap = len64(ENTRIES_MAX).saturating_mul(len64(ENTRY_LEN));
        let mut directory = self.sectors(start, cap, sink)?.bytes;
        if !is_root(&directory) {
            self.defect(48, "First Directory Sector Location");
            if let Some(found) = self.find_directory() {
                directory = self.sectors(found, cap, sink)?.bytes;
            }
        }
        if directory.len() > ENTRIES_MAX.saturating_mul(ENTRY_LEN) {
            directory.truncate(ENTRIES_MAX.saturating_mul(ENTRY_LEN));
        }
        Ok(directory)
    }

    /// Looks for a sector that starts with the root's entry.
    fn find_directory(&self) -> Option<u32> {
        let len = self.sector_len();
        let rest = self.bytes.get(len..)?;
        let idx = rest.chunks(len).position(is_root)?;
        u32::try_from(idx).ok()
    }

    fn parse_directory(&mut self, directory: &[u8]) {
        for raw in directory.chunks_exact(ENTRY_LEN) {
            let name_len = usize::from(u16_at(raw, 64).unwrap_or(0)).min(64);
            let name = part(raw, 0, name_len);
            let mut units: Vec<u16> = units(name).collect();
            while units.last() == Some(&0) {
                units.pop();
            }
            let word = |off| u32_at(raw, off).unwrap_or(u32::MAX);
            let len = u64_at(raw, 120).unwrap_or(0);
            self.entries.push(Entry {
                units,
                kind: match raw.get(66) {
                    Some(1) => EntryKind::Storage,
                    Some(2) => EntryKind::Stream,
                    Some(5) => EntryKind::Root,
                    _ => EntryKind::Free,
                },
                parent: None,
                linked: false,
                // [1] §2.6.3: version 3 writers may leave rubbish in the high half.
                len: if self.wide_sizes { len } else { len & 0xffff_ffff },
                left: word(68),
                right: word(72),
                child: word(76),
                start: word(116),
            });
        }
    }

    /// Walks the tree from the root, each entry once, and notes each one's storage.
    fn link(&mut self) {
        let mut todo: Vec<(u32, usize)> = Vec::new();
        let root = self.root();
        if let Some(entry) = self.entries.get_mut(root) {
            entry.linked = true;
            todo.push((entry.child, root));
        }
        while let Some((number, parent)) = todo.pop() {
            let idx = size(u64::from(number));
            let Some(entry) = self.entries.get_mut(idx) else {
                if number != u32::MAX {
                    self.defect(48, "directory entry number");
                }
                continue;
            };
            if entry.linked {
                self.defect(48, "directory loop");
                continue;
            }
            entry.linked = true;
            entry.parent = Some(parent);
            let (left, right, child, kind) = (entry.left, entry.right, entry.child, entry.kind);
            todo.push((right, parent));
            if kind == EntryKind::Storage {
                todo.push((child, idx));
            }
            todo.push((left, parent));
        }
    }

    /// Returns the indices of an entry and of the storages around it, outermost first, the root left out.
    pub(crate) fn path(&self, idx: usize) -> Vec<usize> {
        let mut path = vec![idx];
        let mut at = idx;
        while let Some(parent) = self.entries.get(at).and_then(|entry| entry.parent) {
            if parent == self.root() || path.len() > DEPTH_MAX {
                break;
            }
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }

    /// Returns the path of an entry as text, joined by `/`.
    pub(crate) fn path_name(&self, idx: usize, decode: fn(&[u16]) -> Option<String>) -> String {
        let mut name = String::new();
        for step in self.path(idx) {
            if !name.is_empty() {
                name.push('/');
            }
            if let Some(entry) = self.entries.get(step) {
                name.push_str(&decode(&entry.units).unwrap_or_else(|| entry.name()));
            }
            if name.len() > PATH_LEN_MAX {
                break;
            }
        }
        name
    }

    /// Returns the indices of the entries that hold data, in stored order.
    pub(crate) fn streams(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().enumerate().filter(|(_, entry)| is_stream(entry)).map(|(idx, _)| idx)
    }

    /// Reads a stream, at most `cap` bytes of it.
    ///
    /// # Errors
    /// The scan ends here.
    pub(crate) fn read(
        &mut self,
        idx: usize,
        cap: u64,
        sink: &mut dyn Sink,
    ) -> Result<Stream, Stop> {
        let Some((start, len)) = self.entries.get(idx).map(|entry| (entry.start, entry.len)) else {
            return Ok(Stream { bytes: Vec::new(), whole: false, capped: false });
        };
        let want = len.min(cap).min(self.left_to_read);
        let mut stream = if len < self.mini_cutoff {
            self.mini_sectors(start, want)
        } else {
            self.sectors(start, want, sink)?
        };
        if stream.bytes.is_empty() && len > 0 {
            // A wrong cutoff or size: the chain may be in the other table.
            stream = if len < self.mini_cutoff {
                self.sectors(start, want, sink)?
            } else {
                self.mini_sectors(start, want)
            };
        }
        stream.whole = len64(stream.bytes.len()) >= want;
        stream.capped = want < len && stream.whole;
        self.left_to_read = self.left_to_read.saturating_sub(len64(stream.bytes.len()));
        Ok(stream)
    }

    fn sectors(&mut self, start: u32, want: u64, sink: &mut dyn Sink) -> Result<Stream, Stop> {
        let chain = self.next_chain();
        let mut bytes = Vec::new();
        let mut at = start;
        let mut unpolled = 0usize;
        while len64(bytes.len()) < want && self.visit(at, chain) {
            let sector = self.sector(at);
            bytes.extend_from_slice(sector);
            unpolled = unpolled.saturating_add(sector.len());
            if unpolled > 1 << 20 {
                unpolled = 0;
                sink.poll()?;
            }
            at = self.fat.get(size(u64::from(at))).copied().unwrap_or(SECTOR_MAX);
        }
        bytes.truncate(size(want));
        Ok(Stream { bytes, whole: true, capped: false })
    }

    fn mini_sectors(&mut self, start: u32, want: u64) -> Stream {
        let chain = self.next_chain();
        let len = 1usize.checked_shl(self.mini_shift).unwrap_or(64);
        let mut bytes = Vec::new();
        let mut at = start;
        while len64(bytes.len()) < want {
            let idx = size(u64::from(at));
            match self.mini_seen.get_mut(idx) {
                Some(seen) if *seen != chain => *seen = chain,
                _ => break,
            }
            bytes.extend_from_slice(part(&self.mini, idx.saturating_mul(len), len));
            at = self.mini_fat.get(idx).copied().unwrap_or(SECTOR_MAX);
        }
        bytes.truncate(size(want));
        Stream { bytes, whole: true, capped: false }
    }

    /// Returns how many whole sectors no chain has read, though the FAT says that they are in use.
    pub(crate) fn unread_sectors(&self) -> usize {
        let unread = |(idx, seen): (usize, &u32)| {
            *seen == 0 && self.fat.get(idx).is_some_and(|next| *next < 0xffff_fffc)
        };
        self.seen.iter().enumerate().filter(|pair| unread(*pair)).count()
    }

    fn next_chain(&mut self) -> u32 {
        self.chain = self.chain.saturating_add(1);
        self.chain
    }

    /// Marks a sector as read by this chain; false when it was, or does not exist.
    fn visit(&mut self, number: u32, chain: u32) -> bool {
        if number >= SECTOR_MAX || self.sector(number).is_empty() {
            return false;
        }
        match self.seen.get_mut(size(u64::from(number))) {
            Some(seen) if *seen != chain => {
                *seen = chain;
                true
            }
            _ => false,
        }
    }

    fn defect(&mut self, off: u64, what: &'static str) {
        if self.defects.len() < 16 {
            self.defects.push(Defect::new(off, what));
        }
    }
}

/// True for entries with data: streams, and damaged kinds that the tree still reaches.
fn is_stream(entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::Stream => entry.len > 0,
        EntryKind::Free => entry.linked && entry.len > 0 && !entry.units.is_empty(),
        EntryKind::Storage | EntryKind::Root => false,
    }
}

fn is_root(directory: &[u8]) -> bool {
    const NAME: &[u8] = b"R\0o\0o\0t\0 \0E\0n\0t\0r\0y\0";
    directory.starts_with(NAME) || (directory.len() >= ENTRY_LEN && directory.get(66) == Some(&5))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).filter_map(|raw| Some(u32::from_le_bytes(raw.try_into().ok()?))).collect()
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
