//! Unix `compress` (`.Z`).
//!
//! Yields: one child.
//! Leaves out: nothing.
//! Limits: all through `Sink`; codes are 9 to 16 bits long.
//! Hostile input: what came out before a wrong code is a child. The format does not know its end, so
//! that truncation cannot be seen.
//! Sources: compress(1), ncompress.

use hf_core::{ChildRole, Defect, FileType, Halt, Reason, Sink};

use crate::bounded::unpack_child;
use crate::codec::{Uncompress, Unpacker};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "compress",
    types: &[FileType::Compress],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`1f 9d` at the start",
        yields: "one child",
        leaves_out: "nothing; truncation cannot be seen",
        limits: "output up to the size of one object",
        sources: "compress(1)",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let [_, _, flags, codes @ ..] = object else {
        sink.unscanned(b"", Reason::Truncated);
        return Err(Defect::truncated(0).into());
    };
    match Uncompress::new(codes, *flags) {
        Ok(codes) => {
            unpack_child(Unpacker::new(codes), 0, b"", ChildRole::Member, sink)?;
            Ok(())
        }
        Err(_) => {
            sink.unscanned(b"", Reason::Damaged("code length".into()));
            Err(Defect::new(2, "code length").into())
        }
    }
}
