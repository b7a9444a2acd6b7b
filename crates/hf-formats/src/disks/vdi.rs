//! Virtual disks of VirtualBox (VDI): dynamic and fixed.
//!
//! Yields: the guest's disk as one child, from the blocks that are used.
//! Leaves out: the parents of undo and differencing disks, which are told and never opened.
//! Limits: through `Sink`; blocks behind what a child may have are handed over in pieces.
//! Hostile input: offsets and lengths are bounded by the image; blocks outside of it are told.
//! Sources: VirtualBox forum, "All about VDIs"; QEMU's documentation of the format.

use hf_core::{FileType, Halt, Reason, Sink};

use super::guest::Guest;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "vdi",
    types: &[FileType::Vdi],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`7f 10 da be` at offset 64",
        yields: "the guest's disk",
        leaves_out: "parents of differencing disks (reported)",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "\"All about VDIs\"",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let kind = Reader::at(object, 76).u32_le()?;
    let mut fields = Reader::at(object, 340);
    let (table_off, data_off) = (fields.u32_le()?, fields.u32_le()?);
    let len = Reader::at(object, 368).u64_le()?;
    let mut fields = Reader::at(object, 376);
    let (block_len, extra_len, count) = (fields.u32_le()?, fields.u32_le()?, fields.u32_le()?);
    if matches!(kind, 3 | 4) {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    let block_len = u64::from(block_len);
    if block_len < 512 {
        sink.unscanned(b"", Reason::Damaged("block size".into()));
        return Ok(());
    }
    let mut guest = Guest::new(len, object, sink);
    let mut table = Reader::at(object, size(table_off.into()));
    for idx in 0..count {
        let Ok(block) = table.u32_le() else {
            guest.miss(Reason::Truncated);
            break;
        };
        if block >= 0xffff_fffe {
            continue;
        }
        let step = block_len.saturating_add(extra_len.into());
        let off = u64::from(block).saturating_mul(step).saturating_add(data_off.into());
        let place = u64::from(idx).saturating_mul(block_len);
        if !guest.stored(place, off.saturating_add(extra_len.into()), block_len)? {
            break;
        }
    }
    guest.finish()?;
    Ok(())
}
