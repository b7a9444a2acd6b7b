//! Which zip files are Office Open XML documents: decided by the names in the central directory.
//!
//! Promises: reads names only, at most [`NAMES_MAX`].
//! Leaves out: whether the document is whole; a zip without a directory stays a zip, as in ClamAV.
//! Sources: APPNOTE.TXT 6.3.10 §4.3; clamscan 1.4.6 as an oracle.

use hf_core::FileType;
use memchr::memmem;

use crate::reader::{Reader, size};

const NAMES_MAX: usize = 256;

fn by_name(name: &[u8]) -> Option<FileType> {
    if name.starts_with(b"word/") {
        return Some(FileType::OoxmlWord);
    }
    if name.starts_with(b"xl/") {
        return Some(FileType::OoxmlXl);
    }
    if name.starts_with(b"ppt/") {
        return Some(FileType::OoxmlPpt);
    }
    (name == b"Contents/content.hpf").then_some(FileType::OoxmlHwp)
}

/// Returns the type of the document when the zip is one.
pub(super) fn refine(zip: &[u8]) -> Option<FileType> {
    let tail_off = zip.len().saturating_sub(65_536 + 22);
    let end = memmem::rfind(zip.get(tail_off..)?, b"PK\x05\x06")?;
    let mut record = Reader::at(zip, tail_off.saturating_add(end));
    record.skip(16).ok()?;
    let mut entry = Reader::at(zip, size(u64::from(record.u32_le().ok()?)));
    for _ in 0..NAMES_MAX {
        if entry.take(4).ok()? != b"PK\x01\x02" {
            return None;
        }
        entry.skip(24).ok()?;
        let name_len = entry.u16_le().ok()?;
        let extra_len = entry.u16_le().ok()?;
        let comment_len = entry.u16_le().ok()?;
        entry.skip(12).ok()?;
        let name = entry.take(usize::from(name_len)).ok()?;
        if let Some(kind) = by_name(name) {
            return Some(kind);
        }
        entry.skip(usize::from(extra_len).saturating_add(usize::from(comment_len))).ok()?;
    }
    None
}
