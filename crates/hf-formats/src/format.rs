//! What a format is to the engine, and the list of all formats.

use hf_core::{FileType, Halt, ScanOptions, Sink};

/// Opens objects of some types.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Short lower-case name: that of its source file, its fixture folder and its row in the manual.
    pub name: &'static str,
    /// Types of objects that it opens.
    pub types: &'static [FileType],
    /// Before or after the object's own bytes are matched.
    pub stage: Stage,
    /// True when the options want it.
    pub enabled: fn(&ScanOptions) -> bool,
    /// Opens an object and hands what is inside to the sink.
    pub extract: fn(&[u8], &mut dyn Sink) -> Result<(), Halt>,
    /// Its row in the manual.
    pub doc: FormatDoc,
}

/// When a format runs, which decides the order in which hits are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the object's own bytes are matched: archives, mail, OLE2, HTML.
    BeforeMatch,
    /// After: executables, PDF, plain text.
    AfterMatch,
}

/// A format's contract in words, for the generated manual.
#[derive(Debug, Clone, Copy)]
pub struct FormatDoc {
    /// How an object is recognised.
    pub recognised_by: &'static str,
    /// What comes out.
    pub yields: &'static str,
    /// What does not.
    pub leaves_out: &'static str,
    /// Bounds, and what happens at them.
    pub limits: &'static str,
    /// Specifications.
    pub sources: &'static str,
}

/// All formats, by group.
pub static FORMATS: &[&[Format]] = &[
    crate::containers::FORMATS,
    crate::disks::FORMATS,
    crate::mail::FORMATS,
    crate::documents::FORMATS,
    crate::text::FORMATS,
    crate::images::FORMATS,
    crate::executables::FORMATS,
    crate::unpack::FORMATS,
];

/// Returns every format that opens objects of this type, in the order of the list.
pub fn format_for(file_type: FileType) -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().copied().flatten().filter(move |format| format.types.contains(&file_type))
}
