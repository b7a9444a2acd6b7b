//! Files that the file system compresses: the attribute `com.apple.decmpfs`, and the resource fork it may use.

use hf_core::{Reason, Stop};

use crate::bounded::{Ended, unpack_into};
use crate::codec::{Inflate, lzfse, lzvn};
use crate::disks::files::Files;
use crate::reader::{Reader, size};

/// Returns how long the file is unpacked.
pub(super) fn unpacked_len(attribute: &[u8]) -> Option<u64> {
    Reader::at(attribute, 8).u64_le().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Raw,
    Zlib,
    Lzvn,
    Lzfse,
}

const BLOCK_LEN: usize = 64 * 1024;

/// Unpacks a file and hands it over; false when its resource fork is something else.
///
/// # Errors
/// The scan ends here.
pub(super) fn unpack(
    name: &[u8],
    attribute: &[u8],
    fork: &[u8],
    files: &mut Files<'_, '_>,
) -> Result<bool, Stop> {
    let (Ok(kind), Some(len)) = (Reader::at(attribute, 4).u32_le(), unpacked_len(attribute)) else {
        files.sink.unscanned(name, Reason::Damaged("decmpfs".into()));
        return Ok(false);
    };
    let (method, in_fork) = match kind {
        1 | 9 => (Method::Raw, false),
        3 => (Method::Zlib, false),
        4 => (Method::Zlib, true),
        7 => (Method::Lzvn, false),
        8 => (Method::Lzvn, true),
        10 => (Method::Raw, true),
        11 => (Method::Lzfse, false),
        12 => (Method::Lzfse, true),
        other => {
            files.sink.unscanned(name, Reason::UnknownMethod(format!("decmpfs {other}").into()));
            return Ok(false);
        }
    };
    let blocks = if !in_fork {
        vec![attribute.get(16..).unwrap_or_default()]
    } else if method == Method::Zlib {
        resource_blocks(fork)
    } else {
        table_blocks(fork)
    };
    let mut data = Vec::new();
    let mut missing = blocks.is_empty().then_some(Reason::Damaged("decmpfs blocks".into()));
    for block in blocks {
        files.sink.poll()?;
        if !files.may_give(u64::try_from(block.len()).unwrap_or(u64::MAX)) {
            break;
        }
        let room = files.sink.child_cap().min(len);
        let room = size(room).saturating_sub(data.len());
        // A block inside the attribute is the whole file.
        let room = if in_fork { room.min(BLOCK_LEN) } else { room };
        let ended = one(method, block, room, &mut data, files)?;
        if let Some(reason) = ended.reason(files.sink) {
            missing = Some(reason);
        }
    }
    let had = u64::try_from(data.len()).unwrap_or(u64::MAX);
    if had < len && missing.is_none() {
        let capped = had >= files.sink.child_cap();
        missing = Some(if capped { files.sink.cap_reason() } else { Reason::Truncated });
    }
    if let Some(reason) = missing {
        files.sink.unscanned(name, reason);
    }
    if data.is_empty() {
        return Ok(false);
    }
    files.child(name, &data)?;
    Ok(in_fork)
}

/// Unpacks one block; the first byte may say that it is stored.
fn one(
    method: Method,
    block: &[u8],
    room: usize,
    data: &mut Vec<u8>,
    files: &mut Files<'_, '_>,
) -> Result<Ended, Stop> {
    let before = data.len();
    let stored = |data: &mut Vec<u8>, raw: &[u8]| {
        data.extend_from_slice(raw.get(..room).unwrap_or(raw));
        Ended::Whole
    };
    let ended = match (method, block) {
        (Method::Raw, raw) => stored(data, raw),
        (Method::Zlib, [mark, raw @ ..]) if mark & 0x0f == 0x0f => stored(data, raw),
        (Method::Lzvn, [0x06, raw @ ..]) => stored(data, raw),
        (Method::Lzfse, [0xff, raw @ ..]) => stored(data, raw),
        (Method::Zlib, raw) => {
            let limit = u64::try_from(room).unwrap_or(u64::MAX);
            unpack_into(std::io::Read::take(Inflate::zlib(raw), limit), data, files.sink)?
        }
        (Method::Lzvn, raw) => lzvn(raw, room, data),
        (Method::Lzfse, raw) => lzfse(raw, room, data),
    };
    data.truncate(before.saturating_add(room));
    Ok(ended)
}

/// The blocks of a zlib fork: a resource whose data starts with a table of offsets and lengths.
fn resource_blocks(fork: &[u8]) -> Vec<&[u8]> {
    let start = Reader::new(fork).u32_be().map_or(256, |off| size(off.into())).saturating_add(4);
    let Some(data) = fork.get(start..) else { return Vec::new() };
    let mut table = Reader::new(data);
    let count = table.u32_le().unwrap_or(0);
    let mut blocks = Vec::new();
    for _ in 0..count {
        let (Ok(off), Ok(len)) = (table.u32_le(), table.u32_le()) else { break };
        let rest = data.get(size(off.into())..).unwrap_or_default();
        blocks.push(rest.get(..size(len.into()).min(2 * BLOCK_LEN)).unwrap_or(rest));
    }
    blocks
}

/// The blocks of other forks: a table of offsets, of which the first says where it ends.
fn table_blocks(fork: &[u8]) -> Vec<&[u8]> {
    let mut table = Reader::new(fork);
    let Ok(first) = table.u32_le() else { return Vec::new() };
    let mut start = size(first.into());
    let mut blocks = Vec::new();
    while table.off() < size(first.into()) {
        let Ok(end) = table.u32_le() else { break };
        let end = size(end.into()).min(fork.len());
        blocks.push(fork.get(start..end).unwrap_or_default());
        start = end;
    }
    blocks
}
