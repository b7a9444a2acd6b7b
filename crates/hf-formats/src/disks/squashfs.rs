//! squashfs 4.0 file systems: live systems, firmware, snaps, AppImages.
//!
//! Yields: one child per regular file with data, named by its path; files that no folder names, without one.
//! Leaves out: links, devices, attributes; versions before 4.0 (reported); files whose data was handed over.
//! Limits: through `Sink`; tables of 128 MiB together; 4096 bytes of path; blocks that are decoded again up to
//! four times the image.
//! Hostile input: folders are entered once; a block that is damaged is zeros and the file is told as damaged; tables
//! that are cut give what was in front.
//! Sources: [1] "Squashfs 4.0 Filesystem" of the Linux kernel's documentation; [2] "Squashfs Binary Format" by
//! AgentD (CC0).

mod blocks;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use super::files::path;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use blocks::{Codec, Table};

pub(super) const FORMAT: Format = Format {
    name: "squashfs",
    types: &[FileType::Squashfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`hsqs` and a plausible superblock, at the start or anywhere in a program",
        yields: "one child per regular file: gzip, LZMA, LZO, xz, LZ4, Zstandard",
        leaves_out: "links, devices, attributes; versions before 4.0 (reported)",
        limits: "tables of 128 MiB; blocks decoded again up to four times the image",
        sources: "Linux squashfs documentation; Squashfs Binary Format",
    },
};

/// Ours: bytes of the tables of inodes and of folders.
const TABLE_LEN_MAX: usize = 64 << 20;
/// Ours: entries of one folder.
const ENTRIES_MAX: usize = 1 << 20;
/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;
const NONE: u32 = u32::MAX;

/// What the superblock says.
#[derive(Debug)]
struct Super {
    block_len: usize,
    fragment_count: u32,
    codec: Codec,
    root: u64,
    inodes: u64,
    folders: u64,
    fragments: u64,
}

impl Super {
    fn read(object: &[u8]) -> Result<Self, Reason> {
        let cut = |_: Defect| Reason::Truncated;
        let mut reader = Reader::at(object, 12);
        let block_len = reader.u32_le().map_err(cut)?;
        let fragment_count = reader.u32_le().map_err(cut)?;
        let codec = reader.u16_le().map_err(cut)?;
        reader.skip(6).map_err(cut)?;
        let major = reader.u16_le().map_err(cut)?;
        if major != 4 {
            return Err(Reason::UnknownMethod(format!("squashfs {major}").into()));
        }
        let codec = Codec::new(codec)
            .ok_or_else(|| Reason::UnknownMethod(format!("compression {codec}").into()))?;
        reader.skip(2).map_err(cut)?;
        let root = reader.u64_le().map_err(cut)?;
        reader.skip(24).map_err(cut)?;
        let inodes = reader.u64_le().map_err(cut)?;
        let folders = reader.u64_le().map_err(cut)?;
        let fragments = reader.u64_le().map_err(cut)?;
        let block_len = size(u64::from(block_len)).clamp(4096, 1 << 20);
        Ok(Self { block_len, fragment_count, codec, root, inodes, folders, fragments })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let superblock = match Super::read(object) {
        Ok(superblock) => superblock,
        Err(reason) => {
            sink.unscanned(b"", reason);
            return Ok(());
        }
    };
    let codec = superblock.codec;
    let used = Reader::at(object, 40).u64_le().unwrap_or(0);
    if size(used) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let end = |from: u64, others: &[u64]| {
        let behind = others.iter().copied().filter(|other| *other > from).min();
        size(behind.unwrap_or(u64::MAX)).min(object.len())
    };
    let (inodes_off, folders_off) = (size(superblock.inodes), size(superblock.folders));
    let inodes_end = end(superblock.inodes, &[superblock.folders]);
    let inodes = Table::read(object, inodes_off, inodes_end, codec, TABLE_LEN_MAX, sink)?;
    let folders_end = end(superblock.folders, &[superblock.fragments]);
    let folders = Table::read(object, folders_off, folders_end, codec, TABLE_LEN_MAX, sink)?;
    for table in [&inodes, &folders] {
        if let Some(reason) = &table.missing {
            sink.unscanned(b"", reason.clone());
        }
    }
    let fragments = blocks::fragments(
        object,
        size(superblock.fragments),
        superblock.fragment_count,
        codec,
        sink,
    )?;
    let listing_left = folders.bytes.len().saturating_mul(2).saturating_add(1 << 16);
    let data = blocks::Data::new(object, codec, superblock.block_len, fragments);
    let mut image = Image {
        object,
        sink,
        superblock,
        inodes,
        folders,
        data,
        visited: BTreeSet::new(),
        seen: BTreeSet::new(),
        position: 0,
        listing_left,
    };
    image.walk()?;
    Ok(image.walk_rest()?)
}

/// An inode as far as it is of use.
#[derive(Debug)]
enum Inode {
    Folder { block: u32, off: u16, len: usize },
    File(FileData),
    Other,
}

/// Where a file's data is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FileData {
    start: u64,
    len: u64,
    fragment: u32,
    fragment_off: u32,
    /// Where the words of its blocks start in the table of inodes, and how many there are.
    words: (usize, usize),
}

struct Image<'a, 's> {
    object: &'a [u8],
    sink: &'s mut dyn Sink,
    superblock: Super,
    inodes: Table,
    folders: Table,
    data: blocks::Data<'a>,
    /// Inodes that were met, by their place in the table.
    visited: BTreeSet<usize>,
    /// Data that was handed over.
    seen: BTreeSet<(u64, u64, u32, u32)>,
    position: u32,
    /// Bytes of folders that may still be read.
    listing_left: usize,
}

impl Image<'_, '_> {
    /// Walks the folders from the root.
    fn walk(&mut self) -> Result<(), Stop> {
        let root = self.superblock.root;
        let Some(at) = self.inodes.place(root >> 16, root & 0xffff) else {
            self.sink.defect(Defect::new(32, "root_inode"));
            return Ok(());
        };
        let mut waiting = vec![(at, Rc::new(Vec::new()), Vec::new(), 0usize)];
        while let Some((at, folder, name, depth)) = waiting.pop() {
            self.sink.poll()?;
            if !self.visited.insert(at) {
                continue;
            }
            let name = path(&folder, &name);
            match self.inode(at).map(|(inode, _)| inode) {
                Some(Inode::Folder { block, off, len }) if depth < DEPTH_MAX => {
                    let len = len.min(self.folders.bytes.len());
                    let Some(left) = self.listing_left.checked_sub(len) else {
                        let reason = Reason::FormatLimit("folders that overlap".into());
                        self.sink.unscanned(&name, reason);
                        continue;
                    };
                    self.listing_left = left;
                    let entries = self.entries(block, off, len);
                    if entries.len() >= ENTRIES_MAX {
                        let reason = Reason::FormatLimit("entries of a folder".into());
                        self.sink.unscanned(&name, reason);
                    }
                    let entries = entries.into_iter().rev();
                    let folder = Rc::new(name);
                    let below = depth.saturating_add(1);
                    waiting.extend(entries.map(|(to, name)| (to, Rc::clone(&folder), name, below)));
                }
                Some(Inode::Folder { .. }) => {
                    self.sink.unscanned(&name, Reason::FormatLimit("levels of folders".into()));
                }
                Some(Inode::File(file)) => self.file(&name, &file)?,
                Some(Inode::Other) => {}
                None => self.sink.defect(Defect::new(self.superblock.inodes, "inode")),
            }
        }
        Ok(())
    }

    /// Hands over the files that no folder names: inodes stand one behind the other.
    fn walk_rest(&mut self) -> Result<(), Stop> {
        let mut at = 0usize;
        let mut hidden = false;
        while let Some((inode, end)) = self.inode(at) {
            self.sink.poll()?;
            if !self.visited.contains(&at)
                && let Inode::File(file) = &inode
            {
                if !std::mem::replace(&mut hidden, true) {
                    self.sink.defect(Defect::new(self.superblock.inodes, "file without a name"));
                }
                self.file(b"", file)?;
            }
            at = end.max(at.saturating_add(1));
        }
        Ok(())
    }

    /// Reads the inode at a place of the table, and where it ends.
    fn inode(&self, at: usize) -> Option<(Inode, usize)> {
        let mut reader = Reader::at(&self.inodes.bytes, at);
        let kind = reader.u16_le().ok()?;
        reader.skip(14).ok()?;
        let mut word = || reader.u32_le().ok();
        let inode = match kind {
            1 => {
                let (block, _nlink, packed) = (word()?, word()?, word()?);
                word()?;
                let [a, b, c, d] = packed.to_le_bytes();
                let len = usize::from(u16::from_le_bytes([a, b])).saturating_sub(3);
                Inode::Folder { block, off: u16::from_le_bytes([c, d]), len }
            }
            8 => {
                let (_nlink, len, block, _parent) = (word()?, word()?, word()?, word()?);
                let (count, off) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
                reader.skip(4).ok()?;
                for _ in 0..count {
                    reader.skip(8).ok()?;
                    let name_len = size(u64::from(reader.u32_le().ok()?));
                    reader.skip(name_len.saturating_add(1)).ok()?;
                }
                Inode::Folder { block, off, len: size(u64::from(len)).saturating_sub(3) }
            }
            2 => {
                let (start, fragment, fragment_off, len) = (word()?, word()?, word()?, word()?);
                let file = FileData {
                    start: u64::from(start),
                    len: u64::from(len),
                    fragment,
                    fragment_off,
                    words: (0, 0),
                };
                return self.with_words(file, reader);
            }
            9 => {
                let (start, len) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
                reader.skip(12).ok()?;
                let (fragment, fragment_off) = (reader.u32_le().ok()?, reader.u32_le().ok()?);
                reader.skip(4).ok()?;
                let file = FileData { start, len, fragment, fragment_off, words: (0, 0) };
                return self.with_words(file, reader);
            }
            3 | 10 => {
                word()?;
                let len = size(u64::from(word()?));
                let more = if kind == 10 { 4 } else { 0 };
                reader.skip(len.saturating_add(more)).ok()?;
                Inode::Other
            }
            4..=7 | 11..=14 => {
                let extended = if kind > 10 { 4 } else { 0 };
                let device = if matches!(kind, 4 | 5 | 11 | 12) { 4 } else { 0 };
                reader.skip(4 + extended + device).ok()?;
                Inode::Other
            }
            _ => return None,
        };
        Some((inode, reader.off()))
    }

    /// Finds the words of a file's blocks behind its inode, as many as are there.
    fn with_words(&self, mut file: FileData, mut reader: Reader<'_>) -> Option<(Inode, usize)> {
        let block_len = u64::try_from(self.superblock.block_len).ok()?;
        let whole = file.len.checked_div(block_len)?;
        let rest = file.fragment == NONE && !file.len.is_multiple_of(block_len);
        let count = size(whole.saturating_add(u64::from(rest)));
        file.words = (reader.off(), count.min(reader.left() / 4));
        reader.take_up_to(count.saturating_mul(4));
        Some((Inode::File(file), reader.off()))
    }

    /// Returns the entries of a folder: places of inodes, and names.
    fn entries(&self, block: u32, off: u16, len: usize) -> Vec<(usize, Vec<u8>)> {
        let mut entries: Vec<(usize, Vec<u8>)> = Vec::new();
        let Some(at) = self.folders.place(u64::from(block), u64::from(off)) else {
            return entries;
        };
        let mut reader = Reader::new(Reader::at(&self.folders.bytes, at).take_up_to(len));
        while reader.left() > 0 {
            let header = (reader.u32_le(), reader.u32_le(), reader.u32_le());
            let (Ok(count), Ok(start), Ok(_)) = header else { break };
            for _ in 0..=count.min(256) {
                let entry = (reader.u16_le(), reader.skip(4), reader.u16_le());
                let (Ok(off), Ok(()), Ok(name_len)) = entry else { return entries };
                let name = reader.take_up_to(usize::from(name_len).saturating_add(1));
                if entries.len() >= ENTRIES_MAX {
                    return entries;
                }
                if let Some(place) = self.inodes.place(u64::from(start), u64::from(off)) {
                    entries.push((place, name.to_vec()));
                }
            }
        }
        entries
    }

    fn file(&mut self, name: &[u8], file: &FileData) -> Result<(), Stop> {
        self.position = self.position.saturating_add(1);
        let (first, count) = file.words;
        let words = self.inodes.bytes.get(first..).unwrap_or_default();
        let words: Vec<u32> = words
            .as_chunks::<4>()
            .0
            .iter()
            .take(count)
            .map(|raw| u32::from_le_bytes(*raw))
            .collect();
        let packed = words.iter().map(|word| u64::from(word & 0xff_ffff)).sum();
        let position = self.position;
        let member = Member {
            name,
            packed_len: packed,
            unpacked_len: file.len,
            position,
            ..Member::default()
        };
        self.sink.member(&member)?;
        let key = (file.start, file.len, file.fragment, file.fragment_off);
        if file.len == 0 || !self.seen.insert(key) {
            return Ok(());
        }
        let content = match self.data.slice(file.start, file.len, file.fragment, &words) {
            Some(slice) => blocks::Content { bytes: Cow::Borrowed(slice), missing: None },
            None => self.data.read(
                file.start,
                file.len,
                (file.fragment != NONE).then_some((file.fragment, file.fragment_off)),
                &words,
                self.sink,
            )?,
        };
        if let Some(reason) = content.missing {
            self.sink.unscanned(name, reason);
        }
        if content.bytes.is_empty() || self.object.is_empty() {
            return Ok(());
        }
        self.sink.child(Child { name, data: &content.bytes, role: ChildRole::Member })
    }
}
