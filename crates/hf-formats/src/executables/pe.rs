//! PE files (PE32 and PE32+).
//!
//! Yields: resources that carry data of the program's own choosing (`RT_RCDATA`, `RT_HTML`, named types), and
//! the data behind the last section when nothing else would find it. Facts: machine, time stamp,
//! sections, import hash, version strings, tools and debug file. Heuristics: two families of viruses. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: unpacking of packed programs (`unpack` does it); the certificate table is not taken for an overlay.
//! Limits: [`CHILDREN_MAX`] children, together no larger than the file.
//! Hostile input: what cannot be read is left out, and the headers' defect is told.
//! Sources: [1] Microsoft, "PE Format"; [2] black-box runs of clamscan 1.4.6.

use hf_core::{Child, ChildRole, Defect, ExeKind, ExeView, FileType, Halt, Sink};
use md5::{Digest as _, Md5};

use self::headers::Headers;
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

mod debug;
mod details;
pub(crate) mod headers;
pub(crate) mod icons;
pub(crate) mod imports;
pub(crate) mod ordinals;
pub(crate) mod packers;
pub(crate) mod resources;
pub(crate) mod version;
mod viruses;

pub(crate) static FORMAT: Format = Format {
    name: "pe",
    types: &[FileType::Msexe],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_pe,
    extract,
    doc: FormatDoc {
        recognised_by: "`MZ` and the PE signature at `e_lfanew`",
        yields: "resources of raw data, HTML and named types; data behind the last section",
        leaves_out: "unpacking of packed programs: see `unpack`",
        limits: "256 children, together no larger than the file; 96 sections",
        sources: "Microsoft, PE Format",
    },
};

/// Without one, clamscan calls a file broken.
const DOS_HEADER_LEN: usize = 0x40;
/// Children of one file; ours.
const CHILDREN_MAX: usize = 256;
/// Smaller ones are not worth an object of their own; ours.
const CHILD_LEN_MIN: usize = 64;
const SECURITY_DIRECTORY: usize = 4;

/// Returns the offset of what stands behind all sections of a PE, if anything does.
pub(crate) fn overlay_off(bytes: &[u8]) -> Option<usize> {
    Headers::read(bytes).ok()?.overlay_off().map(crate::reader::size)
}

/// Returns the loader's view.
///
/// # Errors
/// It is not a PE.
pub(crate) fn view(bytes: &[u8]) -> Result<(ExeView, Option<Defect>), Defect> {
    let headers = Headers::read(bytes)?;
    let strings = version::strings(bytes, &headers);
    let view = ExeView {
        kind: ExeKind::Pe,
        is_64: headers.is_64,
        entry_off: headers.entry_off,
        version_key_offs: strings.iter().map(|string| string.key_off).collect(),
        overlay_off: headers.overlay_off(),
        import_string: imports::import_string(bytes, &headers),
        sections: headers.sections,
    };
    Ok((view, headers.refusal))
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let headers = match Headers::read(object) {
        Ok(headers) => headers,
        // A DOS program has no PE header: that is no defect.
        Err(_) if object.len() >= DOS_HEADER_LEN && !Headers::has_file_header(object) => {
            return Ok(());
        }
        Err(defect) => {
            super::tell_broken(sink)?;
            return Err(defect.into());
        }
    };
    if let Some(defect) = headers.broken.clone() {
        super::tell_broken(sink)?;
        if headers.refusal.is_some() {
            sink.defect(defect);
        }
    }
    facts(object, &headers, sink);
    debug::facts(object, &headers, sink);
    if let Some(name) = viruses::virus(object, &headers, sink.options()) {
        sink.heuristic(name)?;
    }
    if sink.options().clamav_quirks {
        return Ok(());
    }
    let mut bytes_left = object.len();
    resource_children(object, &headers, &mut bytes_left, sink)?;
    overlay_child(object, &headers, &mut bytes_left, sink)
}

fn resource_children(
    object: &[u8],
    headers: &Headers,
    bytes_left: &mut usize,
    sink: &mut dyn Sink,
) -> Result<(), Halt> {
    let carries_data = |resource: &resources::Resource| {
        resource.len >= CHILD_LEN_MIN
            && matches!(resource.kind, resources::RC_DATA | resources::HTML | resources::Id::Name)
    };
    let all = resources::resources(object, headers);
    for resource in all.iter().filter(|resource| carries_data(resource)).take(CHILDREN_MAX) {
        sink.poll()?;
        let end = resource.off.saturating_add(resource.len);
        let Some(data) = object.get(resource.off..end) else { continue };
        let Some(left) = bytes_left.checked_sub(data.len()) else { break };
        *bytes_left = left;
        let name = format!("{}/{}", label(resource.kind), label(resource.id));
        sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
    }
    Ok(())
}

fn label(id: resources::Id) -> String {
    match id {
        resources::RC_DATA => "rcdata".to_owned(),
        resources::HTML => "html".to_owned(),
        resources::Id::Number(number) => number.to_string(),
        resources::Id::Name => "named".to_owned(),
    }
}

fn overlay_child(
    object: &[u8],
    headers: &Headers,
    bytes_left: &mut usize,
    sink: &mut dyn Sink,
) -> Result<(), Halt> {
    let Some(off) = headers.overlay_off().map(size) else { return Ok(()) };
    let mut end = object.len();
    // The certificate directory holds a file offset, not an address [1].
    if let Some((certificates_off, _)) = headers.directory(SECURITY_DIRECTORY) {
        let certificates_off = size(certificates_off);
        if certificates_off >= off && certificates_off < end {
            end = certificates_off;
        }
    }
    let data = object.get(off..end).unwrap_or_default();
    if !super::is_overlay(data) || data.len() > *bytes_left {
        return Ok(());
    }
    sink.child(Child { name: b"overlay", data, role: ChildRole::Member })?;
    Ok(())
}

fn facts(object: &[u8], headers: &Headers, sink: &mut dyn Sink) {
    details::tell(object, headers, sink);
    sink.fact("pe.bits", if headers.is_64 { "64" } else { "32" });
    sink.fact("pe.subsystem", &headers.subsystem.to_string());
    sink.fact("pe.timestamp", &headers.timestamp.to_string());
    sink.fact("pe.characteristics", &format!("{:#06x}", headers.characteristics));
    sink.fact("pe.entry_rva", &format!("{:#x}", headers.entry_rva));
    if let Some(off) = headers.entry_off {
        sink.fact("pe.entry_off", &off.to_string());
    }
    for (idx, section) in headers.sections.iter().enumerate() {
        let value = format!(
            "{} off={} len={} rva={:#x} virtual_len={:#x} flags={:#010x}",
            section.name.escape_ascii(),
            section.raw_off,
            section.raw_len,
            section.rva,
            section.virtual_len,
            section.flags,
        );
        sink.fact(&format!("pe.section.{idx}"), &value);
    }
    if let Some(string) = imports::import_string(object, headers) {
        let hex: String = Md5::digest(&string).iter().map(|byte| format!("{byte:02x}")).collect();
        sink.fact("pe.imphash", &hex);
        sink.fact("pe.imports_len", &string.len().to_string());
    }
    details::rest(object, headers, sink);
    for string in version::strings(object, headers).iter().take(VERSION_FACTS_MAX) {
        let key = string.key.to_lowercase();
        sink.fact(&format!("pe.version.{key}"), &string.value);
    }
    if let Some(off) = headers.overlay_off() {
        sink.fact("pe.overlay_off", &off.to_string());
    }
    super::authenticode::tell(object, sink);
}

/// Version strings told as facts; ours.
const VERSION_FACTS_MAX: usize = 64;
