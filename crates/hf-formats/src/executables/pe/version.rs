//! The strings of `VS_VERSION_INFO` resources, and where their keys lie in the file.
//!
//! Promises: at most [`STRINGS_MAX`] strings; every structure is at least its header long, so the walk ends.
//! Source: Microsoft, `VS_VERSIONINFO`, `StringFileInfo`, `StringTable`, `String`.

use super::{
    headers::Headers,
    resources::{self, Resource},
};
use crate::reader::Reader;

/// A string of a version resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionString {
    /// File offset of its key.
    pub(crate) key_off: u64,
    /// Key.
    pub(crate) key: String,
    /// Value.
    pub(crate) value: String,
}

/// Strings read; ours.
pub(crate) const STRINGS_MAX: usize = 1024;
/// Version resources read; ours: one for each language.
const RESOURCES_MAX: usize = 64;
/// Characters of a key or value that are read; ours.
const TEXT_LEN_MAX: usize = 512;
const FIXED_INFO_KEY: &str = "VS_VERSION_INFO";
const STRING_INFO_KEY: &str = "StringFileInfo";

/// Returns the strings of all version resources.
pub(crate) fn strings(bytes: &[u8], headers: &Headers) -> Vec<VersionString> {
    let mut found = Vec::new();
    let all = resources::resources(bytes, headers);
    let versions = all.iter().filter(|resource| resource.kind == resources::VERSION);
    for resource in versions.take(RESOURCES_MAX) {
        read(bytes, resource, &mut found);
    }
    found
}

fn read(bytes: &[u8], resource: &Resource, found: &mut Vec<VersionString>) {
    let end = resource.off.saturating_add(resource.len);
    let Some(root) = Block::read(bytes, resource.off, end) else { return };
    if root.key != FIXED_INFO_KEY {
        return;
    }
    let infos = root.children(bytes);
    for info in infos.iter().filter(|info| info.key == STRING_INFO_KEY) {
        for table in info.children(bytes) {
            // One without a value is none to ClamAV.
            for string in table.children(bytes).into_iter().filter(|string| string.value_len > 0) {
                if found.len() >= STRINGS_MAX {
                    return;
                }
                found.push(VersionString {
                    key_off: u64::try_from(string.key_off).unwrap_or(u64::MAX),
                    value: text(bytes, string.value_off, string.end).0,
                    key: string.key,
                });
            }
        }
    }
}

/// A structure with a key, a value and children, all of one shape.
struct Block {
    key_off: usize,
    key: String,
    value_off: usize,
    value_len: usize,
    end: usize,
    origin: usize,
}

impl Block {
    fn read(bytes: &[u8], off: usize, limit: usize) -> Option<Self> {
        let mut reader = Reader::at(bytes, off);
        let len = usize::from(reader.u16_le().ok()?);
        let value_len = usize::from(reader.u16_le().ok()?);
        let is_text = reader.u16_le().ok()? == 1;
        let key_off = reader.off();
        let end = off.saturating_add(len).min(limit);
        if key_off >= end {
            return None;
        }
        let (key, key_len) = text(bytes, key_off, end);
        let value_off = aligned(key_off.saturating_add(key_len), off);
        let value_len = if is_text { value_len.saturating_mul(2) } else { value_len };
        Some(Self { key_off, key, value_off, value_len, end, origin: off })
    }

    fn children(&self, bytes: &[u8]) -> Vec<Self> {
        let mut found = Vec::new();
        let mut off = aligned(self.value_off.saturating_add(self.value_len), self.origin);
        while found.len() < STRINGS_MAX {
            let Some(child) = Self::read(bytes, off, self.end) else { break };
            off = aligned(child.end, self.origin);
            found.push(child);
        }
        found
    }
}

/// Returns the next multiple of four, counted from the start of a block.
fn aligned(off: usize, origin: usize) -> usize {
    let within = off.saturating_sub(origin);
    origin.saturating_add(within.checked_next_multiple_of(4).unwrap_or(within))
}

/// Returns the UTF-16 text up to its NUL, and its length in bytes with the NUL.
fn text(bytes: &[u8], off: usize, end: usize) -> (String, usize) {
    let raw = bytes.get(off..end.min(bytes.len())).unwrap_or_default();
    let units = raw.chunks_exact(2).map(|pair| {
        let mut unit = [0; 2];
        unit.copy_from_slice(pair);
        u16::from_le_bytes(unit)
    });
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).take(TEXT_LEN_MAX).collect();
    let len = units.len().saturating_add(1).saturating_mul(2);
    (String::from_utf16_lossy(&units), len)
}
