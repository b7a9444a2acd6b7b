//! Executables: PE, ELF, Mach-O, and those of virtual machines; their resources; shortcuts to programs.
//!
//! Besides the formats this holds the loader's view, to which signatures refer by entry point and section.

use hf_core::{Defect, ExeKind, ExeView, FileType, Sink, Stop};

use crate::Format;

pub(crate) mod authenticode;
pub(crate) mod catalog;
pub(crate) mod dex;
pub(crate) mod dotnet;
pub(crate) mod elf;
pub(crate) mod endian;
pub(crate) mod java;
pub(crate) mod lnk;
pub(crate) mod macho;
pub(crate) mod macho_universal;
pub(crate) mod pe;
pub(crate) mod pyc;
pub(crate) mod resources;
mod strings;
pub(crate) mod wasm;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[
    pe::FORMAT,
    dotnet::FORMAT,
    resources::FORMAT,
    elf::FORMAT,
    macho::FORMAT,
    macho_universal::FORMAT,
    java::FORMAT,
    dex::FORMAT,
    pyc::FORMAT,
    wasm::FORMAT,
    lnk::FORMAT,
    catalog::FORMAT,
];

/// Returns the loader's view of an executable, as far as its headers can be read.
///
/// It is lenient: a PE that Windows would load has a view even where ClamAV gives up
/// (see [`clamav_exe_view`]); what cannot be mapped is none or empty in it.
///
/// # Errors
/// The object is no executable of this type, or its fixed headers are cut.
pub fn exe_view(bytes: &[u8], file_type: FileType) -> Result<ExeView, Defect> {
    view(bytes, file_type).map(|(view, _)| view)
}

/// Returns the view that ClamAV would have: with the drop-in names, where it gives an error no offset
/// relative to the entry point, to a section or to the end, and no range of the entry point or of
/// the number of sections holds in the object.
///
/// # Errors
/// ClamAV gives the object up.
pub fn clamav_exe_view(bytes: &[u8], file_type: FileType) -> Result<ExeView, Defect> {
    let (mut view, refusal) = view(bytes, file_type)?;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if view.kind == ExeKind::MachO {
        view.entry_off = Some(macho::clamav_entry_off(bytes)?);
    }
    Ok(view)
}

/// Returns the bytes of each PE section that has any, in header order: what section-hash signatures
/// (`SIZE:HASH`) are about. SIZE is the slice's length.
pub fn section_ranges<'a>(bytes: &'a [u8], view: &ExeView) -> Vec<&'a [u8]> {
    if view.kind != ExeKind::Pe {
        return Vec::new();
    }
    let range = |section: &hf_core::ExeSection| {
        let start = crate::reader::size(section.raw_off);
        let end = start.saturating_add(crate::reader::size(section.raw_len));
        bytes.get(start..end).filter(|data| !data.is_empty())
    };
    view.sections.iter().filter_map(range).collect()
}

fn view(bytes: &[u8], file_type: FileType) -> Result<(ExeView, Option<Defect>), Defect> {
    match file_type {
        FileType::Msexe => pe::view(bytes),
        FileType::Elf => elf::view(bytes),
        FileType::Macho => macho::view(bytes),
        _ => Err(Defect::new(0, "no executable")),
    }
}

/// True for a program of Unix that says it is packed by UPX: its mark stands behind the headers, and again at the end.
/// What is packed there is not unpacked yet.
fn is_packed_by_upx(object: &[u8]) -> bool {
    const MARK: &[u8] = b"UPX!";
    const HEAD_LEN: usize = 4096;
    const TAIL_LEN: usize = 64;
    let head = object.get(..object.len().min(HEAD_LEN)).unwrap_or_default();
    let tail = object.get(object.len().saturating_sub(TAIL_LEN)..).unwrap_or_default();
    let has = |bytes| memchr::memmem::find(bytes, MARK).is_some();
    has(head) && has(tail)
}

/// What is found inside any object at any offset, and therefore not handed out as an overlay again.
const FOUND_ANYWHERE: [&[u8]; 9] = [
    b"MZ",
    b"PK\x03\x04",
    b"Rar!",
    b"7z\xbc\xaf",
    b"MSCF",
    b"\x60\xea",
    b"%PDF-",
    b"EGGA",
    b"ISSetupStream",
];
/// Smaller ones are not worth an object of their own; ours.
const OVERLAY_LEN_MIN: usize = 64;

/// True for data behind a program that is worth an object of its own.
fn is_overlay(data: &[u8]) -> bool {
    data.len() >= OVERLAY_LEN_MIN
        && !FOUND_ANYWHERE.iter().any(|magic| data.starts_with(magic))
        && data.iter().any(|byte| *byte != 0)
}

/// Tells a broken executable when that is wanted.
fn tell_broken(sink: &mut dyn Sink) -> Result<(), Stop> {
    if sink.options().alert_broken {
        sink.heuristic("Heuristics.Broken.Executable")?;
    }
    Ok(())
}
