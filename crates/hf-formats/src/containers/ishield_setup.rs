//! InstallShield setups in one program: files behind the program, each with a header of four texts.
//!
//! Yields: one child per file; and the files of InstallShield's own cabinets, of which the header and the
//! volumes are all here.
//! Leaves out: paths and versions of the files.
//! Limits: all through `Sink`.
//! Hostile input: a header that breaks the rules ends the list, and what follows is a child; a file that is
//! cut is handed over as far as it is.
//! Sources: observation of test files.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use super::ishield_cab::{self, Set};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ishield_setup",
    types: &[FileType::IshieldSetup],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x8000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "name, path, version and size as texts behind a program's sections",
        yields: "one child per file, and the files in InstallShield cabinets",
        leaves_out: "paths and versions",
        limits: "none of its own",
        sources: "observation of test files",
    },
};

const TEXT_LEN_MAX: usize = 1024;

/// A file behind the program.
struct Entry<'a> {
    name: &'a [u8],
    len: u64,
    data: &'a [u8],
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(object);
    let mut entries = Vec::new();
    let mut position = 0u32;
    while reader.left() > 0 {
        sink.poll()?;
        let off = reader.off();
        let Some((name, len)) = header(&mut reader) else {
            let data = object.get(off..).unwrap_or_default();
            sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "entry"));
            sink.child(Child { name: b"", data, role: ChildRole::Member })?;
            break;
        };
        let data = reader.take_up_to(size(len));
        position = position.saturating_add(1);
        sink.member(&Member {
            name,
            packed_len: len,
            unpacked_len: len,
            position,
            ..Member::default()
        })?;
        entries.push(Entry { name, len, data });
    }
    open(&entries, sink)?;
    Ok(())
}

fn open(entries: &[Entry<'_>], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut opened: Vec<&[u8]> = Vec::new();
    for entry in entries {
        let Some((stem, number)) = volume(entry) else { continue };
        if opened.contains(&stem) || number != 1 || opened.len() >= SETS_MAX {
            continue;
        }
        if set(stem, entries).open(sink)? {
            opened.push(stem);
        }
    }
    for entry in entries {
        if entry.data.len() < size(entry.len) {
            sink.unscanned(entry.name, Reason::Truncated);
        }
        let known = volume(entry).is_some_and(|(stem, _)| opened.contains(&stem));
        let role = if known { ChildRole::Typed(FileType::BinaryData) } else { ChildRole::Member };
        if !entry.data.is_empty() {
            sink.child(Child { name: entry.name, data: entry.data, role })?;
        }
    }
    Ok(())
}

/// Ours: sets of cabinets in one setup.
const SETS_MAX: usize = 16;

/// Gathers the header and the volumes of a set of cabinets.
fn set<'a>(stem: &[u8], entries: &[Entry<'a>]) -> Set<'a> {
    let mut volumes = Vec::new();
    let mut header: &[u8] = &[];
    for entry in entries {
        let Some((_, number)) = volume(entry).filter(|(have, _)| *have == stem) else { continue };
        if entry.name.to_ascii_lowercase().ends_with(b".hdr") {
            header = entry.data;
        } else {
            volumes.push((number, entry.data));
        }
    }
    volumes.sort_by_key(|(number, _)| *number);
    if header.is_empty() {
        header = volumes.first().map_or(&[], |(_, data)| data);
    }
    Set { header, volumes }
}

/// Returns the name without number and suffix, and the number, of a volume or header.
fn volume<'a>(entry: &Entry<'a>) -> Option<(&'a [u8], u16)> {
    if !entry.data.starts_with(ishield_cab::MAGIC) {
        return None;
    }
    let (stem, suffix) = entry.name.split_at_checked(entry.name.len().checked_sub(4)?)?;
    if !suffix.eq_ignore_ascii_case(b".hdr") && !suffix.eq_ignore_ascii_case(b".cab") {
        return None;
    }
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (stem, number) = stem.split_at_checked(stem.len().saturating_sub(digits))?;
    Some((stem, std::str::from_utf8(number).ok()?.parse().ok()?))
}

/// Reads the header of an entry: name, path, version, and size in decimal.
fn header<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], u64)> {
    let name = text(reader)?;
    let _path = text(reader)?;
    let version = text(reader)?;
    let len = text(reader)?;
    let right = !name.is_empty() && version.iter().all(|byte| !byte.is_ascii_control());
    let len = std::str::from_utf8(len).ok()?.parse().ok()?;
    right.then_some((name, len))
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let rest = reader.rest();
    let window = rest.get(..rest.len().min(TEXT_LEN_MAX)).unwrap_or_default();
    let text = reader.take(memchr::memchr(0, window)?).ok()?;
    reader.skip(1).ok()?;
    Some(text)
}

/// True when an entry stands here whose path ends in its name, with a version of numbers.
pub(crate) fn is_setup(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let mut next = || text(&mut reader).unwrap_or_default();
    let (name, path, version, len) = (next(), next(), next(), next());
    let numbers = |text: &[u8]| {
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    !name.is_empty() && path.ends_with(name) && numbers(version) && numbers(len)
}
