//! Inodes: what they are, and where their data is.

use crate::disks::files::{Extent, Files};
use crate::reader::{Reader, size};

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Other,
}

/// An inode.
#[derive(Debug, Clone)]
pub(super) struct Inode<'a> {
    pub(super) kind: Kind,
    pub(super) len: u64,
    /// Has links and was not deleted.
    pub(super) in_use: bool,
    flags: u32,
    raw: &'a [u8],
}

const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
const ENCRYPTED: u32 = 0x800;
const BLOCK_OFF: usize = 40;
const BLOCK_LEN: usize = 60;
/// The format's.
const EXTENT_DEPTH_MAX: u16 = 5;
/// Ours: extents of one file.
const EXTENTS_MAX: usize = 1 << 20;

impl<'a> Inode<'a> {
    /// Reads an inode.
    pub(super) fn read(raw: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(raw);
        let mode = reader.u16_le().ok()?;
        reader.seek(4);
        let low = reader.u32_le().ok()?;
        reader.seek(20);
        let deleted = reader.u32_le().ok()?;
        reader.seek(26);
        let links = reader.u16_le().ok()?;
        reader.seek(32);
        let flags = reader.u32_le().ok()?;
        reader.seek(108);
        let high = reader.u32_le().ok()?;
        let kind = match mode >> 12 {
            4 => Kind::Folder,
            8 => Kind::File,
            _ => Kind::Other,
        };
        let len = u64::from(high) << 32 | u64::from(low);
        Some(Self { kind, len, in_use: links > 0 && deleted == 0, flags, raw })
    }

    /// True when its data is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    fn block(&self) -> &'a [u8] {
        self.raw.get(BLOCK_OFF..BLOCK_OFF + BLOCK_LEN).unwrap_or_default()
    }

    /// Returns the data that is in the inode itself; none when it is elsewhere.
    pub(super) fn inline(&self) -> Option<Vec<u8>> {
        if self.flags & INLINE == 0 {
            return None;
        }
        let mut data = self.block().to_vec();
        if let Some(more) = self.attribute() {
            data.extend_from_slice(more);
        }
        data.truncate(size(self.len));
        Some(data)
    }

    /// Returns the value of the attribute `system.data`.
    fn attribute(&self) -> Option<&'a [u8]> {
        let extra_len = usize::from(Reader::at(self.raw, 128).u16_le().ok()?);
        let mut reader = Reader::at(self.raw, 128usize.checked_add(extra_len)?);
        if reader.u32_le().ok()? != 0xea02_0000 {
            return None;
        }
        let first = reader.off();
        while reader.left() >= 16 {
            let (name_len, index) = (reader.u8().ok()?, reader.u8().ok()?);
            let value_off = reader.u16_le().ok()?;
            reader.skip(4).ok()?;
            let value_len = size(u64::from(reader.u32_le().ok()?));
            reader.skip(4).ok()?;
            let name = reader.take(usize::from(name_len)).ok()?;
            if name_len == 0 && index == 0 {
                return None;
            }
            if index == 7 && name == b"data" {
                let at = first.checked_add(usize::from(value_off))?;
                return Some(Reader::at(self.raw, at).take_up_to(value_len));
            }
            reader.seek(reader.off().next_multiple_of(4));
        }
        None
    }

    /// Returns the pieces of its data, in order.
    pub(super) fn extents(&self, block_len: u64, files: &mut Files<'_, '_>) -> Vec<Extent> {
        let mut map = Map { block_len, files, extents: Vec::new(), done: 0, len: self.len };
        if self.flags & EXTENTS != 0 {
            map.node(self.block(), EXTENT_DEPTH_MAX);
        } else {
            let mut pointers = Reader::new(self.block());
            for idx in 0..15u32 {
                let pointer = pointers.u32_le().unwrap_or(0);
                map.pointer(pointer, idx.saturating_sub(11));
            }
        }
        let rest = self.len.saturating_sub(map.done);
        map.extents.push(Extent::hole(rest));
        map.extents
    }
}

struct Map<'f, 'a, 's> {
    block_len: u64,
    files: &'f mut Files<'a, 's>,
    extents: Vec<Extent>,
    /// Bytes that the extents cover.
    done: u64,
    /// Bytes of the file.
    len: u64,
}

impl<'a> Map<'_, 'a, '_> {
    fn push(&mut self, off: Option<u64>, len: u64) {
        let len = len.min(self.len.saturating_sub(self.done));
        self.done = self.done.saturating_add(len);
        if let (Some(last), Some(off)) = (self.extents.last_mut(), off)
            && last.off.and_then(|start| start.checked_add(last.len)) == Some(off)
        {
            last.len = last.len.saturating_add(len);
        } else if self.extents.len() < EXTENTS_MAX && len > 0 {
            self.extents.push(Extent { off, len });
        }
    }

    fn block(&mut self, number: u64) -> &'a [u8] {
        if !self.files.may_read(self.block_len) {
            return &[];
        }
        let off = size(number.saturating_mul(self.block_len));
        Reader::at(self.files.object, off).take_up_to(size(self.block_len))
    }

    /// A node of the tree of extents.
    fn node(&mut self, node: &[u8], levels: u16) {
        let mut reader = Reader::new(node);
        let header = (reader.u16_le(), reader.u16_le(), reader.skip(2), reader.u16_le());
        let (Ok(0xf30a), Ok(count), Ok(()), Ok(depth)) = header else {
            self.files.defect(0, "extent header");
            return;
        };
        if reader.skip(4).is_err() || depth > levels {
            self.files.defect(0, "eh_depth");
            return;
        }
        for _ in 0..count {
            let entry = (reader.u32_le(), reader.u32_le(), reader.u32_le());
            let (Ok(first), Ok(second), Ok(third)) = entry else { return };
            let logical = u64::from(first).saturating_mul(self.block_len);
            if logical >= self.len {
                continue;
            }
            if depth > 0 {
                let Some(below) = levels.checked_sub(1) else { return };
                let block = self.block(u64::from(third & 0xffff) << 32 | u64::from(second));
                self.node(block, below);
                continue;
            }
            if logical > self.done {
                self.push(None, logical.saturating_sub(self.done));
            }
            let [a, b, c, d] = second.to_le_bytes();
            let (count, high) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
            let start = u64::from(high) << 32 | u64::from(third);
            // Longer ones are reserved and not written.
            let written = count <= 32_768;
            let count = if written { count } else { count.saturating_sub(32_768) };
            let off = written.then_some(start.saturating_mul(self.block_len));
            self.push(off, u64::from(count).saturating_mul(self.block_len));
        }
    }

    /// A pointer to a block of data, or through so many blocks of pointers.
    fn pointer(&mut self, number: u32, levels: u32) {
        if self.done >= self.len {
            return;
        }
        let each = (self.block_len / 4).checked_pow(levels).unwrap_or(u64::MAX);
        if number == 0 {
            self.push(None, each.saturating_mul(self.block_len));
        } else if let Some(below) = levels.checked_sub(1) {
            let end = self.done.saturating_add(each.saturating_mul(self.block_len));
            let mut pointers = Reader::new(self.block(u64::from(number)));
            while let Ok(pointer) = pointers.u32_le() {
                if self.done >= self.len {
                    return;
                }
                self.pointer(pointer, below);
            }
            // Of a block that is not there all is a hole.
            self.push(None, end.saturating_sub(self.done));
        } else {
            self.push(Some(u64::from(number).saturating_mul(self.block_len)), self.block_len);
        }
    }
}
