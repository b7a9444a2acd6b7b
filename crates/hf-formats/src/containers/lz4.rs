//! LZ4 frames.
//!
//! Yields: one child, all frames one behind the other; and what stands behind the last frame.
//! Leaves out: skippable frames; dictionaries; checksums.
//! Limits: all through `Sink`; a block is at most 8 MiB.
//! Hostile input: what came out before damage is a child, of a cut block too; the next frame is looked
//! for by its magic.
//! Sources: lz4_Frame_format.md 1.6.4; lz4_Block_format.md.

use hf_core::{FileType, Halt, Sink};

use super::streams::{Stream, join};
use super::zstd::skippable_len;
use crate::bounded::{Ended, unpack_into};
use crate::codec::Lz4Frame;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lz4",
    types: &[FileType::Lz4],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`04 22 4d 18` or, for legacy frames, `02 21 4c 18` at the start",
        yields: "one child, all frames joined; data behind the last frame",
        leaves_out: "skippable frames; dictionaries; checksums",
        limits: "output up to the size of one object; a block up to 8 MiB",
        sources: "lz4_Frame_format.md 1.6.4, lz4_Block_format.md",
    },
};

const MAGIC: &[u8] = b"\x04\x22\x4d\x18";
const LEGACY_MAGIC: &[u8] = b"\x02\x21\x4c\x18";

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    join(object, b"", MAGIC, sink, |rest, _, bytes, sink| {
        if let Some(len) = skippable_len(rest) {
            let ended = if len > rest.len() { Ended::Truncated } else { Ended::Whole };
            return Ok(Some(Stream { ended, used: len.min(rest.len()) }));
        }
        if !rest.starts_with(MAGIC) && !rest.starts_with(LEGACY_MAGIC) {
            return Ok(None);
        }
        Ok(Some(match Lz4Frame::new(rest) {
            Ok(mut frame) => {
                let ended = unpack_into(&mut frame, bytes, sink)?;
                Stream { ended, used: frame.used() }
            }
            Err(error) => Stream { ended: Ended::of_error(&error), used: MAGIC.len() },
        }))
    })?;
    Ok(())
}
