//! Which sections of a pack are tables, and of what: for those who look for what two packs have in common.

use hf_pack::SectionId;

use crate::hash;
use crate::stored;

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Rows of so many bytes, sorted.
    Sorted {
        /// Bytes of a row.
        width: usize,
    },
    /// A column beside a sorted one.
    Beside {
        /// Bytes of a row.
        width: usize,
        /// Which.
        of: SectionId,
        /// Words of 32 bits that number signatures.
        numbers: bool,
    },
    /// Words that grow when something is put in before.
    Words {
        /// Bytes of a word, 4 or 8.
        word: usize,
        /// Bytes of a row.
        row: usize,
    },
    /// Anything else.
    Other,
}

/// Returns what a section is; what is wrong here makes nothing wrong but larger.
#[must_use]
pub fn shape(id: SectionId) -> Shape {
    hash::shape(id).unwrap_or(match id {
        stored::HEADS => Shape::Words { word: 4, row: stored::Head::LEN },
        stored::SUB_ENDS => Shape::Words { word: 8, row: 8 },
        _ => Shape::Other,
    })
}
