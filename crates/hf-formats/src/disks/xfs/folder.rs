//! Folders of XFS: in the inode, and in blocks of entries.
//!
//! Sources: "XFS Algorithms & Data Structures", chapter "Directories".

use crate::reader::Reader;

/// An entry: the inode that it names, and the name.
type Entry = (u64, Vec<u8>);

/// Reads a folder that stands in its inode. Numbers have four bytes, or eight when one needs them.
pub(super) fn short(fork: &[u8], has_kinds: bool) -> Vec<Entry> {
    let mut reader = Reader::new(fork);
    let (Ok(count), Ok(wide)) = (reader.u8(), reader.u8()) else { return Vec::new() };
    let number = |reader: &mut Reader<'_>| {
        if wide > 0 { reader.u64_be() } else { reader.u32_be().map(u64::from) }
    };
    let count = count.max(wide);
    let mut entries = Vec::new();
    if number(&mut reader).is_err() {
        return entries;
    }
    for _ in 0..count {
        let Ok(len) = reader.u8() else { break };
        if reader.skip(2).is_err() {
            break;
        }
        let name = reader.take_up_to(usize::from(len));
        if has_kinds && reader.skip(1).is_err() {
            break;
        }
        let Ok(to) = number(&mut reader) else { break };
        entries.push((to, name.to_vec()));
    }
    entries
}

/// Reads a block of entries, whether it is the only one of its folder or one of many.
pub(super) fn block(block: &[u8], is_5: bool, has_kinds: bool) -> Vec<Entry> {
    let mut entries = Vec::new();
    let alone = match block.get(..4) {
        Some(b"XD2B" | b"XDB3") => true,
        Some(b"XD2D" | b"XDD3") => false,
        _ => return entries,
    };
    let mut end = block.len();
    if alone {
        // At the end: an index of eight bytes each, its length, and how many of it are stale.
        let count_off = block.len().saturating_sub(8);
        let count = Reader::at(block, count_off).u32_be().unwrap_or(0);
        let index_len = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(8);
        end = count_off.saturating_sub(index_len);
    }
    let mut at = if is_5 { 64 } else { 16 };
    while at < end {
        let mut reader = Reader::at(block, at);
        if block.get(at..at.saturating_add(2)) == Some(&[0xff, 0xff]) {
            let len = Reader::at(block, at.saturating_add(2)).u16_be().unwrap_or(0);
            at = at.saturating_add(usize::from(len.max(8)));
            continue;
        }
        let (Ok(to), Ok(len)) = (reader.u64_be(), reader.u8()) else { break };
        let name = reader.take_up_to(usize::from(len));
        let tail = if has_kinds { 3 } else { 2 };
        at = reader.off().saturating_add(tail).checked_next_multiple_of(8).unwrap_or(usize::MAX);
        if name != b"." && name != b".." && !name.is_empty() {
            entries.push((to, name.to_vec()));
        }
    }
    entries
}
