//! Objects inside an object: magics at an offset behind its start, and forms under which the object as a whole
//! can also be read.
//!
//! Promises: one pass with a vectorised search for some twenty literals, each checked where it stands before it
//! counts; at most [`PER_TYPE_MAX`] of a type. The checks let everything pass that ClamAV opens.
//! Leaves out: objects inside compressed streams (their format unpacks them first).
//! Sources: ClamAV's published signature documentation ("file types"); clamscan 1.4.6 as an oracle; the
//! headers' own specifications for the checks.

use std::sync::OnceLock;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use hf_core::{FileType, Limits};
use memchr::memmem;

use super::disk::{DESCRIPTORS_LEN, FIRST_DESCRIPTOR_OFF, disk_forms};
use super::{filesystem, pattern};
use crate::containers::unopened::{SETUP_FACTORY, SETUP_FACTORY_7};
use crate::reader::Reader;

/// Objects of one type that are opened in one object.
pub(super) const PER_TYPE_MAX: usize = 10;

/// Returns what is inside an object, by offset. Offset 0 means: the object as a whole is also of this type.
///
/// Nothing comes from types whose readers find their members themselves (zip, gzip, tar, …). An object
/// that was itself found inside another must not be searched again: every match in it was one of the outer object too.
#[must_use]
pub fn embedded(bytes: &[u8], own: FileType, limits: &Limits) -> Vec<(usize, FileType)> {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if is_excluded(own) || is_embedded_type(own) && own != FileType::Pdf && own != FileType::Msexe {
        return Vec::new();
    }
    let mut found = Found { pe: len <= limits.max_embedded_pe_bytes, ..Found::default() };
    let mut marks = Marks::default();
    if let Some(searcher) = searcher() {
        for literal in searcher.find_iter(bytes) {
            let at = literal.start();
            match literal.pattern().as_usize() {
                MHTML => marks.mhtml |= pattern::is_mhtml_at(bytes, at),
                XDP => marks.xdp = true,
                literal => {
                    if let Some((off, kind)) = checked(bytes, literal, at, &mut found)
                        && !is_torn(own, kind)
                    {
                        found.add(off, kind);
                    }
                }
            }
        }
    }
    also(bytes, own, marks, &mut found);
    if own == FileType::Msexe {
        overlay(bytes, &mut found);
    }
    // Apart, because a literal of two bytes would slow the search for all others.
    for at in memmem::find_iter(bytes, &[0x60, 0xea]) {
        if at > 0 && is_arj(bytes.get(at..).unwrap_or_default()) {
            found.add(at, FileType::ArjSfx);
        }
    }
    found.list.sort_unstable();
    found.list
}

/// True for types that only an embedded object has, or that are found at offsets.
pub(super) fn is_embedded_type(kind: FileType) -> bool {
    matches!(
        kind,
        FileType::ZipSfx
            | FileType::RarSfx
            | FileType::SevenZipSfx
            | FileType::ArjSfx
            | FileType::CabSfx
            | FileType::EggSfx
            | FileType::Nulsft
            | FileType::Squashfs
            | FileType::Autoit
            | FileType::IshieldMsi
            | FileType::IshieldSetup
            | FileType::SetupFactory
            | FileType::Pdf
            | FileType::Msexe
            | FileType::Dmg
            | FileType::Iso9660
            | FileType::Udf
    )
}

/// Types in which nothing is looked for.
fn is_excluded(own: FileType) -> bool {
    matches!(
        own,
        FileType::Gz
            | FileType::CpioOld
            | FileType::Zip
            | FileType::OoxmlWord
            | FileType::OoxmlPpt
            | FileType::OoxmlXl
            | FileType::OoxmlHwp
            | FileType::PosixTar
            | FileType::OldTar
            | FileType::Tnef
            | FileType::Internal
    )
}

/// The sectors of a stream need not lie in a row: what is in one comes out whole as the stream.
fn is_torn(own: FileType, kind: FileType) -> bool {
    own == FileType::Msole2 && kind == FileType::CabSfx
}

#[derive(Default)]
struct Found {
    list: Vec<(usize, FileType)>,
    pe: bool,
    /// Where the zip entry that was found last ends: an entry there belongs to the same archive.
    zip_next: Option<usize>,
}

impl Found {
    fn add(&mut self, off: usize, kind: FileType) {
        let had = self.list.iter().filter(|(_, other)| *other == kind).count();
        if had < PER_TYPE_MAX && !self.list.contains(&(off, kind)) {
            self.list.push((off, kind));
        }
    }
}

/// What an object has that is looked for together with the literals.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    mhtml: bool,
    xdp: bool,
}

/// Other forms of the object as a whole.
fn also(bytes: &[u8], own: FileType, marks: Marks, found: &mut Found) {
    let text = matches!(
        own,
        FileType::TextAscii | FileType::TextUtf8 | FileType::TextUtf16Le | FileType::TextUtf16Be
    );
    if text && pattern::is_html(bytes) {
        found.add(0, FileType::Html);
    }
    if text && marks.xdp {
        found.add(0, FileType::Xdp);
    }
    if text || own == FileType::BinaryData {
        if marks.mhtml {
            found.add(0, FileType::Mhtml);
        } else if pattern::is_mail(bytes) {
            found.add(0, FileType::Mail);
        }
    }
    // An archive of which the first header is broken, by the record at its end.
    let end = bytes.len().checked_sub(ZIP_END_LEN).and_then(|off| bytes.get(off..));
    let has_zip = found.list.iter().any(|(_, kind)| *kind == FileType::ZipSfx);
    let is_plain = !has_zip && (text || own == FileType::BinaryData);
    if is_plain && end.is_some_and(|end| end.starts_with(b"PK\x05\x06")) {
        found.add(0, FileType::ZipSfx);
    }
    let forms = disk_forms(bytes, own);
    if forms.contains(&FileType::Iso9660) {
        // Its descriptors are no further images that start a little later.
        found.list.retain(|(off, kind)| *kind != FileType::Iso9660 || *off >= DESCRIPTORS_LEN);
    }
    forms.into_iter().for_each(|kind| found.add(0, kind));
}

/// An end of central directory without a comment.
const ZIP_END_LEN: usize = 22;

/// What stands behind the sections of a program and has no magic.
fn overlay(bytes: &[u8], found: &mut Found) {
    let Some(start) = crate::executables::pe::overlay_off(bytes) else { return };
    let rest = bytes.get(start..).unwrap_or_default();
    if start > 0 && crate::containers::ishield_setup::is_setup(rest) {
        found.add(start, FileType::IshieldSetup);
    }
    if start > 0 && rest.starts_with(crate::containers::ishield_msi::STREAM) {
        found.add(start, FileType::IshieldMsi);
    }
    if start > 0 && (rest.starts_with(SETUP_FACTORY) || rest.starts_with(SETUP_FACTORY_7)) {
        found.add(start, FileType::SetupFactory);
    }
}

/// The literals, in the order of [`checked`], and the marks.
const LITERALS: &[&[u8]] = &[
    b"PK\x03\x04",
    b"Rar!\x1a\x07",
    &[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c],
    b"MSCF\0\0\0\0",
    b"PE\0\0",
    &[
        0xef, 0xbe, 0xad, 0xde, b'N', b'u', b'l', b'l', b's', b'o', b'f', b't', b'I', b'n', b's',
        b't',
    ],
    &[
        0xa3, 0x48, 0x4b, 0xbe, 0x98, 0x6c, 0x4a, 0xa9, 0x99, 0x4c, 0x53, 0x0a, 0x86, 0xd6, 0x48,
        0x7d, b'A', b'U', b'3', b'!', b'E', b'A', b'0',
    ],
    b"InstallShield\0",
    b"%PDF-",
    b"%pdf-",
    b"\x01CD001",
    b"\0BEA01",
    b"EGGA\0\x01",
    b"<key>blkx</key>",
    b"hsqs",
    pattern::MHTML,
    pattern::XDP,
];
const MHTML: usize = LITERALS.len() - 2;
const XDP: usize = LITERALS.len() - 1;

fn searcher() -> Option<&'static Searcher> {
    static SEARCHER: OnceLock<Option<Searcher>> = OnceLock::new();
    SEARCHER
        .get_or_init(|| {
            Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(LITERALS).build()
        })
        .as_ref()
}

/// Returns what stands at a literal: its offset and type.
fn checked(
    bytes: &[u8],
    literal: usize,
    at: usize,
    found: &mut Found,
) -> Option<(usize, FileType)> {
    let behind = bytes.get(at..).unwrap_or_default();
    let (off, kind) = match literal {
        0 => zip(behind, at, found),
        1 => matches!(behind.get(6), Some(0 | 1)).then_some((at, FileType::RarSfx)),
        2 => (behind.get(6) == Some(&0)).then_some((at, FileType::SevenZipSfx)),
        3 => is_cabinet(behind).then_some((at, FileType::CabSfx)),
        4 => found.pe.then(|| pe(bytes, at)).flatten().map(|off| (off, FileType::Msexe)),
        5 => at.checked_sub(4).map(|off| (off, FileType::Nulsft)),
        6 => matches!(behind.get(23), Some(b'5' | b'6')).then_some((at, FileType::Autoit)),
        7 => is_installshield(behind).then_some((at, FileType::IshieldMsi)),
        8 | 9 => (behind.get(6) == Some(&b'.')).then_some((at, FileType::Pdf)),
        10 => iso_start(bytes, at).map(|off| (off, FileType::Iso9660)),
        11 => (at <= FIRST_DESCRIPTOR_OFF).then_some((0, FileType::Udf)),
        // The table of a disk image, of which the trailer may be lost.
        13 => Some((0, FileType::Dmg)),
        // Those of AppImages and of firmware.
        14 => filesystem::is_squashfs(behind).then_some((at, FileType::Squashfs)),
        _ => Some((at, FileType::EggSfx)),
    }?;
    let whole = matches!(kind, FileType::Iso9660 | FileType::Udf | FileType::Dmg);
    (off > 0 || whole).then_some((off, kind))
}

/// A local header whose name is inside the object; entries that follow an entry of the same archive are left to
/// the reader of the first.
fn zip(behind: &[u8], at: usize, found: &mut Found) -> Option<(usize, FileType)> {
    let mut header = Reader::at(behind, 8);
    let method = header.u16_le().ok()?;
    header.skip(8).ok()?;
    let packed_len = header.u32_le().ok()?;
    header.skip(4).ok()?;
    let name_len = usize::from(header.u16_le().ok()?);
    let extra_len = usize::from(header.u16_le().ok()?);
    if method > 99 || at == 0 {
        return None;
    }
    let follows = found.zip_next == Some(at);
    let end = usize::try_from(packed_len).ok().and_then(|len| {
        len.checked_add(30)?.checked_add(name_len)?.checked_add(extra_len)?.checked_add(at)
    });
    found.zip_next = end;
    (!follows).then_some((at, FileType::ZipSfx))
}

/// At least one folder and one file.
fn is_cabinet(behind: &[u8]) -> bool {
    let mut header = Reader::at(behind, 26);
    matches!((header.u16_le(), header.u16_le()), (Ok(1..), Ok(1..)))
}

/// The `MZ` whose `e_lfanew` points to this `PE\0\0`.
fn pe(bytes: &[u8], at: usize) -> Option<usize> {
    let first = at.saturating_sub(PE_HEADER_OFF_MAX);
    let before = bytes.get(first..at)?;
    memmem::rfind_iter(before, b"MZ").find_map(|mz| {
        let off = first.checked_add(mz)?;
        let distance = at.checked_sub(off)?;
        let e_lfanew = Reader::at(bytes, off.checked_add(0x3c)?).u32_le().ok()?;
        (usize::try_from(e_lfanew) == Ok(distance)).then_some(off)
    })
}

/// ClamAV looks 300 bytes back; linkers with long stubs leave more.
const PE_HEADER_OFF_MAX: usize = 4096;

fn is_installshield(behind: &[u8]) -> bool {
    const FIXED_OFF: usize = 14 + 292;
    behind.get(FIXED_OFF..).is_some_and(|fixed| {
        fixed.starts_with(&[6, 0, 0, 0, 0, 0, 0, 0])
            && fixed.get(16..).is_some_and(|rest| rest.starts_with(&[0, 0, 0, 0, 1]))
    })
}

/// Returns where a CD starts that has a descriptor at this offset: another stands one sector behind, and sectors
/// of more than 2048 bytes have a header in front of their data.
fn iso_start(bytes: &[u8], at: usize) -> Option<usize> {
    let behind = bytes.get(at..)?;
    let next = behind.get(6 + 2043..behind.len().min(6 + 2443 + 5))?;
    let sector_len = memmem::find(next, b"CD001")?.saturating_add(6 + 2043 - 1);
    let is_sync = |len: &usize| {
        let sync = at.checked_sub(*len).and_then(|off| bytes.get(off..));
        sync.is_some_and(|sync| sync.starts_with(&[0, 255, 255, 255, 255, 255]))
    };
    let header_len = [16usize, 24].into_iter().find(is_sync).unwrap_or(0);
    Some(at.saturating_sub(sector_len.saturating_mul(16)).saturating_sub(header_len))
}

/// A main header: type 2, of at most 2600 bytes.
fn is_arj(behind: &[u8]) -> bool {
    let mut header = Reader::at(behind, 2);
    let len = header.u16_le().unwrap_or(0);
    (30..=2600).contains(&len) && matches!(behind.get(9..11), Some([0..=2, 2]))
}
