//! UDF 1.02 to 2.60: DVDs, Blu-rays and the images that Windows mounts by a double click.
//!
//! Yields: one child per file, from extents or from inside its entry; named streams behind a colon; files whose
//! folder entry is marked deleted but still leads to one. When folders are damaged, the entries of files that
//! no folder names, found by their tags.
//! Leaves out: symbolic links, devices; extended attributes.
//! Limits: through `Sink`; 2^20 files; folders' bytes four times the image's; 64 partition maps.
//! Hostile input: both sequences of descriptors are read, from any anchor and with blocks of 512, 1024, 2048
//! and 4096 bytes; wrong checksums are defects; folders in a circle are read once; what lies outside of the
//! image is told.
//! Sources: ECMA-167 (3rd edition); OSTA UDF 1.02, 1.50, 2.01, 2.60.

mod entry;
mod map;

use std::collections::BTreeSet;

use hf_core::{FileType, Halt, Reason, Sink, Stop};

use super::files::{Extent, Files, path, utf16_be};
use crate::reader::{Reader, aligned, size};
use crate::{Format, FormatDoc, Stage};
use entry::{Data, Entry};
use map::{Maps, Place};

pub(super) const FORMAT: Format = Format {
    name: "udf",
    types: &[FileType::Udf],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x800_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`BEA01` or `NSR0` in the volume recognition sequence, or an anchor at sector 256",
        yields: "one child per file and named stream",
        leaves_out: "links and devices; extended attributes",
        limits: "2^20 files; folders' bytes four times the image's; 64 partition maps",
        sources: "ECMA-167, OSTA UDF 1.02 to 2.60",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut files = Files::new(object, sink);
    let mut sets = Vec::new();
    let mut block_len = 2048;
    for len in [2048u64, 512, 4096, 1024] {
        sets = anchors(object, len);
        if !sets.is_empty() {
            block_len = len;
            break;
        }
    }
    if sets.is_empty() {
        files.defect(0x8000, "no anchor");
        files.sink.unscanned(b"", Reason::Damaged("no anchor".into()));
    }
    let mut volume = Volume { block_len, ..Volume::default() };
    for (off, len) in sets {
        volume.descriptors(&mut files, off, len);
    }
    let mut maps = volume.maps(object);
    maps.resolve(object);
    let mut walk = Walk { files, maps, seen: BTreeSet::new(), damaged: false };
    let root = walk.root(&volume);
    if root.is_none() {
        walk.damage(0, "file set descriptor");
    }
    if let Some(root) = root {
        walk.folders(root)?;
    }
    if walk.damaged {
        walk.lost()?;
    }
    Ok(())
}

/// Returns the sequences of descriptors that the anchors name.
fn anchors(object: &[u8], block_len: u64) -> Vec<(u64, u64)> {
    let count = u64::try_from(object.len()).unwrap_or(0).checked_div(block_len).unwrap_or(0);
    let last = count.saturating_sub(1);
    let places = [256, last, last.saturating_sub(256), 512, last.saturating_sub(150)];
    let mut sets: Vec<(u64, u64)> = Vec::new();
    for sector in places {
        let off = sector.saturating_mul(block_len);
        let Some(tag) = Tag::read(object, off) else { continue };
        if tag.id != 2 || !tag.fits || u64::from(tag.location) != sector {
            continue;
        }
        let mut fields = Reader::at(object, size(off.saturating_add(16)));
        for _ in 0..2 {
            let (Ok(len), Ok(at)) = (fields.u32_le(), fields.u32_le()) else { break };
            let set = (u64::from(at).saturating_mul(block_len), u64::from(len));
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
    }
    sets
}

/// The tag in front of every descriptor.
#[derive(Debug, Clone, Copy)]
struct Tag {
    id: u16,
    location: u32,
    /// Its checksum is right.
    fits: bool,
}

impl Tag {
    fn read(object: &[u8], off: u64) -> Option<Self> {
        let raw = object.get(size(off)..)?.get(..16)?;
        let sum = raw.iter().enumerate().filter(|(at, _)| *at != 4);
        let sum = sum.fold(0u8, |sum, (_, byte)| sum.wrapping_add(*byte));
        Some(Self {
            id: Reader::new(raw).u16_le().ok()?,
            location: Reader::at(raw, 12).u32_le().ok()?,
            fits: raw.get(4) == Some(&sum),
        })
    }
}

/// Ours: descriptors of a sequence, and sequences that go on elsewhere.
const DESCRIPTORS_MAX: u64 = 256;
const MORE_MAX: u32 = 8;

/// What the descriptors say.
#[derive(Debug, Default)]
struct Volume {
    block_len: u64,
    /// Partitions: number, first block, blocks.
    partitions: Vec<(u16, u64, u64)>,
    /// Logical volumes: block length, map table, place of the file set.
    logical: Vec<(u64, Vec<u8>, Place)>,
}

impl Volume {
    /// Reads a sequence of descriptors.
    fn descriptors(&mut self, files: &mut Files<'_, '_>, off: u64, len: u64) {
        let (mut off, mut len) = (off, len);
        for _ in 0..MORE_MAX {
            let blocks = len.checked_div(self.block_len).unwrap_or(0).min(DESCRIPTORS_MAX);
            let mut next = None;
            for block in 0..blocks {
                let at = off.saturating_add(block.saturating_mul(self.block_len));
                let Some(tag) = Tag::read(files.object, at) else { break };
                let raw = files.object.get(size(at)..).unwrap_or_default();
                match tag.id {
                    3 => {
                        let mut fields = Reader::at(raw, 20);
                        if let (Ok(len), Ok(at)) = (fields.u32_le(), fields.u32_le()) {
                            next = Some((
                                u64::from(at).saturating_mul(self.block_len),
                                u64::from(len),
                            ));
                        }
                    }
                    5 => self.partitions.extend(partition(raw)),
                    6 => self.logical.extend(logical(raw)),
                    _ => continue,
                }
                if !tag.fits {
                    files.defect(at, "descriptor tag");
                }
            }
            match next {
                Some(set) => (off, len) = set,
                None => break,
            }
        }
    }

    /// Returns the maps of the logical volume; without one, each partition is its own map.
    fn maps(&self, object: &[u8]) -> Maps {
        let start = |number: u16| {
            let found = self.partitions.iter().find(|(own, _, _)| *own == number);
            found.or(self.partitions.first()).map(|(_, start, count)| (*start, *count))
        };
        let (block_len, table) = match self.logical.first() {
            Some((len, table, _)) => (*len, table.as_slice()),
            None => (self.block_len, [].as_slice()),
        };
        let block_len =
            if matches!(block_len, 512 | 1024 | 2048 | 4096) { block_len } else { self.block_len };
        Maps::read(object, block_len, table, &start)
    }
}

fn partition(raw: &[u8]) -> Option<(u16, u64, u64)> {
    let number = Reader::at(raw, 22).u16_le().ok()?;
    let mut fields = Reader::at(raw, 188);
    Some((number, u64::from(fields.u32_le().ok()?), u64::from(fields.u32_le().ok()?)))
}

fn logical(raw: &[u8]) -> Option<(u64, Vec<u8>, Place)> {
    let block_len = u64::from(Reader::at(raw, 212).u32_le().ok()?);
    let mut fields = Reader::at(raw, 248 + 4);
    let place = Place { block: fields.u32_le().ok()?, map: fields.u16_le().ok()? };
    let table_len = Reader::at(raw, 264).u32_le().ok()?.min(4096);
    let table = raw.get(440..)?;
    let table = table.get(..usize::try_from(table_len).ok()?).unwrap_or(table);
    Some((block_len, table.to_vec(), place))
}

/// A folder to read.
struct Folder {
    name: Vec<u8>,
    place: Place,
    /// Of named streams: names follow a colon.
    streams: bool,
}

struct Walk<'a, 's> {
    files: Files<'a, 's>,
    maps: Maps,
    /// Offsets of entries that were read.
    seen: BTreeSet<u64>,
    damaged: bool,
}

impl Walk<'_, '_> {
    fn damage(&mut self, off: u64, what: &'static str) {
        self.damaged = true;
        self.files.defect(off, what);
    }

    /// Returns the root folder: as the file set says, wherever one is.
    fn root(&mut self, volume: &Volume) -> Option<Vec<Folder>> {
        let places = volume.logical.iter().map(|(_, _, place)| *place);
        let first = Place { block: 0, map: 0 };
        let mut roots = Vec::new();
        for place in places.chain([first]) {
            let Some(off) = self.maps.off(place) else { continue };
            let Some(tag) = Tag::read(self.files.object, off) else { continue };
            if tag.id != 256 {
                continue;
            }
            let raw = self.files.object.get(size(off)..).unwrap_or_default();
            for (at, streams) in [(464usize, true), (400, false)] {
                let mut fields = Reader::at(raw, at.saturating_add(4));
                let (Ok(block), Ok(map)) = (fields.u32_le(), fields.u16_le()) else { continue };
                let has = Reader::at(raw, at).u32_le().is_ok_and(|len| len > 0);
                if has {
                    roots.push(Folder { name: Vec::new(), place: Place { block, map }, streams });
                }
            }
        }
        (!roots.is_empty()).then_some(roots)
    }

    fn folders(&mut self, mut todo: Vec<Folder>) -> Result<(), Stop> {
        while let Some(folder) = todo.pop() {
            self.files.sink.poll()?;
            let Some((off, entry)) = self.entry(folder.place) else {
                let off = self.maps.off(folder.place).unwrap_or(0);
                self.damage(off, "entry of a folder");
                continue;
            };
            if !self.seen.insert(off) {
                continue;
            }
            self.folder(&folder, &entry, &mut todo)?;
        }
        Ok(())
    }

    /// Returns where the newest entry at a place is.
    fn entry_off(&self, place: Place) -> Option<u64> {
        let mut place = place;
        for _ in 0..INDIRECT_MAX {
            let off = self.maps.off(place)?;
            let tag = Tag::read(self.files.object, off)?;
            if tag.id == 248 {
                let mut fields = Reader::at(self.files.object, size(off.saturating_add(40)));
                place = Place { block: fields.u32_le().ok()?, map: fields.u16_le().ok()? };
                continue;
            }
            return Some(off);
        }
        None
    }

    /// Returns the newest entry at a place.
    fn entry(&self, place: Place) -> Option<(u64, Entry)> {
        let off = self.entry_off(place)?;
        Entry::read(self.files.object, off).map(|entry| (off, entry))
    }

    /// Returns the bytes of a folder.
    fn content(&mut self, entry: &Entry, map: u16, name: &[u8]) -> Result<Vec<u8>, Stop> {
        let len = entry.len;
        let extents = match &entry.data {
            Data::Inside(extent) => vec![*extent],
            Data::Extents(list) => self.maps.extents(self.files.object, list, map),
        };
        let image = u64::try_from(self.files.object.len()).unwrap_or(u64::MAX);
        if !self.files.may_list(&extents) || !self.files.may_read(len.min(image)) {
            return Ok(Vec::new());
        }
        let content = super::files::gather(self.files.object, &extents, len, self.files.sink)?;
        if let Some(reason) = content.missing {
            self.files.sink.unscanned(name, reason);
            self.damaged = true;
        }
        Ok(content.bytes.into_owned())
    }

    fn folder(
        &mut self,
        folder: &Folder,
        entry: &Entry,
        todo: &mut Vec<Folder>,
    ) -> Result<(), Stop> {
        let data = self.content(entry, folder.place.map, &folder.name)?;
        let mut reader = Reader::new(&data);
        while reader.left() >= 38 {
            let start = reader.off();
            let Some(record) = Record::read(&mut reader) else {
                let off = self.maps.off(folder.place).unwrap_or(0);
                self.damage(off, "file identifier");
                // The next record may start at any multiple of four.
                reader.seek(next_record(&data, start.saturating_add(4)));
                continue;
            };
            if record.traits & PARENT != 0 {
                continue;
            }
            let name = if folder.streams {
                [folder.name.as_slice(), b":", &record.name].concat()
            } else {
                path(&folder.name, &record.name)
            };
            self.named(name, &record, todo)?;
        }
        if let Some(place) = entry.streams {
            todo.push(Folder { name: folder.name.clone(), place, streams: true });
        }
        Ok(())
    }

    /// What a record of a folder names.
    fn named(
        &mut self,
        name: Vec<u8>,
        record: &Record,
        todo: &mut Vec<Folder>,
    ) -> Result<(), Stop> {
        // A second name of a file, or a folder in a circle.
        if self.entry_off(record.place).is_some_and(|off| self.seen.contains(&off)) {
            return Ok(());
        }
        let Some((off, entry)) = self.entry(record.place) else {
            if record.traits & DELETED == 0 {
                self.damage(self.maps.off(record.place).unwrap_or(0), "entry of a file");
                self.files.sink.unscanned(&name, Reason::Damaged("entry of a file".into()));
            }
            return Ok(());
        };
        if entry.is_folder() || record.traits & FOLDER != 0 && entry.kind == 0 {
            todo.push(Folder { name, place: record.place, streams: false });
            return Ok(());
        }
        if let Some(place) = entry.streams {
            todo.push(Folder { name: name.clone(), place, streams: true });
        }
        self.seen.insert(off);
        self.file(&name, &entry, record.place.map)
    }

    fn file(&mut self, name: &[u8], entry: &Entry, map: u16) -> Result<(), Stop> {
        if !entry.holds_data() {
            return Ok(());
        }
        let extents = match &entry.data {
            Data::Inside(extent) => vec![*extent],
            Data::Extents(list) => self.maps.extents(self.files.object, list, map),
        };
        if !self.files.may_list(&extents) {
            return Ok(());
        }
        // Extents that go on behind the length that is told hold data all the same.
        let given = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
        if !self.files.announce(name, given, entry.len)? {
            return Ok(());
        }
        self.files.data(name, &extents, entry.len)?;
        if given >= entry.len.saturating_add(self.maps.block_len) {
            self.files.data(name, &extents, given)?;
        }
        Ok(())
    }

    /// Hands over the files that no folder names, known by the tags of their entries.
    fn lost(&mut self) -> Result<(), Stop> {
        let block_len = self.maps.block_len.max(512);
        let count =
            u64::try_from(self.files.object.len()).unwrap_or(0).checked_div(block_len).unwrap_or(0);
        for block in 0..count {
            if block.is_multiple_of(4096) {
                self.files.sink.poll()?;
            }
            let off = block.saturating_mul(block_len);
            let tag = Tag::read(self.files.object, off);
            if !tag.is_some_and(|tag| tag.fits && matches!(tag.id, 261 | 266))
                || self.seen.contains(&off)
            {
                continue;
            }
            let Some(entry) = Entry::read(self.files.object, off) else { continue };
            if entry.is_folder() {
                continue;
            }
            let name = format!("[lost {block}]");
            let map = self.maps.map_of(off);
            self.file(name.as_bytes(), &entry, map)?;
        }
        Ok(())
    }
}

/// Ours: indirect entries followed from one place.
const INDIRECT_MAX: u32 = 16;
/// File characteristics (ECMA-167 4/14.4.3).
const FOLDER: u8 = 0x02;
const DELETED: u8 = 0x04;
const PARENT: u8 = 0x08;

/// A file identifier descriptor.
struct Record {
    traits: u8,
    place: Place,
    name: Vec<u8>,
}

impl Record {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let start = reader.off();
        let raw = reader.rest();
        if Reader::new(raw).u16_le().ok()? != 257 {
            return None;
        }
        let traits = *raw.get(18)?;
        let name_len = usize::from(*raw.get(19)?);
        let mut fields = Reader::at(raw, 24);
        let place = Place { block: fields.u32_le().ok()?, map: fields.u16_le().ok()? };
        let use_len = usize::from(Reader::at(raw, 36).u16_le().ok()?);
        let name_off = use_len.saturating_add(38);
        let end = name_off.saturating_add(name_len);
        let name = name(raw.get(name_off..end)?);
        reader.seek(start.saturating_add(aligned(end, 4)));
        Some(Self { traits, place, name })
    }
}

/// Returns a name in OSTA's compressed Unicode as UTF-8.
fn name(raw: &[u8]) -> Vec<u8> {
    match raw.split_first() {
        Some((16 | 255, units)) => utf16_be(units),
        Some((8 | 254, bytes)) => {
            bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
        }
        _ => raw.to_vec(),
    }
}

/// Returns where the next record may start: at a tag, on a multiple of four.
fn next_record(data: &[u8], from: usize) -> usize {
    let mut off = from;
    while let Some(tag) = data.get(off..).and_then(|rest| rest.get(..16)) {
        let sum = tag.iter().enumerate().filter(|(at, _)| *at != 4);
        let sum = sum.fold(0u8, |sum, (_, byte)| sum.wrapping_add(*byte));
        if tag.starts_with(&[1, 1]) && tag.get(4) == Some(&sum) {
            break;
        }
        off = off.saturating_add(4);
    }
    off
}

/// Adds the pieces of an extent that a sparable or virtual partition scatters.
fn push(extents: &mut Vec<Extent>, off: Option<u64>, len: u64) {
    match off {
        Some(off) => extents.push(Extent::at(off, len)),
        None => extents.push(Extent::hole(len)),
    }
}
