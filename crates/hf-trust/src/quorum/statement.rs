//! What a publisher signs: *I built this manifest's packs from these sources, with this compiler.*
//!
//! The text of a signed note, one fact a line, in this order:
//!
//! ```text
//! holdfast-attestation/1
//! set daily
//! release 42
//! manifest sha256:…64 digits…
//! pack sha256:… daily.pack          (any number, sorted by name)
//! source sha256:… daily.cvd         (any number, sorted by name)
//! builder holdfast 0.1.0 …
//! time 2026-11-30T20:00:00Z
//! ```
//!
//! Promises: one statement has one text; what does not write back as it was read is refused. The note
//! with its signatures, byte for byte, is the entry in the log.
//! Leaves out: who signed; that is the note's.

use std::fmt;

use crate::text::{decimal, hash_from_hex, to_hex};
use crate::time::Time;

/// The first line.
const HEADER: &str = "holdfast-attestation/1";
/// Most packs, and most sources, of a statement.
pub const NAMED_MAX: usize = 256;
/// Most bytes of a name.
pub const NAME_BYTES_MAX: usize = 255;
/// Most bytes of a statement; with its signatures it has to fit an entry of a log.
pub const STATEMENT_BYTES_MAX: usize = 48 << 10;

/// A file by name and digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// What it is called.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// A publisher's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The set of content.
    pub set: String,
    /// The number of the release; at least 1.
    pub release: u64,
    /// The SHA-256 of the release's manifest.
    pub manifest: [u8; 32],
    /// Packs that were built; sorted by name, names unique.
    pub packs: Vec<Named>,
    /// Files that they were built from; sorted by name, names unique.
    pub sources: Vec<Named>,
    /// Which compiler built them.
    pub builder: String,
    /// When the publisher says so.
    pub time: Time,
}

/// A text is no statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the statement is not as it has to be")]
pub struct StatementError {
    /// The line, from 1.
    pub line: usize,
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// Names the line.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let at = |line| StatementError { line };
        if text.len() > STATEMENT_BYTES_MAX {
            return Err(at(1));
        }
        let text = text.strip_suffix('\n').ok_or(at(1))?;
        let lines: Vec<&str> = text.split('\n').collect();
        let mut number = 0;
        let mut next = |key: &str| {
            number += 1;
            let line = lines.get(number - 1).copied().unwrap_or_default();
            let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or(StatementError { line: number })
        };
        if lines.first() != Some(&HEADER) {
            return Err(at(1));
        }
        next("holdfast-attestation/1").ok();
        let set = next("set")?.to_owned();
        let release = decimal(next("release")?).filter(|release| *release > 0).ok_or(at(3))?;
        let manifest = digest(next("manifest")?).ok_or(at(4))?;
        let mut from = 4;
        let packs = named(&lines, &mut from, "pack ")?;
        let sources = named(&lines, &mut from, "source ")?;
        let value = |idx: usize, key: &str| {
            let line = lines.get(idx).and_then(|line| line.strip_prefix(key));
            line.ok_or(at(idx + 1))
        };
        let builder = value(from, "builder ")?.to_owned();
        let time = Time::parse(value(from + 1, "time ")?).ok_or(at(from + 2))?;
        if lines.len() != from + 2 {
            return Err(at(from + 3));
        }
        let statement = Self { set, release, manifest, packs, sources, builder, time };
        statement.check().map_err(|()| at(1))?;
        Ok(statement)
    }

    /// Checks what the types do not say: lengths, order, and characters of names.
    fn check(&self) -> Result<(), ()> {
        let fits = |text: &str| {
            let len = 1..=NAME_BYTES_MAX;
            len.contains(&text.len()) && !text.chars().any(char::is_control)
        };
        let sorted = |files: &[Named]| {
            let ordered = files.windows(2).all(|pair| match pair {
                [one, two] => one.name < two.name,
                _ => true,
            });
            ordered && files.len() <= NAMED_MAX && files.iter().all(|file| fits(&file.name))
        };
        let good = fits(&self.set)
            && !self.set.contains(char::is_whitespace)
            && fits(&self.builder)
            && self.release > 0
            && sorted(&self.packs)
            && sorted(&self.sources);
        if good && self.to_string().len() <= STATEMENT_BYTES_MAX { Ok(()) } else { Err(()) }
    }

    /// Returns whether this can be written and read again: names are sorted, unique, at most 255
    /// bytes and without control characters, the set's without white space, and all of it fits.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.check().is_ok()
    }

    /// Returns whether two statements are on the same content, by whatever builder and time.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.set == other.set
            && self.release == other.release
            && self.manifest == other.manifest
            && self.packs == other.packs
            && self.sources == other.sources
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?;
    let lower = digits.bytes().all(|byte| !byte.is_ascii_uppercase());
    hash_from_hex(digits).filter(|_| lower)
}

fn named(lines: &[&str], from: &mut usize, key: &str) -> Result<Vec<Named>, StatementError> {
    let mut files = Vec::new();
    while let Some(rest) = lines.get(*from).and_then(|line| line.strip_prefix(key)) {
        *from += 1;
        let file = rest.split_once(' ').and_then(|(sha256, name)| {
            Some(Named { name: name.to_owned(), sha256: digest(sha256)? })
        });
        files.push(file.ok_or(StatementError { line: *from })?);
    }
    Ok(files)
}

/// Writes the text of the note.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "set {}", self.set)?;
        writeln!(f, "release {}", self.release)?;
        writeln!(f, "manifest sha256:{}", to_hex(&self.manifest))?;
        for (key, files) in [("pack", &self.packs), ("source", &self.sources)] {
            for file in files {
                writeln!(f, "{key} sha256:{} {}", to_hex(&file.sha256), file.name)?;
            }
        }
        writeln!(f, "builder {}", self.builder)?;
        writeln!(f, "time {}", self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "holdfast-attestation/1\nset daily\nrelease 42\nmanifest sha256:\
        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\npack sha256:\
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb a b.pack\nsource sha256:\
        cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc daily.cvd\nbuilder \
        holdfast 0.1.0\ntime 2026-11-30T20:00:00Z\n";

    #[test]
    fn reads_and_writes() {
        let statement = Statement::parse(TEXT).expect("a statement");
        assert_eq!(statement.to_string(), TEXT);
        assert_eq!(statement.packs.len(), 1);
        assert!(statement.agrees_with(&statement));
    }

    #[test]
    fn refuses_what_is_spelt_otherwise() {
        for (from, to) in [
            ("/1\n", "/2\n"),
            ("release 42", "release 042"),
            ("release 42", "release 0"),
            ("set daily", "set da ily"),
            ("set daily", "set "),
            ("manifest sha256:a", "manifest sha256:A"),
            ("manifest sha256:a", "manifest sha256:"),
            ("pack", "package"),
            ("builder holdfast", "builder\tholdfast"),
            ("Z\n", "Z\nmore\n"),
            ("Z\n", "Z"),
            ("time", "builder"),
            ("set daily\nrelease 42", "release 42\nset daily"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT);
            assert!(Statement::parse(&text).is_err(), "{from:?} → {to:?}");
        }
        let line = TEXT.lines().nth(4).expect("a pack");
        let twice = TEXT.replacen(line, &format!("{line}\n{line}"), 1);
        assert!(Statement::parse(&twice).is_err());
    }
}
