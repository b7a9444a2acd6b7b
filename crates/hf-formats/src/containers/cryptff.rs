//! CryptFF: a file whose bytes are inverted behind a header of 16 bytes.
//!
//! Yields: one child.
//! Leaves out: the header.
//! Limits: all through `Sink`.
//! Hostile input: nothing can be broken.
//! Sources: ClamAV's published list of file types.

use hf_core::{ChildRole, FileType, Halt, Sink};

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "cryptff",
    types: &[FileType::Cryptff],
    stage: Stage::BeforeMatch,
    enabled: |options| options.dconf.other & 0x10 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`b6 b9 ac ae fe ff ff ff` at the start",
        yields: "one child, the bytes behind the header inverted",
        leaves_out: "the header of 16 bytes",
        limits: "output up to the size of one object",
        sources: "ClamAV's list of file types",
    },
};

const HEADER_LEN: usize = 16;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let body = object.get(HEADER_LEN..).unwrap_or_default();
    let cap = size(sink.child_cap());
    let bytes = body.iter().take(cap).map(|byte| !byte).collect();
    let ended = if body.len() > cap { Ended::Capped } else { Ended::Whole };
    hand_over(&Unpacked { bytes, ended }, b"", ChildRole::Member, sink)?;
    Ok(())
}
