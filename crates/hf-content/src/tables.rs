//! What a maker of patches may know of two packs: which sections are the same table, and where numbers
//! stand that change together.

use std::ops::Range;

use hf_channel::patch::{Moves, Seen, SeenKind, Table, TableKind};
use hf_match::{Numbered, Shape, Writing, numbers, shape};
use hf_pack::{Pack, SectionId};

/// Returns the tables that two packs have in common, in the order in which they lie in both, and where in
/// the old one numbers stand.
#[must_use]
pub fn patch_tables(old: &Pack, new: &Pack) -> (Vec<Table>, Vec<Seen>) {
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
            Shape::Beside { width, of } => {
                let Some(of) = ids.iter().position(|known| *known == of) else { continue };
                TableKind::Beside { width, of }
            }
            Shape::Other => continue,
        };
        ids.push(id);
        tables.push(Table { old, new, kind });
    }
    let place = |id: SectionId| ids.iter().position(|known| *known == id);
    let seen = numbers().into_iter().filter_map(|numbers| {
        let range = old.section_range(numbers.section);
        let by = match numbers.of {
            Numbered::Rows(of) => Moves::Rows { of: place(of)? },
            Numbered::Beside(of) => {
                Moves::Learned { of: place(of)?, new: new.section_range(numbers.section) }
            }
            Numbered::Texts(ends, texts) => Moves::Texts {
                old: (old.section_range(ends), old.section_range(texts)),
                new: (new.section_range(ends), new.section_range(texts)),
            },
        };
        let kind = match numbers.writing {
            Writing::Words { row, at, shift, bits } => SeenKind::Words { row, at, shift, bits },
            Writing::Varints => SeenKind::Varints,
            Writing::Names(blocks) => SeenKind::Names { blocks: old.section_range(blocks) },
        };
        (!range.is_empty()).then_some(Seen { old: range, kind, by })
    });
    let seen = seen.collect();
    (tables, seen)
}
