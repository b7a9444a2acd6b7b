//! The names of an installer's files, as far as the script's header tells them.

use std::collections::BTreeMap;

use crate::reader::{Reader, size};

/// Names by the offset of a file's data.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<usize, Vec<u8>>);

const ENTRY_LEN: usize = 28;
/// Ours: entries of the script.
const ENTRIES_MAX: usize = 100_000;
const NAME_LEN_MAX: usize = 1024;
/// Opcodes that write a file: `File` in its versions, whose number moved, and `WriteUninstaller`.
const EXTRACT: std::ops::RangeInclusive<u32> = 18..=24;

/// Where the blocks of the header are.
#[derive(Debug)]
struct Blocks {
    entries_off: usize,
    entry_count: usize,
    strings_off: usize,
    strings_end: usize,
}

impl Names {
    /// Reads the names from a script's header; none when it makes no sense.
    pub(super) fn read(header: &[u8]) -> Self {
        let blocks = blocks(header, false).or_else(|| blocks(header, true));
        let Some(blocks) = blocks else { return Self::default() };
        let strings = header.get(blocks.strings_off..blocks.strings_end).unwrap_or_default();
        let wide = strings.starts_with(&[0, 0]);
        let mut names = BTreeMap::new();
        let entries = header.get(blocks.entries_off..).unwrap_or_default();
        for entry in entries.chunks_exact(ENTRY_LEN).take(blocks.entry_count.min(ENTRIES_MAX)) {
            let mut reader = Reader::new(entry);
            let mut next = || reader.u32_le().unwrap_or(0);
            let (which, _flags, name, data_off) = (next(), next(), next(), next());
            if !EXTRACT.contains(&which) {
                continue;
            }
            let name = text(strings, size(u64::from(name)), wide);
            if !name.is_empty() {
                names.entry(size(u64::from(data_off))).or_insert(name);
            }
        }
        Self(names)
    }

    /// Returns the name of the file whose data is at this offset, or a number.
    pub(super) fn of(&self, off: usize) -> Vec<u8> {
        self.0.get(&off).cloned().unwrap_or_else(|| format!("data-{off:08x}").into_bytes())
    }
}

/// Reads the table of blocks; offsets have eight bytes in 64-bit installers.
fn blocks(header: &[u8], long: bool) -> Option<Blocks> {
    let block = |idx: usize| {
        let len = if long { 12 } else { 8 };
        let mut reader = Reader::at(header, 4_usize.saturating_add(idx.saturating_mul(len)));
        let off = if long { reader.u64_le().ok()? } else { u64::from(reader.u32_le().ok()?) };
        Some((size(off), size(u64::from(reader.u32_le().ok()?))))
    };
    let ((entries_off, entry_count), (strings_off, _)) = (block(2)?, block(3)?);
    let (tables_off, _) = block(4)?;
    let right = entries_off < strings_off && strings_off < header.len() && entry_count > 0;
    let strings_end = if tables_off > strings_off { tables_off } else { header.len() };
    let strings_end = strings_end.min(header.len());
    right.then_some(Blocks { entries_off, entry_count, strings_off, strings_end })
}

/// Returns a text of the script, with `$` where it has variables, folders or phrases.
fn text(strings: &[u8], place: usize, wide: bool) -> Vec<u8> {
    let step = if wide { 2 } else { 1 };
    let start = place.saturating_mul(step);
    let bytes = strings.get(start..).unwrap_or_default();
    let bytes = bytes.get(..bytes.len().min(NAME_LEN_MAX)).unwrap_or_default();
    let mut units: Vec<u16> = Vec::new();
    let mut chars = bytes.chunks_exact(step).map(|unit| match unit {
        [low, high] => u16::from_le_bytes([*low, *high]),
        [byte] => u16::from(*byte),
        _ => 0,
    });
    while let Some(unit) = chars.next() {
        let code = match (wide, unit) {
            (_, 0) => break,
            (_, 1..=3) | (false, 253..=255) | (true, 0xe001..=0xe003) => Some(false),
            (_, 4) | (false, 252) | (true, 0xe000) => Some(true),
            _ => None,
        };
        match code {
            // The next character means itself.
            Some(true) => units.extend(chars.next()),
            Some(false) => {
                chars.next();
                if !wide {
                    chars.next();
                }
                units.push(u16::from(b'$'));
            }
            None => units.push(unit),
        }
    }
    if wide {
        return String::from_utf16_lossy(&units).into_bytes();
    }
    units.iter().map(|unit| u8::try_from(*unit).unwrap_or(b'?')).collect()
}
