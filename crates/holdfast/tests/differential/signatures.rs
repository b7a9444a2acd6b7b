//! Random signatures of every kind, cut from the corpus, with near misses among them.

mod bodies;
mod containers;
mod hashes;
mod hexsig;
mod logical;
mod rules;

use crate::corpus::Corpus;
use crate::rng::Rng;

/// Databases of one round: file names and lines.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    pub(crate) files: Vec<(String, Vec<String>)>,
    count: usize,
}

impl Databases {
    /// Adds a line to a database.
    fn add(&mut self, file: &str, line: String) {
        match self.files.iter_mut().find(|(name, _)| name == file) {
            Some((_, lines)) => lines.push(line),
            None => self.files.push((file.to_owned(), vec![line])),
        }
    }

    /// Adds a hash unless it is there: of several names for one hash `clamscan` tells only one.
    fn add_hash(&mut self, file: &str, line: String) {
        let key = |line: &str| {
            let fields: Vec<String> = line.split(':').take(2).map(str::to_lowercase).collect();
            fields
        };
        let kinds: &[&str] = match file {
            "a.mdb" | "a.msb" => &["a.mdb", "a.msb"],
            "a.imp" => &["a.imp"],
            _ => &["a.hdb", "a.hsb"],
        };
        let mut same = self.files.iter().filter(|(name, _)| kinds.contains(&name.as_str()));
        if !same.any(|(_, lines)| lines.iter().any(|other| key(other) == key(&line))) {
            self.add(file, line);
        }
    }

    /// Returns a name that no other signature has.
    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("Diff.{kind}-{}", self.count)
    }

    /// Returns the line of the signature with this name.
    pub(crate) fn line_of(&self, name: &str) -> Option<(&str, &str)> {
        let name = name.strip_suffix(".UNOFFICIAL").unwrap_or(name);
        let name = name.strip_prefix("YARA.").unwrap_or(name);
        let is_it = |line: &str| {
            let at = line.find(name).map(|at| at + name.len());
            at.is_some_and(|end| !line.as_bytes().get(end).is_some_and(u8::is_ascii_digit))
        };
        self.files.iter().find_map(|(file, lines)| {
            let line = lines.iter().find(|line| is_it(line))?;
            Some((file.as_str(), line.as_str()))
        })
    }
}

/// Returns how many signatures of each kind a round has, in proportion to `scale`.
pub(crate) fn generate(corpus: &Corpus, rng: &mut Rng, scale: usize) -> Databases {
    let mut databases = Databases::default();
    hashes::generate(corpus, rng, &mut databases, 4 * scale);
    bodies::generate(corpus, rng, &mut databases, 16 * scale);
    logical::generate(corpus, rng, &mut databases, 16 * scale);
    containers::generate(corpus, rng, &mut databases, 2 * scale);
    rules::generate(corpus, rng, &mut databases, 3 * scale);
    databases
}

pub(crate) use hashes::{allowed, ignored};

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
