//! Which sections of a pack are tables, and where numbers stand: for those who look for what two packs have
//! in common. What is wrong here makes nothing wrong, but patches larger.

use hf_core::Target;
use hf_pack::SectionId;

use crate::hash;
use crate::stored;
use crate::{filter, filter::CLASSES};

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

/// A section with numbers in it that change when rows of others come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Which.
    pub section: SectionId,
    /// How they are written.
    pub writing: Writing,
    /// What they number.
    pub of: Numbered,
}

/// How numbers are written in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// `bits` bits above `shift` others, in the word of 32 bits at `at` of each row.
    Words {
        /// Bytes of a row.
        row: usize,
        /// Where in a row.
        at: usize,
        /// Lower bits that are something else.
        shift: u32,
        /// Bits of the number.
        bits: u32,
    },
    /// As varints of three bytes, among others.
    Varints,
    /// In front of records of names; this section says where some begin.
    Names(SectionId),
}

/// What is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// Rows of a table.
    Rows(SectionId),
    /// What stands beside the rows of a sorted table.
    Beside(SectionId),
    /// Texts: their ends, and themselves.
    Texts(SectionId, SectionId),
}

/// Returns what a section is.
#[must_use]
pub fn shape(id: SectionId) -> Shape {
    let sites = (0..Target::COUNT).any(|target| id == filter::section(target, filter::SITES));
    hash::shape(id).unwrap_or(match id {
        stored::HEADS => Shape::Words { word: 4, row: stored::Head::LEN },
        stored::SUB_ENDS => Shape::Words { word: 8, row: 8 },
        _ if sites => Shape::Words { word: 4, row: filter::SITE_LEN },
        _ => Shape::Other,
    })
}

/// Returns all sections with numbers, those first that help to see the others.
#[must_use]
pub fn numbers() -> Vec<Numbers> {
    let mut all = hash::numbers();
    let signature = |row, at| Writing::Words { row, at, shift: 0, bits: 24 };
    let subs = Numbered::Rows(stored::SUB_ENDS);
    let mut put = |section, writing, of| all.push(Numbers { section, writing, of });
    put(stored::RECORDS, Writing::Varints, subs);
    for target in 0..Target::COUNT {
        let part = |part| filter::section(target, part);
        let sub = Writing::Words { row: filter::SITE_LEN, at: 12, shift: 0, bits: 32 };
        put(part(filter::SITES), sub, subs);
        let signatures = Numbered::Rows(stored::HEADS);
        put(part(filter::SITE_SIGS), signature(4, 0), signatures);
        put(part(filter::ALWAYS), signature(4, 0), signatures);
        put(part(filter::IMAGES), signature(12, 8), signatures);
        put(part(filter::PLACE_KEYS), signature(12, 8), signatures);
        put(part(filter::MEMBERS), signature(12, 0), signatures);
        for class in (0u32..).take(CLASSES.len()) {
            let slots = part(filter::FIRST_CLASS + 2 * class + 1);
            let site = Writing::Words { row: 8, at: 4, shift: 2, bits: 30 };
            put(slots, site, Numbered::Rows(part(filter::SITES)));
        }
    }
    all
}
