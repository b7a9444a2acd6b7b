//! Packs of git objects, alone and in bundles.
//!
//! Yields: one child per file in the pack that is stored whole.
//! Leaves out: objects stored as differences to others (their number is reported), commits, trees and tags, the
//! checksum.
//! Limits: through `Sink`; as many objects as the object has bytes.
//! Hostile input: an object that does not unpack ends the pack, since only its end says where the next begins.
//! Sources: Git documentation, "gitformat-pack", "gitformat-bundle".

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink};
use memchr::memmem;

use crate::bounded::{Ended, unpack};
use crate::codec::{Counted, Inflate};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "git_pack",
    types: &[FileType::GitPack],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`PACK` and a version at the start, or a bundle's first line",
        yields: "one child per file that is stored whole",
        leaves_out: "objects stored as differences (reported); commits, trees, tags",
        limits: "those of the scan",
        sources: "gitformat-pack, gitformat-bundle",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let start = if object.starts_with(b"PACK") {
        0
    } else {
        // The lines of a bundle end with an empty one.
        memmem::find(object, b"\n\nPACK").map_or(object.len(), |at| at.saturating_add(2))
    };
    let mut reader = Reader::at(object, start.saturating_add(8));
    let count = reader.u32_be()?;
    let mut differences = 0u32;
    for position in 1..=count {
        sink.poll()?;
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let Some((kind, len)) = header(&mut reader) else {
            sink.defect(Defect::new(off, "object"));
            break;
        };
        let mut input = Counted::new(reader.rest());
        let unpacked = unpack(Inflate::zlib(&mut input), len, sink)?;
        let used = size(input.used());
        let name = format!("object {position}");
        let name = name.as_bytes();
        match kind {
            6 | 7 => differences = differences.saturating_add(1),
            3 => {
                sink.member(&Member {
                    name,
                    packed_len: input.used(),
                    unpacked_len: len,
                    position,
                    ..Member::default()
                })?;
                if let Some(reason) = unpacked.ended.reason(sink) {
                    sink.unscanned(name, reason);
                }
                if !unpacked.bytes.is_empty() {
                    sink.child(Child { name, data: &unpacked.bytes, role: ChildRole::Member })?;
                }
            }
            _ => {}
        }
        if unpacked.ended != Ended::Whole {
            sink.unscanned(b"", Reason::Damaged("object of a pack".into()));
            break;
        }
        reader.skip(used)?;
    }
    if differences > 0 {
        let text = format!("differences between git objects ({differences})");
        sink.unscanned(b"", Reason::NoReader(text.into()));
    }
    Ok(())
}

/// Kind and length of an object; what a difference is made to stands in front of its stream.
fn header(reader: &mut Reader<'_>) -> Option<(u8, u64)> {
    let mut byte = reader.u8().ok()?;
    let kind = (byte >> 4) & 7;
    let mut len = u64::from(byte & 15);
    let mut shift = 4u32;
    while byte & 0x80 != 0 {
        byte = reader.u8().ok()?;
        len |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift = shift.checked_add(7)?;
    }
    match kind {
        6 => while reader.u8().ok()? & 0x80 != 0 {},
        7 => reader.skip(20).ok()?,
        _ => {}
    }
    Some((kind, len))
}
