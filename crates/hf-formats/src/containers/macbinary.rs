//! MacBinary: a file of the classic Mac OS with both its forks.
//!
//! Yields: the data fork and the resource fork.
//! Leaves out: Finder information, comments.
//! Limits: none of its own.
//! Hostile input: forks are cut at the end of the object.
//! Sources: "MacBinary III Specification".

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "macbinary",
    types: &[FileType::MacBinary],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "a header of 128 bytes with version and checksum",
        yields: "data fork and resource fork",
        leaves_out: "Finder information, comments",
        limits: "none of its own",
        sources: "MacBinary III",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let name_len = usize::from(Reader::at(object, 1).u8()?);
    let name = Reader::at(object, 2).take_up_to(name_len.min(63));
    let mut fields = Reader::at(object, 83);
    let (data_len, resource_len) = (fields.u32_be()?, fields.u32_be()?);
    let more_len = usize::from(Reader::at(object, 120).u16_be()?);
    let mut reader = Reader::at(object, more_len.next_multiple_of(128).saturating_add(128));
    for (len, suffix) in [(data_len, b"".as_slice()), (resource_len, b"/rsrc")] {
        let len = size(u64::from(len));
        let fork = reader.take_up_to(len);
        reader.take_up_to(len.next_multiple_of(128).saturating_sub(len));
        let name = [name, suffix].concat();
        if fork.len() < len {
            sink.unscanned(&name, Reason::Truncated);
        }
        if !fork.is_empty() {
            sink.child(Child { name: &name, data: fork, role: ChildRole::Member })?;
        }
    }
    Ok(())
}
