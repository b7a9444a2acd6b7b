//! `holdfast.toml`: how the service is run. One struct a section, every key with a default.
//!
//! A door's section is defined in the door's own module and named here.
//! Promises: an unknown key or a value of the wrong kind is an error that names file, line and column.

mod clamd;
mod content;
mod log;
mod scan;
mod service;

use std::fmt;
use std::path::{Path, PathBuf};

use hf_events::EventsConfig;
use hf_quarantine::QuarantineConfig;
use hf_schedule::Task;
use serde::{Deserialize, Serialize};

pub use clamd::{ClamdConfig, PathRights};
pub use content::ContentConfig;
pub use log::LogConfig;
pub use scan::ScanConfig;
pub use service::ServiceConfig;

use crate::http::HttpConfig;
use crate::icap::IcapConfig;
use crate::milter::MilterConfig;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// `[clamd]`: the door that speaks the clamd protocol.
    pub clamd: ClamdConfig,
    /// `[content]`: where signatures come from.
    pub content: ContentConfig,
    /// `[events]`: who is told what happens.
    pub events: EventsConfig,
    /// `[http]`: the door for programs and people.
    pub http: HttpConfig,
    /// `[icap]`: the door for proxies.
    pub icap: IcapConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[milter]`: the door for mail servers.
    pub milter: MilterConfig,
    /// `[quarantine]`: where it is, and what is kept.
    pub quarantine: QuarantineConfig,
    /// `[onaccess]`: read by the guard, which is a program of its own; here it is only let through.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub onaccess: toml::Table,
    /// `[scan]`: what is looked for, and limits.
    pub scan: ScanConfig,
    /// `[[schedule]]`: scans that come again, which `holdfast schedule` runs.
    pub schedule: Vec<Task>,
    /// `[service]`: what all doors share.
    pub service: ServiceConfig,
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

    /// Returns the file's text, with every key.
    #[must_use]
    pub fn text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
    }

    /// Reads a text; `path` is what errors call it.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error: toml::de::Error| ConfigError {
            path: path.to_owned(),
            place: error.span().map(|span| place(text, span.start)),
            why: error.message().trim().to_owned(),
        })?;
        let refused = |why: String| ConfigError { path: path.to_owned(), place: None, why };
        config.events.check().map_err(|error| refused(error.to_string()))?;
        config
            .schedule
            .iter()
            .try_for_each(|task| task.check().map_err(|error| refused(error.to_string())))?;
        Ok(config)
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
        refuses("[events]\nqueue = 0\n", "f.toml: [events] queue: ");
        refuses("[[schedule]]\nname = 'x'\npaths = ['y']\n", "f.toml: task 'x': the path y");
        assert_eq!(Config::parse(Path::new("f"), "").unwrap(), Config::default());
    }

    #[test]
    fn what_is_written_is_read() {
        let mut config = Config::default();
        config.scan.all_match = true;
        config.clamd.tcp_addresses.push("127.0.0.1".to_owned());
        let sections = "[events]\njson = '/x'\n[[events.hook]]\ncommand = ['/y', '{path}']\n\
                        [quarantine]\nmax-age-days = 9\n\
                        [[schedule]]\nname = 'z'\nwhen = 'daily 01:00'\npaths = ['/']\n";
        let read = Config::parse(Path::new("f"), sections).unwrap();
        (config.events, config.quarantine) = (read.events, read.quarantine);
        config.schedule = read.schedule;
        assert_eq!(Config::parse(Path::new("f"), &config.text()).unwrap(), config);
    }
}
