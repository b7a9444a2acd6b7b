//! XFS, versions 4 and 5.
//!
//! Yields: one child per regular file with data, from its extents, named by its path.
//! Leaves out: links, devices, attributes, data on a real-time device; the log: what it would change is not there.
//! Limits: through `Sink`; 512 levels of folders; 2^20 extents per file; files that overlap cost at most a few times
//! the image.
//! Hostile input: an inode is entered once; trees of extents are at most six levels deep; what lies outside is told.
//! Sources: "XFS Algorithms & Data Structures", third edition.

use std::collections::BTreeSet;
use std::rc::Rc;

use hf_core::{FileType, Halt, Reason, Sink};

use super::files::{Extent, Files, gather_plain, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

mod folder;

pub(super) const FORMAT: Format = Format {
    name: "xfs",
    types: &[FileType::Xfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`XFSB` at the start",
        yields: "one child per regular file",
        leaves_out: "links, devices, attributes, real-time devices, the log",
        limits: "512 levels; 2^20 extents per file; overlapping files up to a few times the image",
        sources: "XFS Algorithms & Data Structures",
    },
};

/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;
/// Ours: levels of a tree of extents.
const LEVELS_MAX: u32 = 6;
/// Ours: extents of one file.
const EXTENTS_MAX: usize = 1 << 20;
/// Ours: bytes of one folder.
const FOLDER_LEN_MAX: u64 = 64 << 20;

/// What the superblock says.
#[derive(Debug, Clone, Copy)]
struct Volume {
    block_bits: u32,
    group_blocks: u64,
    /// Bits of a block's number within its group.
    group_bits: u32,
    inode_bits: u32,
    /// Bits of an inode's number within its block.
    per_block_bits: u32,
    /// Blocks of a folder are so many of the volume's, as a power.
    folder_bits: u32,
    is_5: bool,
    has_kinds: bool,
}

impl Volume {
    fn read(object: &[u8]) -> Option<(Self, u64)> {
        let byte = |off: usize| object.get(off).copied().map(u32::from);
        let word = |off: usize| Reader::at(object, off).u32_be().ok();
        let root = Reader::at(object, 56).u64_be().ok()?;
        let version = Reader::at(object, 100).u16_be().ok()?;
        let is_5 = version & 15 == 5;
        let volume = Self {
            block_bits: byte(120)?,
            inode_bits: byte(122)?,
            per_block_bits: byte(123)?,
            group_bits: byte(124)?,
            folder_bits: byte(192)?,
            group_blocks: u64::from(word(84)?),
            is_5,
            has_kinds: if is_5 { word(216)? & 1 != 0 } else { word(200)? & 0x200 != 0 },
        };
        let fits = (9..=16).contains(&volume.block_bits)
            && (8..=11).contains(&volume.inode_bits)
            && volume.per_block_bits <= 8
            && volume.group_bits <= 31
            && volume.folder_bits <= 7;
        fits.then_some((volume, root))
    }

    /// Returns where a block is that is numbered by group and place in it.
    fn off(self, block: u64) -> u64 {
        let group = block >> self.group_bits;
        let within = block & ((1u64 << self.group_bits).wrapping_sub(1));
        group.saturating_mul(self.group_blocks).saturating_add(within) << self.block_bits
    }

    fn inode_off(self, number: u64) -> u64 {
        let within = number & ((1u64 << self.per_block_bits).wrapping_sub(1));
        self.off(number >> self.per_block_bits).saturating_add(within << self.inode_bits)
    }

    fn block_len(self) -> u64 {
        1u64 << self.block_bits
    }
}

/// An inode: its core, and its data fork.
#[derive(Debug, Clone, Copy)]
struct Inode<'a> {
    mode: u16,
    format: u8,
    len: u64,
    extent_count: u64,
    fork: &'a [u8],
}

impl<'a> Inode<'a> {
    fn read(object: &'a [u8], volume: Volume, number: u64) -> Option<Self> {
        let at = size(volume.inode_off(number));
        let inode = object.get(at..)?.get(..1usize << volume.inode_bits)?;
        let mut fields = Reader::new(inode);
        if fields.take(2).ok()? != b"IN" {
            return None;
        }
        let mode = fields.u16_be().ok()?;
        let version = fields.u8().ok()?;
        let format = fields.u8().ok()?;
        let len = Reader::at(inode, 56).u64_be().ok()?;
        let few = u64::from(Reader::at(inode, 76).u32_be().ok()?);
        // A flag says that there may be more than 2^32, counted elsewhere.
        let has_many = version == 3 && Reader::at(inode, 120).u64_be().ok()? & 16 != 0;
        let many = Reader::at(inode, 24).u64_be().ok()?;
        let core_len = if version == 3 { 176 } else { 100 };
        let fork_len = usize::from(*inode.get(82)?).saturating_mul(8);
        let fork = inode.get(core_len..)?;
        let fork = fork.get(..fork_len).filter(|_| fork_len > 0).unwrap_or(fork);
        let extent_count = if has_many { many } else { few };
        Some(Self { mode, format, len, extent_count, fork })
    }
}

/// A run of blocks of a file.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Within the file, in blocks.
    place: u64,
    /// On the volume.
    block: u64,
    count: u64,
    /// Told but never written.
    unwritten: bool,
}

impl Run {
    /// Reads a record of 16 bytes: 1 bit, 54 bits, 52 bits, 21 bits.
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (high, low) = (reader.u64_be().ok()?, reader.u64_be().ok()?);
        Some(Self {
            unwritten: high >> 63 == 1,
            place: (high & (u64::MAX >> 1)) >> 9,
            block: (high & 0x1ff) << 43 | low >> 21,
            count: low & 0x1f_ffff,
        })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some((volume, root)) = Volume::read(object) else {
        sink.unscanned(b"", Reason::Damaged("superblock".into()));
        return Ok(());
    };
    let mut files = Files::new(object, sink);
    let mut visited = BTreeSet::new();
    let mut waiting = vec![(root, Rc::new(Vec::new()), Vec::new(), 0usize)];
    while let Some((number, folder, name, depth)) = waiting.pop() {
        files.sink.poll()?;
        if !visited.insert(number) {
            continue;
        }
        let Some(inode) = Inode::read(object, volume, number) else {
            files.defect(volume.inode_off(number), "inode");
            files.sink.unscanned(&path(&folder, &name), Reason::Damaged("inode".into()));
            continue;
        };
        let name = path(&folder, &name);
        match inode.mode >> 12 {
            4 if depth >= DEPTH_MAX => files.tell_limit("levels of folders"),
            4 => {
                let below = depth.saturating_add(1);
                let mut entries = entries(&mut files, volume, inode);
                entries.reverse();
                let folder = Rc::new(name);
                let entries = entries.into_iter();
                waiting.extend(entries.map(|(to, name)| (to, Rc::clone(&folder), name, below)));
            }
            8 if inode.len > 0 => {
                if inode.format == 1 {
                    files.announce(&name, inode.len, inode.len)?;
                    files.child(&name, inode.fork.get(..size(inode.len)).unwrap_or(inode.fork))?;
                    continue;
                }
                let extents = extents(&runs(object, volume, inode), volume, inode.len);
                if files.may_list(&extents) {
                    files.file(&name, &extents, inode.len)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the entries of a folder, in its inode or in blocks.
fn entries(files: &mut Files<'_, '_>, volume: Volume, inode: Inode<'_>) -> Vec<(u64, Vec<u8>)> {
    if inode.format == 1 {
        return folder::short(inode.fork, volume.has_kinds);
    }
    // What lies behind 32 GiB is an index.
    let end = (32u64 << 30) >> volume.block_bits;
    let mut runs = runs(files.object, volume, inode);
    runs.retain(|run| run.place < end);
    let reach = runs.iter().map(|run| run.place.saturating_add(run.count)).max().unwrap_or(0);
    let len = (reach << volume.block_bits).min(FOLDER_LEN_MAX);
    if !files.may_read(len) {
        return Vec::new();
    }
    let data = gather_plain(files.object, &extents(&runs, volume, len), len);
    let stored = runs.iter().map(|run| run.count << volume.block_bits);
    if data.len() < size(stored.fold(0u64, u64::saturating_add).min(len)) {
        files.sink.unscanned(b"", Reason::Truncated);
    }
    let block_len = size(volume.block_len() << volume.folder_bits);
    data.chunks(block_len.max(512))
        .flat_map(|block| folder::block(block, volume.is_5, volume.has_kinds))
        .collect()
}

/// Returns the extents of a file, holes between them included, up to a length.
fn extents(runs: &[Run], volume: Volume, len: u64) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut at = 0u64;
    for run in runs {
        let start = run.place << volume.block_bits;
        if start < at || start >= len {
            continue;
        }
        if start > at {
            extents.push(Extent::hole(start.saturating_sub(at)));
        }
        let run_len = (run.count << volume.block_bits).min(len.saturating_sub(start));
        extents.push(match run.unwritten {
            true => Extent::hole(run_len),
            false => Extent::at(volume.off(run.block), run_len),
        });
        at = start.saturating_add(run_len);
    }
    if at < len {
        extents.push(Extent::hole(len.saturating_sub(at)));
    }
    extents
}

/// Returns the runs of an inode's data, by their place.
fn runs(object: &[u8], volume: Volume, inode: Inode<'_>) -> Vec<Run> {
    let mut runs = Vec::new();
    match inode.format {
        2 => read_runs(Reader::new(inode.fork), inode.extent_count, &mut runs),
        3 => {
            let mut root = Reader::new(inode.fork);
            let (Ok(level), Ok(count)) = (root.u16_be(), root.u16_be()) else { return runs };
            // Keys for as many as fit, then pointers.
            let room = inode.fork.len().saturating_sub(4) / 16;
            let pointers = Reader::at(inode.fork, room.saturating_mul(8).saturating_add(4));
            let mut blocks = read_pointers(pointers, count.into());
            for _ in 1..u32::from(level).min(LEVELS_MAX) {
                blocks = blocks
                    .iter()
                    .flat_map(|block| node(object, volume, *block).unwrap_or_default())
                    .take(EXTENTS_MAX)
                    .collect();
            }
            for block in blocks {
                let at = size(volume.off(block)).saturating_add(volume_header_len(volume));
                let count = Reader::at(object, size(volume.off(block)).saturating_add(6)).u16_be();
                read_runs(Reader::at(object, at), count.unwrap_or(0).into(), &mut runs);
            }
        }
        _ => {}
    }
    runs.sort_by_key(|run| run.place);
    runs
}

fn read_runs(mut reader: Reader<'_>, count: u64, runs: &mut Vec<Run>) {
    for _ in 0..count {
        let Some(run) = Run::read(&mut reader).filter(|_| runs.len() < EXTENTS_MAX) else { return };
        runs.push(run);
    }
}

fn read_pointers(mut reader: Reader<'_>, count: u64) -> Vec<u64> {
    (0..count).map_while(|_| reader.u64_be().ok()).collect()
}

/// Bytes in front of the records of a block of a tree.
fn volume_header_len(volume: Volume) -> usize {
    if volume.is_5 { 72 } else { 24 }
}

/// Returns what a block between root and leaves points to.
fn node(object: &[u8], volume: Volume, block: u64) -> Option<Vec<u64>> {
    let at = size(volume.off(block));
    let count = Reader::at(object, at.checked_add(6)?).u16_be().ok()?;
    let header_len = volume_header_len(volume);
    let room = size(volume.block_len()).checked_sub(header_len)? / 16;
    let pointers_off = at.checked_add(header_len)?.checked_add(room.checked_mul(8)?)?;
    Some(read_pointers(Reader::at(object, pointers_off), count.into()))
}
