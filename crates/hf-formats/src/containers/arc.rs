//! ARC archives (and PAK's, as far as they use its methods).
//!
//! Yields: one child per file of methods 1 to 9: stored, runs, squeezed, crunched, squashed.
//! Leaves out: other methods, which are reported; what is behind the end marker.
//! Limits: through `Sink`.
//! Hostile input: wrong checksums are defects; behind damage the next plausible header is looked for; what
//! was unpacked before an error is a child.
//! Sources: the documentation of ARC 5 and 6 (System Enhancement Associates).

use hf_core::{ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::Uncompress;
use crate::codec::Unpacker;
use crate::codec::arc::{Hash, uncrunch_old, unpack_runs, unpack_runs_of, unsqueeze};
use crate::codec::crc16::crc16;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "arc",
    types: &[FileType::Arc],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`1A` and a plausible header at the start",
        yields: "one child per file of methods 1 to 9",
        leaves_out: "other methods (reported)",
        limits: "none of its own",
        sources: "ARC documentation",
    },
};

const MARK: u8 = 0x1a;

struct Header<'a> {
    method: u8,
    name: &'a [u8],
    packed_len: u64,
    unpacked_len: u64,
    crc: u16,
    end: usize,
}

impl<'a> Header<'a> {
    /// Reads a header that can be one; none inside is the end.
    fn read(object: &'a [u8], off: usize) -> Option<Option<Self>> {
        let mut reader = Reader::at(object, off);
        if reader.u8().ok()? != MARK {
            return None;
        }
        let method = reader.u8().ok()?;
        if method == 0 {
            return Some(None);
        }
        let name = reader.take(13).ok()?;
        let name_len = name.iter().position(|byte| *byte == 0)?;
        let name = name.get(..name_len)?;
        if name.is_empty() || !name.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..)) {
            return None;
        }
        let packed_len = u64::from(reader.u32_le().ok()?);
        reader.skip(4).ok()?;
        let crc = reader.u16_le().ok()?;
        let unpacked_len = if method == 1 { packed_len } else { u64::from(reader.u32_le().ok()?) };
        let end = reader.off();
        Some(Some(Self { method, name, packed_len, unpacked_len, crc, end }))
    }
}

/// True for the start of an archive: a header with a date that can be, whose data is followed by another
/// header or by the end.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    let Some(Some(header)) = Header::read(head, 0) else { return false };
    let date = Reader::at(head, 19).u16_le().unwrap_or(0);
    let (day, month) = (date & 31, date >> 5 & 15);
    let next = header.end.saturating_add(size(header.packed_len));
    let follows = match head.get(next) {
        Some(byte) => *byte == MARK,
        None => head.len() >= 1024,
    };
    (1..=11).contains(&header.method) && day > 0 && (1..=12).contains(&month) && follows
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 0usize;
    let mut position = 0u32;
    let mut damaged = false;
    while off < object.len() {
        sink.poll()?;
        let header = match Header::read(object, off) {
            Some(None) => break,
            Some(Some(header)) => header,
            None => {
                if !std::mem::replace(&mut damaged, true) {
                    sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "header"));
                    sink.unscanned(b"", Reason::Damaged("header".into()));
                }
                match search(object, off.saturating_add(1)) {
                    Some(found) => off = found,
                    None => break,
                }
                continue;
            }
        };
        position = position.saturating_add(1);
        let end = header.end.saturating_add(size(header.packed_len));
        let next = if end <= object.len() {
            end
        } else {
            search(object, header.end).unwrap_or(object.len())
        };
        open(object.get(..next).unwrap_or(object), off, &header, position, sink)?;
        off = next;
    }
    Ok(())
}

/// Finds the next header whose data ends at a mark.
fn search(object: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(MARK, object.get(from..)?).find_map(|at| {
        let off = from.checked_add(at)?;
        let Some(Some(header)) = Header::read(object, off) else { return None };
        let next = header.end.checked_add(size(header.packed_len))?;
        let fits = object.get(next) == Some(&MARK) && header.method <= 9;
        fits.then_some(off)
    })
}

fn open(
    object: &[u8],
    off: usize,
    header: &Header<'_>,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let name = header.name;
    sink.member(&Member {
        name,
        packed_len: header.packed_len,
        unpacked_len: header.unpacked_len,
        position,
        ..Member::default()
    })?;
    let mut reader = Reader::at(object, header.end);
    let data = reader.take_up_to(size(header.packed_len));
    let len = header.unpacked_len;
    let unpacked = match header.method {
        1 | 2 => {
            let kept = data.get(..size(sink.child_cap())).unwrap_or(data);
            let ended = if kept.len() < data.len() {
                Ended::Capped
            } else if data.len() < size(header.packed_len) {
                Ended::Truncated
            } else {
                Ended::Whole
            };
            Unpacked { bytes: kept.to_vec(), ended }
        }
        3 => unpack_runs(data, len, sink)?,
        4 => unsqueeze(data, len, sink)?,
        5 => uncrunch_old(data, Hash::Square, false, len, sink)?,
        6 => uncrunch_old(data, Hash::Square, true, len, sink)?,
        7 => uncrunch_old(data, Hash::Product, true, len, sink)?,
        8 => {
            let (bits, rest) = data.split_first().unwrap_or((&12, &[]));
            let inner = lzw(rest, *bits, sink)?;
            unpack_runs_of(inner, len, sink)?
        }
        9 => {
            let mut unpacked = lzw(data, 13, sink)?;
            if unpacked.bytes.len() > size(len) {
                unpacked.bytes.truncate(size(len));
            }
            unpacked
        }
        method => {
            sink.unscanned(name, Reason::UnknownMethod(method.to_string().into()));
            return Ok(());
        }
    };
    if unpacked.ended == Ended::Whole && crc16(&unpacked.bytes) != header.crc {
        sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "CRC-16 of a member"));
    }
    if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole {
        return Ok(());
    }
    hand_over(&unpacked, name, ChildRole::Member, sink)
}

/// Unpacks LZW as `compress` has it.
fn lzw(data: &[u8], bits: u8, sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    match Uncompress::new(data, 0x80 | bits & 0x1f) {
        Ok(decoder) => unpack(Unpacker::new(decoder), 0, sink),
        Err(error) => Ok(Unpacked { bytes: Vec::new(), ended: Ended::of_error(&error) }),
    }
}
