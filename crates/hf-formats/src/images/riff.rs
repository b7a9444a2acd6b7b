//! RIFF: animated cursors with a header of the wrong size.
//!
//! Yields: no children; the finding `Heuristics.Exploit.W32.MS05-002`.
//! Leaves out: all other content (sound, video).
//! Limits: lists up to [`DEPTH_MAX`] deep; every chunk is passed once.
//! Hostile input: lengths are cut at the end of the file.
//! Sources: Microsoft and IBM, "Multimedia Programming Interface", RIFF; Microsoft security bulletin MS05-002.

use hf_core::{FileType, Halt, Sink};

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) static FORMAT: Format = Format {
    name: "riff",
    types: &[FileType::Riff],
    stage: Stage::AfterMatch,
    enabled: |options| options.heuristic_alerts,
    extract,
    doc: FormatDoc {
        recognised_by: "`RIFF` or `RIFX`",
        yields: "nothing but a finding on animated cursors",
        leaves_out: "sound and video",
        limits: "lists 64 deep",
        sources: "RIFF (Microsoft, IBM); MS05-002",
    },
};

/// Lists in lists; ours.
const DEPTH_MAX: u32 = 64;
/// Bytes of an `anih` chunk.
const ANIMATION_HEADER_LEN: u32 = 36;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let is_big_endian = object.starts_with(b"RIFX");
    let mut reader = Reader::at(object, 8);
    if reader.take(4)? == b"ACON" && has_bad_header(&mut reader, is_big_endian) {
        sink.heuristic("Heuristics.Exploit.W32.MS05-002")?;
    }
    Ok(())
}

/// Lists are entered by not passing over their content, which needs no stack.
fn has_bad_header(reader: &mut Reader<'_>, is_big_endian: bool) -> bool {
    let mut depth = 0;
    while let Ok(kind) = reader.take(4) {
        let len = if is_big_endian { reader.u32_be() } else { reader.u32_le() };
        let Ok(len) = len else { return false };
        match kind {
            b"anih" if len != ANIMATION_HEADER_LEN => return true,
            b"LIST" | b"RIFF" if depth < DEPTH_MAX => {
                depth += 1;
                let _ = reader.take_up_to(4);
            }
            _ => {
                let padded = size(u64::from(len)).checked_next_multiple_of(2);
                let _ = reader.take_up_to(padded.unwrap_or(usize::MAX));
            }
        }
    }
    false
}
