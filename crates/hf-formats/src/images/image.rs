//! Images: PNG, GIF, JPEG, TIFF.
//!
//! Yields: packed texts and private chunks of PNG, comments of GIF (not under ClamAV's names); facts: width and height; findings: `Heuristics.Broken.Media.…` on request, and
//! `Heuristics.Exploit.W32.MS04-028`.
//! Leaves out: pixels (see the perceptual hash); the structure of other graphics (BMP, JPEG 2000, WebP).
//! Limits: one walk over the structure; it never goes back.
//! Hostile input: the first broken structure ends the walk and is told.
//! Surprise: ClamAV looks for MS04-028 only when broken media are to be told; under its quirks so do we.
//! Sources: the readers of the single formats name theirs; alert names: ClamAV's documentation.

use hf_core::{Defect, FileType, Halt, Sink};

use super::{Fault, Walk, gif, hidden, jpeg, png, tiff};
use crate::{Format, FormatDoc, Stage};

pub(super) static FORMAT: Format = Format {
    name: "image",
    types: &[FileType::Png, FileType::Gif, FileType::Jpeg, FileType::Tiff, FileType::Graphics],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_image,
    extract,
    doc: FormatDoc {
        recognised_by: "the magics of PNG, GIF, JPEG, TIFF",
        yields: "packed texts and private chunks of PNG, comments of GIF (not under ClamAV's names); width and height \
                 as facts; broken structures",
        leaves_out: "the structure of BMP, WebP and JPEG 2000",
        limits: "one walk forward",
        sources: "PNG (W3C), GIF89a, ITU-T T.81 and T.84, TIFF 6.0",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let (kind, Walk { size, fault }) = match object {
        [0x89, b'P', b'N', b'G', ..] => ("PNG", png::walk(object)),
        [b'G', b'I', b'F', ..] => ("GIF", gif::walk(object)),
        [0xff, 0xd8, ..] => ("JPEG", jpeg::walk(object)),
        [b'I', b'I', ..] | [b'M', b'M', ..] => ("TIFF", tiff::walk(object)),
        _ => return Ok(()),
    };
    sink.fact("image.format", kind);
    if let Some((width, height)) = size {
        sink.fact("image.width", &width.to_string());
        sink.fact("image.height", &height.to_string());
    }
    let told = sink.options().heuristic_alerts;
    let broken_told = told && sink.options().alert_broken_media;
    match fault {
        None => {}
        Some(Fault::Broken(defect)) => {
            if broken_told {
                sink.heuristic(&format!("Heuristics.Broken.Media.{kind}.{}", defect.what))?;
            }
            sink.defect(defect);
        }
        Some(Fault::CommentLength(off)) => {
            if broken_told || (told && !sink.options().clamav_quirks) {
                sink.heuristic("Heuristics.Exploit.W32.MS04-028")?;
            }
            sink.defect(Defect::new(off, "comment length"));
        }
    }
    if !sink.options().clamav_quirks {
        match kind {
            "PNG" => hidden::png(object, sink)?,
            "GIF" => hidden::gif(object, sink)?,
            _ => {}
        }
    }
    Ok(())
}
