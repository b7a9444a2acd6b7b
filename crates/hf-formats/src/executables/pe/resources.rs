//! The resource tree of a PE: three levels (type, name, language) with data at the leaves.
//!
//! Promises: at most [`NODES_MAX`] entries are read, and never deeper than three levels, so that loops in the
//! tree cannot matter.
//! Leaves out: names of types and resources that are strings are kept as [`Id::Name`] without their text.
//! Source: Microsoft, "PE Format", `.rsrc`.

use super::headers::Headers;
use crate::reader::{Reader, size};

/// How a level of the tree names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    /// A number.
    Number(u32),
    /// A string.
    Name,
}

/// A leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource {
    /// First level: what it is.
    pub(crate) kind: Id,
    /// Second level: which one.
    pub(crate) id: Id,
    /// Third level: language.
    pub(crate) language: Id,
    /// File offset of its data.
    pub(crate) off: usize,
    /// Bytes of data, cut at the end of the file.
    pub(crate) len: usize,
}

/// Entries read in all; ours.
const NODES_MAX: usize = 16_384;
const RESOURCE_DIRECTORY: usize = 2;
const HIGH: u32 = 0x8000_0000;

/// `RT_ICON`.
pub(crate) const ICON: Id = Id::Number(3);
/// `RT_RCDATA`.
pub(crate) const RC_DATA: Id = Id::Number(10);
/// `RT_GROUP_ICON`.
pub(crate) const GROUP_ICON: Id = Id::Number(14);
/// `RT_VERSION`.
pub(crate) const VERSION: Id = Id::Number(16);
/// `RT_HTML`.
pub(crate) const HTML: Id = Id::Number(23);

/// Returns the leaves in the order of the tree.
pub(crate) fn resources(bytes: &[u8], headers: &Headers) -> Vec<Resource> {
    let mut leaves = Vec::new();
    let Some((rva, _)) = headers.directory(RESOURCE_DIRECTORY) else { return leaves };
    let Some(base) = headers.bytes_at(bytes, rva) else { return leaves };
    let mut nodes_left = NODES_MAX;
    for (kind, kind_off) in entries(base, 0, &mut nodes_left) {
        let Some(kind_off) = subtree(kind_off) else { continue };
        for (id, id_off) in entries(base, kind_off, &mut nodes_left) {
            let Some(id_off) = subtree(id_off) else { continue };
            for (language, leaf_off) in entries(base, id_off, &mut nodes_left) {
                let mut leaf = Reader::at(base, size(u64::from(leaf_off)));
                let (Ok(data_rva), Ok(data_len)) = (leaf.u32_le(), leaf.u32_le()) else { continue };
                let Some(off) = headers.file_off(u64::from(data_rva)).map(size) else { continue };
                let len = size(u64::from(data_len)).min(bytes.len().saturating_sub(off));
                leaves.push(Resource { kind, id, language, off, len });
            }
        }
    }
    leaves
}

fn subtree(stored: u32) -> Option<usize> {
    (stored & HIGH != 0).then(|| size(u64::from(stored & !HIGH)))
}

fn entries(base: &[u8], off: usize, nodes_left: &mut usize) -> Vec<(Id, u32)> {
    let mut reader = Reader::at(base, off);
    let count = reader.skip(12).and_then(|()| {
        let names = reader.u16_le()?;
        Ok(usize::from(names).saturating_add(usize::from(reader.u16_le()?)))
    });
    let mut found = Vec::new();
    for _ in 0..count.unwrap_or(0).min(*nodes_left) {
        let (Ok(id), Ok(target)) = (reader.u32_le(), reader.u32_le()) else { break };
        let id = if id & HIGH == 0 { Id::Number(id) } else { Id::Name };
        found.push((id, target));
    }
    *nodes_left = nodes_left.saturating_sub(found.len());
    found
}
