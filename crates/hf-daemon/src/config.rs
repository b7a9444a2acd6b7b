//! `holdfast.toml`: how the service is run. One struct a section, every key with a default.
//!
//! A door's section is defined in the door's own module and named here.
//! Promises: an unknown key or a value of the wrong kind is an error that names file, line and column.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// `[service]`.
    pub service: ServiceConfig,
}

/// `[service]`: what all doors share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ServiceConfig {
    /// Workers at once; 0 means one for each core.
    pub workers: usize,
    /// Entries of the verdict cache; 0 for none.
    pub cache_entries: usize,
    /// Folder for nameless temporary files; none for the system's.
    pub temporary_folder: Option<PathBuf>,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self { workers: 0, cache_entries: 65_536, temporary_folder: None }
    }
}

/// A configuration is refused.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line and column from 1; none when the file cannot be read.
    pub place: Option<(usize, usize)>,
    /// What is wrong, for people.
    pub why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.why)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong; the error names the place.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: std::io::Error| ConfigError {
            path: path.to_owned(),
            place: None,
            why: error.to_string(),
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(path, &text)
    }

    /// Reads a text; `path` is what errors call it.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| ConfigError {
            path: path.to_owned(),
            place: error.span().map(|span| place(text, span.start)),
            why: error.message().trim().to_owned(),
        })
    }
}

/// Returns line and column of an offset, both from 1.
fn place(text: &str, off: usize) -> (usize, usize) {
    let before = text.get(..off).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.chars().rev().take_while(|c| *c != '\n').count().saturating_add(1);
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, want: &str) {
        let error = Config::parse(Path::new("f.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }

    #[test]
    fn errors_name_the_place() {
        refuses("[service]\nworkers = 2\nbogus = 1\n", "f.toml:3:1: unknown field `bogus`");
        refuses("[service]\nworkers = \"x\"\n", "f.toml:2:11: invalid type");
        refuses("[nothing]\n", "f.toml:1:2: unknown field `nothing`");
        refuses("[service\n", "f.toml:1:9: ");
        assert_eq!(Config::parse(Path::new("f"), "").unwrap(), Config::default());
    }
}
