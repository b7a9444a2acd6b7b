//! What a maker of patches may know of two packs: which sections are the same table.

use std::ops::Range;

use hf_channel::patch::{Table, TableKind};
use hf_match::{Shape, shape};
use hf_pack::{Pack, SectionId};

/// Returns the tables that two packs have in common, in the order in which they lie in both.
#[must_use]
pub fn patch_tables(old: &Pack, new: &Pack) -> Vec<Table> {
    let mut found: Vec<(SectionId, Range<usize>, Range<usize>)> = new
        .sections()
        .filter(|(id, len)| *len > 0 && shape(*id) != Shape::Other)
        .map(|(id, _)| (id, old.section_range(id), new.section_range(id)))
        .filter(|(_, old, _)| !old.is_empty())
        .collect();
    found.sort_by_key(|(_, _, new)| new.start);
    let mut tables: Vec<Table> = Vec::new();
    let mut ids = Vec::new();
    for (id, old, new) in found {
        // Both in order: a section that moved before others is searched like anything else.
        if tables.last().is_some_and(|last| last.old.end > old.start) {
            continue;
        }
        let kind = match shape(id) {
            Shape::Sorted { width } => TableKind::Sorted { width },
            Shape::Words { word, row } => TableKind::Words { word, row },
            Shape::Beside { width, of, numbers } => {
                let Some(of) = ids.iter().position(|known| *known == of) else { continue };
                TableKind::Beside { width, of, numbers }
            }
            Shape::Other => continue,
        };
        ids.push(id);
        tables.push(Table { old, new, kind });
    }
    tables
}
