//! Compressed images of discs (CISO, as for the PlayStation Portable).
//!
//! Yields: the disc as one child.
//! Leaves out: images packed with LZ4 (ZISO), which have another magic.
//! Limits: through `Sink`; blocks behind what a child may have are handed over in pieces.
//! Hostile input: blocks are bounded by the image; a block unpacks to at most its own length.
//! Sources: the format as described by the makers of the tools ("CSO format", maxcso).

use std::io::Read;

use hf_core::{FileType, Halt, Reason, Sink};

use super::guest::{Block, Guest};
use crate::codec::Inflate;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "cso",
    types: &[FileType::Cso],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`CISO` at the start",
        yields: "the disc",
        leaves_out: "LZ4 blocks (version 2)",
        limits: "the disc up to the size of one object, what lies behind in pieces",
        sources: "maxcso, CSO format",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, 8);
    let (len, block_len) = (fields.u64_le()?, u64::from(fields.u32_le()?));
    let (version, shift) = (fields.u8()?, u32::from(fields.u8()?).min(31));
    if !(512..=1 << 20).contains(&block_len) {
        sink.unscanned(b"", Reason::Damaged("block size".into()));
        return Ok(());
    }
    if version > 1 {
        sink.unscanned(b"", Reason::UnknownMethod("CSO version 2".into()));
    }
    let mut guest = Guest::new(len, object, sink);
    let mut table = Reader::at(object, 24);
    let mut entry = table.u32_le()?;
    for idx in 0..len.div_ceil(block_len) {
        let Ok(next) = table.u32_le() else {
            guest.miss(Reason::Truncated);
            break;
        };
        let off = |entry: u32| u64::from(entry & 0x7fff_ffff) << shift;
        let (start, stored_len) = (off(entry), off(next).saturating_sub(off(entry)));
        let is_plain = entry >> 31 == 1;
        entry = next;
        let place = idx.saturating_mul(block_len);
        if is_plain {
            if !guest.stored(place, start, stored_len.min(block_len))? {
                break;
            }
            continue;
        }
        let rest = object.get(size(start)..).unwrap_or_default();
        let stored = rest.get(..size(stored_len)).unwrap_or(rest);
        let room = guest.unpack_room(block_len);
        let mut data = Vec::new();
        if Inflate::raw(stored).take(room).read_to_end(&mut data).is_err() {
            guest.miss(Reason::Damaged("CSO block".into()));
        }
        guest.add(place, &Block::Unpacked(data))?;
    }
    guest.finish()?;
    Ok(())
}
