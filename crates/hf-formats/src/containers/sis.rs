//! Symbian installation files: of EPOC 3 to 6 (Symbian OS up to 8), and of Symbian OS 9.
//!
//! Yields: one child per file, and per language of a file; of Symbian OS 9 also the controller's fields as
//! names, and archives within.
//! Leaves out: certificates, signatures, requisites, conditions.
//! Limits: through `Sink`; 2^16 records; fields nest 16 deep.
//! Hostile input: no offset, count or size is believed; a stream that is damaged is handed over as far as it
//! came, and one that is none as it stands.
//! Sources: Alexander Thoukydides, "SIS File Format" 1.18; Symbian OS v9.x SIS File Format Specification 1.1.

use std::collections::BTreeMap;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::Inflate;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "sis",
    types: &[FileType::Sis],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`19 04 00 10` at offset 8, or `7A 1A 20 10` at the start",
        yields: "one child per file and language",
        leaves_out: "certificates, signatures, requisites, conditions",
        limits: "2^16 records; 16 levels of fields",
        sources: "SIS File Format 1.18 (Thoukydides); Symbian OS v9.x SIS specification 1.1",
    },
};

const UID_9: [u8; 4] = [0x7a, 0x1a, 0x20, 0x10];
const UID_6: u32 = 0x1000_3a12;
/// Ours.
const RECORDS_MAX: u32 = 1 << 16;
/// Ours.
const DEPTH_MAX: u32 = 16;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if object.starts_with(&UID_9) {
        let mut walk =
            Walk { sink, names: BTreeMap::new(), position: 0, fields: 0, cut_told: false };
        walk.fields(object.get(16..).unwrap_or_default(), 0)?;
        return Ok(());
    }
    old(object, sink)
}

/// A file's record: where its names and its data are.
struct Record {
    name_len: usize,
    name_off: usize,
    /// Length, offset, and length unpacked, by language.
    parts: Vec<[u32; 3]>,
}

fn old(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let newer = Reader::at(object, 4).u32_le() == Ok(UID_6);
    let languages = Reader::at(object, 0x12).u16_le()?;
    let count = Reader::at(object, 0x14).u16_le()?;
    let options = Reader::at(object, 0x24).u16_le()?;
    let records_off = Reader::at(object, 0x34).u32_le()?;
    let mut reader = Reader::at(object, size(u64::from(records_off)));
    let mut position = 0u32;
    let mut seen = std::collections::BTreeSet::new();
    let mut left = object.len().saturating_mul(2);
    for _ in 0..count {
        sink.poll()?;
        let at = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let record = match read_record(&mut reader, newer, languages) {
            Ok(record) => record,
            Err(_) => {
                sink.defect(Defect::new(at, "file record"));
                sink.unscanned(b"", Reason::Damaged("file record".into()));
                break;
            }
        };
        let Some(record) = record else { continue };
        let raw = Reader::at(object, record.name_off).take_up_to(record.name_len.min(1024));
        let name = if options & 1 != 0 { narrow(raw) } else { raw.to_vec() };
        for [len, off, unpacked_len] in record.parts {
            position = position.saturating_add(1);
            sink.member(&Member {
                name: &name,
                packed_len: u64::from(len),
                unpacked_len: u64::from(unpacked_len),
                position,
                ..Member::default()
            })?;
            let data = Reader::at(object, size(u64::from(off))).take_up_to(size(u64::from(len)));
            if data.len() < size(u64::from(len)) {
                sink.unscanned(&name, Reason::Truncated);
            }
            let Some(rest) = left.checked_sub(data.len()) else {
                sink.unscanned(&name, Reason::FormatLimit("overlapping files".into()));
                continue;
            };
            left = rest;
            // Files that share their data are unpacked once.
            if seen.insert((off, len)) {
                hand(data, u64::from(unpacked_len), &name, sink)?;
            }
        }
    }
    Ok(())
}

/// Reads a record; none inside when it is no file's.
fn read_record(
    reader: &mut Reader<'_>,
    newer: bool,
    languages: u16,
) -> Result<Option<Record>, Defect> {
    let kind = reader.u32_le()?;
    match kind {
        0 | 1 => {}
        2 => {
            let options = reader.u32_le()?.min(RECORDS_MAX);
            let len = u64::from(options).saturating_mul(u64::from(languages)).saturating_mul(8);
            reader.skip(size(len))?;
            reader.skip(16)?;
            return Ok(None);
        }
        3 | 4 => {
            let len = reader.u32_le()?;
            reader.skip(size(u64::from(len)))?;
            return Ok(None);
        }
        5 | 6 => return Ok(None),
        _ => return Err(Defect::new(u64::try_from(reader.off()).unwrap_or(0), "record type")),
    }
    reader.skip(8)?;
    let source = [reader.u32_le()?, reader.u32_le()?];
    let target = [reader.u32_le()?, reader.u32_le()?];
    let [len, off] = if target[0] > 0 { target } else { source };
    let count = if kind == 1 { usize::from(languages) } else { 1 };
    let mut column = || {
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(reader.u32_le()?);
        }
        Ok::<_, Defect>(values)
    };
    let (lens, offs) = (column()?, column()?);
    let unpacked = if newer { column()? } else { lens.clone() };
    if newer {
        reader.skip(8)?;
    }
    let parts = lens.iter().zip(offs).zip(unpacked).map(|((len, off), full)| [*len, off, full]);
    let parts = parts.collect();
    Ok(Some(Record { name_len: size(u64::from(len)), name_off: size(u64::from(off)), parts }))
}

fn narrow(raw: &[u8]) -> Vec<u8> {
    let units: Vec<u16> =
        raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

/// Hands over data that is packed by zlib, or is not.
fn hand(data: &[u8], claimed_len: u64, name: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    if data.is_empty() {
        return Ok(());
    }
    let unpacked = match data {
        [0x78, ..] => unpack(Inflate::zlib(data), claimed_len, sink)?,
        _ => Unpacked { bytes: Vec::new(), ended: Ended::Whole },
    };
    if unpacked.bytes.is_empty() {
        return sink.child(Child { name, data, role: ChildRole::Member });
    }
    hand_over(&unpacked, name, ChildRole::Member, sink)
}

const STRING: u32 = 1;
const ARRAY: u32 = 2;
const COMPRESSED: u32 = 3;
const FILE_DESCRIPTION: u32 = 24;
const FILE_DATA: u32 = 32;

/// True for fields that hold other fields.
fn is_nest(kind: u32) -> bool {
    matches!(kind, 12 | 13 | 23 | 26..=28 | 30 | 31)
}

/// Fields of Symbian OS 9.
struct Walk<'s> {
    sink: &'s mut dyn Sink,
    names: BTreeMap<u32, Vec<u8>>,
    position: u32,
    fields: u32,
    cut_told: bool,
}

impl Walk<'_> {
    /// Walks over fields that follow each other.
    fn fields(&mut self, bytes: &[u8], depth: u32) -> Result<(), Stop> {
        let mut reader = Reader::new(bytes);
        while let Ok(kind) = reader.u32_le() {
            let Some(body) = self.body(&mut reader)? else { break };
            self.field(kind, body, depth)?;
        }
        Ok(())
    }

    /// Reads the length and the content of a field.
    fn body<'b>(&mut self, reader: &mut Reader<'b>) -> Result<Option<&'b [u8]>, Stop> {
        self.sink.poll()?;
        self.fields = self.fields.saturating_add(1);
        if self.fields > RECORDS_MAX {
            if self.fields == RECORDS_MAX.saturating_add(1) {
                self.sink.unscanned(b"", Reason::FormatLimit("fields".into()));
            }
            return Ok(None);
        }
        let Ok(low) = reader.u32_le() else { return Ok(None) };
        let mut len = u64::from(low & 0x7fff_ffff);
        if low & 0x8000_0000 != 0 {
            let Ok(high) = reader.u32_le() else { return Ok(None) };
            len |= u64::from(high) << 31;
        }
        let body = reader.take_up_to(size(len));
        if body.len() < size(len) && !std::mem::replace(&mut self.cut_told, true) {
            self.sink.unscanned(b"", Reason::Truncated);
        }
        let padding = (4 - len % 4) % 4;
        reader.take_up_to(size(padding));
        Ok(Some(body))
    }

    fn field(&mut self, kind: u32, body: &[u8], depth: u32) -> Result<(), Stop> {
        if depth >= DEPTH_MAX {
            self.sink.unscanned(b"", Reason::FormatLimit("fields within fields".into()));
            return Ok(());
        }
        let deeper = depth.saturating_add(1);
        match kind {
            ARRAY => {
                let mut reader = Reader::new(body);
                let Ok(kind) = reader.u32_le() else { return Ok(()) };
                while reader.left() > 0 {
                    let Some(body) = self.body(&mut reader)? else { break };
                    self.field(kind, body, deeper)?;
                }
                Ok(())
            }
            COMPRESSED => {
                let unpacked = self.uncompressed(body)?;
                if let Some(reason) = unpacked.ended.reason(self.sink) {
                    self.sink.unscanned(b"controller", reason);
                }
                self.fields(&unpacked.bytes, deeper)
            }
            FILE_DESCRIPTION => {
                self.describe(body);
                Ok(())
            }
            FILE_DATA => self.file(body),
            kind if is_nest(kind) => self.fields(body, deeper),
            _ => Ok(()),
        }
    }

    fn uncompressed(&mut self, body: &[u8]) -> Result<Unpacked, Stop> {
        let mut reader = Reader::new(body);
        let algorithm = reader.u32_le().unwrap_or(0);
        let len = reader.u64_le().unwrap_or(0);
        let data = reader.rest();
        match algorithm {
            0 => unpack(data, len, self.sink),
            _ => unpack(Inflate::zlib(data), len, self.sink),
        }
    }

    /// Keeps the name of a file by its number.
    fn describe(&mut self, body: &[u8]) {
        let mut reader = Reader::new(body);
        let index = body.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if reader.u32_le() == Ok(STRING) {
            let len = reader.u32_le().unwrap_or(0);
            let name = narrow(reader.take_up_to(size(u64::from(len)).min(1024)));
            self.names.insert(index, name);
        }
    }

    fn file(&mut self, body: &[u8]) -> Result<(), Stop> {
        let name = self.names.get(&self.position).cloned().unwrap_or_default();
        self.position = self.position.saturating_add(1);
        let mut reader = Reader::new(body);
        if reader.u32_le() != Ok(COMPRESSED) {
            let role = ChildRole::Member;
            return self.sink.child(Child { name: &name, data: body, role });
        }
        let Some(body) = self.body(&mut reader)? else { return Ok(()) };
        let unpacked_len = Reader::at(body, 4).u64_le().unwrap_or(0);
        self.sink.member(&Member {
            name: &name,
            packed_len: u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_sub(12),
            unpacked_len,
            position: self.position,
            ..Member::default()
        })?;
        let unpacked = self.uncompressed(body)?;
        if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole {
            return Ok(());
        }
        hand_over(&unpacked, &name, ChildRole::Member, self.sink)
    }
}
