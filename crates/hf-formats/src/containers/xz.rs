//! xz.
//!
//! Yields: one child, all streams one behind the other; and what stands behind the last stream.
//! Leaves out: the SHA-256 check; sizes in block headers and index.
//! Limits: all through `Sink`; a dictionary is at most 128 MiB, output that needs more is cut there.
//! Hostile input: what came out before damage is a child, a cut chunk included (with guesses at its
//! end); a wrong check or index is a defect; the next stream is looked for by its magic.
//! Sources: "The .xz File Format" 1.2.1.

use hf_core::{Defect, FileType, Halt, Sink};

use super::streams::{join, unpack_one};
use crate::codec::XzStream;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "xz",
    types: &[FileType::Xz],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x20_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`fd 37 7a 58 5a 00` at the start",
        yields: "one child, all streams joined; data behind the last stream",
        leaves_out: "the SHA-256 check; sizes in block headers and index",
        limits: "output up to the size of one object; dictionary up to 128 MiB",
        sources: "The .xz File Format 1.2.1",
    },
};

const MAGIC: &[u8] = b"\xfd7zXZ\0";

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", MAGIC, sink, |rest, off, bytes, sink| {
        if !rest.starts_with(MAGIC) {
            return Ok(None);
        }
        let mut note = None;
        let stream = unpack_one(rest, bytes, sink, XzStream::new, |stream| {
            note = stream.note();
            stream.used()
        })?;
        if let Some(note) = note {
            sink.defect(Defect::new(off, note));
        }
        Ok(Some(stream))
    })?;
    Ok(())
}
