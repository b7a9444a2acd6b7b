//! Virtual disks of VMware (VMDK): sparse extents, also stream-optimised with compressed grains.
//!
//! Yields: the disk of a sparse extent as one child, from its grains.
//! Leaves out: extents that a descriptor names in other files, and parents, which are told and never opened;
//! extents of ESX (`COWD`), which are told.
//! Limits: through `Sink`; grains behind what a child may have are handed over in pieces.
//! Hostile input: the grains of a stream are found by their markers, whatever the tables say, and by the tables
//! when no marker leads to one; the second set of tables is used where the first has nothing.
//! Sources: VMware, "Virtual Disk Format 5.0".

use std::io::Read;

use hf_core::{FileType, Halt, Reason, Sink, Stop};
use memchr::memmem;

use super::guest::{Block, Guest};
use crate::bounded::unpack_into;
use crate::codec::Inflate;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "vmdk",
    types: &[FileType::Vmdk],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`KDMV` or `COWD` at the start, or the text of a descriptor",
        yields: "the disk of a sparse extent, grains stored or deflate",
        leaves_out: "extents in other files, parents and ESX extents (reported)",
        limits: "the disk up to the size of one object, what lies behind in pieces",
        sources: "Virtual Disk Format 5.0",
    },
};

const SECTOR_LEN: u64 = 512;
const PACKED: u32 = 1 << 16;
const MARKED: u32 = 1 << 17;
/// Ours: entries of the directory.
const TABLES_MAX: u64 = 1 << 20;

/// What the header of an extent says.
#[derive(Debug)]
struct Extent<'a> {
    object: &'a [u8],
    flags: u32,
    len: u64,
    grain_len: u64,
    table_entries: u64,
    directories: [u64; 2],
    head_len: u64,
    budget: u64,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if object.starts_with(b"COWD") {
        sink.unscanned(b"", Reason::NoReader("VMDK of ESX".into()));
        return Ok(());
    }
    if !object.starts_with(b"KDMV") {
        descriptor(object, sink);
        return Ok(());
    }
    let mut extent = Extent::read(object, 0)?;
    let mut text = Reader::at(object, 28);
    let (off, len) =
        (text.u64_le()?.saturating_mul(SECTOR_LEN), text.u64_le()?.saturating_mul(SECTOR_LEN));
    let text = object.get(size(off)..).unwrap_or_default();
    let text = text.get(..size(len).min(1 << 16)).unwrap_or(text);
    if memmem::find(text, b"parentFileNameHint").is_some() {
        sink.unscanned(b"", Reason::OtherVolume);
    }
    if extent.directories.contains(&u64::MAX) {
        // The tables of a stream are known at its end only: a second header stands there.
        let at = object.len().saturating_sub(1024);
        let footer = Extent::read(object, at)
            .ok()
            .filter(|_| object.get(at..).is_some_and(|rest| rest.starts_with(b"KDMV")));
        if let Some(footer) = footer {
            extent.directories = footer.directories;
        }
    }
    if extent.grain_len < SECTOR_LEN || extent.grain_len > 1 << 30 {
        sink.unscanned(b"", Reason::Damaged("grainSize".into()));
        return Ok(());
    }
    let mut guest = Guest::new(extent.len, object, sink);
    let mut found = false;
    if extent.flags & MARKED != 0 {
        found = extent.by_markers(&mut guest)?;
    }
    if !found {
        extent.by_tables(&mut guest)?;
    }
    guest.finish()?;
    Ok(())
}

/// Tells what a descriptor without data names.
fn descriptor(object: &[u8], sink: &mut dyn Sink) {
    let mut names = 0u32;
    for line in object.split(|byte| *byte == b'\n').take(1024) {
        let is_extent =
            [b"RW ".as_slice(), b"RDONLY ", b"NOACCESS "].iter().any(|mode| line.starts_with(mode));
        if is_extent && names < 64 {
            names = names.saturating_add(1);
            let name = line.split(|byte| *byte == b'"').nth(1).unwrap_or_default();
            sink.unscanned(name, Reason::OtherVolume);
        }
    }
}

impl<'a> Extent<'a> {
    fn read(object: &'a [u8], off: usize) -> Result<Self, hf_core::Defect> {
        let field = |at: usize| Reader::at(object, off.saturating_add(at));
        Ok(Self {
            object,
            flags: field(8).u32_le()?,
            len: field(12).u64_le()?.saturating_mul(SECTOR_LEN),
            grain_len: field(20).u64_le()?.saturating_mul(SECTOR_LEN),
            table_entries: field(44).u32_le()?.into(),
            directories: [field(56).u64_le()?, field(48).u64_le()?],
            head_len: field(64).u64_le()?.saturating_mul(SECTOR_LEN),
            budget: u64::try_from(object.len()).unwrap_or(u64::MAX).saturating_mul(4),
        })
    }

    fn may(&mut self, len: usize) -> bool {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let may = self.budget >= len;
        self.budget = self.budget.saturating_sub(len);
        may
    }

    /// Walks the markers of a stream; true when one led to a grain.
    fn by_markers(&mut self, guest: &mut Guest<'_, '_>) -> Result<bool, Stop> {
        let mut off = self.head_len.max(SECTOR_LEN);
        let mut found = false;
        while let Some(marker) = self.object.get(size(off)..).filter(|rest| rest.len() >= 12) {
            let mut fields = Reader::new(marker);
            let (Ok(value), Ok(len)) = (fields.u64_le(), fields.u32_le()) else { break };
            if len == 0 {
                let kind = fields.u32_le().unwrap_or(0);
                // Metadata of so many sectors follows; kind 0 is the end of the stream.
                if kind == 0 {
                    break;
                }
                off = off.saturating_add(value.saturating_add(1).saturating_mul(SECTOR_LEN));
                continue;
            }
            let rest = marker.get(12..).unwrap_or_default();
            let data = rest.get(..size(len.into())).unwrap_or(rest);
            if data.len() < size(len.into()) {
                guest.miss(Reason::Truncated);
            }
            found = true;
            self.unpack(data, value.saturating_mul(SECTOR_LEN), guest)?;
            let end = off.saturating_add(u64::from(len)).saturating_add(12);
            off = end.checked_next_multiple_of(SECTOR_LEN).unwrap_or(u64::MAX);
        }
        Ok(found)
    }

    fn unpack(&mut self, data: &[u8], place: u64, guest: &mut Guest<'_, '_>) -> Result<(), Stop> {
        let mut out = Vec::new();
        let stream = Inflate::zlib(data).take(guest.unpack_room(self.grain_len));
        let ended = unpack_into(stream, &mut out, guest.sink())?;
        if let Some(reason) = ended.reason(guest.sink()) {
            guest.miss(reason);
        }
        guest.add(place, &Block::Unpacked(out))
    }

    /// Follows the directory and its tables.
    fn by_tables(&mut self, guest: &mut Guest<'_, '_>) -> Result<(), Stop> {
        let entries = self.table_entries.clamp(1, 1 << 16);
        let reach = entries.saturating_mul(self.grain_len);
        let tables = self.len.div_ceil(reach.max(1));
        if tables > TABLES_MAX {
            guest.miss(Reason::FormatLimit("tables".into()));
        }
        let directories = self.directories;
        for table in 0..tables.min(TABLES_MAX) {
            let offs = directories.map(|directory| {
                let at = directory.checked_mul(SECTOR_LEN)?.checked_add(table.checked_mul(4)?)?;
                let sector = Reader::at(self.object, size(at)).u32_le().ok()?;
                (sector != 0 && directory != 0)
                    .then(|| u64::from(sector).saturating_mul(SECTOR_LEN))
            });
            let Some(first) = offs.iter().flatten().next() else { continue };
            if !self.may(size(entries.saturating_mul(4))) {
                guest.miss(Reason::FormatLimit("grains that overlap".into()));
                return Ok(());
            }
            let second = offs.iter().flatten().nth(1).copied();
            for entry in 0..entries {
                let place = table
                    .saturating_mul(reach)
                    .saturating_add(entry.saturating_mul(self.grain_len));
                if place >= self.len {
                    break;
                }
                let at = |table: u64| {
                    Reader::at(self.object, size(table.saturating_add(entry.saturating_mul(4))))
                        .u32_le()
                };
                let Ok(sector) = at(*first) else {
                    guest.miss(Reason::Truncated);
                    break;
                };
                // Of the two copies of a table one may be lost; 1 means zeros.
                let sector = if sector == 0 {
                    second.and_then(|table| at(table).ok()).unwrap_or(0)
                } else {
                    sector
                };
                if sector > 1
                    && !self.grain(u64::from(sector).saturating_mul(SECTOR_LEN), place, guest)?
                {
                    guest.miss(Reason::FormatLimit("grains that overlap".into()));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn grain(&mut self, off: u64, place: u64, guest: &mut Guest<'_, '_>) -> Result<bool, Stop> {
        let rest = self.object.get(size(off)..).unwrap_or_default();
        if self.flags & PACKED != 0 {
            let len = Reader::at(rest, 8).u32_le().unwrap_or(0);
            let rest = rest.get(12..).unwrap_or_default();
            let data = rest.get(..size(len.into())).unwrap_or(rest);
            if data.len() < size(len.into()) || data.is_empty() {
                guest.miss(Reason::Truncated);
            }
            if !self.may(data.len().max(1)) {
                return Ok(false);
            }
            self.unpack(data, place, guest)?;
            return Ok(true);
        }
        let data = rest.get(..size(self.grain_len)).unwrap_or(rest);
        if data.len() < size(self.grain_len.min(self.len.saturating_sub(place))) {
            guest.miss(Reason::Truncated);
        }
        if !self.may(data.len()) {
            return Ok(false);
        }
        guest.add(place, &Block::Stored(data))?;
        Ok(true)
    }
}
