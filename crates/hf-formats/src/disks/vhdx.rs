//! Virtual disks of Hyper-V (VHDX): fixed, dynamic and differencing.
//!
//! Yields: the guest's disk as one child, from the blocks that are used.
//! Leaves out: the parent of a differencing disk, which is told and never opened; the log, which is told when
//! it waits to be replayed.
//! Limits: through `Sink`; blocks behind what a child may have are handed over in pieces.
//! Hostile input: both region tables are read; tables and blocks outside of the image are told.
//! Sources: Microsoft, [MS-VHDX] 8.0.

use hf_core::{Defect, FileType, Halt, Reason, Sink, Stop};

use super::guest::Guest;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "vhdx",
    types: &[FileType::Vhdx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`vhdxfile` at the start",
        yields: "the guest's disk",
        leaves_out: "the parent of a differencing disk and a log to be replayed (reported)",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "[MS-VHDX] 8.0",
    },
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TABLES: [u64; 2] = [192 * KIB, 256 * KIB];
const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
const BLOCKS: [u8; 16] = [
    0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08,
];
const METADATA: [u8; 16] = [
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
];
const FILE_PARAMETERS: [u8; 16] = [
    0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b,
];
const DISK_SIZE: [u8; 16] = [
    0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8,
];
const SECTOR_SIZE: [u8; 16] = [
    0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f,
];

/// Where the parts of an image are.
#[derive(Debug, Default)]
struct Regions {
    blocks: Option<(u64, u64)>,
    metadata: Option<(u64, u64)>,
}

/// What the metadata says.
#[derive(Debug, Default)]
struct Facts {
    len: u64,
    block_len: u64,
    sector_len: u64,
    has_parent: bool,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut regions = Regions::default();
    for off in TABLES {
        if read_regions(object, off, &mut regions).is_none() {
            sink.defect(Defect::new(off, "region table"));
        }
    }
    let log = HEADERS.iter().any(|off| {
        let header = object.get(size(*off)..).unwrap_or_default();
        header.starts_with(b"head")
            && header.get(48..64).is_some_and(|log| log.iter().any(|byte| *byte != 0))
    });
    if log {
        sink.defect(Defect::new(64 * KIB, "log to be replayed"));
    }
    let (Some((table_off, table_len)), Some((metadata_off, _))) =
        (regions.blocks, regions.metadata)
    else {
        sink.unscanned(b"", Reason::Damaged("region tables".into()));
        return Ok(());
    };
    let facts = read_facts(object, metadata_off).unwrap_or_default();
    let sound = facts.block_len.is_power_of_two() && (MIB..=256 * MIB).contains(&facts.block_len);
    if !sound || !matches!(facts.sector_len, 512 | 4096) {
        sink.unscanned(b"", Reason::Damaged("metadata".into()));
        return Ok(());
    }
    if facts.has_parent {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    Ok(blocks(object, table_off, table_len, &facts, sink)?)
}

fn read_regions(object: &[u8], off: u64, regions: &mut Regions) -> Option<()> {
    let table = object.get(size(off)..).filter(|table| table.starts_with(b"regi"))?;
    let count = Reader::at(table, 8).u32_le().ok()?.min(2047);
    let mut reader = Reader::at(table, 16);
    for _ in 0..count {
        let entry = reader.take(32).ok()?;
        let off = Reader::at(entry, 16).u64_le().ok()?;
        let len = Reader::at(entry, 24).u32_le().ok()?;
        let place = Some((off, u64::from(len)));
        if entry.starts_with(&BLOCKS) {
            regions.blocks = regions.blocks.or(place);
        } else if entry.starts_with(&METADATA) {
            regions.metadata = regions.metadata.or(place);
        }
    }
    Some(())
}

fn read_facts(object: &[u8], off: u64) -> Option<Facts> {
    let table = object.get(size(off)..).filter(|table| table.starts_with(b"metadata"))?;
    let count = Reader::at(table, 10).u16_le().ok()?.min(2047);
    let mut reader = Reader::at(table, 32);
    let mut facts = Facts { sector_len: 512, ..Facts::default() };
    for _ in 0..count {
        let Ok(entry) = reader.take(32) else { break };
        let at = size(Reader::at(entry, 16).u32_le().ok()?.into());
        let mut item = Reader::at(table, at);
        if entry.starts_with(&FILE_PARAMETERS) {
            facts.block_len = item.u32_le().ok()?.into();
            facts.has_parent = item.u32_le().ok()? & 2 != 0;
        } else if entry.starts_with(&DISK_SIZE) {
            facts.len = item.u64_le().ok()?;
        } else if entry.starts_with(&SECTOR_SIZE) {
            facts.sector_len = item.u32_le().ok()?.into();
        }
    }
    Some(facts)
}

fn blocks(
    object: &[u8],
    table_off: u64,
    table_len: u64,
    facts: &Facts,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    // After so many entries for blocks stands one for a bitmap.
    let ratio = (facts.sector_len << 23).checked_div(facts.block_len).unwrap_or(1).max(1);
    let count = facts.len.div_ceil(facts.block_len);
    let mut guest = Guest::new(facts.len, object, sink);
    for idx in 0..count {
        let entry = idx.saturating_add(idx.checked_div(ratio).unwrap_or(0)).saturating_mul(8);
        let at = size(table_off.saturating_add(entry));
        let entry = if entry < table_len { Reader::at(object, at).u64_le().ok() } else { None };
        let Some(entry) = entry else {
            guest.miss(Reason::Truncated);
            break;
        };
        if !matches!(entry & 7, 6 | 7) {
            continue;
        }
        let off = (entry >> 20).saturating_mul(MIB);
        let place = idx.saturating_mul(facts.block_len);
        if !guest.stored(place, off, facts.block_len)? {
            break;
        }
    }
    guest.finish()
}
