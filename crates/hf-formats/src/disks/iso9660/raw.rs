//! Images of raw sectors (`.bin` of a cue sheet): 2352 bytes a sector, of which 2048 are data.

use std::borrow::Cow;

use hf_core::{Sink, Stop};

use super::{FIRST_SECTOR, SECTOR_LEN};
use crate::reader::size;

const SYNC: [u8; 12] = [0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0];
/// Lengths of sectors: with sync and header (also with subchannels), with a subheader only.
const LENS: [usize; 5] = [2352, 2448, 2336, 2368, 2056];

/// Returns the data of an image of raw sectors; none for an image of plain sectors. An image larger than a
/// child may be is cut, and that is told.
///
/// # Errors
/// The scan ends here.
pub(super) fn plain<'a>(
    object: &'a [u8],
    sink: &mut dyn Sink,
) -> Result<Option<Cow<'a, [u8]>>, Stop> {
    let has = |off: usize| object.get(off..).is_some_and(|rest| rest.starts_with(b"CD001"));
    if has(FIRST_SECTOR.saturating_mul(SECTOR_LEN).saturating_add(1)) {
        return Ok(None);
    }
    let found = LENS.iter().find_map(|len| {
        let sector = FIRST_SECTOR.saturating_mul(*len);
        let data_offs = [16usize, 24, 8, 0];
        let off =
            data_offs.iter().find(|off| has(sector.saturating_add(**off).saturating_add(1)))?;
        Some((*len, *off))
    });
    let Some((sector_len, data_off)) = found else { return Ok(None) };
    let cap = size(sink.child_cap());
    let wanted = object.len().div_euclid(sector_len).saturating_mul(SECTOR_LEN);
    let mut data = Vec::with_capacity(wanted.min(cap));
    for (idx, sector) in object.chunks(sector_len).enumerate() {
        if idx.is_multiple_of(512) {
            sink.poll()?;
        }
        if data.len().saturating_add(SECTOR_LEN) > cap {
            let reason = sink.cap_reason();
            sink.unscanned(b"", reason);
            break;
        }
        // Mode 2 has a subheader that mode 1 has not; one disk may hold both.
        let off = match sector.get(15) {
            Some(1) if sector.starts_with(&SYNC) => 16,
            Some(2) if sector.starts_with(&SYNC) => 24,
            _ => data_off,
        };
        let part = sector.get(off..).unwrap_or_default();
        data.extend_from_slice(part.get(..SECTOR_LEN).unwrap_or(part));
    }
    Ok(Some(Cow::Owned(data)))
}
