//! LZFSE streams.
//!
//! Yields: one child.
//! Leaves out: what is behind the end mark.
//! Limits: output up to the size of one object.
//! Hostile input: what came out before damage is a child.
//! Sources: Apple's published implementation (BSD).

use hf_core::{ChildRole, FileType, Halt, Sink};

use crate::bounded::{Unpacked, hand_over};
use crate::codec::lzfse;
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lzfse",
    types: &[FileType::Lzfse],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`bvx2`, `bvx-` or `bvxn` at the start",
        yields: "one child",
        leaves_out: "what is behind the end mark",
        limits: "output up to the size of one object",
        sources: "LZFSE, Apple",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut bytes = Vec::new();
    let ended = lzfse(object, size(sink.child_cap()), &mut bytes);
    Ok(hand_over(&Unpacked { bytes, ended }, b"", ChildRole::Member, sink)?)
}
