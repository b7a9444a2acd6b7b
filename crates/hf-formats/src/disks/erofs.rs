//! EROFS: the read-only file system of Android and of container images.
//!
//! Yields: one child per regular file with data: plain, with its tail in the inode, in chunks, packed with LZ4.
//! Leaves out: links, devices, attributes; other devices; files packed with LZMA, DEFLATE or Zstandard and packed
//! tails of files (fragments), which are reported.
//! Limits: through `Sink`; 512 levels of folders; files that overlap cost at most a few times the image.
//! Hostile input: each inode is read once; blocks outside of the image are told.
//! Sources: `Documentation/filesystems/erofs.rst` of the Linux kernel; EROFS documentation, "Core on-disk format".

use std::collections::BTreeSet;
use std::rc::Rc;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Extent, Files, gather_plain, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

mod packed;

pub(super) const FORMAT: Format = Format {
    name: "erofs",
    types: &[FileType::Erofs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`e2 e1 f5 e0` at 1024",
        yields: "one child per regular file; LZ4",
        leaves_out: "links, devices, attributes; LZMA, DEFLATE, Zstandard, fragments, other devices (reported)",
        limits: "512 levels; overlapping files up to a few times the image",
        sources: "Linux erofs documentation",
    },
};

/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;
/// Ours: bytes of one folder.
const FOLDER_LEN_MAX: u64 = 64 << 20;
const NAME_LEN_MAX: usize = 255;
/// Ours: chunks of one file.
const CHUNKS_MAX: usize = 1 << 20;

/// What the superblock says.
#[derive(Debug, Clone, Copy)]
struct Volume {
    block_bits: u32,
    inodes_off: u64,
}

impl Volume {
    fn block_len(self) -> u64 {
        1u64 << self.block_bits
    }

    fn off(self, block: u32) -> u64 {
        u64::from(block) << self.block_bits
    }
}

/// An inode.
#[derive(Debug, Clone, Copy)]
struct Inode {
    mode: u16,
    layout: u16,
    len: u64,
    /// Block, or what the layout makes of it.
    start: u32,
    /// Behind the inode and its attributes.
    end_off: usize,
}

impl Inode {
    fn read(object: &[u8], volume: Volume, number: u64) -> Option<Self> {
        let at = size(number.checked_mul(32)?.checked_add(volume.inodes_off)?);
        let mut fields = Reader::at(object, at);
        let format = fields.u16_le().ok()?;
        let attributes = u64::from(fields.u16_le().ok()?);
        let mode = fields.u16_le().ok()?;
        let extended = format & 1 != 0;
        let mut fields = Reader::at(object, at.checked_add(8)?);
        let len = if extended { fields.u64_le().ok()? } else { u64::from(fields.u32_le().ok()?) };
        let start = Reader::at(object, at.checked_add(16)?).u32_le().ok()?;
        let own_len = if extended { 64u64 } else { 32 };
        let attributes_len = match attributes {
            0 => 0,
            count => count.saturating_sub(1).saturating_mul(4).saturating_add(12),
        };
        let end_off = at.checked_add(size(own_len.saturating_add(attributes_len)))?;
        Some(Self { mode, layout: (format >> 1) & 7, len, start, end_off })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, 1024 + 12);
    let block_bits = u32::from(fields.u8()?);
    fields.skip(1)?;
    let root = u64::from(fields.u16_le()?);
    let inodes_block = Reader::at(object, 1024 + 40).u32_le()?;
    let devices = Reader::at(object, 1024 + 86).u16_le()?;
    if !(9..=16).contains(&block_bits) {
        sink.unscanned(b"", Reason::Damaged("block size".into()));
        return Ok(());
    }
    if devices > 0 {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    let inodes_off = u64::from(inodes_block) << block_bits;
    let volume = Volume { block_bits, inodes_off };
    let mut files = Files::new(object, sink);
    let mut visited = BTreeSet::new();
    let mut waiting = vec![(root, Rc::new(Vec::new()), Vec::new(), 0usize)];
    while let Some((number, folder, name, depth)) = waiting.pop() {
        files.sink.poll()?;
        if !visited.insert(number) {
            continue;
        }
        let Some(inode) = Inode::read(object, volume, number) else {
            files.defect(number, "inode");
            continue;
        };
        let name = path(&folder, &name);
        match inode.mode >> 12 {
            4 if depth >= DEPTH_MAX => files.tell_limit("levels of folders"),
            4 => {
                let below = depth.saturating_add(1);
                let entries = entries(&mut files, volume, inode);
                let folder = Rc::new(name);
                let entries = entries.into_iter().rev();
                waiting.extend(entries.map(|(to, name)| (to, Rc::clone(&folder), name, below)));
            }
            8 if inode.len > 0 => file(&mut files, volume, inode, &name)?,
            _ => {}
        }
    }
    Ok(())
}

/// Returns the extents of data that is not packed; none for a layout that is.
fn extents(object: &[u8], volume: Volume, inode: Inode) -> Option<Vec<Extent>> {
    let block_len = volume.block_len();
    let tail = u64::try_from(inode.end_off).unwrap_or(u64::MAX);
    match inode.layout {
        0 => Some(vec![Extent::at(volume.off(inode.start), inode.len)]),
        2 => {
            let whole = inode.len / block_len * block_len;
            let front = Extent::at(volume.off(inode.start), whole);
            Some(vec![front, Extent::at(tail, inode.len.saturating_sub(whole))])
        }
        4 => {
            let chunk_bits = volume.block_bits.saturating_add(inode.start & 31);
            let chunk_len = 1u64.checked_shl(chunk_bits)?;
            let has_indexes = inode.start & 0x20 != 0;
            let at = inode.end_off.checked_next_multiple_of(if has_indexes { 8 } else { 4 })?;
            let mut table = Reader::at(object, at);
            let mut extents = Vec::new();
            let mut left = inode.len;
            // What is left out makes the file too short, which is told.
            while left > 0 && extents.len() < CHUNKS_MAX {
                if has_indexes && table.skip(4).is_err() {
                    break;
                }
                let Ok(block) = table.u32_le() else { break };
                let len = chunk_len.min(left);
                left = left.saturating_sub(len);
                extents.push(match block {
                    u32::MAX => Extent::hole(len),
                    block => Extent::at(volume.off(block), len),
                });
            }
            Some(extents)
        }
        _ => None,
    }
}

/// Reads the entries of a folder: block by block, heads first, then names.
fn entries(files: &mut Files<'_, '_>, volume: Volume, inode: Inode) -> Vec<(u64, Vec<u8>)> {
    let len = inode.len.min(FOLDER_LEN_MAX);
    if !files.may_read(len) {
        return Vec::new();
    }
    let object = files.object;
    let data = match extents(object, volume, inode) {
        Some(extents) => {
            let data = gather_plain(object, &extents, len);
            if data.len() < size(len) {
                files.sink.unscanned(b"", Reason::Truncated);
            }
            data
        }
        None => {
            files.sink.unscanned(b"", Reason::UnknownMethod("packed folder".into()));
            return Vec::new();
        }
    };
    let mut entries = Vec::new();
    for block in data.chunks(size(volume.block_len())) {
        let first = Reader::at(block, 8).u16_le().map_or(0, usize::from);
        let count = first / 12;
        for idx in 0..count {
            let mut head = Reader::at(block, idx.saturating_mul(12));
            let (Ok(number), Ok(name_off)) = (head.u64_le(), head.u16_le()) else { break };
            let next =
                Reader::at(block, idx.saturating_add(1).saturating_mul(12).saturating_add(8));
            let is_last = idx.saturating_add(1) == count;
            let end = match next.clone().u16_le() {
                Ok(end) if !is_last => usize::from(end),
                _ => block.len(),
            };
            let name = block.get(usize::from(name_off)..end).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            // Names may overlap, and would be more than the image.
            let name = name.get(..NAME_LEN_MAX).unwrap_or(name);
            if !name.is_empty() && name != b"." && name != b".." {
                entries.push((number, name.to_vec()));
            }
        }
    }
    entries
}

fn file(files: &mut Files<'_, '_>, volume: Volume, inode: Inode, name: &[u8]) -> Result<(), Stop> {
    let object = files.object;
    if let Some(extents) = extents(object, volume, inode) {
        if files.may_list(&extents) {
            files.file(name, &extents, inode.len)?;
        }
        return Ok(());
    }
    if !files.announce(name, inode.len, inode.len)? {
        return Ok(());
    }
    let cap = files.sink.child_cap();
    let map = packed::Map::new(object, volume, inode);
    let (bytes, missing) = map.unpack(cap, files.sink)?;
    if let Some(reason) = missing {
        files.sink.unscanned(name, reason);
    }
    let given = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / 16;
    if bytes.is_empty() || !files.may_give(given) {
        return Ok(());
    }
    files.child(name, &bytes)
}
