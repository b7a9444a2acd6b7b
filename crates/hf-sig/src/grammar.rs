//! The list of languages: which suffix is read how.
//!
//! The first entry whose suffix ends a file's name, whatever its case, is its language; the order is ClamAV's.

pub(crate) mod byte_compare;
pub(crate) mod cdb;
pub(crate) mod cfg;
pub(crate) mod crb;
pub(crate) mod db;
pub(crate) mod expr;
pub(crate) mod ftm;
pub(crate) mod hash;
pub(crate) mod hexsig;
pub(crate) mod idb;
pub(crate) mod ign;
pub(crate) mod info;
pub(crate) mod ldb;
pub(crate) mod ndb;
pub(crate) mod not_run;
pub(crate) mod offset;
pub(crate) mod pcre;
pub(crate) mod phishing;
pub(crate) mod pwdb;
pub(crate) mod regex;
pub(crate) mod tdb;
pub(crate) mod yara;
pub(crate) mod zmd;

use crate::{
    cvd,
    diagnostic::{Diagnostic, Fault},
    language::Language,
    load::{Loading, Outcome},
    text::Text,
};

/// How a language is found and read.
pub(crate) struct Entry {
    pub(crate) language: Language,
    pub(crate) suffixes: &'static [&'static str],
    /// Holds signatures of potentially unwanted applications.
    pub(crate) pua: bool,
    pub(crate) reader: Reader,
}

/// How a file is read.
pub(crate) enum Reader {
    /// Line by line.
    Lines(Lines),
    /// As a whole.
    Whole(fn(&mut Loading<'_>, &[u8]) -> Result<(), Box<Diagnostic>>),
}

/// Rules of a language of lines.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    pub(crate) parse: fn(&mut Loading<'_>, Text<'_>) -> Result<Outcome, Fault>,
    /// Longest line in bytes.
    pub(crate) line_max: usize,
    /// A line that starts with `#` is a comment.
    pub(crate) comments: bool,
    /// Empty lines are read over.
    pub(crate) blank: bool,
    /// Its lines count as "known viruses".
    pub(crate) counted: bool,
    pub(crate) empty: Empty,
}

/// What a language says of files without content.
#[derive(Clone, Copy)]
pub(crate) enum Empty {
    /// Nothing.
    Allowed,
    /// A file without a line is refused.
    NoLine,
    /// A file without a line that was taken is refused.
    NoEntry,
}

impl Lines {
    /// The rules of most languages.
    const fn new(parse: fn(&mut Loading<'_>, Text<'_>) -> Result<Outcome, Fault>) -> Self {
        Self {
            parse,
            line_max: 8191,
            comments: true,
            blank: false,
            counted: true,
            empty: Empty::NoLine,
        }
    }
}

/// Every language, in order of precedence.
pub(crate) static ALL: &[Entry] = &[
    entry_of(Language::Basic, &[".db"], Reader::Lines(db::LINES)),
    entry_of(Language::Cvd, &[".cvd"], Reader::Whole(cvd::read_cvd)),
    entry_of(Language::Cld, &[".cld"], Reader::Whole(cvd::read_cld)),
    entry_of(Language::Cud, &[".cud"], Reader::Whole(cvd::read_cud)),
    entry_of(Language::Certificates, &[".crb"], Reader::Lines(crb::LINES)),
    entry_of(Language::Hash, &[".hdb", ".hsb"], Reader::Lines(hash::OBJECTS)),
    unwanted(Language::Hash, &[".hdu", ".hsu"], Reader::Lines(hash::OBJECTS)),
    entry_of(Language::Hash, &[".fp", ".sfp"], Reader::Lines(hash::ALLOWED)),
    entry_of(Language::SectionHash, &[".mdb", ".msb"], Reader::Lines(hash::SECTIONS)),
    entry_of(Language::ImportHash, &[".imp"], Reader::Lines(hash::IMPORTS)),
    unwanted(Language::SectionHash, &[".mdu", ".msu"], Reader::Lines(hash::SECTIONS)),
    entry_of(Language::Extended, &[".ndb"], Reader::Lines(ndb::LINES)),
    unwanted(Language::Extended, &[".ndu"], Reader::Lines(ndb::LINES)),
    entry_of(Language::Logical, &[".ldb"], Reader::Lines(ldb::LINES)),
    unwanted(Language::Logical, &[".ldu"], Reader::Lines(ldb::LINES)),
    entry_of(Language::Bytecode, &[".cbc"], Reader::Whole(not_run::bytecode)),
    entry_of(Language::Extended, &[".sdb"], Reader::Lines(ndb::SELF_PROTECT)),
    entry_of(Language::OldMetadata, &[".zmd"], Reader::Lines(zmd::ZIP)),
    entry_of(Language::OldMetadata, &[".rmd"], Reader::Lines(zmd::RAR)),
    entry_of(Language::Config, &[".cfg"], Reader::Lines(cfg::LINES)),
    entry_of(Language::Info, &[".info"], Reader::Whole(info::outside)),
    entry_of(Language::Phishing, &[".wdb"], Reader::Lines(phishing::ALLOWED)),
    entry_of(Language::Phishing, &[".pdb"], Reader::Lines(phishing::PROTECTED)),
    entry_of(Language::Phishing, &[".gdb"], Reader::Lines(phishing::GOOGLE)),
    entry_of(Language::FileTypes, &[".ftm"], Reader::Lines(ftm::LINES)),
    entry_of(Language::Ignore, &[".ign", ".ign2"], Reader::Lines(ign::LINES)),
    entry_of(Language::Icons, &[".idb"], Reader::Lines(idb::LINES)),
    entry_of(Language::Container, &[".cdb"], Reader::Lines(cdb::LINES)),
    entry_of(Language::Catalog, &[".cat"], Reader::Whole(not_run::catalog)),
    entry_of(Language::OpenIoc, &[".ioc"], Reader::Whole(not_run::open_ioc)),
    entry_of(Language::Yara, &[".yar", ".yara"], Reader::Whole(yara::rules)),
    entry_of(Language::Passwords, &[".pwdb"], Reader::Lines(pwdb::LINES)),
];

const fn entry_of(language: Language, suffixes: &'static [&'static str], reader: Reader) -> Entry {
    Entry { language, suffixes, pua: false, reader }
}

const fn unwanted(language: Language, suffixes: &'static [&'static str], reader: Reader) -> Entry {
    Entry { language, suffixes, pua: true, reader }
}

/// Returns the entry for a file's name.
pub(crate) fn entry(file_name: &str) -> Option<&'static Entry> {
    let name = file_name.as_bytes();
    ALL.iter().find(|entry| {
        entry.suffixes.iter().any(|suffix| {
            let suffix = suffix.as_bytes();
            name.len() >= suffix.len()
                && name[name.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
        })
    })
}
