//! Disks with a master boot record: primary, extended and logical partitions.
//!
//! Yields: one child per partition, and the gaps before, between and behind them that hold something.
//! Leaves out: partitions that start with the disk itself (hybrid images; what they hold is the object);
//! protective entries, which are the business of GPT.
//! Limits: `max_partitions`.
//! Hostile input: every entry with a type and a length counts, whatever the others say; the chain of
//! extended records is followed once through each; overlaps are told.
//! A boot sector of a file system carries the same signature: its partition table is code, so only entries
//! that are possible count there, and the file system is for its own format.
//! Sources: Microsoft, "How Basic Disks and Volumes Work"; UEFI 2.10 §5.2.

use std::collections::BTreeSet;

use hf_core::{Defect, FileType, Halt, Reason, Sink};

use super::partitions::{self, Partition};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "mbr",
    types: &[FileType::Mbr],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x80_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`55 aa` at offset 510",
        yields: "one child per primary and logical partition; gaps that hold something",
        leaves_out: "partitions that start with the disk itself",
        limits: "partitions up to the limit of the scan",
        sources: "UEFI 2.10 §5.2",
    },
};

const SECTOR_LEN: u64 = 512;
const TABLE_OFF: usize = 446;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if object.get(3..11) == Some(b"-FVE-FS-") {
        sink.unscanned(b"BitLocker", Reason::Encrypted);
        return Ok(());
    }
    let entries = entries(object, 0);
    if is_volume(object) {
        let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
        let possible =
            |entry: &Entry| entry.start >= 1 && entry.end().is_some_and(|end| end <= len);
        if !entries.iter().all(possible) {
            return Ok(());
        }
    }
    let mut disk = Disk { object, partitions: Vec::new(), tables: vec![(0, SECTOR_LEN)] };
    for entry in &entries {
        if entry.is_extended() {
            disk.chain(entry, sink)?;
        } else if entry.kind != PROTECTIVE {
            disk.add(entry, 0);
        }
    }
    if disk.partitions.is_empty() {
        return Ok(());
    }
    partitions::hand_over(
        object,
        &disk.partitions,
        &disk.tables,
        "Heuristics.MBRPartitionnIntersect",
        sink,
    )?;
    Ok(())
}

/// The type of an entry that covers a GPT disk.
pub(super) const PROTECTIVE: u8 = 0xee;

struct Disk<'a> {
    object: &'a [u8],
    partitions: Vec<Partition>,
    tables: Vec<(u64, u64)>,
}

impl Disk<'_> {
    fn add(&mut self, entry: &Entry, base: u64) {
        let number = self.partitions.len().saturating_add(1);
        let name = format!("partition {number} (type {:#04x})", entry.kind);
        let start = base.saturating_add(entry.start.saturating_mul(SECTOR_LEN));
        let len = entry.count.saturating_mul(SECTOR_LEN);
        partitions::add(&mut self.partitions, Partition { name, start, len });
    }

    /// Follows the records of an extended partition.
    fn chain(&mut self, extended: &Entry, sink: &mut dyn Sink) -> Result<(), Halt> {
        let base = extended.start.saturating_mul(SECTOR_LEN);
        let mut todo = vec![base];
        let mut seen = BTreeSet::new();
        while let Some(off) = todo.pop() {
            sink.poll()?;
            if !seen.insert(off) || seen.len() > partitions::ENTRIES_MAX {
                sink.defect(Defect::new(off, "extended partitions in a circle"));
                continue;
            }
            let record = self.object.get(size(off)..).unwrap_or_default();
            if record.get(510..512) != Some(&[0x55, 0xaa]) {
                sink.defect(Defect::new(off, "extended boot record"));
                continue;
            }
            self.tables.push((off, SECTOR_LEN));
            for entry in entries(self.object, size(off)) {
                if entry.is_extended() {
                    todo.push(base.saturating_add(entry.start.saturating_mul(SECTOR_LEN)));
                } else {
                    self.add(&entry, off);
                }
            }
        }
        Ok(())
    }
}

/// An entry of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) kind: u8,
    start: u64,
    count: u64,
}

impl Entry {
    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn end(&self) -> Option<u64> {
        self.start.checked_add(self.count)?.checked_mul(SECTOR_LEN)
    }
}

/// Returns the entries in a record that say anything.
pub(super) fn entries(object: &[u8], off: usize) -> Vec<Entry> {
    let mut reader = Reader::at(object, off.saturating_add(TABLE_OFF));
    let mut entries = Vec::new();
    for _ in 0..4 {
        let Ok(raw) = reader.take(16) else { break };
        let mut fields = Reader::at(raw, 4);
        let (Ok(kind), Ok(_)) = (fields.u8(), fields.skip(3)) else { break };
        let (Ok(start), Ok(count)) = (fields.u32_le(), fields.u32_le()) else { break };
        let status = raw.first().copied().unwrap_or(0xff);
        if kind != 0 && count != 0 && matches!(status, 0 | 0x80) {
            entries.push(Entry { kind, start: start.into(), count: count.into() });
        }
    }
    entries
}

/// True when a file system's own boot sector is what an object starts with.
fn is_volume(object: &[u8]) -> bool {
    matches!(object.get(3..11), Some(b"NTFS    " | b"EXFAT   ")) || is_fat(object).unwrap_or(false)
}

fn is_fat(object: &[u8]) -> Option<bool> {
    let jump = matches!(object, [0xe9 | 0xeb, ..]);
    let mut fields = Reader::at(object, 11);
    let sector_len = fields.u16_le().ok()?;
    let cluster_sectors = fields.u8().ok()?;
    let reserved = fields.u16_le().ok()?;
    let tables = fields.u8().ok()?;
    let media = object.get(21).copied()?;
    let fits = matches!(sector_len, 512 | 1024 | 2048 | 4096)
        && cluster_sectors.is_power_of_two()
        && reserved > 0
        && matches!(tables, 1..=4)
        && (media == 0xf0 || media >= 0xf8);
    Some(jump && fits)
}
