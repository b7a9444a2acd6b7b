//! Apple disk images (UDIF).
//!
//! Yields: one child per table of blocks (mostly a partition), assembled from its runs: stored, ADC, zlib,
//! bzip2, LZFSE and LZMA (xz); the data fork itself when no table says what is in it.
//! Leaves out: encrypted images, which are told; checksums.
//! Limits: through `Sink`; a partition is cut at the cap of the sink, and that is told.
//! Hostile input: tables are taken from the property list, from the resource fork, and without a trailer from
//! wherever one stands; runs that lead outside, overlap or break are told, and the others are used.
//! Sources: "Demystifying the DMG file format" (J. Levin); Apple, `hdiutil`(1); libdmg's public notes on ADC.

mod runs;
mod tables;

use hf_core::{Child, Defect, FileType, Halt, Reason, Sink, Stop};

use super::files::Files;
use super::partitions::role;
use crate::backwards::backwards;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use tables::Table;

pub(super) const FORMAT: Format = Format {
    name: "dmg",
    types: &[FileType::Dmg],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x4_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`koly` 512 bytes before the end, or a property list with `blkx`",
        yields: "one child per table of blocks, assembled: stored, ADC, zlib, bzip2, LZFSE, LZMA",
        leaves_out: "encrypted images (reported)",
        limits: "a partition up to the size of one object",
        sources: "J. Levin, \"Demystifying the DMG file format\"",
    },
};

/// What the trailer says.
#[derive(Debug, Clone, Copy, Default)]
struct Trailer {
    data_off: u64,
    data_len: u64,
    resource: (u64, u64),
    segments: u32,
    list: (u64, u64),
}

impl Trailer {
    fn find(object: &[u8]) -> Option<Self> {
        let at_end = object.len().checked_sub(512);
        let is_trailer =
            |off: &usize| object.get(*off..).is_some_and(|rest| rest.starts_with(b"koly"));
        let off = at_end
            .filter(is_trailer)
            .or_else(|| backwards(object, b"koly\0\0\0\x04\0\0\x02\0").next())?;
        let word = |at: usize| Reader::at(object, off.saturating_add(at)).u64_be().unwrap_or(0);
        Some(Self {
            data_off: word(24),
            data_len: word(32),
            resource: (word(40), word(48)),
            segments: Reader::at(object, off.saturating_add(60)).u32_be().unwrap_or(1),
            list: (word(216), word(224)),
        })
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let at_end = object.len().checked_sub(8).and_then(|off| object.get(off..));
    if object.starts_with(b"encrcdsa") || at_end == Some(b"cdsaencr") {
        sink.unscanned(b"", Reason::Encrypted);
        if sink.options().alert_encrypted_archive {
            sink.heuristic("Heuristics.Encrypted.DMG")?;
        }
        return Ok(());
    }
    let trailer = Trailer::find(object);
    if trailer.is_none() {
        sink.defect(Defect::new(0, "no trailer"));
    }
    let told = trailer.unwrap_or_default();
    if told.segments > 1 {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    let mut tables = tables::in_list(part(object, told.list));
    if tables.is_empty() {
        tables = tables::in_resources(part(object, told.resource));
    }
    if tables.is_empty() {
        tables = tables::anywhere(object);
        if !tables.is_empty() {
            sink.defect(Defect::new(told.list.0, "property list"));
        }
    }
    if tables.is_empty() {
        return Ok(raw(object, &told, trailer.is_some(), sink)?);
    }
    let mut files = Files::new(object, sink);
    for (idx, table) in tables.iter().enumerate() {
        one(idx, table, told.data_off, &mut files)?;
    }
    Ok(())
}

/// An image without tables: its data fork is the disk.
fn raw(object: &[u8], told: &Trailer, trailer: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
    let data = part(object, (told.data_off, told.data_len));
    if !trailer || data.is_empty() {
        sink.unscanned(b"", Reason::Damaged("no table of blocks".into()));
        return Ok(());
    }
    sink.child(Child { name: b"disk", data, role: role(data) })
}

fn part(object: &[u8], (off, len): (u64, u64)) -> &[u8] {
    let rest = object.get(size(off)..).unwrap_or_default();
    rest.get(..size(len)).unwrap_or(rest)
}

/// Assembles a partition and hands it over.
fn one(idx: usize, table: &Table, data_off: u64, files: &mut Files<'_, '_>) -> Result<(), Stop> {
    let name = if table.name.is_empty() {
        format!("partition {idx}").into_bytes()
    } else {
        table.name.clone()
    };
    let len = table.sectors.saturating_mul(512);
    if !files.announce(&name, table.packed_len(), len)? {
        return Ok(());
    }
    let base = data_off.saturating_add(table.data_off);
    let content = runs::assemble(&table.runs, base, files)?;
    let mut reasons = content.missing;
    if table.cut {
        reasons.push(Reason::Truncated);
    }
    reasons.dedup();
    for reason in reasons.into_iter().take(4) {
        files.sink.unscanned(&name, reason);
    }
    let data = content.bytes.as_ref();
    if data.is_empty() {
        return Ok(());
    }
    files.sink.child(Child { name: &name, data, role: role(data) })
}
