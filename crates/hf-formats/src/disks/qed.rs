//! Virtual disks of QEMU's enhanced form (QED).
//!
//! Yields: the guest's disk as one child, from the clusters that are used.
//! Leaves out: the backing file, which is told and never opened.
//! Limits: through `Sink`; clusters behind what a child may have are handed over in pieces.
//! Hostile input: offsets are bounded by the image; clusters outside of it are told.
//! Sources: QEMU, `docs/interop/qed_spec.rst`.

use hf_core::{FileType, Halt, Reason, Sink};

use super::guest::Guest;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "qed",
    types: &[FileType::Qed],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`QED` and a zero at the start",
        yields: "the guest's disk",
        leaves_out: "backing files (reported)",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "QEMU qed specification",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut fields = Reader::at(object, 4);
    let (cluster_len, table_len) = (u64::from(fields.u32_le()?), u64::from(fields.u32_le()?));
    fields.skip(4)?;
    let features = fields.u64_le()?;
    let mut fields = Reader::at(object, 40);
    let (table_off, len) = (fields.u64_le()?, fields.u64_le()?);
    if features & 1 != 0 {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    if !cluster_len.is_power_of_two() || !(512..=1 << 26).contains(&cluster_len) {
        sink.unscanned(b"", Reason::Damaged("cluster size".into()));
        return Ok(());
    }
    let entries = cluster_len.saturating_mul(table_len.min(16)) / 8;
    let mut guest = Guest::new(len, object, sink);
    let mut first = Reader::at(object, size(table_off));
    'tables: for table in 0..entries {
        let table_place = table.saturating_mul(entries).saturating_mul(cluster_len);
        if table_place >= len {
            break;
        }
        let Ok(second_off) = first.u64_le() else {
            guest.miss(Reason::Truncated);
            break;
        };
        if second_off == 0 {
            continue;
        }
        let mut second = Reader::at(object, size(second_off));
        for entry in 0..entries {
            let Ok(off) = second.u64_le() else {
                guest.miss(Reason::Truncated);
                break;
            };
            // 0 is in the backing file, 1 is zeros.
            if off < 2 {
                continue;
            }
            let place = entry.saturating_mul(cluster_len).saturating_add(table_place);
            if !guest.stored(place, off, cluster_len)? {
                break 'tables;
            }
        }
    }
    guest.finish()?;
    Ok(())
}
