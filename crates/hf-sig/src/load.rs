//! Loading a database file: choosing its language, walking its lines, counting, refusing.
//!
//! Promises: a bad line refuses its file, and whoever collects must then throw away what came from it; with
//! `keep_going` the line alone is left out and recorded. Nothing here stops a process.
//! Leaves out: reading from disk; deciding which files of a directory to load (`directory_order`).

use std::borrow::Cow;

use hf_core::signature::{Collector, SigMeta};

use crate::{
    cvd::{Container, ContainerOptions},
    diagnostic::{Diagnostic, Fault, Severity, codes},
    grammar::{self, Empty, Lines, Reader},
    ignore::IgnoreSet,
    language::Language,
    text::Text,
};

/// Functionality level of the engine: what ClamAV 1.4.6 has, so that level ranges mean the same.
pub const FLEVEL: u32 = 216;

/// How databases are loaded.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// A bad line is left out and recorded; otherwise it refuses the file.
    pub keep_going: bool,
    /// The bytes come from a source that was verified by other means.
    pub official: bool,
    /// Functionality level against which ranges are held.
    pub flevel: u32,
    /// Signatures of potentially unwanted applications.
    pub pua: PuaChoice,
    /// Patterns named `HTML.Phishing` and `Email.Phishing`.
    pub phishing_signatures: bool,
    /// Lists of phishing addresses.
    pub phishing_urls: bool,
    /// Bytecode.
    pub bytecode: BytecodeChoice,
    /// YARA rules.
    pub yara: YaraChoice,
    /// How containers are verified.
    pub containers: ContainerOptions,
}

impl Default for LoadOptions {
    /// Returns options under which everything is loaded that ClamAV would load, and unwanted applications too.
    fn default() -> Self {
        Self {
            keep_going: false,
            official: false,
            flevel: FLEVEL,
            pua: PuaChoice::All,
            phishing_signatures: true,
            phishing_urls: true,
            bytecode: BytecodeChoice::Trusted,
            yara: YaraChoice::Yes,
            containers: ContainerOptions::default(),
        }
    }
}

/// Which signatures of potentially unwanted applications are loaded, by the category in `PUA.Category.Name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PuaChoice {
    /// None.
    None,
    /// All.
    All,
    /// Those of these categories.
    Only(Vec<String>),
    /// All but those of these categories.
    Without(Vec<String>),
}

/// Which bytecode is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytecodeChoice {
    /// None.
    None,
    /// That from verified sources.
    Trusted,
    /// All.
    All,
}

/// Which YARA rules are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YaraChoice {
    /// Beside all else.
    Yes,
    /// None.
    No,
    /// And nothing else.
    Only,
}

/// What was loaded from a file.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Language; none for a file that is not a database.
    pub language: Option<Language>,
    /// Signatures by ClamAV's count of "known viruses".
    pub signatures: u64,
    /// Lines (or members) that are not for this engine: functionality level, unknown attribute, switched off.
    pub skipped: u64,
    /// Signatures that an ignore list names.
    pub ignored: u64,
    /// Bad lines that were left out (`keep_going`).
    pub refused: u64,
    /// The content was verified: names are told without `.UNOFFICIAL`.
    pub official: bool,
    /// What a container says of itself.
    pub container: Option<Container>,
    /// Complaints, at most 1000.
    pub warnings: Vec<Diagnostic>,
}

/// A file was refused; nothing that came from it may be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{diagnostic}")]
pub struct Rejected {
    /// Why.
    pub diagnostic: Box<Diagnostic>,
}

/// Complaints kept for a file; ours, so that a file of bad lines costs no more than its good lines.
const COMPLAINTS_MAX: usize = 1000;

/// Loads a database from its bytes.
///
/// `file_name` is the base name: its suffix tells the language, and it is passed on to `out`.
///
/// # Errors
/// [`Rejected`] for a bad line (unless `keep_going`) or a file that is unusable as a whole.
pub fn load(
    file_name: &str,
    bytes: &[u8],
    options: &LoadOptions,
    ignore: &mut IgnoreSet,
    out: &mut dyn Collector,
) -> Result<Summary, Rejected> {
    let Some(entry) = grammar::entry(file_name) else {
        let reason = "the file's suffix is not that of a database; it was left out";
        let warning =
            Diagnostic::at_file(Severity::Warning, &codes::UNKNOWN_FILE, file_name, reason);
        return Ok(Summary { warnings: vec![*warning], ..Summary::default() });
    };
    let summary = Summary {
        language: Some(entry.language),
        official: options.official,
        ..Summary::default()
    };
    let place = Place { file: file_name, line: 0, pua: entry.pua };
    let mut loading = Loading { options, ignore, out, place, summary, notes: Vec::new() };
    if loading.is_wanted(entry) {
        loading.read(entry, bytes).map_err(|diagnostic| Rejected { diagnostic })?;
    } else {
        loading.summary.skipped = 1;
    }
    Ok(loading.summary)
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went to the collector.
    Taken,
    /// It is not for this engine.
    Skipped,
    /// An ignore list names it.
    Ignored,
}

/// A file on its way to the collector.
pub(crate) struct Loading<'a> {
    pub(crate) options: &'a LoadOptions,
    pub(crate) ignore: &'a mut IgnoreSet,
    pub(crate) out: &'a mut dyn Collector,
    pub(crate) place: Place<'a>,
    pub(crate) summary: Summary,
    /// Warnings about the line in hand.
    pub(crate) notes: Vec<Fault>,
}

/// Where the loading stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    pub(crate) pua: bool,
}

impl Place<'_> {
    /// Returns where the line in hand was written, under the name it has.
    pub(crate) fn meta<'b>(&'b self, name: &'b str) -> SigMeta<'b> {
        SigMeta { name, file: self.file, line: self.line, pua: self.pua }
    }
}

impl Loading<'_> {
    fn is_wanted(&self, entry: &grammar::Entry) -> bool {
        let container = matches!(entry.language, Language::Cvd | Language::Cld | Language::Cud);
        let yara = entry.language == Language::Yara || container;
        match self.options.yara {
            YaraChoice::No if yara && !container => return false,
            YaraChoice::Only if !yara => return false,
            _ => {}
        }
        match entry.language {
            Language::Phishing => self.options.phishing_urls,
            Language::Bytecode => match self.options.bytecode {
                BytecodeChoice::None => false,
                BytecodeChoice::Trusted => self.options.official,
                BytecodeChoice::All => true,
            },
            _ => !entry.pua || self.options.pua != PuaChoice::None,
        }
    }

    fn read(&mut self, entry: &grammar::Entry, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
        match &entry.reader {
            Reader::Lines(lines) => self.read_lines(lines, bytes),
            Reader::Whole(read) => read(self, bytes),
        }
    }

    fn read_lines(&mut self, rules: &Lines, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
        let mut taken: u64 = 0;
        let mut lines: u64 = 0;
        for line in lines_of(bytes) {
            self.place.line = self.place.line.saturating_add(1);
            lines += 1;
            if rules.comments && line.first() == Some(&b'#') || rules.blank && line.is_empty() {
                continue;
            }
            match self.read_line(rules, line) {
                Ok(Outcome::Taken) => taken += 1,
                Ok(Outcome::Skipped) => self.summary.skipped += 1,
                Ok(Outcome::Ignored) => self.summary.ignored += 1,
                Err(fault) => self.refuse(fault, line)?,
            }
            if !self.notes.is_empty() {
                for note in std::mem::take(&mut self.notes) {
                    self.warn(note, line);
                }
            }
        }
        if rules.counted {
            self.summary.signatures += taken;
        }
        let empty = match rules.empty {
            Empty::Allowed => false,
            Empty::NoLine => lines == 0,
            Empty::NoEntry => taken == 0,
        };
        if empty && self.summary.refused == 0 {
            let (code, reason) = match lines {
                0 => (&codes::EMPTY_FILE, "the file is empty"),
                _ => (&codes::NO_ENTRY, "no line of the file is of use to this engine"),
            };
            self.refuse_file(code, reason)?;
        }
        Ok(())
    }

    fn read_line(&mut self, rules: &Lines, line: &[u8]) -> Result<Outcome, Fault> {
        if line.len() > rules.line_max {
            let text = Text::line(line);
            let reason =
                format!("the line has {} bytes, {} are allowed", line.len(), rules.line_max);
            return Err(text.from(rules.line_max).fault(&codes::LONG_LINE, reason));
        }
        let outcome = (rules.parse)(self, Text::line(line));
        match outcome {
            // A signature that never matches is as good as none.
            Err(fault) if fault.code == &codes::NEVER => {
                self.notes.push(fault);
                Ok(Outcome::Skipped)
            }
            other => other,
        }
    }

    fn refuse(&mut self, fault: Fault, line: &[u8]) -> Result<(), Box<Diagnostic>> {
        let place = self.place;
        let diagnostic = Diagnostic::at_line(Severity::Error, fault, place.file, place.line, line);
        if !self.options.keep_going {
            return Err(diagnostic);
        }
        self.summary.refused += 1;
        self.record(*diagnostic);
        Ok(())
    }

    /// Refuses the whole file, or records that nothing of it is used.
    pub(crate) fn refuse_file(
        &mut self,
        code: &'static crate::Code,
        reason: impl Into<String>,
    ) -> Result<(), Box<Diagnostic>> {
        let diagnostic = Diagnostic::at_file(Severity::Error, code, self.place.file, reason);
        if !self.options.keep_going {
            return Err(diagnostic);
        }
        self.summary.refused += 1;
        self.record(*diagnostic);
        Ok(())
    }

    /// Adds what came from a member.
    pub(crate) fn add(&mut self, summary: Summary) {
        self.summary.signatures += summary.signatures;
        self.summary.skipped += summary.skipped;
        self.summary.ignored += summary.ignored;
        self.summary.refused += summary.refused;
        summary.warnings.into_iter().for_each(|warning| self.record(warning));
    }

    fn warn(&mut self, fault: Fault, line: &[u8]) {
        let place = self.place;
        let warning = Diagnostic::at_line(Severity::Warning, fault, place.file, place.line, line);
        self.record(*warning);
    }

    /// Records a complaint, as long as there are not too many.
    pub(crate) fn record(&mut self, diagnostic: Diagnostic) {
        if self.summary.warnings.len() < COMPLAINTS_MAX {
            self.summary.warnings.push(diagnostic);
        }
    }

    /// True when a signature's functionality levels hold this engine's; absent bounds hold it.
    pub(crate) fn in_range(&self, min: Option<u64>, max: Option<u64>) -> bool {
        let level = u64::from(self.options.flevel);
        min.is_none_or(|min| min <= level) && max.is_none_or(|max| level <= max)
    }

    /// True when an ignore list leaves a signature out by its name alone: where clamscan has taken the line apart by
    /// then, no digest is that of the line.
    pub(crate) fn is_ignored_by_name(&self, name: Text<'_>) -> bool {
        self.is_ignored(name, Text::line(b""))
    }

    /// True when an ignore list, or the choice of unwanted applications, leaves a signature out.
    pub(crate) fn is_ignored(&self, name: Text<'_>, line: Text<'_>) -> bool {
        self.ignore.contains(name.bytes(), line.bytes())
            || self.place.pua && !pua_wanted(&self.options.pua, name.bytes())
    }
}

/// Returns a signature's name, cut before ` (Clam)`.
pub(crate) fn name_of<'a>(field: Text<'a>) -> Result<Cow<'a, str>, Fault> {
    let bytes = field.bytes();
    let end = match memchr::memchr(b'(', bytes) {
        None => bytes.len(),
        Some(_) => bytes.windows(CLAM.len()).position(|w| w == CLAM).unwrap_or(bytes.len()),
    };
    if end == 0 {
        return Err(field.fault(&codes::NAME, "the signature has no name"));
    }
    Ok(field.cut(0..end).lossy())
}

const CLAM: &[u8] = b" (Clam)";

/// Off-spec: categories are compared one by one; clamscan 1.4.6 looks for the joined list, so that two never match.
fn pua_wanted(choice: &PuaChoice, name: &[u8]) -> bool {
    let category = name
        .strip_prefix(b"PUA.")
        .and_then(|rest| rest.split(|b| *b == b'.').next())
        .filter(|word| name.len() > PUA_PREFIX + word.len());
    let listed = |list: &[String]| {
        category.is_some_and(|word| list.iter().any(|name| name.as_bytes() == word))
    };
    match choice {
        PuaChoice::None => false,
        PuaChoice::All => true,
        PuaChoice::Only(list) => listed(list),
        PuaChoice::Without(list) => category.is_some() && !listed(list),
    }
}

/// Length of `PUA.`.
const PUA_PREFIX: usize = 4;

/// Returns the lines of a file without their ends.
fn lines_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, behind) = match memchr::memchr(b'\n', rest) {
            Some(idx) => (&rest[..idx], &rest[idx + 1..]),
            None => (rest, &[][..]),
        };
        rest = behind;
        let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |idx| idx + 1);
        Some(&line[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let lines: Vec<&[u8]> = lines_of(b"a\r\n\nb\r\r\nc").collect();
        assert_eq!(lines, [b"a".as_slice(), b"", b"b", b"c"]);
        assert_eq!(lines_of(b"").count(), 0);
        assert_eq!(lines_of(b"\n").count(), 1);
    }

    #[test]
    fn unwanted_applications() {
        let list = || vec!["Win".to_owned(), "Doc".to_owned()];
        for (name, only, without) in [
            ("PUA.Win.X-1", true, false),
            ("PUA.Doc.Y.Z-1", true, false),
            ("PUA.Html.X-1", false, true),
            ("PUA.Win", false, false),
            ("Win.X-1", false, false),
        ] {
            assert_eq!(pua_wanted(&PuaChoice::Only(list()), name.as_bytes()), only, "{name}");
            assert_eq!(pua_wanted(&PuaChoice::Without(list()), name.as_bytes()), without, "{name}");
        }
    }
}
