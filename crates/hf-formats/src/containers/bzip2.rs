//! bzip2.
//!
//! Yields: one child, all streams one behind the other; and what stands behind the last stream.
//! Leaves out: blocks of a stream behind a damaged one.
//! Limits: all through `Sink`; a decoder takes about 4 MiB.
//! Hostile input: what came out before damage is a child; the next stream is looked for by its magic.
//! Sources: bzip2's manual; the format as described by J. Tsai, "BZIP2: Format Specification".

use hf_core::{FileType, Halt, Sink};

use super::streams::{Stream, join};
use crate::bounded::unpack_into;
use crate::codec::{Bunzip2, Counted};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "bzip2",
    types: &[FileType::Bz],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x8 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`BZh` at the start",
        yields: "one child, all streams joined; data behind the last stream",
        leaves_out: "blocks of a stream behind a damaged one",
        limits: "output up to the size of one object",
        sources: "bzip2 manual",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", b"BZh", sink, |rest, _, bytes, sink| {
        if !rest.starts_with(b"BZh") {
            return Ok(None);
        }
        // The digit is only how much memory a block takes.
        let head: &[u8] = if matches!(rest.get(3), Some(b'1'..=b'9')) { b"" } else { b"BZh9" };
        let skipped = if head.is_empty() { 0 } else { 4 };
        let body = rest.get(skipped..).unwrap_or_default();
        let mut input = Counted::new(std::io::Read::chain(head, body));
        let ended = unpack_into(Bunzip2::new(&mut input), bytes, sink)?;
        Ok(Some(Stream { ended, used: size(input.used()) }))
    })?;
    Ok(())
}
