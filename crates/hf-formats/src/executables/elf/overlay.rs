//! What is behind an ELF file: programs carry their data there (self-extracting archives, AppImage, droppers).
//!
//! Promises: reads the two tables once more; nothing is believed but their bounds in the file.
//! Sources: System V ABI, chapters 4 and 5.

use super::{SECTIONS_MAX, SEGMENTS_MAX, Table};
use crate::executables::endian::Fields;

/// The type of a section that has no bytes in the file.
const NO_BITS: u64 = 8;

/// Returns the offset behind all that the tables speak of, and the tables themselves.
pub(super) fn end(fields: &Fields<'_>, segments: &Table, sections: &Table) -> u64 {
    let table_end =
        |table: &Table| table.off.saturating_add(table.count.saturating_mul(table.entry_len));
    let segment_ends = (0..segments.count.min(SEGMENTS_MAX))
        .filter_map(|idx| segment_end(&mut fields.clone(), segments.entry_off(idx)));
    let section_ends = (0..sections.count.min(SECTIONS_MAX))
        .filter_map(|idx| section_end(&mut fields.clone(), sections.entry_off(idx)));
    let tables = [table_end(segments), table_end(sections)];
    segment_ends.chain(section_ends).chain(tables).max().unwrap_or(0)
}

fn segment_end(fields: &mut Fields<'_>, off: u64) -> Option<u64> {
    fields.seek(off);
    fields.u32().ok()?;
    if fields.is_64() {
        fields.u32().ok()?;
    }
    let start = fields.word().ok()?;
    fields.word().ok()?;
    fields.word().ok()?;
    start.checked_add(fields.word().ok()?)
}

fn section_end(fields: &mut Fields<'_>, off: u64) -> Option<u64> {
    fields.seek(off);
    fields.u32().ok()?;
    let kind = fields.u32().ok()?;
    fields.word().ok()?;
    fields.word().ok()?;
    let start = fields.word().ok()?;
    let end = start.checked_add(fields.word().ok()?)?;
    (kind != NO_BITS).then_some(end)
}
