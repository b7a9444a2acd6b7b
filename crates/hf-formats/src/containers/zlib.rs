//! zlib streams (RFC 1950) that are an object of their own, as installers and resources hold them.
//!
//! Yields: one child; and what stands behind the stream.
//! Leaves out: streams with a preset dictionary.
//! Limits: all through `Sink`.
//! Hostile input: what came out before damage is a child.
//! Sources: RFC 1950, RFC 1951.

use hf_core::{FileType, Halt, Sink};

use super::streams::{join, unpack_one};
use crate::codec::Inflate;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "zlib",
    types: &[FileType::Zlib],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`78 01`, `78 5e`, `78 9c` or `78 da` at the start, and deflate that decodes",
        yields: "one child; data behind the stream",
        leaves_out: "preset dictionaries",
        limits: "output up to the size of one object",
        sources: "RFC 1950, RFC 1951",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", b"", sink, |rest, off, bytes, sink| {
        if off > 0 {
            return Ok(None);
        }
        unpack_one(rest, bytes, sink, |input| Ok(Inflate::zlib(input)), Inflate::used).map(Some)
    })?;
    Ok(())
}
