//! ZOO archives.
//!
//! Yields: one child per file, also of files marked as deleted: stored, LZW, LZH; comments.
//! Leaves out: other methods, which are reported.
//! Limits: through `Sink`; 2^20 entries.
//! Hostile input: entries are found by their tag, in the order of the chain and then wherever a tag stands;
//! wrong checksums are defects; what was unpacked before an error is a child.
//! Sources: the header description of ZOO 2.1 (Rahul Dhesi), in the public domain.

use std::collections::BTreeSet;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::arc::unzoo;
use crate::codec::crc16::crc16;
use crate::codec::lzh::{Lzh, unlzh};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "zoo",
    types: &[FileType::Zoo],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`DC A7 C4 FD` at offset 20",
        yields: "one child per file (also deleted ones) and comment: stored, LZW, LZH",
        leaves_out: "other methods (reported)",
        limits: "2^20 entries",
        sources: "ZOO 2.1 header description",
    },
};

const TAG: [u8; 4] = [0xdc, 0xa7, 0xc4, 0xfd];
/// Ours.
const ENTRIES_MAX: usize = 1 << 20;

/// What was opened: where it starts, and how much more may be, as members can share their data.
struct Opened {
    offs: BTreeSet<usize>,
    left: usize,
}

struct Entry {
    method: u8,
    next: usize,
    data_off: usize,
    crc: u16,
    unpacked_len: u64,
    packed_len: u64,
    comment_off: usize,
    comment_len: usize,
    name: Vec<u8>,
}

impl Entry {
    fn read(object: &[u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        if reader.take(4).ok()? != TAG {
            return None;
        }
        let kind = reader.u8().ok()?;
        let method = reader.u8().ok()?;
        let next = size(u64::from(reader.u32_le().ok()?));
        let data_off = size(u64::from(reader.u32_le().ok()?));
        reader.skip(4).ok()?;
        let crc = reader.u16_le().ok()?;
        let unpacked_len = u64::from(reader.u32_le().ok()?);
        let packed_len = u64::from(reader.u32_le().ok()?);
        reader.skip(4).ok()?;
        let comment_off = size(u64::from(reader.u32_le().ok()?));
        let comment_len = usize::from(reader.u16_le().ok()?);
        let short = reader.take(13).ok()?;
        let mut name = short.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        if kind == 2 && reader.skip(5).is_ok() {
            let name_len = usize::from(reader.u8().unwrap_or(0));
            let folder_len = usize::from(reader.u8().unwrap_or(0));
            let trim = |text: &[u8]| text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
            let long = trim(reader.take_up_to(name_len)).unwrap_or_default();
            let folder = trim(reader.take_up_to(folder_len)).unwrap_or_default();
            if !long.is_empty() {
                name = long;
            }
            if !folder.is_empty() {
                name = [folder.as_slice(), b"/", &name].concat();
            }
        }
        Some(Self {
            method,
            next,
            data_off,
            crc,
            unpacked_len,
            packed_len,
            comment_off,
            comment_len,
            name,
        })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut seen = BTreeSet::new();
    let mut opened = Opened { offs: BTreeSet::new(), left: object.len().saturating_mul(2) };
    let mut position = 0u32;
    let mut off = size(u64::from(Reader::at(object, 24).u32_le().unwrap_or(0)));
    while seen.len() < ENTRIES_MAX && !seen.contains(&off) {
        let Some(entry) = Entry::read(object, off) else {
            sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "directory entry"));
            break;
        };
        seen.insert(off);
        if entry.next == 0 {
            break;
        }
        position = position.saturating_add(1);
        open(object, off, &entry, position, &mut opened, sink)?;
        off = entry.next;
    }
    // The tag in the archive's own header is no entry.
    for off in memmem::find_iter(object, &TAG).filter(|off| *off != 20) {
        if seen.len() >= ENTRIES_MAX {
            sink.unscanned(b"", Reason::FormatLimit("entries".into()));
            break;
        }
        let Some(entry) = Entry::read(object, off).filter(|_| seen.insert(off)) else { continue };
        let fresh = !opened.offs.contains(&entry.data_off);
        if entry.next != 0 && entry.data_off < object.len() && fresh {
            position = position.saturating_add(1);
            open(object, off, &entry, position, &mut opened, sink)?;
        }
    }
    Ok(())
}

fn open(
    object: &[u8],
    off: usize,
    entry: &Entry,
    position: u32,
    opened: &mut Opened,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let name = entry.name.as_slice();
    sink.poll()?;
    sink.member(&Member {
        name,
        packed_len: entry.packed_len,
        unpacked_len: entry.unpacked_len,
        position,
        ..Member::default()
    })?;
    if entry.comment_len > 0 && entry.comment_off > 0 && opened.offs.insert(entry.comment_off) {
        let data = Reader::at(object, entry.comment_off).take_up_to(entry.comment_len);
        opened.left = opened.left.saturating_sub(data.len());
        sink.child(Child { name, data, role: ChildRole::Member })?;
    }
    // Data that several entries share is unpacked once.
    if !opened.offs.insert(entry.data_off) {
        return Ok(());
    }
    let data = Reader::at(object, entry.data_off).take_up_to(size(entry.packed_len));
    let Some(left) = opened.left.checked_sub(data.len()) else {
        sink.unscanned(name, Reason::FormatLimit("overlapping members".into()));
        return Ok(());
    };
    opened.left = left;
    let unpacked = match entry.method {
        0 => {
            let kept = data.get(..size(sink.child_cap())).unwrap_or(data);
            let ended = if kept.len() < data.len() {
                Ended::Capped
            } else if data.len() < size(entry.packed_len) {
                Ended::Truncated
            } else {
                Ended::Whole
            };
            Unpacked { bytes: kept.to_vec(), ended }
        }
        1 => unzoo(data, entry.unpacked_len, sink)?,
        2 => unlzh(data, Lzh::ZOO, entry.unpacked_len, sink)?,
        method => {
            sink.unscanned(name, Reason::UnknownMethod(method.to_string().into()));
            return Ok(());
        }
    };
    if unpacked.ended == Ended::Whole && crc16(&unpacked.bytes) != entry.crc {
        sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "CRC-16 of a member"));
    }
    if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole {
        return Ok(());
    }
    hand_over(&unpacked, name, ChildRole::Member, sink)
}
