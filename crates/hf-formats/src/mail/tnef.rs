//! TNEF, the `winmail.dat` of Outlook and Exchange.
//!
//! Yields: attachments under their names, bodies in text, HTML and RTF.
//! Leaves out: all other properties; checksums.
//! Limits: all through `Sink`; 4096 properties in one set.
//! Hostile input: an attribute that is too long ends the object; what came before stays found, the rest of the
//! data is handed over as it is.
//! Sources: MS-OXTNEF, MS-OXRTFCP, MS-OXPROPS.

mod properties;
mod rtf;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use self::properties::Property;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "tnef",
    types: &[FileType::Tnef],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_mail,
    extract,
    doc: FormatDoc {
        recognised_by: "78 9f 3e 22 at the start",
        yields: "attachments and bodies (text, HTML, RTF)",
        leaves_out: "other properties",
        limits: "4096 properties in one set",
        sources: "MS-OXTNEF, MS-OXRTFCP",
    },
};

const ATTACH_TITLE: u32 = 0x0001_8010;
const BODY: u32 = 0x0002_800c;
const ATTACH_DATA: u32 = 0x0006_800f;
const ATTACH_REND_DATA: u32 = 0x0006_9002;
const MSG_PROPS: u32 = 0x0006_9003;
const ATTACHMENT: u32 = 0x0006_9005;

/// An attachment of which name and data come in attributes of their own, in any order.
#[derive(Default)]
struct Attachment<'a> {
    name: Vec<u8>,
    data: Vec<&'a [u8]>,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, 6);
    let mut open = Attachment::default();
    let mut position = 0;
    let ended = loop {
        if reader.left() == 0 {
            break Ok(());
        }
        sink.poll()?;
        let (id, data) = match attribute(&mut reader) {
            Ok(attribute) => attribute,
            Err(defect) => break Err(defect),
        };
        match id {
            ATTACH_REND_DATA => {
                close(std::mem::take(&mut open), &mut position, sink)?;
            }
            ATTACH_TITLE => open.name = without_zero(data).to_vec(),
            ATTACH_DATA => open.data.push(data),
            BODY => give(b"body", data, ChildRole::Member, sink)?,
            MSG_PROPS => message_properties(data, sink)?,
            ATTACHMENT => attachment_properties(data, &mut open),
            _ => {}
        }
    };
    close(open, &mut position, sink)?;
    if let Err(defect) = ended {
        sink.unscanned(b"", Reason::Damaged("attribute".into()));
        give(b"rest", reader.rest(), ChildRole::Member, sink)?;
        return Err(defect.into());
    }
    Ok(())
}

/// Reads level, id, length, data and checksum. A length behind the end gives what is there.
fn attribute<'a>(reader: &mut Reader<'a>) -> Result<(u32, &'a [u8]), Defect> {
    let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
    let mut header = *reader;
    let level = header.u8()?;
    let id = header.u32_le()?;
    let len = size(u64::from(header.u32_le()?));
    if !matches!(level, 1 | 2) {
        return Err(Defect::new(off, "attrLevel"));
    }
    let data = header.take_up_to(len);
    header.take_up_to(2);
    *reader = header;
    Ok((id, data))
}

fn close(open: Attachment<'_>, position: &mut u32, sink: &mut dyn Sink) -> Result<(), Stop> {
    for data in open.data {
        *position = position.saturating_add(1);
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        sink.member(&Member {
            name: &open.name,
            packed_len: len,
            unpacked_len: len,
            position: *position,
            ..Member::default()
        })?;
        give(&open.name, data, ChildRole::Member, sink)?;
    }
    Ok(())
}

fn give(name: &[u8], data: &[u8], role: ChildRole, sink: &mut dyn Sink) -> Result<(), Stop> {
    if data.is_empty() {
        return Ok(());
    }
    sink.child(Child { name, data, role })
}

fn without_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// Bodies of the message.
fn message_properties(data: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    for Property { id, data, .. } in properties::read(data) {
        match id {
            0x1000 => give(b"body", &properties::narrow(data), ChildRole::Member, sink)?,
            0x1013 => give(b"body.html", data, ChildRole::Member, sink)?,
            0x1009 => match rtf::decompress(data, sink.child_cap()) {
                Some(rtf) => give(b"body.rtf", &rtf, ChildRole::Member, sink)?,
                None => give(b"body.rtf", data, ChildRole::Member, sink)?,
            },
            _ => {}
        }
    }
    Ok(())
}

/// Unpacks compressed RTF, as messages outside of TNEF have it too; none when the header is another's.
pub(crate) fn compressed_rtf(bytes: &[u8], max: u64) -> Option<Vec<u8>> {
    rtf::decompress(bytes, max)
}

/// Name and data of an attachment.
fn attachment_properties<'a>(data: &'a [u8], open: &mut Attachment<'a>) {
    for Property { id, kind, data } in properties::read(data) {
        match id {
            // The long name is better than the title; the short one only when there is none.
            0x3707 => open.name = properties::narrow(data),
            0x3704 if open.name.is_empty() => open.name = properties::narrow(data),
            // An object starts with the id of its interface.
            0x3701 if kind == properties::OBJECT => {
                open.data.push(data.get(16..).unwrap_or_default());
            }
            0x3701 => open.data.push(data),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
