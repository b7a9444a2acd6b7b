//! ACE archives.
//!
//! Yields: one child per stored file; the metadata of all.
//! Leaves out: the content of packed and encrypted files, which is reported; comments, recovery records.
//! Limits: through `Sink`.
//! Hostile input: behind a damaged header the next one with a right checksum is looked for.
//! Sources: the description of ACE headers in the crate `unarc-rs` (MIT or Apache-2.0).

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ace",
    types: &[FileType::Ace],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`**ACE**` at offset 7",
        yields: "one child per stored file; the metadata of all",
        leaves_out: "packed and encrypted files (reported); comments",
        limits: "none of its own",
        sources: "unarc-rs",
    },
};

/// Ours: bytes read to find headers behind damage.
const SEARCH_MAX: usize = 64 << 20;

struct Header<'a> {
    kind: u8,
    flags: u16,
    body: &'a [u8],
    end: usize,
}

impl<'a> Header<'a> {
    /// Reads a header with a right checksum.
    fn read(object: &'a [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        let crc = reader.u16_le().ok()?;
        let len = usize::from(reader.u16_le().ok()?);
        let bytes = reader.take(len).ok()?;
        let [low, high, ..] = (!crc32fast::hash(bytes)).to_le_bytes();
        if u16::from_le_bytes([low, high]) != crc || len < 3 {
            return None;
        }
        let mut fields = Reader::new(bytes);
        let kind = fields.u8().ok()?;
        let flags = fields.u16_le().ok()?;
        Some(Self { kind, flags, body: fields.rest(), end: reader.off() })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 0usize;
    let mut position = 0u32;
    let mut searched = 0usize;
    let mut damaged = false;
    while off < object.len() {
        sink.poll()?;
        let Some(header) = Header::read(object, off) else {
            if !std::mem::replace(&mut damaged, true) {
                sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "header"));
                sink.unscanned(b"", Reason::Damaged("header".into()));
            }
            match search(object, off.saturating_add(1), &mut searched) {
                Some(found) => off = found,
                None => break,
            }
            continue;
        };
        let mut fields = Reader::new(header.body);
        let data_len = if header.flags & 1 != 0 { fields.u32_le().unwrap_or(0) } else { 0 };
        let data = Reader::at(object, header.end).take_up_to(size(u64::from(data_len)));
        if header.kind == 1 {
            position = position.saturating_add(1);
            open(&header, fields, data, data_len, position, sink)?;
        }
        off = header.end.saturating_add(size(u64::from(data_len)));
    }
    Ok(())
}

/// Finds the next header of a file with a right checksum.
fn search(object: &[u8], from: usize, searched: &mut usize) -> Option<usize> {
    let mut kind_off = from.checked_add(4)?;
    loop {
        kind_off = kind_off.checked_add(memchr::memchr(1, object.get(kind_off..)?)?)?;
        let off = kind_off.checked_sub(4)?;
        let len = usize::from(Reader::at(object, off.checked_add(2)?).u16_le().unwrap_or(0));
        if (31..=0x1000).contains(&len) {
            *searched = searched.saturating_add(len);
            if *searched > SEARCH_MAX {
                return None;
            }
            if Header::read(object, off).is_some() {
                return Some(off);
            }
        }
        kind_off = kind_off.checked_add(1)?;
    }
}

fn open(
    header: &Header<'_>,
    mut fields: Reader<'_>,
    data: &[u8],
    data_len: u32,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let unpacked_len = u64::from(fields.u32_le().unwrap_or(0));
    fields.take_up_to(8);
    let crc32 = fields.u32_le().unwrap_or(0);
    let method = fields.u8().unwrap_or(0xff);
    fields.take_up_to(5);
    let name_len = usize::from(fields.u16_le().unwrap_or(0));
    let name = fields.take_up_to(name_len);
    let encrypted = header.flags & 0x4000 != 0;
    // ACE keeps the CRC-32 without its last inversion.
    sink.member(&Member {
        name,
        packed_len: u64::from(data_len),
        unpacked_len,
        encrypted,
        crc32: Some(!crc32),
        position,
    })?;
    if header.flags & 0x3000 != 0 {
        sink.unscanned(name, Reason::OtherVolume);
    }
    if data.is_empty() {
        return Ok(());
    }
    if encrypted {
        sink.unscanned(name, Reason::Encrypted);
    } else if method == 0 {
        if data.len() < size(u64::from(data_len)) {
            sink.unscanned(name, Reason::Truncated);
        }
        sink.child(Child { name, data, role: ChildRole::Member })?;
    } else {
        let method = if method == 1 { "ACE 1".into() } else { format!("ACE 2 ({method})") };
        sink.unscanned(name, Reason::UnknownMethod(method.into()));
    }
    Ok(())
}
