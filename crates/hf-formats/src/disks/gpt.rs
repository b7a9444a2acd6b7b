//! Disks with a GUID partition table.
//!
//! Yields: one child per partition of the table and of its backup, and the gaps that hold something.
//! Leaves out: attributes.
//! Limits: `max_partitions`; 16384 entries of a table.
//! Hostile input: both tables are read whatever their checksums say, and what either names is opened;
//! a disk without its first header is known by its protective record and the header at its end.
//! Sources: UEFI 2.10 §5.3.

use hf_core::{Defect, FileType, Halt, Sink};

use super::files::utf16_le;
use super::mbr::{self, PROTECTIVE};
use super::partitions::{self, Partition};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "gpt",
    types: &[FileType::Gpt, FileType::Mbr],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x100_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`EFI PART` at 512; a protective record with `EFI PART` at 4096 or in the last sector",
        yields: "one child per partition of the table or its backup; gaps that hold something",
        leaves_out: "attributes of partitions",
        limits: "partitions up to the limit of the scan; 16384 entries",
        sources: "UEFI 2.10 §5.3",
    },
};

const MAGIC: &[u8] = b"EFI PART";
const ENTRIES_MAX: u32 = 16_384;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some(sector_len) = sector_len(object) else { return Ok(()) };
    let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
    let last = len.checked_div(sector_len).unwrap_or(0).saturating_sub(1);
    let mut disk = Disk { object, sector_len, partitions: Vec::new(), tables: vec![(0, 512)] };
    let primary = disk.table(1, sink);
    let claimed = primary.unwrap_or(last);
    let backup = disk.table(last, sink);
    if backup.is_none() {
        if claimed != last && claimed != 1 {
            disk.table(claimed, sink);
        }
        sink.defect(Defect::new(last.saturating_mul(sector_len), "backup header"));
    }
    if primary.is_none() {
        sink.defect(Defect::new(sector_len, "primary header"));
    }
    sink.poll()?;
    let Disk { partitions, tables, .. } = disk;
    let finding = "Heuristics.GPTPartitionIntersection";
    partitions::hand_over(object, &partitions, &tables, finding, sink)?;
    Ok(())
}

/// Returns the length of a sector of a disk that has one of the headers.
fn sector_len(object: &[u8]) -> Option<u64> {
    let has = |off: usize| object.get(off..).is_some_and(|rest| rest.starts_with(MAGIC));
    if has(512) {
        return Some(512);
    }
    if !mbr::entries(object, 0).iter().any(|entry| entry.kind == PROTECTIVE) {
        return None;
    }
    if has(4096) {
        return Some(4096);
    }
    let at_end = |len: usize| object.len().checked_sub(len).is_some_and(has);
    [512, 4096].into_iter().find(|len| at_end(*len)).and_then(|len| u64::try_from(len).ok())
}

struct Disk<'a> {
    object: &'a [u8],
    sector_len: u64,
    partitions: Vec<Partition>,
    tables: Vec<(u64, u64)>,
}

impl Disk<'_> {
    /// Reads the table whose header is in a sector, and returns where the other header is said to be.
    fn table(&mut self, sector: u64, sink: &mut dyn Sink) -> Option<u64> {
        let off = sector.checked_mul(self.sector_len)?;
        let header = self.object.get(size(off)..)?;
        if !header.starts_with(MAGIC) {
            return None;
        }
        let mut fields = Reader::at(header, 12);
        let header_len = fields.u32_le().ok()?;
        let crc = fields.u32_le().ok()?;
        fields.seek(32);
        let other = fields.u64_le().ok()?;
        fields.seek(72);
        let entries_off = fields.u64_le().ok()?.saturating_mul(self.sector_len);
        let (count, entry_len) = (fields.u32_le().ok()?, fields.u32_le().ok()?);
        let entries_crc = fields.u32_le().ok()?;
        self.tables.push((off, self.sector_len));
        if header_crc(header, header_len) != Some(crc) {
            sink.defect(Defect::new(off, "HeaderCRC32"));
        }
        let entry_len = usize::try_from(entry_len).ok().filter(|len| (128..=4096).contains(len));
        let Some(entry_len) = entry_len else {
            sink.defect(Defect::new(off, "SizeOfPartitionEntry"));
            return Some(other);
        };
        let wanted = usize::try_from(count.min(ENTRIES_MAX)).ok()?.saturating_mul(entry_len);
        let rest = self.object.get(size(entries_off)..).unwrap_or_default();
        let entries = rest.get(..wanted).unwrap_or(rest);
        if crc32fast::hash(entries) != entries_crc {
            sink.defect(Defect::new(entries_off, "PartitionEntryArrayCRC32"));
        }
        self.tables.push((entries_off, u64::try_from(entries.len()).unwrap_or(0)));
        for (idx, entry) in entries.chunks_exact(entry_len).enumerate() {
            self.entry(idx, entry);
        }
        Some(other)
    }

    fn entry(&mut self, idx: usize, entry: &[u8]) -> Option<()> {
        let mut fields = Reader::at(entry, 32);
        let (first, last) = (fields.u64_le().ok()?, fields.u64_le().ok()?);
        if last == 0 || last < first {
            return None;
        }
        let label = utf16_le(entry.get(56..128)?);
        let label = String::from_utf8_lossy(&label);
        let number = idx.saturating_add(1);
        let name = if label.is_empty() {
            format!("partition {number}")
        } else {
            format!("partition {number} ({label})")
        };
        let start = first.saturating_mul(self.sector_len);
        let len = last.saturating_sub(first).saturating_add(1).saturating_mul(self.sector_len);
        partitions::add(&mut self.partitions, Partition { name, start, len });
        Some(())
    }
}

/// Returns the checksum of a header, in which its own field counts as zero.
fn header_crc(header: &[u8], len: u32) -> Option<u32> {
    let len = usize::try_from(len).ok().filter(|len| (92..=4096).contains(len))?;
    let mut copy = header.get(..len)?.to_vec();
    copy.get_mut(16..20)?.fill(0);
    Some(crc32fast::hash(&copy))
}
