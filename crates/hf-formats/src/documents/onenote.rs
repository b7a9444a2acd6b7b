//! OneNote: the files that are embedded in a section.
//!
//! Yields: the data of every file data store object.
//! Leaves out: pages, their text and the names of files (they lie in a property graph).
//! Limits: 4096 objects. Hostile input: objects are found by their identifier wherever they are; one
//! that claims more than there is is cut at the end.
//! Sources: [1] MS-ONESTORE §2.6.13 (FileDataStoreObject).

use hf_core::{Child, ChildRole, FileType, Halt, Reason, ScanOptions, Sink};

use super::le::{find_from, part, u64_at};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

/// Opens OneNote.
pub(crate) static FORMAT: Format = Format {
    name: "onenote",
    types: &[FileType::OneNote],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`E4525C7B8CD8A74DAEB15378D02996D3` at the start",
        yields: "embedded files",
        leaves_out: "pages and names of files",
        limits: "4096 objects",
        sources: "MS-ONESTORE",
    },
};

/// [1]: `guidHeader`.
const HEADER: [u8; 16] = [
    0xe7, 0x16, 0xe3, 0xbd, 0x65, 0x26, 0x11, 0x45, 0xa4, 0xc4, 0x8d, 0x4d, 0x0b, 0x7a, 0x9e, 0xac,
];
/// The identifier, `cbLength`, and 12 bytes that are not used.
const HEADER_LEN: usize = 36;
const OBJECTS_MAX: usize = 4096;

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `ONENOTE` of the configuration databases.
    options.scan_onenote && options.dconf.document & 0x400 != 0
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 0usize;
    let mut count = 0usize;
    while let Some(found) = find_from(object, &HEADER, off) {
        off = found.saturating_add(HEADER_LEN);
        let Some(len) = u64_at(object, found.saturating_add(HEADER.len())) else { break };
        count = count.saturating_add(1);
        if count > OBJECTS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("OneNote objects".into()));
            break;
        }
        let name = format!("file{count}");
        let data = part(object, off, size(len));
        if data.len() < size(len) {
            sink.unscanned(name.as_bytes(), Reason::Truncated);
        } else {
            // A wrong length must not hide the next object.
            off = off.saturating_add(data.len());
        }
        sink.child(Child { name: name.as_bytes(), data, role: ChildRole::Member })?;
    }
    Ok(())
}
