//! Virtual disks of Parallels (expandable images), both forms.
//!
//! Yields: the guest's disk as one child, from the blocks that are used.
//! Leaves out: snapshots' parents; extensions behind the header.
//! Limits: through `Sink`; blocks behind what a child may have are handed over in pieces.
//! Hostile input: offsets are bounded by the image; blocks outside of it are told.
//! Sources: QEMU, `docs/interop/parallels.txt`.

use hf_core::{FileType, Halt, Reason, Sink};

use super::guest::Guest;
use crate::reader::Reader;
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "parallels",
    types: &[FileType::Parallels],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`WithoutFreeSpace` or `WithouFreSpacExt` at the start",
        yields: "the guest's disk",
        leaves_out: "parents of snapshots, extensions",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "QEMU parallels specification",
    },
};

const SECTOR_LEN: u64 = 512;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, 28);
    let (block_sectors, count) = (u64::from(fields.u32_le()?), fields.u32_le()?);
    let sectors = fields.u64_le()?;
    let block_len = block_sectors.saturating_mul(SECTOR_LEN);
    if block_len == 0 {
        sink.unscanned(b"", Reason::Damaged("block size".into()));
        return Ok(());
    }
    // The later form counts in blocks, the first in sectors.
    let unit = if object.starts_with(b"WithouFreSpacExt") { block_len } else { SECTOR_LEN };
    let len = sectors.saturating_mul(SECTOR_LEN);
    let mut guest = Guest::new(len, object, sink);
    let mut table = Reader::at(object, 64);
    for idx in 0..count {
        let Ok(block) = table.u32_le() else {
            guest.miss(Reason::Truncated);
            break;
        };
        if block == 0 {
            continue;
        }
        let off = u64::from(block).saturating_mul(unit);
        let place = u64::from(idx).saturating_mul(block_len);
        if !guest.stored(place, off, block_len)? {
            break;
        }
    }
    guest.finish()?;
    Ok(())
}
