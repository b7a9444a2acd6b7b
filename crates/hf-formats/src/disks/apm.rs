//! Disks with an Apple partition map.
//!
//! Yields: one child per partition, and the gaps and free parts that hold something.
//! Leaves out: the map itself; drivers are partitions as all others.
//! Limits: `max_partitions`; 1024 entries.
//! Hostile input: the map is read in blocks of 512 bytes and of the length that the first block claims, and
//! both readings are opened; the count of entries is not believed, the signature is.
//! Sources: Apple, "Inside Macintosh: Devices", chapter 3.

use hf_core::{FileType, Halt, Sink};

use super::partitions::{self, Partition};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "apm",
    types: &[FileType::Apm],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x200_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`ER` at the start and `PM` at 512",
        yields: "one child per partition; gaps that hold something",
        leaves_out: "the map itself",
        limits: "partitions up to the limit of the scan",
        sources: "Inside Macintosh: Devices",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let claimed = Reader::at(object, 2).u16_be().map_or(512, u64::from);
    let mut partitions = Vec::new();
    let mut tables = vec![(0, 512)];
    for block_len in [512, claimed] {
        if block_len == 512 || matches!(claimed, 1024 | 2048 | 4096) {
            walk(object, block_len, &mut partitions, &mut tables);
        }
        if claimed == 512 {
            break;
        }
    }
    sink.poll()?;
    let finding = "Heuristics.APMPartitionIntersection";
    partitions::hand_over(object, &partitions, &tables, finding, sink)?;
    Ok(())
}

fn walk(
    object: &[u8],
    block_len: u64,
    partitions: &mut Vec<Partition>,
    tables: &mut Vec<(u64, u64)>,
) {
    let mut off = block_len;
    for number in 1..=partitions::ENTRIES_MAX {
        let entry = object.get(size(off)..).and_then(|rest| rest.get(..512));
        let Some(entry) = entry.filter(|entry| entry.starts_with(b"PM")) else { break };
        tables.push((off, 512));
        let mut fields = Reader::at(entry, 8);
        let (Ok(start), Ok(count)) = (fields.u32_be(), fields.u32_be()) else { break };
        let text = |from: usize| {
            let raw = entry.get(from..from.saturating_add(32)).unwrap_or_default();
            let raw = raw.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(raw).into_owned()
        };
        let (label, kind) = (text(16), text(48));
        if !matches!(kind.as_str(), "Apple_partition_map" | "Apple_Free" | "Apple_Void") {
            let name = if label.is_empty() {
                format!("partition {number} ({kind})")
            } else {
                format!("partition {number} ({kind} {label})")
            };
            let start = u64::from(start).saturating_mul(block_len);
            let len = u64::from(count).saturating_mul(block_len);
            partitions::add(partitions, Partition { name, start, len });
        }
        off = off.saturating_add(block_len);
    }
}
