//! Word, Excel and Hancom documents in one XML file: their binary parts.
//!
//! Yields: every `binData` (Word, Excel) and `BINDATA` (Hancom), decoded from base64, inflated where
//! it says so.
//! Leaves out: the text (the object is matched as a whole).
//! Limits: through `Sink`. Hostile input: elements are found by their name; junk in base64 is skipped.
//! Sources: [1] Word 2003 XML reference (`binData`); [2] Hancom HWPML 2.x (`BINDATA`).

use hf_core::{Child, ChildRole, FileType, Halt, ScanOptions, Sink, Stop};

use super::base64_parts::{attribute, decode, elements};
use crate::bounded::{hand_over, unpack};
use crate::codec::Inflate;
use crate::{Format, FormatDoc, Stage};

/// Opens documents in one XML file.
pub(crate) static FORMAT: Format = Format {
    name: "msxml",
    types: &[FileType::XmlWord, FileType::XmlXl, FileType::XmlHwp],
    stage: Stage::BeforeMatch,
    enabled,
    extract,
    doc: FormatDoc {
        recognised_by: "`<?xml` and `wordDocument`, `Workbook` or `HWPML`",
        yields: "binary parts",
        leaves_out: "the text",
        limits: "none of its own",
        sources: "Word 2003 XML reference, HWPML 2.x",
    },
};

fn enabled(options: &ScanOptions) -> bool {
    // `DOCUMENT` bit `MSXML` of the configuration databases.
    options.scan_xmldocs && options.dconf.document & 0x80 != 0
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    for tag in ["binData", "BINDATA"] {
        for (number, element) in (1u32..).zip(elements(object, tag)) {
            sink.poll()?;
            let attributes = object.get(element.attributes).unwrap_or_default();
            let text = object.get(element.text).unwrap_or_default();
            let name = attribute(attributes, "name").map(<[u8]>::to_vec);
            let name = name.unwrap_or_else(|| format!("{tag}{number}").into_bytes());
            let data = decode(text);
            let inflate = attribute(attributes, "Compress") == Some(b"true");
            binary_part(&name, &data, inflate, sink)?;
        }
    }
    Ok(())
}

fn binary_part(name: &[u8], data: &[u8], inflate: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
    if data.is_empty() {
        return Ok(());
    }
    if inflate {
        let unpacked = unpack(Inflate::raw(data), 0, sink)?;
        if !unpacked.bytes.is_empty() {
            return hand_over(&unpacked, name, ChildRole::Member, sink);
        }
    }
    sink.child(Child { name, data, role: ChildRole::Member })
}
