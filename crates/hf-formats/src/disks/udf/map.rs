//! Partition maps: from blocks of a logical volume to bytes of the image.

use std::collections::BTreeMap;

use super::entry::{Data, Entry};
use super::{Tag, push};
use crate::disks::files::{Extent, gather_plain};
use crate::reader::{Reader, size};

/// A block of a partition map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) map: u16,
}

/// An allocation descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    len: u32,
    block: u32,
    /// None: of the entry's own map.
    map: Option<u16>,
}

impl Piece {
    /// Reads allocation descriptors of a kind: 0 short, 1 long, 2 extended.
    pub(super) fn list(raw: &[u8], kind: u16) -> Vec<Self> {
        let step = match kind {
            0 => 8,
            1 => 16,
            _ => 20,
        };
        let piece = |raw: &[u8]| {
            let len = Reader::new(raw).u32_le().ok()?;
            let at = if kind == 2 { 12 } else { 4 };
            let mut fields = Reader::at(raw, at);
            let block = fields.u32_le().ok()?;
            let map = if kind == 0 { None } else { fields.u16_le().ok() };
            Some(Self { len, block, map })
        };
        raw.chunks_exact(step).map_while(piece).take_while(|piece| piece.len & LEN != 0).collect()
    }
}

/// The length in an allocation descriptor, whose two highest bits are its kind.
const LEN: u32 = 0x3fff_ffff;

/// Ours: maps, extents of one file, extents of extents.
const MAPS_MAX: usize = 64;
const EXTENTS_MAX: usize = 1 << 18;
const LISTS_MAX: usize = 4096;

#[derive(Debug)]
enum Kind {
    Plain,
    /// Packets that were moved: where they were, where they are (blocks of the image).
    Sparable {
        packet: u64,
        moved: BTreeMap<u64, u64>,
    },
    /// Blocks by number of their virtual address.
    Virtual(Vec<u32>),
    /// The blocks are the content of a file.
    Metadata {
        files: [u32; 2],
        extents: Vec<(u64, Extent)>,
    },
    /// A virtual map whose table was not found yet.
    Unresolved,
}

#[derive(Debug)]
struct Map {
    start: u64,
    count: u64,
    kind: Kind,
}

/// All maps of a logical volume.
#[derive(Debug, Default)]
pub(super) struct Maps {
    pub(super) block_len: u64,
    maps: Vec<Map>,
}

impl Maps {
    /// Reads the table of a logical volume.
    pub(super) fn read(
        object: &[u8],
        block_len: u64,
        table: &[u8],
        start: &dyn Fn(u16) -> Option<(u64, u64)>,
    ) -> Self {
        let mut maps = Vec::new();
        let mut rest = table;
        while let Some([kind, len]) = rest.first_chunk::<2>().copied() {
            let Some((raw, behind)) = rest.split_at_checked(usize::from(len)).filter(|_| len >= 6)
            else {
                break;
            };
            rest = behind;
            let at = if kind == 1 { 4 } else { 38 };
            let number = Reader::at(raw, at).u16_le().unwrap_or(0);
            let (start, count) = start(number).unwrap_or((0, 0));
            let kind = if kind == 1 { Kind::Plain } else { special(object, raw, block_len) };
            if maps.len() < MAPS_MAX {
                maps.push(Map { start, count, kind });
            }
        }
        if maps.is_empty() {
            let (start, count) = start(0).unwrap_or((0, 0));
            maps.push(Map { start, count, kind: Kind::Plain });
        }
        Self { block_len, maps }
    }

    /// Reads the files that virtual and metadata maps are made of.
    pub(super) fn resolve(&mut self, object: &[u8]) {
        for idx in 0..self.maps.len() {
            let Some(map) = self.maps.get(idx) else { break };
            let kind = match &map.kind {
                Kind::Unresolved => self.virtual_table(object, map.start).map(Kind::Virtual),
                Kind::Metadata { files, .. } => {
                    let files = *files;
                    let extents = files.iter().find_map(|block| self.file_of(object, idx, *block));
                    extents.map(|extents| Kind::Metadata { files, extents: summed(extents) })
                }
                _ => None,
            };
            if let (Some(kind), Some(map)) = (kind, self.maps.get_mut(idx)) {
                map.kind = kind;
            }
        }
    }

    /// Returns the extents of a file whose entry is in a partition, whatever its map.
    fn file_of(&self, object: &[u8], idx: usize, block: u32) -> Option<Vec<Extent>> {
        let map = self.maps.get(idx)?;
        let off = map.start.checked_add(block.into())?.checked_mul(self.block_len)?;
        let entry = Entry::read(object, off)?;
        let Data::Extents(list) = entry.data else { return None };
        let plain = Map { start: map.start, count: map.count, kind: Kind::Plain };
        let maps = Self { block_len: self.block_len, maps: vec![plain] };
        let list: Vec<_> = list.into_iter().map(|piece| Piece { map: None, ..piece }).collect();
        Some(maps.extents(object, &list, 0))
    }

    /// Finds the virtual allocation table: the newest entry at the end of what was recorded.
    fn virtual_table(&self, object: &[u8], start: u64) -> Option<Vec<u32>> {
        let count = u64::try_from(object.len()).ok()?.checked_div(self.block_len)?;
        let plain = Map { start, count, kind: Kind::Plain };
        let maps = Self { block_len: self.block_len, maps: vec![plain] };
        for block in (count.saturating_sub(VAT_WINDOW)..count).rev() {
            let off = block.saturating_mul(self.block_len);
            let Some(tag) = Tag::read(object, off) else { continue };
            if !tag.fits || !matches!(tag.id, 261 | 266) {
                continue;
            }
            let Some(entry) = Entry::read(object, off) else { continue };
            if !matches!(entry.kind, 0 | 248) {
                continue;
            }
            let extents = match &entry.data {
                Data::Inside(extent) => vec![*extent],
                Data::Extents(list) => maps.extents(object, list, 0),
            };
            let bytes = gather_plain(object, &extents, entry.len.min(VAT_LEN_MAX));
            let mut words: Vec<u32> =
                bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
            if entry.kind == 248 {
                // UDF 2.00 and later: a header, whose length is its first field.
                let header = usize::from(Reader::new(&bytes).u16_le().ok()?).div_euclid(4);
                words.drain(..header.min(words.len()));
            } else {
                // UDF 1.50: an identifier and a link behind the table.
                words.truncate(words.len().saturating_sub(9));
            }
            return Some(words);
        }
        None
    }

    /// Returns where a block is in the image, in bytes.
    pub(super) fn off(&self, place: Place) -> Option<u64> {
        let map = self.maps.get(usize::from(place.map)).or(self.maps.first())?;
        let block = u64::from(place.block);
        let physical = |block: u64| map.start.checked_add(block)?.checked_mul(self.block_len);
        match &map.kind {
            Kind::Plain | Kind::Unresolved => physical(block),
            Kind::Virtual(table) => {
                let block = table.get(usize::try_from(place.block).ok()?)?;
                physical(u64::from(*block)).filter(|_| *block != u32::MAX)
            }
            Kind::Sparable { packet, moved } => {
                let first = block.checked_div(*packet)?.checked_mul(*packet)?;
                match moved.get(&first) {
                    Some(to) => {
                        to.checked_add(block.checked_sub(first)?)?.checked_mul(self.block_len)
                    }
                    None => physical(block),
                }
            }
            Kind::Metadata { extents, .. } => {
                let off = block.checked_mul(self.block_len)?;
                let next = extents.partition_point(|(start, _)| *start <= off);
                let (start, extent) = extents.get(next.checked_sub(1)?)?;
                let within = off.checked_sub(*start).filter(|within| *within < extent.len)?;
                extent.off?.checked_add(within)
            }
        }
    }

    /// Returns where allocation descriptors lead, in the order of the file.
    pub(super) fn extents(&self, object: &[u8], list: &[Piece], map: u16) -> Vec<Extent> {
        let mut extents = Vec::new();
        let mut list = list.to_vec();
        for _ in 0..LISTS_MAX {
            let mut next = None;
            for piece in &list {
                let place = Place { block: piece.block, map: piece.map.unwrap_or(map) };
                let len = u64::from(piece.len & LEN);
                match piece.len >> 30 {
                    0 => self.extent(place, len, &mut extents),
                    3 => {
                        next = self.off(place);
                        break;
                    }
                    _ => push(&mut extents, None, len),
                }
                if extents.len() > EXTENTS_MAX {
                    return extents;
                }
            }
            let Some(off) = next else { break };
            // An allocation extent descriptor; its pieces are as those that led to it.
            if Tag::read(object, off).is_none_or(|tag| tag.id != 258) {
                break;
            }
            let raw = object.get(size(off)..).unwrap_or_default();
            let len = Reader::at(raw, 20).u32_le().unwrap_or(0).min(1 << 20);
            let raw = raw.get(24..).unwrap_or_default();
            let raw = raw.get(..size(len.into())).unwrap_or(raw);
            let kind = u16::from(list.first().is_some_and(|piece| piece.map.is_some()));
            list = Piece::list(raw, kind);
        }
        extents
    }

    /// Adds an extent: in one piece in a plain map, block by block where neighbours need not be.
    fn extent(&self, place: Place, len: u64, extents: &mut Vec<Extent>) {
        let map = self.maps.get(usize::from(place.map)).or(self.maps.first());
        let plain = map.is_none_or(|map| matches!(map.kind, Kind::Plain | Kind::Unresolved));
        if plain {
            push(extents, Some(self.off(place).unwrap_or(u64::MAX)), len);
            return;
        }
        let mut left = len;
        let mut block = place.block;
        while left > 0 && extents.len() <= EXTENTS_MAX {
            let piece = left.min(self.block_len.max(1));
            let at = self.off(Place { block, map: place.map }).unwrap_or(u64::MAX);
            match extents.last_mut() {
                Some(last) if last.off.and_then(|off| off.checked_add(last.len)) == Some(at) => {
                    last.len = last.len.saturating_add(piece);
                }
                _ => extents.push(Extent::at(at, piece)),
            }
            left = left.saturating_sub(piece);
            block = block.saturating_add(1);
        }
    }

    /// Returns the map to which a place in the image belongs.
    pub(super) fn map_of(&self, off: u64) -> u16 {
        let block = off.checked_div(self.block_len).unwrap_or(0);
        let inside = |map: &Map| {
            (map.start..map.start.saturating_add(map.count)).contains(&block)
                && matches!(map.kind, Kind::Plain)
        };
        self.maps.iter().position(inside).and_then(|idx| u16::try_from(idx).ok()).unwrap_or(0)
    }
}

/// Returns extents with where they start in their file.
fn summed(extents: Vec<Extent>) -> Vec<(u64, Extent)> {
    let mut sum = 0u64;
    let with_start = |extent: Extent| {
        let start = sum;
        sum = sum.saturating_add(extent.len);
        (start, extent)
    };
    extents.into_iter().map(with_start).collect()
}

/// Blocks from the end in which the virtual allocation table is looked for, and its bytes.
const VAT_WINDOW: u64 = 512;
const VAT_LEN_MAX: u64 = 16 << 20;

/// Reads a map of type 2.
fn special(object: &[u8], raw: &[u8], block_len: u64) -> Kind {
    let id = raw.get(5..28).unwrap_or_default();
    if id.starts_with(b"*UDF Virtual Partition") {
        return Kind::Unresolved;
    }
    if id.starts_with(b"*UDF Metadata Partition") {
        let mut fields = Reader::at(raw, 40);
        let files = [fields.u32_le().unwrap_or(0), fields.u32_le().unwrap_or(0)];
        return Kind::Metadata { files, extents: Vec::new() };
    }
    if id.starts_with(b"*UDF Sparable Partition") {
        let packet = Reader::at(raw, 40).u16_le().unwrap_or(32);
        let count = usize::from(raw.get(42).copied().unwrap_or(0)).min(4);
        let mut fields = Reader::at(raw, 48);
        let mut moved = BTreeMap::new();
        for _ in 0..count {
            let Ok(block) = fields.u32_le() else { break };
            let off = u64::from(block).saturating_mul(block_len);
            let table = object.get(size(off)..).unwrap_or_default();
            let entries = Reader::at(table, 48).u16_le().unwrap_or(0);
            let mut fields = Reader::at(table, 56);
            for _ in 0..entries {
                let (Ok(from), Ok(to)) = (fields.u32_le(), fields.u32_le()) else { break };
                if from < 0xffff_fff0 {
                    moved.entry(from.into()).or_insert(to.into());
                }
            }
        }
        return Kind::Sparable { packet: u64::from(packet.max(1)), moved };
    }
    Kind::Plain
}
