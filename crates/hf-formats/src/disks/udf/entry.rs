//! File entries, plain and extended.

use super::map::{Piece, Place};
use crate::disks::files::Extent;
use crate::reader::{Reader, size};

/// Where a file's data is.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// In the entry itself.
    Inside(Extent),
    /// In extents.
    Extents(Vec<Piece>),
}

/// What an entry says of a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// File type (ECMA-167 4/14.6.6).
    pub(super) kind: u8,
    /// Bytes of data.
    pub(super) len: u64,
    pub(super) data: Data,
    /// The folder of named streams.
    pub(super) streams: Option<Place>,
}

impl Entry {
    /// Reads the entry at an offset.
    pub(super) fn read(object: &[u8], off: u64) -> Option<Self> {
        let raw = object.get(size(off)..)?;
        let id = Reader::new(raw).u16_le().ok()?;
        let (lens_off, wide) = match id {
            261 => (168usize, false),
            266 => (208, true),
            _ => return None,
        };
        let kind = *raw.get(27)?;
        let flags = Reader::at(raw, 34).u16_le().ok()?;
        let len = Reader::at(raw, 56).u64_le().ok()?;
        let mut lens = Reader::at(raw, lens_off);
        let (attributes_len, list_len) = (lens.u32_le().ok()?, lens.u32_le().ok()?);
        let start =
            lens_off.saturating_add(8).saturating_add(usize::try_from(attributes_len).ok()?);
        let list = raw.get(start..)?;
        let list = list.get(..usize::try_from(list_len).ok()?.min(LIST_LEN_MAX)).unwrap_or(list);
        let data = if flags & 7 == 3 {
            let at = off.saturating_add(u64::try_from(start).ok()?);
            Data::Inside(Extent::at(at, u64::from(list_len)))
        } else {
            Data::Extents(Piece::list(list, flags & 7))
        };
        let mut streams = None;
        if wide && Reader::at(raw, 152).u32_le().ok()? > 0 {
            let mut fields = Reader::at(raw, 156);
            streams = Some(Place { block: fields.u32_le().ok()?, map: fields.u16_le().ok()? });
        }
        Some(Self { kind, len, data, streams })
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self.kind, 4 | 13)
    }

    /// False for tables of the file system, devices and links.
    pub(super) fn holds_data(&self) -> bool {
        !matches!(self.kind, 1..=3 | 6 | 7 | 9..=12)
    }
}

/// Ours: bytes of the list in an entry, which is in one block.
const LIST_LEN_MAX: usize = 64 * 1024;
