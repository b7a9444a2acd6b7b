//! ARJ archives, alone or behind a self-extracting program.
//!
//! Yields: one child per file of methods 0 to 4, garbled ones with the passwords of the content; the
//! archive's and the files' comments.
//! Leaves out: directories, labels and chapter marks; GOST encryption; what is in other volumes. The
//! latter two are reported.
//! Limits: through `Sink`; headers are at most 2600 bytes.
//! Hostile input: wrong checksums are defects; behind a damaged header the next one with a right checksum
//! is looked for; what was unpacked before an error is a child.
//! Sources: ARJ's technical notes (TECHNOTE.TXT), as described in "ARJ archive format" collections.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::lzh::{Lzh, unarj_fastest, unlzh};
use crate::containers::next::Next;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "arj",
    types: &[FileType::Arj, FileType::ArjSfx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x1000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`60 EA` at the start; a main header anywhere in a program",
        yields: "one child per file of methods 0 to 4 and per comment; garbled files with the passwords \
                 of the content",
        leaves_out: "directories, labels, chapters; GOST encryption and other volumes (reported)",
        limits: "none of its own",
        sources: "ARJ technical notes",
    },
};

const MAGIC: [u8; 2] = [0x60, 0xea];
/// The format's: bytes of a header.
const HEADER_MAX: usize = 2600;
/// Ours: bytes read to find headers behind damage.
const SEARCH_MAX: usize = 64 << 20;

const GARBLED: u8 = 1;
const VOLUME: u8 = 4;
const CONTINUED: u8 = 8;

/// A header's fields.
struct Header<'a> {
    flags: u8,
    method: u8,
    kind: u8,
    modifier: u8,
    packed_len: u64,
    unpacked_len: u64,
    crc32: u32,
    name: &'a [u8],
    comment: &'a [u8],
    crc_right: bool,
    /// Where the data starts.
    end: usize,
}

impl<'a> Header<'a> {
    /// Reads a header; none inside is the end of the archive.
    fn read(object: &'a [u8], off: usize) -> Option<Option<Self>> {
        let mut reader = Reader::at(object, off);
        if reader.take(2).ok()? != MAGIC {
            return None;
        }
        let len = usize::from(reader.u16_le().ok()?);
        if len == 0 {
            return Some(None);
        }
        if !(30..=HEADER_MAX).contains(&len) {
            return None;
        }
        let body = reader.take(len).ok()?;
        let crc = reader.u32_le().ok()?;
        for _ in 0..1024 {
            let Ok(extra_len @ 1..) = reader.u16_le() else { break };
            reader.skip(usize::from(extra_len).saturating_add(4)).ok()?;
        }
        let mut fields = Reader::new(body);
        let fixed_len = usize::from(fields.u8().ok()?);
        fields.skip(3).ok()?;
        let (flags, method, kind, modifier) =
            (fields.u8().ok()?, fields.u8().ok()?, fields.u8().ok()?, fields.u8().ok()?);
        fields.skip(4).ok()?;
        let packed_len = u64::from(fields.u32_le().ok()?);
        let unpacked_len = u64::from(fields.u32_le().ok()?);
        let crc32 = fields.u32_le().ok()?;
        let mut texts = body.get(fixed_len..)?.split(|byte| *byte == 0);
        Some(Some(Self {
            flags,
            method,
            kind,
            modifier,
            packed_len,
            unpacked_len,
            crc32,
            name: texts.next().unwrap_or_default(),
            comment: texts.next().unwrap_or_default(),
            crc_right: crc32fast::hash(body) == crc,
            end: reader.off(),
        }))
    }

    fn plausible(&self) -> bool {
        self.crc_right || self.method <= 4 && self.kind <= 6
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 0usize;
    let mut position = 0u32;
    let mut searched = 0usize;
    let mut next = Next::default();
    let mut damaged = false;
    while off < object.len() {
        sink.poll()?;
        let at = u64::try_from(off).unwrap_or(u64::MAX);
        let header = match Header::read(object, off) {
            Some(None) => break,
            Some(Some(header)) if header.plausible() => header,
            _ => {
                if !std::mem::replace(&mut damaged, true) {
                    sink.defect(Defect::new(at, "header"));
                    sink.unscanned(b"", Reason::Damaged("header".into()));
                }
                let from = off.saturating_add(1);
                match next.find(from, || search(object, from, &mut searched)) {
                    Some(found) => off = found,
                    None => break,
                }
                continue;
            }
        };
        if !header.crc_right {
            sink.defect(Defect::new(at, "header crc"));
        }
        if !header.comment.is_empty() {
            let role = ChildRole::Member;
            sink.child(Child { name: header.name, data: header.comment, role })?;
        }
        if header.kind == 2 {
            off = header.end;
            continue;
        }
        let end = header.end.saturating_add(size(header.packed_len));
        position = position.saturating_add(1);
        let next_fits = end == object.len() || Header::read(object, end).is_some();
        let mut stop = end;
        if (!header.crc_right || end > object.len()) && !next_fits {
            let from = header.end;
            let found = next.find(from, || search(object, from, &mut searched));
            stop = found.unwrap_or_else(|| end.min(object.len()));
        }
        open(object.get(..stop).unwrap_or(object), at, &header, position, sink)?;
        off = stop;
    }
    Ok(())
}

/// Finds the next header with a right checksum.
fn search(object: &[u8], from: usize, searched: &mut usize) -> Option<usize> {
    let mut off = from;
    loop {
        off = off.checked_add(memchr::memchr(0x60, object.get(off..)?)?)?;
        if object.get(off..)?.starts_with(&MAGIC) {
            *searched = searched.saturating_add(HEADER_MAX / 4);
            if *searched > SEARCH_MAX {
                return None;
            }
            if matches!(Header::read(object, off), Some(Some(header)) if header.crc_right) {
                return Some(off);
            }
        }
        off = off.checked_add(1)?;
    }
}

fn open(
    object: &[u8],
    at: u64,
    header: &Header<'_>,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let name = header.name;
    sink.member(&Member {
        name,
        packed_len: header.packed_len,
        unpacked_len: header.unpacked_len,
        encrypted: header.flags & GARBLED != 0,
        crc32: Some(header.crc32),
        position,
    })?;
    let mut reader = Reader::at(object, header.end);
    let data = reader.take_up_to(size(header.packed_len));
    if data.is_empty() && header.unpacked_len == 0 {
        return Ok(());
    }
    if header.method > 4 {
        sink.unscanned(name, Reason::UnknownMethod(header.method.to_string().into()));
        return Ok(());
    }
    let unpacked = if header.flags & GARBLED == 0 {
        Some(unpack(header, data, sink)?)
    } else {
        ungarble(header, data, sink)?
    };
    let Some(unpacked) = unpacked else {
        sink.unscanned(name, Reason::Encrypted);
        return Ok(());
    };
    let right = crc32fast::hash(&unpacked.bytes) == header.crc32;
    if unpacked.ended == Ended::Whole && !right {
        sink.defect(Defect::new(at, "file crc"));
    }
    if header.flags & (VOLUME | CONTINUED) != 0 {
        sink.unscanned(name, Reason::OtherVolume);
    }
    hand_over(&unpacked, name, ChildRole::Member, sink)
}

fn unpack(header: &Header<'_>, data: &[u8], sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    match header.method {
        0 => {
            let cap = size(sink.child_cap());
            let kept = data.get(..cap).unwrap_or(data);
            let ended = if kept.len() < data.len() {
                Ended::Capped
            } else if data.len() < size(header.packed_len) {
                Ended::Truncated
            } else {
                Ended::Whole
            };
            Ok(Unpacked { bytes: kept.to_vec(), ended })
        }
        4 => unarj_fastest(data, header.unpacked_len, sink),
        _ => unlzh(data, Lzh::LARGE, header.unpacked_len, sink),
    }
}

/// Tries the passwords: each byte is combined with one of the password and the header's modifier.
fn ungarble(
    header: &Header<'_>,
    data: &[u8],
    sink: &mut dyn Sink,
) -> Result<Option<Unpacked>, Stop> {
    let room = size(sink.child_cap()).saturating_mul(2);
    let data = data.get(..room).unwrap_or(data);
    for password in sink.passwords(FileType::Arj) {
        sink.poll()?;
        if password.is_empty() {
            continue;
        }
        let keys = password.iter().cycle().map(|byte| byte.wrapping_add(header.modifier));
        let plain: Vec<u8> = data.iter().zip(keys).map(|(byte, key)| byte ^ key).collect();
        let unpacked = unpack(header, &plain, sink)?;
        if crc32fast::hash(&unpacked.bytes) == header.crc32 {
            return Ok(Some(unpacked));
        }
    }
    Ok(None)
}
