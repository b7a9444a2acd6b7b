//! Packed files of EROFS: clusters of the file as they are told by its index, and what they unpack to.
//!
//! Each logical cluster (usually 4 KiB of the file) has an entry: a head of packed data with the offset within the
//! cluster at which it starts and the block that holds it, or no head, when what began before goes on. Entries are
//! eight bytes, or packed in groups of two or sixteen with one block for each group.

use hf_core::{Reason, Sink, Stop};

use super::{Inode, Volume};
use crate::codec::lz4_block;
use crate::reader::{Reader, size};

/// A cluster's entry.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// Data begins here: offset within the cluster, block, whether it is stored as it is.
    Head { off: u64, block: u32, plain: bool },
    /// Goes on; with the number of packed blocks where that is told.
    Tail { blocks: Option<u32> },
}

/// How a file's clusters are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map<'a> {
    object: &'a [u8],
    volume: Volume,
    inode: Inode,
    /// Of the entries.
    index_off: usize,
    advise: u16,
    methods: u8,
    cluster_bits: u32,
    count: u64,
}

const TYPE_PLAIN: u32 = 0;
const TYPE_TAIL: u32 = 2;
/// Set in a tail's distance: it is a number of blocks.
const BLOCKS_FLAG: u32 = 0x800;
const ADVISE_TWO_BYTES: u16 = 1;
const ADVISE_BIG: u16 = 0x6;
const ADVISE_INLINE: u16 = 8;
const ADVISE_FRAGMENT: u16 = 0x20;
/// Packed blocks of one head: 1 MiB.
const PACKED_LEN_MAX: u64 = 1 << 20;

impl<'a> Map<'a> {
    pub(super) fn new(object: &'a [u8], volume: Volume, inode: Inode) -> Self {
        let header_off = inode.end_off.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        let mut header = Reader::at(object, header_off.saturating_add(4));
        let advise = header.u16_le().unwrap_or(0);
        let methods = header.u8().unwrap_or(0xff);
        let bits = header.u8().unwrap_or(0);
        let cluster_bits = volume.block_bits.saturating_add(u32::from(bits & 7)).min(24);
        let legacy = if inode.layout == 1 { 16 } else { 8 };
        Self {
            object,
            volume,
            inode,
            index_off: header_off.saturating_add(legacy),
            advise,
            methods,
            cluster_bits,
            count: inode.len.div_ceil(1 << cluster_bits),
        }
    }

    /// Unpacks the file; also says what is missing.
    pub(super) fn unpack(
        &self,
        cap: u64,
        sink: &mut dyn Sink,
    ) -> Result<(Vec<u8>, Option<Reason>), Stop> {
        let mut bytes = Vec::new();
        let method = self.methods & 15;
        if method != 0 {
            return Ok((bytes, Some(Reason::UnknownMethod(format!("EROFS {method}").into()))));
        }
        let mut missing = None;
        let len = self.inode.len.min(cap);
        if len < self.inode.len {
            missing = Some(sink.cap_reason());
        }
        // Heads with where they start in the file, how many blocks they have, and where the next begins.
        let mut head: Option<(u64, u32, bool, u32)> = None;
        for idx in 0..self.count {
            sink.poll()?;
            let Some(entry) = self.entry(idx) else {
                missing.get_or_insert(Reason::Truncated);
                break;
            };
            match entry {
                Entry::Tail { blocks } => {
                    if let (Some(head), Some(blocks)) = (&mut head, blocks) {
                        head.3 = blocks.max(head.3);
                    }
                }
                Entry::Head { off, block, plain } => {
                    let start = (idx << self.cluster_bits).saturating_add(off);
                    if let Some(head) = head {
                        missing = missing.or(self.one(head, start.min(len), &mut bytes));
                    }
                    head = Some((start, block, plain, 1));
                    if start >= len {
                        break;
                    }
                }
            }
        }
        if let Some(last) = head.filter(|head| head.0 < len) {
            let in_tail = self.advise & (ADVISE_INLINE | ADVISE_FRAGMENT) != 0;
            let end = if in_tail { last.0 } else { len };
            missing = missing.or(self.one(last, end, &mut bytes));
            if in_tail {
                missing.get_or_insert(Reason::UnknownMethod("EROFS tail of a file".into()));
            }
        }
        Ok((bytes, missing))
    }

    /// Unpacks from a head to an end in the file; says what is wrong.
    fn one(&self, head: (u64, u32, bool, u32), end: u64, bytes: &mut Vec<u8>) -> Option<Reason> {
        let (start, block, plain, blocks) = head;
        let wanted = size(end.saturating_sub(start));
        bytes.resize(size(start), 0);
        let packed_len = (u64::from(blocks) << self.volume.block_bits).min(PACKED_LEN_MAX);
        let rest = self.object.get(size(self.volume.off(block))..).unwrap_or_default();
        let packed = rest.get(..size(packed_len)).unwrap_or(rest);
        if plain {
            // Stored data wraps at the offset within the cluster at which it starts.
            bytes.extend_from_slice(packed.get(..wanted).unwrap_or(packed));
        } else {
            // What does not fill its blocks stands at their end.
            let padding = packed.iter().take_while(|byte| **byte == 0).count();
            let packed = packed.get(padding..).unwrap_or_default();
            let _ = lz4_block(packed, bytes, wanted);
        }
        let made = bytes.len().saturating_sub(size(start));
        (made < wanted).then(|| Reason::Damaged("EROFS cluster".into()))
    }

    fn entry(&self, idx: u64) -> Option<Entry> {
        if self.inode.layout == 1 { self.whole_entry(idx) } else { self.compact_entry(idx) }
    }

    fn whole_entry(&self, idx: u64) -> Option<Entry> {
        let at = self.index_off.checked_add(size(idx.checked_mul(8)?))?;
        let mut fields = Reader::at(self.object, at);
        let kind = u32::from(fields.u16_le().ok()?) & 3;
        let off = u64::from(fields.u16_le().ok()?);
        if kind == TYPE_TAIL {
            let distance = u32::from(fields.u16_le().ok()?);
            let blocks = (distance & BLOCKS_FLAG != 0).then_some(distance & !BLOCKS_FLAG);
            return Some(Entry::Tail { blocks });
        }
        let block = fields.u32_le().ok()?;
        Some(Entry::Head { off, block, plain: kind == TYPE_PLAIN })
    }

    /// Returns where the group of an entry is, how many bytes an entry has in it, and the entry's number in it.
    fn group(&self, idx: u64) -> Option<(usize, usize, usize)> {
        let base = u64::try_from(self.index_off).ok()?;
        // Entries of four bytes up to a multiple of 32, then of two, sixteen at a time, then of four again.
        let first = ((32 - base % 32) / 4) & 7;
        let twos = if self.advise & ADVISE_TWO_BYTES != 0 && first < self.count {
            self.count.saturating_sub(first) / 16 * 16
        } else {
            0
        };
        let (start, within, width) = if idx < first {
            (base, idx, 4u64)
        } else if idx < first.saturating_add(twos) {
            (base.checked_add(first.checked_mul(4)?)?, idx.checked_sub(first)?, 2)
        } else {
            let start =
                base.checked_add(first.checked_mul(4)?)?.checked_add(twos.checked_mul(2)?)?;
            (start, idx.checked_sub(first)?.checked_sub(twos)?, 4)
        };
        let place = start.checked_add(within.checked_mul(width)?)?;
        let group_len = if width == 4 { 8 } else { 32 };
        let group = place / group_len * group_len;
        let nth = place.checked_sub(group)?.checked_div(width)?;
        Some((size(group), size(width), size(nth)))
    }

    fn compact_entry(&self, idx: u64) -> Option<Entry> {
        let (group, width, nth) = self.group(idx)?;
        let in_group = if width == 4 { 2usize } else { 16 };
        let group_len = width.checked_mul(in_group)?;
        let bits = group_len.checked_sub(4)?.checked_mul(8)?.checked_div(in_group)?;
        let field = |nth: usize| -> Option<(u32, u32)> {
            let bit = bits.checked_mul(nth)?;
            let word = Reader::at(self.object, group.checked_add(bit / 8)?).u32_le().ok()?;
            let value = word >> (bit % 8);
            let low = value & ((1u32 << self.cluster_bits).wrapping_sub(1));
            Some((value.checked_shr(self.cluster_bits)? & 3, low))
        };
        let (kind, low) = field(nth)?;
        if kind == TYPE_TAIL {
            let blocks = (low & BLOCKS_FLAG != 0).then_some(low & !BLOCKS_FLAG);
            return Some(Entry::Tail { blocks });
        }
        let base_off = group.checked_add(group_len)?.checked_sub(4)?;
        let base = Reader::at(self.object, base_off).u32_le().ok()?;
        let block = base.checked_add(self.blocks_before(nth, field)?)?;
        Some(Entry::Head { off: u64::from(low), block, plain: kind == TYPE_PLAIN })
    }

    /// Returns how many packed blocks of a group stand before that of an entry.
    fn blocks_before(
        &self,
        nth: usize,
        field: impl Fn(usize) -> Option<(u32, u32)>,
    ) -> Option<u32> {
        let is_big = self.advise & ADVISE_BIG != 0;
        let mut blocks = u32::from(!is_big);
        let mut at = nth;
        while at > 0 {
            at = at.checked_sub(1)?;
            let (kind, low) = field(at)?;
            if kind != TYPE_TAIL {
                blocks = blocks.checked_add(1)?;
            } else if is_big && low & BLOCKS_FLAG != 0 {
                // The entry before it is the head of so many.
                blocks = blocks.checked_add(low & !BLOCKS_FLAG)?;
                at = at.saturating_sub(1);
            } else {
                let back = size(u64::from(low));
                let head = at.checked_sub(if is_big { back.saturating_sub(2) } else { back });
                match head {
                    Some(head) if is_big => at = head,
                    Some(head) => {
                        at = head;
                        blocks = blocks.checked_add(1)?;
                    }
                    None => at = 0,
                }
            }
        }
        Some(blocks)
    }
}
