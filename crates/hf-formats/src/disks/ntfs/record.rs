//! Records of the table of files, and their attributes.

use crate::disks::files::Extent;
use crate::reader::{Reader, size};

/// Ours: pieces of one stream that one record tells of; there is no room for more.
const RUNS_MAX: usize = 1 << 15;
const NAME: u32 = 0x30;

/// A record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'r> {
    pub(super) is_in_use: bool,
    /// The record that this one belongs to; zero when it stands for itself.
    pub(super) base: u64,
    attributes: &'r [u8],
}

/// An attribute.
#[derive(Debug, Clone)]
pub(super) struct Attribute<'r> {
    pub(super) kind: u32,
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) place: Place<'r>,
}

/// Where an attribute's value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'r> {
    /// In the record.
    Resident(&'r [u8]),
    /// In clusters.
    Runs {
        runs: &'r [u8],
        len: u64,
        /// The first cluster of these in the stream.
        first: u64,
        /// Power of two of the clusters that are compressed together.
        unit: u16,
    },
}

/// Puts back what the ends of a record's sectors held before it was written; none when it is no record.
pub(super) fn repaired(raw: &[u8]) -> Option<Vec<u8>> {
    if !raw.starts_with(b"FILE") {
        return None;
    }
    let mut record = raw.to_vec();
    let off = usize::from(Reader::at(raw, 4).u16_le().ok()?);
    let count = usize::from(Reader::at(raw, 6).u16_le().ok()?);
    let mut values = Reader::at(raw, off.checked_add(2)?);
    for sector in 1..count {
        let end = sector.checked_mul(512)?;
        let Ok(value) = values.take(2) else { break };
        let Some(to) = record.get_mut(end.checked_sub(2)?..end) else { break };
        to.copy_from_slice(value);
    }
    Some(record)
}

impl<'r> Record<'r> {
    /// Reads a record.
    pub(super) fn read(raw: &'r [u8]) -> Option<Self> {
        if !raw.starts_with(b"FILE") {
            return None;
        }
        let mut reader = Reader::at(raw, 20);
        let first = usize::from(reader.u16_le().ok()?);
        let flags = reader.u16_le().ok()?;
        let used = size(u64::from(reader.u32_le().ok()?));
        reader.skip(4).ok()?;
        let base = reader.u64_le().ok()? & 0xffff_ffff_ffff;
        let used = used.min(raw.len());
        let attributes = raw.get(first..used).or_else(|| raw.get(first..))?;
        Some(Self { is_in_use: flags & 1 != 0, base, attributes })
    }

    /// Returns the attributes of a kind.
    pub(super) fn attributes(&self, kind: u32) -> impl Iterator<Item = Attribute<'r>> + use<'r> {
        let bytes = self.attributes;
        let mut at = 0usize;
        std::iter::from_fn(move || {
            let rest = bytes.get(at..)?;
            let mut reader = Reader::new(rest);
            let kind = reader.u32_le().ok()?;
            let len = size(u64::from(reader.u32_le().ok()?));
            if kind == u32::MAX || len < 16 {
                return None;
            }
            at = at.checked_add(len)?;
            let raw = rest.get(..len).unwrap_or(rest);
            Some(attribute(kind, raw))
        })
        .flatten()
        .filter(move |attribute| attribute.kind == kind)
    }

    /// Returns the folder's number and the name, the long one when there are two.
    pub(super) fn name(&self) -> Option<(u64, Vec<u8>)> {
        let mut found = None;
        for attribute in self.attributes(NAME) {
            let Place::Resident(value) = attribute.place else { continue };
            let mut reader = Reader::new(value);
            let Ok(parent) = reader.u64_le() else { continue };
            reader.seek(64);
            let (Ok(len), Ok(kind)) = (reader.u8(), reader.u8()) else { continue };
            let name = reader.take_up_to(usize::from(len).saturating_mul(2));
            let is_short = kind == 2;
            if found.is_none() || !is_short {
                found = Some((parent & 0xffff_ffff_ffff, wide(name)));
            }
            if !is_short {
                break;
            }
        }
        found
    }
}

fn attribute(kind: u32, raw: &[u8]) -> Option<Attribute<'_>> {
    let mut reader = Reader::at(raw, 8);
    let elsewhere = reader.u8().ok()? != 0;
    let name_len = usize::from(reader.u8().ok()?);
    let name_off = usize::from(reader.u16_le().ok()?);
    let flags = reader.u16_le().ok()?;
    reader.skip(2).ok()?;
    let name = Reader::at(raw, name_off).take_up_to(name_len.saturating_mul(2));
    let place = if elsewhere {
        let first = reader.u64_le().ok()?;
        reader.skip(8).ok()?;
        let runs_off = usize::from(reader.u16_le().ok()?);
        let unit = reader.u16_le().ok()?;
        reader.skip(12).ok()?;
        let len = reader.u64_le().ok()?;
        Place::Runs { runs: raw.get(runs_off..)?, len, first, unit }
    } else {
        let len = size(u64::from(reader.u32_le().ok()?));
        let off = usize::from(reader.u16_le().ok()?);
        Place::Resident(Reader::at(raw, off).take_up_to(len))
    };
    Some(Attribute { kind, name: wide(name), flags, place })
}

fn wide(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    String::from_utf16_lossy(&units.collect::<Vec<_>>()).into_bytes()
}

/// Returns the records that a list of attributes names for a kind.
pub(super) fn listed(list: &[u8], kind: u32) -> Vec<u64> {
    let mut records = Vec::new();
    let mut at = 0usize;
    while let Some(rest) = list.get(at..) {
        let mut reader = Reader::new(rest);
        let (Ok(found), Ok(len)) = (reader.u32_le(), reader.u16_le()) else { break };
        reader.seek(16);
        let Ok(record) = reader.u64_le() else { break };
        if found == kind {
            records.push(record & 0xffff_ffff_ffff);
        }
        if len < 24 {
            break;
        }
        at = at.saturating_add(usize::from(len));
    }
    records
}

/// Decodes runs of clusters.
pub(super) fn extents(runs: &[u8], cluster_len: u64) -> Vec<Extent> {
    let mut extents = Vec::new();
    let mut reader = Reader::new(runs);
    let mut cluster = 0i64;
    while extents.len() < RUNS_MAX {
        let Ok(header @ 1..) = reader.u8() else { break };
        let (len_len, off_len) = (usize::from(header & 15), usize::from(header >> 4));
        let (Ok(len), Ok(off)) = (reader.take(len_len), reader.take(off_len)) else { break };
        if len_len > 8 || off_len > 8 {
            break;
        }
        let len = signed(len).and_then(|len| u64::try_from(len).ok());
        let Some(len) = len.map(|len| len.saturating_mul(cluster_len)) else { break };
        let off = signed(off).and_then(|delta| {
            cluster = cluster.wrapping_add(delta);
            u64::try_from(cluster).ok()
        });
        extents.push(Extent { off: off.map(|off| off.saturating_mul(cluster_len)), len });
    }
    extents
}

/// Returns a number of some bytes, the highest bit of which is its sign; none for none.
fn signed(bytes: &[u8]) -> Option<i64> {
    let last = bytes.last()?;
    let fill = if last & 0x80 != 0 { 0xff } else { 0 };
    let mut raw = [fill; 8];
    raw.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(raw))
}
