//! Zstandard.
//!
//! Yields: one child, all frames one behind the other; and what stands behind the last frame.
//! Leaves out: skippable frames; frames that need a dictionary; content checksums.
//! Limits: all through `Sink`; a window is at most 128 MiB, output that needs more is cut there.
//! Hostile input: what came out before damage is a child; the next frame is looked for by its magic.
//! Sources: RFC 8878.

use hf_core::{FileType, Halt, Sink};

use super::streams::{Stream, join};
use crate::bounded::{Ended, unpack_into};
use crate::codec::{Counted, ZstdFrame};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "zstd",
    types: &[FileType::Zstd],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x4000_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`28 b5 2f fd`, or the magic of a skippable frame, at the start",
        yields: "one child, all frames joined; data behind the last frame",
        leaves_out: "skippable frames; frames that need a dictionary; content checksums",
        limits: "output up to the size of one object; window up to 128 MiB",
        sources: "RFC 8878",
    },
};

const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", MAGIC, sink, |rest, _, bytes, sink| {
        if let Some(len) = skippable_len(rest) {
            let ended = if len > rest.len() { Ended::Truncated } else { Ended::Whole };
            return Ok(Some(Stream { ended, used: len.min(rest.len()) }));
        }
        if !rest.starts_with(MAGIC) {
            return Ok(None);
        }
        let mut input = Counted::new(rest);
        let ended = match ZstdFrame::new(&mut input) {
            Ok(frame) => unpack_into(frame, bytes, sink)?,
            Err(error) => Ended::of_error(&error),
        };
        Ok(Some(Stream { ended, used: size(input.used()) }))
    })?;
    Ok(())
}

/// Returns the length of the skippable frame (`184D2A5?`) that starts here.
pub(super) fn skippable_len(input: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(input);
    let magic = reader.u32_le().ok()?;
    let len = reader.u32_le().ok()?;
    (magic >> 4 == 0x0184_d2a5).then(|| size(u64::from(len)).saturating_add(8))
}
