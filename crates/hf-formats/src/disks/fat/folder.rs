//! Entries of folders, of FAT and of exFAT.

use super::Width;
use crate::reader::Reader;

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
    pub(super) cluster: u32,
    pub(super) len: u64,
    /// Its clusters follow each other, whatever the table says.
    pub(super) is_contiguous: bool,
}

const LEN: usize = 32;

/// Reads a folder of FAT12, FAT16 or FAT32.
pub(super) fn fat(folder: &[u8], width: Width) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut long: Vec<u16> = Vec::new();
    for raw in folder.as_chunks::<LEN>().0 {
        let [first, .., _, _, _, _] = *raw;
        let attributes = raw.get(11).copied().unwrap_or(0);
        match first {
            0 => break,
            0xe5 => long.clear(),
            _ if attributes & 0x3f == 0x0f => {
                if first & 0x40 != 0 {
                    long.clear();
                }
                // The last part stands first.
                let part = units(raw, &[(1, 5), (14, 6), (28, 2)]);
                long.splice(0..0, part);
                long.truncate(260);
            }
            _ if attributes & 0x08 != 0 => long.clear(),
            _ => {
                let end = long.iter().position(|unit| matches!(unit, 0 | 0xffff));
                long.truncate(end.unwrap_or(long.len()));
                let name = if long.is_empty() {
                    short(raw)
                } else {
                    String::from_utf16_lossy(&long).into_bytes()
                };
                long.clear();
                if matches!(name.as_slice(), b"." | b"..") {
                    continue;
                }
                let half = |off: usize| Reader::at(raw, off).u16_le().map_or(0, u32::from);
                let high = if width == Width::Bits32 { half(20) << 16 } else { 0 };
                entries.push(Entry {
                    name,
                    is_folder: attributes & 0x10 != 0,
                    cluster: high | half(26),
                    len: Reader::at(raw, 28).u32_le().map_or(0, u64::from),
                    is_contiguous: false,
                });
            }
        }
    }
    entries
}

fn units(raw: &[u8], parts: &[(usize, usize)]) -> Vec<u16> {
    let part = |(off, count): &(usize, usize)| {
        let mut reader = Reader::at(raw, *off);
        (0..*count).map_while(|_| reader.u16_le().ok()).collect::<Vec<_>>()
    };
    parts.iter().flat_map(part).collect()
}

/// Returns the name of eight and three letters.
fn short(raw: &[u8]) -> Vec<u8> {
    let flags = raw.get(12).copied().unwrap_or(0);
    let part = |from: usize, to: usize, lower: bool| {
        let text = raw.get(from..to).unwrap_or_default().trim_ascii_end();
        if lower { text.to_ascii_lowercase() } else { text.to_vec() }
    };
    let mut name = part(0, 8, flags & 0x08 != 0);
    if let Some(first @ 0x05) = name.first_mut() {
        *first = 0xe5;
    }
    let extension = part(8, 11, flags & 0x10 != 0);
    if !extension.is_empty() {
        name.push(b'.');
        name.extend(extension);
    }
    name
}

/// Reads a folder of exFAT: sets of entries, one for the file and some behind it.
pub(super) fn ex(folder: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut open: Option<Entry> = None;
    let mut name: Vec<u16> = Vec::new();
    let mut name_len = 0usize;
    let mut close = |open: &mut Option<Entry>, name: &mut Vec<u16>, name_len: usize| {
        if let Some(mut entry) = open.take() {
            name.truncate(name_len.max(1));
            entry.name = String::from_utf16_lossy(name).into_bytes();
            entries.push(entry);
        }
        name.clear();
    };
    for raw in folder.as_chunks::<LEN>().0 {
        let mut reader = Reader::new(raw);
        match reader.u8().unwrap_or(0) {
            0 => break,
            0x85 => {
                close(&mut open, &mut name, name_len);
                let is_folder = raw.get(4).copied().unwrap_or(0) & 0x10 != 0;
                open = Some(Entry {
                    name: Vec::new(),
                    is_folder,
                    cluster: 0,
                    len: 0,
                    is_contiguous: false,
                });
            }
            0xc0 => {
                if let Some(entry) = &mut open {
                    entry.is_contiguous = raw.get(1).copied().unwrap_or(0) & 2 != 0;
                    name_len = usize::from(raw.get(3).copied().unwrap_or(0));
                    entry.cluster = Reader::at(raw, 20).u32_le().unwrap_or(0);
                    entry.len = Reader::at(raw, 24).u64_le().unwrap_or(0);
                }
            }
            0xc1 => name.extend(units(raw, &[(2, 15)])),
            0x80.. => {}
            // Not in use.
            _ => close(&mut open, &mut name, name_len),
        }
    }
    close(&mut open, &mut name, name_len);
    entries
}
