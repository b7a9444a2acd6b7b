//! XDP: a PDF in base64, wrapped in XML.
//!
//! Yields: every `chunk`, decoded.
//! Leaves out: the form around it (the object is matched as a whole).
//! Limits: none of its own; what comes out is shorter than the object.
//! Hostile input: elements are found by their name; junk in base64 is skipped.
//! Sources: [1] Adobe XML Data Package specification, version 2.0.

use hf_core::{Child, ChildRole, FileType, Halt, ScanOptions, Sink};

use super::base64_parts::{decode, elements};
use crate::{Format, FormatDoc, Stage};

/// Opens XDP.
pub(crate) static FORMAT: Format = Format {
    name: "xdp",
    types: &[FileType::Xdp],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`<xdp:xdp`",
        yields: "decoded chunks",
        leaves_out: "the form",
        limits: "none of its own",
        sources: "Adobe XML Data Package specification, version 2.0",
    },
};

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `PDF` of the configuration databases.
    options.scan_pdf && options.dconf.document & 0x4 != 0
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    for (number, chunk) in (1u32..).zip(elements(object, "chunk")) {
        sink.poll()?;
        let data = decode(object.get(chunk.text).unwrap_or_default());
        if !data.is_empty() {
            let name = format!("chunk{number}");
            sink.child(Child { name: name.as_bytes(), data: &data, role: ChildRole::Member })?;
        }
    }
    Ok(())
}
