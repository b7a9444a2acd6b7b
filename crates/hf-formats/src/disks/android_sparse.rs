//! Sparse images of Android, as fastboot sends them.
//!
//! Yields: the image as one child.
//! Leaves out: checksums.
//! Limits: through `Sink`; what lies behind what a child may have is handed over in pieces.
//! Hostile input: chunks that fill are bounded by the length of the image as told, and by the budget of all images.
//! Sources: Android Open Source Project, "Sparse image format".

use hf_core::{Defect, FileType, Halt, Reason, Sink};

use super::guest::{Block, Guest};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "android_sparse",
    types: &[FileType::AndroidSparse],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`3a ff 26 ed` and version 1 at the start",
        yields: "the image",
        leaves_out: "checksums",
        limits: "the image up to the size of one object, what lies behind in pieces",
        sources: "Android sparse image format",
    },
};

/// A run of one word is filled in so long parts.
const FILL_LEN: u64 = 1 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, 8);
    let (header_len, chunk_header_len) = (fields.u16_le()?, fields.u16_le()?);
    let (block_len, blocks, chunks) = (fields.u32_le()?, fields.u32_le()?, fields.u32_le()?);
    let block_len = u64::from(block_len);
    let len = block_len.saturating_mul(u64::from(blocks));
    let mut guest = Guest::new(len, object, sink);
    let mut at = usize::from(header_len);
    let mut place = 0u64;
    for _ in 0..chunks {
        let mut header = Reader::at(object, at);
        let Ok(kind) = header.u16_le() else {
            guest.miss(Reason::Truncated);
            break;
        };
        header.skip(2)?;
        let (count, whole_len) = (u64::from(header.u32_le()?), size(header.u32_le()?.into()));
        let chunk_len = count.saturating_mul(block_len);
        let start = at.saturating_add(usize::from(chunk_header_len));
        match kind {
            0xcac1 => {
                let off = u64::try_from(start).unwrap_or(u64::MAX);
                if !guest.stored(place, off, chunk_len)? {
                    break;
                }
            }
            0xcac2 => {
                let word = object.get(start..).and_then(|rest| rest.get(..4));
                fill(&mut guest, place, chunk_len, word.unwrap_or_default())?;
            }
            0xcac3 | 0xcac4 => {}
            _ => {
                let off = u64::try_from(at).unwrap_or(u64::MAX);
                guest.sink().defect(Defect::new(off, "chunk_type"));
            }
        }
        place = place.saturating_add(chunk_len);
        if whole_len < usize::from(chunk_header_len).max(1) {
            guest.miss(Reason::Damaged("total_sz".into()));
            break;
        }
        at = at.saturating_add(whole_len);
    }
    guest.finish()?;
    Ok(())
}

/// Repeats a word over a range that is not zeros.
fn fill(guest: &mut Guest<'_, '_>, place: u64, len: u64, word: &[u8]) -> Result<(), Halt> {
    if word.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let mut done = 0u64;
    while done < len {
        let wanted = FILL_LEN.min(len.saturating_sub(done));
        let room = guest.unpack_room(wanted);
        if room < wanted {
            break;
        }
        let data = word.repeat(size(room).div_ceil(word.len().max(1)));
        guest.add(place.saturating_add(done), &Block::Unpacked(data))?;
        done = done.saturating_add(room);
    }
    Ok(())
}
