//! ext2, ext3 and ext4 file systems.
//!
//! Yields: one child per regular file with data, named by its path; files in use that no folder names, without one.
//! Leaves out: links, devices, attributes, deleted files, the journal; encrypted files (reported).
//! Limits: through `Sink`; 512 levels of folders; what tables, folders and files that overlap may cost together is
//! bounded by the size of the image.
//! Hostile input: folders are entered once; a block of a folder that is damaged does not hide the next; extents and
//! maps that lie give what is there.
//! Sources: "ext4 Data Structures and Algorithms" of the Linux kernel's documentation.

mod inode;

use std::collections::BTreeSet;
use std::rc::Rc;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Content, Files, gather, path};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use inode::{Inode, Kind};

pub(super) const FORMAT: Format = Format {
    name: "ext",
    types: &[FileType::Ext],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`53 ef` at offset 1080 and a plausible superblock",
        yields: "one child per regular file: extents, block maps, inline data",
        leaves_out: "links, devices, attributes, deleted files, the journal; encrypted files (reported)",
        limits: "512 levels; overlapping files and tables up to a few times the image",
        sources: "Linux ext4 documentation",
    },
};

/// Ours: levels of folders.
const DEPTH_MAX: usize = 512;
const ROOT: u32 = 2;

/// What the superblock says.
#[derive(Debug, Clone, Copy)]
struct Super {
    inode_count: u32,
    /// Blocks, of which the image may have fewer.
    block_count: u64,
    first_block: u64,
    block_len: u64,
    blocks_per_group: u64,
    inodes_per_group: u32,
    first_inode: u32,
    inode_len: u64,
    descriptor_len: u64,
    meta_groups_from: Option<u64>,
    sparse: bool,
    tells_unused: bool,
}

impl Super {
    fn read(object: &[u8]) -> Option<Self> {
        let field = |off: usize| Reader::at(object, 1024 + off).u32_le().ok();
        let half = |off: usize| Reader::at(object, 1024 + off).u16_le().ok();
        let log = field(24)?;
        let inodes_per_group = field(40)?;
        if half(56)? != 0xef53 || log > 6 || inodes_per_group == 0 {
            return None;
        }
        let revised = field(76)? > 0;
        let (incompatible, read_only) = (field(96)?, field(100)?);
        let inode_len = if revised { u64::from(half(88)?).clamp(128, 4096) } else { 128 };
        let descriptor_len =
            if incompatible & 0x80 != 0 { u64::from(half(254)?).clamp(32, 1024) } else { 32 };
        Some(Self {
            inode_count: field(0)?,
            block_count: {
                let high = if incompatible & 0x80 != 0 { field(0x150)? } else { 0 };
                u64::from(high) << 32 | u64::from(field(4)?)
            },
            first_block: u64::from(field(20)?),
            block_len: 1024 << log,
            blocks_per_group: u64::from(field(32)?),
            inodes_per_group,
            first_inode: if revised { field(84)? } else { 11 },
            inode_len,
            descriptor_len,
            meta_groups_from: (incompatible & 0x10 != 0).then_some(u64::from(field(260)?)),
            sparse: read_only & 1 != 0,
            tells_unused: read_only & 0x410 != 0,
        })
    }

    /// Returns where a group's descriptor is.
    fn descriptor_off(&self, group: u64) -> u64 {
        let per_block = self.block_len.checked_div(self.descriptor_len).unwrap_or(1).max(1);
        let (block, idx) = (group / per_block, group % per_block);
        let in_group = self.meta_groups_from.is_some_and(|from| block >= from);
        let at = if in_group {
            let first = block.saturating_mul(per_block);
            let start =
                first.saturating_mul(self.blocks_per_group).saturating_add(self.first_block);
            start.saturating_add(u64::from(self.has_super(first)))
        } else {
            self.first_block.saturating_add(1).saturating_add(block)
        };
        at.saturating_mul(self.block_len).saturating_add(idx.saturating_mul(self.descriptor_len))
    }

    fn has_super(&self, group: u64) -> bool {
        let power = |base: u64| {
            let mut value = group;
            while value > 1 && value.is_multiple_of(base) {
                value /= base;
            }
            value == 1
        };
        !self.sparse || group <= 1 || power(3) || power(5) || power(7)
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some(superblock) = Super::read(object) else {
        sink.unscanned(b"", Reason::Damaged("superblock".into()));
        return Ok(());
    };
    let claimed = superblock.block_count.saturating_mul(superblock.block_len);
    if size(claimed) > object.len() {
        sink.unscanned(b"", Reason::Truncated);
    }
    let mut image = Image { superblock, files: Files::new(object, sink), visited: BTreeSet::new() };
    image.walk()?;
    Ok(image.walk_rest()?)
}

struct Image<'a, 's> {
    superblock: Super,
    files: Files<'a, 's>,
    /// Inodes that were met.
    visited: BTreeSet<u32>,
}

impl<'a> Image<'a, '_> {
    /// Walks the folders from the root.
    fn walk(&mut self) -> Result<(), Stop> {
        let mut waiting = vec![(ROOT, Rc::new(Vec::new()), Vec::new(), 0usize)];
        while let Some((number, folder, name, depth)) = waiting.pop() {
            self.files.sink.poll()?;
            if !self.visited.insert(number) {
                continue;
            }
            let Some(inode) = self.inode(number) else {
                self.files.defect(0, "inode");
                continue;
            };
            let name = path(&folder, &name);
            match inode.kind {
                Kind::Folder if depth < DEPTH_MAX => {
                    let mut entries = self.entries(&inode, &name)?;
                    entries.reverse();
                    let folder = Rc::new(name);
                    let below = depth.saturating_add(1);
                    let entries = entries.into_iter();
                    waiting.extend(entries.map(|(to, name)| (to, Rc::clone(&folder), name, below)));
                }
                Kind::Folder => self.files.tell_limit("levels of folders"),
                Kind::File => self.file(&name, &inode)?,
                Kind::Other => {}
            }
        }
        Ok(())
    }

    /// Hands over files in use that no folder names.
    fn walk_rest(&mut self) -> Result<(), Stop> {
        let per_group = self.superblock.inodes_per_group;
        let mut told = false;
        // Each takes its place in the image: there cannot be more.
        let place = size(self.superblock.inode_len);
        let mut left = self.files.object.len().checked_div(place).unwrap_or(0);
        for group in 0..self.superblock.inode_count.div_ceil(per_group) {
            self.files.sink.poll()?;
            let Some((_, used)) = self.table(group) else { break };
            let first = group.saturating_mul(per_group);
            for idx in 0..used.min(per_group) {
                let number = first.saturating_add(idx).saturating_add(1);
                if idx.is_multiple_of(4096) {
                    self.files.sink.poll()?;
                }
                let Some(inode) = self.inode(number) else { break };
                left = left.saturating_sub(1);
                if left == 0 {
                    self.files.tell_limit("tables of inodes that overlap");
                    return Ok(());
                }
                let hidden = inode.kind == Kind::File
                    && inode.in_use
                    && number >= self.superblock.first_inode
                    && !self.visited.contains(&number);
                if hidden {
                    if !std::mem::replace(&mut told, true) {
                        self.files.defect(0, "file without a name");
                    }
                    self.file(b"", &inode)?;
                }
            }
        }
        Ok(())
    }

    /// Returns where the inodes of a group are, and how many may be in use.
    fn table(&self, group: u32) -> Option<(u64, u32)> {
        let off = size(self.superblock.descriptor_off(u64::from(group)));
        let object = self.files.object;
        let low = Reader::at(object, off.checked_add(8)?).u32_le().ok()?;
        let wide = self.superblock.descriptor_len >= 64;
        let high =
            if wide { Reader::at(object, off.checked_add(0x28)?).u32_le().ok()? } else { 0 };
        let block = u64::from(high) << 32 | u64::from(low);
        let at = block.saturating_mul(self.superblock.block_len);
        let per_group = self.superblock.inodes_per_group;
        if size(at) >= object.len() || block == 0 {
            return None;
        }
        if !self.superblock.tells_unused {
            return Some((at, per_group));
        }
        let flags = Reader::at(object, off.checked_add(18)?).u16_le().ok()?;
        let unused = Reader::at(object, off.checked_add(28)?).u16_le().ok()?;
        let used = per_group.saturating_sub(u32::from(unused));
        Some((at, if flags & 1 != 0 { 0 } else { used }))
    }

    fn inode(&self, number: u32) -> Option<Inode<'a>> {
        let idx = number.checked_sub(1)?;
        let per_group = self.superblock.inodes_per_group;
        let (table, _) = self.table(idx.checked_div(per_group)?)?;
        let idx = u64::from(idx.checked_rem(per_group)?);
        let off = table.checked_add(idx.checked_mul(self.superblock.inode_len)?)?;
        let raw = Reader::at(self.files.object, size(off)).take(size(self.superblock.inode_len));
        Inode::read(raw.ok()?)
    }

    fn file(&mut self, name: &[u8], inode: &Inode<'_>) -> Result<(), Stop> {
        if inode.is_encrypted() {
            if self.files.announce(name, inode.len, inode.len)? {
                self.files.sink.unscanned(name, Reason::Encrypted);
            }
            return Ok(());
        }
        if let Some(data) = inode.inline() {
            let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
            if self.files.announce(name, len, len)? && !data.is_empty() {
                self.files.child(name, &data)?;
            }
            return Ok(());
        }
        let extents = inode.extents(self.superblock.block_len, &mut self.files);
        self.files.file(name, &extents, inode.len)
    }

    /// Returns the entries of a folder: inodes and names.
    fn entries(&mut self, inode: &Inode<'_>, name: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Stop> {
        let mut entries = Vec::new();
        if inode.is_encrypted() {
            self.files.sink.unscanned(name, Reason::Encrypted);
        }
        if let Some(data) = inode.inline() {
            // The parent's number stands in front; what is behind the inode's own bytes starts anew.
            let (own, more) = data.split_at_checked(60).unwrap_or((&data, &[]));
            parse(own.get(4..).unwrap_or_default(), &mut entries);
            parse(more, &mut entries);
            return Ok(entries);
        }
        let extents = inode.extents(self.superblock.block_len, &mut self.files);
        if !self.files.may_read(inode.len) {
            return Ok(entries);
        }
        let Content { bytes, missing } =
            gather(self.files.object, &extents, inode.len, self.files.sink)?;
        if let Some(reason) = missing {
            self.files.sink.unscanned(name, reason);
        }
        let mut damaged = false;
        for block in bytes.chunks(size(self.superblock.block_len)) {
            damaged |= !parse(block, &mut entries);
        }
        if damaged {
            self.files.defect(0, "folder block");
        }
        Ok(entries)
    }
}

/// Reads the entries of a block; false when it ends early.
fn parse(block: &[u8], entries: &mut Vec<(u32, Vec<u8>)>) -> bool {
    let mut reader = Reader::new(block);
    while reader.left() >= 8 {
        let start = reader.off();
        let fields = (reader.u32_le(), reader.u16_le(), reader.u8(), reader.u8());
        let (Ok(number), Ok(record_len), Ok(name_len), Ok(_)) = fields else { return false };
        let name = reader.take_up_to(usize::from(name_len));
        if number != 0 && !matches!(name, b"" | b"." | b"..") {
            entries.push((number, name.to_vec()));
        }
        let record_len = match record_len {
            0 | u16::MAX => block.len().saturating_sub(start),
            len => usize::from(len),
        };
        if record_len < 8 {
            return false;
        }
        reader.seek(start.saturating_add(record_len));
    }
    true
}
