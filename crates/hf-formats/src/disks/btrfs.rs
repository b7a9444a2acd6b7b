//! Btrfs on one device.
//!
//! Yields: one child per file with data of each subvolume and snapshot, put together from its extents, named by its
//! path within the subvolume.
//! Leaves out: other devices of the same file system (reported); attributes; links; which of two generations of a
//! node is in use: the newest of each place counts.
//! Limits: those of [`super::pieces`]; an extent unpacks to at most 128 KiB, as the file system has it.
//! Hostile input: nodes are looked for at every 4096th byte by the file system's number, so no tree is believed.
//! Sources: Btrfs documentation, "On-disk format".

use std::collections::BTreeMap;
use std::io::Read;

use hf_core::{FileType, Halt, Reason, Sink};

use super::files::Files;
use super::pieces::{Piece, Pieces};
use crate::codec::{Inflate, ZstdFrame, lzo1x};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "btrfs",
    types: &[FileType::Btrfs],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`_BHRfS_M` at 65600",
        yields: "one child per file with data, of each subvolume",
        leaves_out: "other devices (reported), attributes, links",
        limits: "2^20 extents and names; 128 KiB per packed extent",
        sources: "Btrfs on-disk format",
    },
};

const SUPER_OFF: usize = 0x1_0000;
const NODE_STEP: usize = 4096;
const HEADER_LEN: usize = 101;
const ITEM_LEN: usize = 25;
/// A packed extent is at most so long when unpacked.
const PACKED_LEN_MAX: u64 = 128 << 10;

/// Where chunks of the logical space lie: start, length, place on this device.
type Chunks = BTreeMap<u64, (u64, u64)>;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, SUPER_OFF + 32);
    let id = fields.take(16)?;
    let devices = Reader::at(object, SUPER_OFF + 136).u64_le()?;
    let device = Reader::at(object, SUPER_OFF + 201).u64_le()?;
    if devices > 1 {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    let mut chunks = Chunks::new();
    let mut leaves = Vec::new();
    for at in (0..object.len()).step_by(NODE_STEP) {
        if at & 0xff_ffff == 0 {
            sink.poll()?;
        }
        let Some(header) = object.get(at..).and_then(|rest| rest.get(..HEADER_LEN)) else { break };
        let is_leaf = header.get(32..48) == Some(id) && header.get(100) == Some(&0);
        // The superblocks have the number in the same place.
        if is_leaf && header.get(64..72) != Some(b"_BHRfS_M") {
            leaves.push(at);
        }
    }
    let mut budget = object.len();
    let mut all = true;
    for at in &leaves {
        sink.poll()?;
        all &= items(object, *at, &mut budget, |key, data| chunk(key, data, device, &mut chunks));
    }
    let mut pieces = Pieces::default();
    let mut budget = object.len();
    for at in leaves {
        sink.poll()?;
        let header = Reader::at(object, at.saturating_add(80));
        let (version, tree) = two(header);
        all &= items(object, at, &mut budget, |key, data| {
            let node = Node { tree, version };
            node.item(object, key, data, &chunks, &mut pieces);
        });
    }
    let mut files = Files::new(object, sink);
    if !all {
        files.tell_limit("items of nodes");
    }
    pieces.give(&mut files, unpack)?;
    Ok(())
}

fn two(mut reader: Reader<'_>) -> (u64, u64) {
    (reader.u64_le().unwrap_or(0), reader.u64_le().unwrap_or(0))
}

/// Number of an object, kind of an item, and what the kind makes of the third.
type Key = (u64, u8, u64);

/// Calls for each item of a leaf; items are at most as many as the image has bytes for them: false when there were
/// more.
fn items<'a>(
    object: &'a [u8],
    at: usize,
    budget: &mut usize,
    mut each: impl FnMut(Key, &'a [u8]),
) -> bool {
    let count = Reader::at(object, at.saturating_add(96)).u32_le().unwrap_or(0);
    let data_start = at.saturating_add(HEADER_LEN);
    let mut heads = Reader::at(object, data_start);
    for _ in 0..count {
        let Some(left) = budget.checked_sub(ITEM_LEN) else { return false };
        *budget = left;
        let key = (heads.u64_le(), heads.u8(), heads.u64_le());
        let place = (heads.u32_le(), heads.u32_le());
        let ((Ok(number), Ok(kind), Ok(third)), (Ok(off), Ok(len))) = (key, place) else {
            return true;
        };
        let mut data = Reader::at(object, data_start.saturating_add(size(off.into())));
        if let Ok(data) = data.take(size(len.into())) {
            each((number, kind, third), data);
        }
    }
    true
}

/// Notes where a chunk lies on this device, by its first stripe there.
fn chunk(key: Key, data: &[u8], device: u64, chunks: &mut Chunks) {
    const CHUNK_ITEM: u8 = 228;
    if key.1 != CHUNK_ITEM {
        return;
    }
    let Ok(len) = Reader::at(data, 0).u64_le() else { return };
    let count = Reader::at(data, 44).u16_le().unwrap_or(0);
    let mut stripes = Reader::at(data, 48);
    for _ in 0..count {
        let (Ok(on), Ok(off), Ok(_)) = (stripes.u64_le(), stripes.u64_le(), stripes.take(16))
        else {
            return;
        };
        if on == device {
            chunks.insert(key.2, (len, off));
            return;
        }
    }
}

/// Returns where a range of the logical space lies.
fn physical<'a>(object: &'a [u8], chunks: &Chunks, logical: u64, len: u64) -> Option<&'a [u8]> {
    let (start, (chunk_len, off)) = chunks.range(..=logical).next_back()?;
    let within = logical.checked_sub(*start)?;
    let left = chunk_len.checked_sub(within)?;
    let rest = object.get(size(off.checked_add(within)?)..)?;
    let len = size(len.min(left));
    Some(rest.get(..len).unwrap_or(rest))
}

/// What a leaf says of all of its items.
#[derive(Debug, Clone, Copy)]
struct Node {
    tree: u64,
    version: u64,
}

impl Node {
    fn item<'a>(
        self,
        object: &'a [u8],
        key: Key,
        data: &'a [u8],
        chunks: &Chunks,
        pieces: &mut Pieces<'a>,
    ) {
        let Self { tree, version } = self;
        let (number, kind, third) = key;
        match kind {
            1 => {
                if let Ok(len) = Reader::at(data, 16).u64_le() {
                    pieces.length((tree, number), version, len);
                }
            }
            12 => {
                let mut fields = Reader::at(data, 8);
                let name_len = fields.u16_le().unwrap_or(0);
                let name = fields.take_up_to(usize::from(name_len));
                pieces.name((tree, number), version, third, name);
            }
            108 => {
                if let Some(piece) = extent(object, data, chunks, version) {
                    pieces.add((tree, number), third, piece);
                }
            }
            _ => {}
        }
    }
}

fn extent<'a>(
    object: &'a [u8],
    data: &'a [u8],
    chunks: &Chunks,
    version: u64,
) -> Option<Piece<'a>> {
    let mut fields = Reader::at(data, 8);
    let unpacked_len = fields.u64_le().ok()?;
    let method = fields.u8().ok()?;
    fields.skip(3).ok()?;
    let kind = fields.u8().ok()?;
    if kind == 0 {
        let len = if method == 0 { unpacked_len } else { unpacked_len.min(PACKED_LEN_MAX) };
        return Some(Piece { version, stored: fields.rest(), method, len, skip: 0 });
    }
    let (start, stored_len) = two(fields);
    fields.skip(16).ok()?;
    let (skip, len) = two(fields);
    if kind != 1 || start == 0 {
        return None;
    }
    if method == 0 {
        let stored = physical(object, chunks, start.checked_add(skip)?, len)?;
        return Some(Piece { version, stored, method, len, skip: 0 });
    }
    let stored = physical(object, chunks, start, stored_len)?;
    let len = skip.saturating_add(len).min(unpacked_len).min(PACKED_LEN_MAX);
    Some(Piece { version, stored, method, len, skip })
}

fn unpack(piece: &Piece<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let damaged = |_| Reason::Damaged("Btrfs extent".into());
    match piece.method {
        1 => {
            let stream = Inflate::zlib(piece.stored);
            stream.take(piece.len).read_to_end(out).map_err(damaged)?;
        }
        2 => segments(piece, out).ok_or_else(|| Reason::Damaged("Btrfs extent".into()))?,
        3 => {
            let stream = ZstdFrame::new(piece.stored).map_err(damaged)?;
            stream.take(piece.len).read_to_end(out).map_err(damaged)?;
        }
        method => return Err(Reason::UnknownMethod(format!("Btrfs {method}").into())),
    }
    Ok(())
}

/// LZO: a length, then segments with their lengths, of which none's length crosses a page of 4096 bytes.
fn segments(piece: &Piece<'_>, out: &mut Vec<u8>) -> Option<()> {
    const PAGE_LEN: usize = 4096;
    let mut reader = Reader::new(piece.stored);
    let end = size(u64::from(reader.u32_le().ok()?)).min(piece.stored.len());
    while reader.off() < end && out.len() < size(piece.len) {
        let left = PAGE_LEN.saturating_sub(reader.off() % PAGE_LEN);
        if left < 4 {
            reader.skip(left).ok()?;
        }
        let len = size(u64::from(reader.u32_le().ok()?));
        let packed = reader.take(len).ok()?;
        lzo1x(packed, out, PAGE_LEN).ok()?;
    }
    Some(())
}
