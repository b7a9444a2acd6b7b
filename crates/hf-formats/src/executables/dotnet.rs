//! Programs for .NET: the parts of a PE that only the common language runtime reads.
//!
//! Yields: the user strings as one text, the names as another, and each resource. Facts: version of the
//! runtime, streams. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: tables and code; `.resources` are objects of their own type.
//! Limits: [`STREAMS_MAX`] streams, [`RESOURCES_MAX`] resources, all together no larger than the file.
//! Hostile input: a part that is cut is left out with a defect; the rest is handed over.
//! Sources: [1] ECMA-335, partition II, §24 and §25.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Sink};

use super::pe::headers::Headers;
use super::strings::Lines;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "dotnet",
    types: &[FileType::Msexe],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_pe && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "a PE with a CLR header",
        yields: "user strings, names, resources",
        leaves_out: "tables and code; see `resources` for the inside of `.resources`",
        limits: "16 streams, 256 resources",
        sources: "ECMA-335, partition II",
    },
};

const CLR_DIRECTORY: usize = 14;
const METADATA_MAGIC: u32 = 0x424a_5342;
/// Streams of the metadata, and resources; ours.
const STREAMS_MAX: u16 = 16;
const RESOURCES_MAX: usize = 256;
/// Smaller ones are not worth an object of their own; ours.
const RESOURCE_LEN_MIN: usize = 16;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Ok(headers) = Headers::read(object) else { return Ok(()) };
    let Some((clr_rva, _)) = headers.directory(CLR_DIRECTORY) else { return Ok(()) };
    let Some(clr) = headers.bytes_at(object, clr_rva) else { return Ok(()) };
    let mut reader = Reader::at(clr, 8);
    let (metadata_rva, metadata_len) = (u64::from(reader.u32_le()?), u64::from(reader.u32_le()?));
    sink.fact("dotnet.flags", &format!("{:#x}", reader.u32_le()?));
    reader.skip(4)?;
    let (resources_rva, resources_len) = (u64::from(reader.u32_le()?), u64::from(reader.u32_le()?));
    let part = |rva: u64, len: u64| {
        let bytes = headers.bytes_at(object, rva).filter(|_| rva != 0)?;
        bytes.get(..bytes.len().min(size(len)))
    };
    let mut ended = Ok(());
    if let Some(metadata) = part(metadata_rva, metadata_len) {
        ended = streams(metadata, object.len(), sink);
    }
    if let Err(Halt::Stop(stop)) = ended {
        return Err(stop.into());
    }
    if let Some(data) = part(resources_rva, resources_len) {
        resources(data, sink)?;
    }
    ended
}

/// The streams of the metadata, by the headers behind its root [1] §24.2.
fn streams(metadata: &[u8], file_len: usize, sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(metadata);
    if reader.u32_le()? != METADATA_MAGIC {
        return Err(Defect::new(0, "metadata signature").into());
    }
    reader.skip(8)?;
    let version_len = size(u64::from(reader.u32_le()?));
    let version = reader.take(version_len)?;
    let end = version.iter().position(|byte| *byte == 0).unwrap_or(version.len());
    let version =
        String::from_utf8_lossy(version.get(..end.min(64)).unwrap_or_default()).into_owned();
    sink.fact("dotnet.version", &version);
    reader.skip(2)?;
    let count = reader.u16_le()?;
    for _ in 0..count.min(STREAMS_MAX) {
        let off = size(u64::from(reader.u32_le()?));
        let len = size(u64::from(reader.u32_le()?));
        let rest = reader.rest();
        let name_len = rest.iter().take(32).position(|byte| *byte == 0);
        let name_len = name_len.ok_or(Defect::new(0, "stream name"))?;
        let name = rest.get(..name_len).unwrap_or_default();
        reader.skip(name_len.saturating_add(4) & !3)?;
        let data = metadata.get(off..).unwrap_or_default();
        let data = data.get(..data.len().min(len)).unwrap_or_default();
        sink.fact("dotnet.stream", &format!("{} {len}", name.escape_ascii()));
        let mut lines = Lines::new(file_len.saturating_mul(2).saturating_add(0x100));
        match name {
            b"#US" => {
                user_strings(data, &mut lines);
                lines.hand_over(b"strings", sink)?;
            }
            b"#Strings" => {
                data.split(|byte| *byte == 0).for_each(|name| lines.push(name));
                lines.hand_over(b"names", sink)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Blobs of UTF-16, each with a byte behind it that says whether there is anything but ASCII [1] §24.2.4.
fn user_strings(heap: &[u8], lines: &mut Lines) {
    let mut reader = Reader::at(heap, 1);
    while let Some(len) = compressed(&mut reader) {
        let stored = reader.take_up_to(len);
        lines.push_wide(stored.get(..stored.len() & !1).unwrap_or_default());
        if stored.len() < len {
            return;
        }
    }
}

/// A number of one, two or four bytes [1] §23.2.
fn compressed(reader: &mut Reader<'_>) -> Option<usize> {
    let first = usize::from(reader.u8().ok()?);
    match first {
        0..=0x7f => Some(first),
        0x80..=0xbf => Some((first & 0x3f) << 8 | usize::from(reader.u8().ok()?)),
        0xc0..=0xdf => {
            let high = usize::from(reader.u8().ok()?);
            let low = usize::from(reader.u16_be().ok()?);
            Some((first & 0x1f) << 24 | high << 16 | low)
        }
        _ => None,
    }
}

/// Resources follow each other, each with its length in front, at multiples of eight.
fn resources(data: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(data);
    for _ in 0..RESOURCES_MAX {
        sink.poll()?;
        let Ok(len) = reader.u32_le() else { return Ok(()) };
        let stored = reader.take_up_to(size(u64::from(len)));
        if stored.len() >= RESOURCE_LEN_MIN {
            sink.child(Child { name: b"resource", data: stored, role: ChildRole::Member })?;
        }
        let next = reader.off().saturating_add(7) & !7;
        reader.seek(next);
    }
    Ok(())
}
