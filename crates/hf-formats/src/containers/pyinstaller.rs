//! Programs of PyInstaller: the archive ("CArchive") behind an ELF, PE or Mach-O program.
//!
//! Yields: one child per entry of its table, unpacked; the modules inside `PYZ` archives.
//! Leaves out: names of modules inside a PYZ; PYZ archives that are encrypted (old releases; reported).
//! Limits: through `Sink`; 2^16 entries; entries that overlap up to eight times the object's size.
//! Hostile input: the cookie may be anywhere behind the program; an entry that does not unpack is handed over as it is.
//! Sources: PyInstaller's documentation, "Advanced topics: the bootstrap process, CArchive".

use std::collections::VecDeque;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::{memchr, memmem};

use crate::bounded::{Ended, hand_over, unpack};
use crate::codec::{Counted, Inflate};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "pyinstaller",
    types: &[FileType::Elf, FileType::Msexe, FileType::Macho, FileType::MachoUnibin],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_archive && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "the cookie `MEI 0c 0b 0a 0b 0e` in a program",
        yields: "one child per entry, and per module of a PYZ",
        leaves_out: "names of modules",
        limits: "2^16 entries; overlapping entries up to eight times the object",
        sources: "PyInstaller's documentation",
    },
};

const COOKIE: &[u8] = b"MEI\x0c\x0b\x0a\x0b\x0e";
/// Cookie with and without the name of Python's library.
const COOKIE_LENS: [usize; 2] = [88, 24];
const ENTRY_LEN: usize = 18;
/// Ours.
const ENTRIES_MAX: u32 = 1 << 16;
/// Ours: cookies looked at.
const COOKIES_MAX: usize = 8;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut budget = object.len().saturating_mul(8);
    let cookies = last_cookies(object);
    for at in &cookies {
        let Some((archive, table)) = locate(object, *at) else { continue };
        walk(archive, table, sink, &mut budget)?;
        return Ok(());
    }
    // No table can be read: the streams in front of the cookie are still there.
    let unlisted = cookies.iter().find_map(|at| Some((at, unlisted(object, *at)?)));
    if let Some((at, archive)) = unlisted {
        sink.defect(Defect::new(u64::try_from(*at).unwrap_or(u64::MAX), "cookie"));
        streams(archive, b"", sink)?;
    }
    Ok(())
}

/// Returns where the last cookies stand, the last first. Looks forwards, which is several times faster than to look
/// backwards: nearly every program has none.
fn last_cookies(object: &[u8]) -> Vec<usize> {
    let mut last = VecDeque::new();
    for at in memmem::find_iter(object, COOKIE) {
        if last.len() == COOKIES_MAX {
            last.pop_front();
        }
        last.push_back(at);
    }
    last.into_iter().rev().collect()
}

/// Returns the archive in front of a cookie whose table is not there.
fn unlisted(object: &[u8], at: usize) -> Option<&[u8]> {
    let len = Reader::at(object, at.checked_add(COOKIE.len())?).u32_be().ok()?;
    let end = at.checked_add(COOKIE.len())?;
    let start = at.checked_add(88)?.checked_sub(size(u64::from(len)))?;
    object.get(start..end).filter(|archive| archive.len() > COOKIE.len())
}

/// Returns the archive that ends with the cookie here, and its table.
fn locate(object: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::at(object, at.checked_add(COOKIE.len())?);
    let mut field = || reader.u32_be().ok().map(|value| size(u64::from(value)));
    let (len, table_off, table_len) = (field()?, field()?, field()?);
    COOKIE_LENS.iter().find_map(|cookie_len| {
        let end = at.checked_add(*cookie_len)?.min(object.len());
        let archive = object.get(end.checked_sub(len)?..end)?;
        let table = archive.get(table_off..)?;
        let table = table.get(..table_len.min(table.len()))?;
        let first_len = size(u64::from(Reader::new(table).u32_be().ok()?));
        (first_len > ENTRY_LEN && first_len <= table.len()).then_some((archive, table))
    })
}

fn walk(archive: &[u8], table: &[u8], sink: &mut dyn Sink, budget: &mut usize) -> Result<(), Halt> {
    let mut reader = Reader::new(table);
    let mut position = 0u32;
    while reader.left() > ENTRY_LEN {
        let entry_len = size(u64::from(reader.u32_be()?));
        let (off, packed_len) = (reader.u32_be()?, reader.u32_be()?);
        let (unpacked_len, is_packed, _kind) = (reader.u32_be()?, reader.u8()?, reader.u8()?);
        let name = reader.take_up_to(entry_len.saturating_sub(ENTRY_LEN));
        let name = name.get(..memchr(0, name).unwrap_or(name.len())).unwrap_or_default();
        if entry_len < ENTRY_LEN {
            return Err(Defect::new(0, "TOC entry length").into());
        }
        position = position.saturating_add(1);
        if position > ENTRIES_MAX {
            sink.unscanned(b"", Reason::FormatLimit("entries".into()));
            return Ok(());
        }
        sink.member(&Member {
            name,
            packed_len: u64::from(packed_len),
            unpacked_len: u64::from(unpacked_len),
            position,
            ..Member::default()
        })?;
        let packed_len = size(u64::from(packed_len));
        let data = Reader::at(archive, size(u64::from(off))).take_up_to(packed_len);
        if data.len() < packed_len {
            sink.unscanned(name, Reason::Truncated);
        }
        let Some(left) = budget.checked_sub(data.len()) else {
            sink.unscanned(name, Reason::FormatLimit("overlapping entries".into()));
            continue;
        };
        *budget = left;
        if data.is_empty() {
            continue;
        }
        if is_packed != 0 {
            let unpacked = unpack(Inflate::zlib(data), u64::from(unpacked_len), sink)?;
            if !unpacked.bytes.is_empty() {
                hand_over(&unpacked, name, ChildRole::Member, sink)?;
                pyz(&unpacked.bytes, name, sink)?;
                continue;
            }
        }
        sink.child(Child { name, data, role: ChildRole::Member })?;
        pyz(data, name, sink)?;
    }
    Ok(())
}

/// Hands over the modules of a PYZ: zlib streams one behind the other.
fn pyz(archive: &[u8], name: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some(rest) = archive.get(12..).filter(|_| archive.starts_with(b"PYZ\0")) else {
        return Ok(());
    };
    if streams(rest, name, sink)? == 0 && archive.len() > 64 {
        sink.unscanned(name, Reason::Damaged("no modules in PYZ".into()));
    }
    Ok(())
}

/// Hands over zlib streams, wherever one starts, and returns how many there were.
fn streams(archive: &[u8], name: &[u8], sink: &mut dyn Sink) -> Result<u32, Stop> {
    let mut off = 0usize;
    let (mut found, mut failed) = (0u32, 0u32);
    while let Some(gap) = archive.get(off..).and_then(|rest| memchr(0x78, rest)) {
        off = off.saturating_add(gap);
        let rest = archive.get(off..).unwrap_or_default();
        let header = matches!(rest, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]);
        let mut used = 1usize;
        if header && found < ENTRIES_MAX && failed < ENTRIES_MAX {
            let mut input = Counted::new(rest);
            let unpacked = unpack(Inflate::zlib(&mut input), 0, sink)?;
            if unpacked.ended == Ended::Whole || unpacked.bytes.len() > 64 {
                found = found.saturating_add(1);
                hand_over(&unpacked, name, ChildRole::Member, sink)?;
                used = size(input.used()).max(1);
            } else {
                failed = failed.saturating_add(1);
            }
        }
        off = off.saturating_add(used);
    }
    Ok(found)
}
