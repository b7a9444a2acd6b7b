//! The section `[events]` of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// To whom events are told; nobody, unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EventsConfig {
    /// To the journal, with fields.
    pub journal: bool,
    /// To syslog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<SyslogConfig>,
    /// To a file of JSON lines in the Elastic Common Schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<PathBuf>,
    /// To the desktops of those who are logged in.
    pub desktop: bool,
    /// To programs.
    pub hook: Vec<HookConfig>,
    /// Events that wait for each of them (1 to 65,536).
    pub queue: usize,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            journal: false,
            syslog: None,
            json: None,
            desktop: false,
            hook: Vec::new(),
            queue: 1024,
        }
    }
}

/// How syslog is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SyslogConfig {
    /// Its socket.
    pub socket: PathBuf,
    /// Its format.
    pub format: SyslogFormat,
    /// Its facility by number, 0 to 23; 3 is `daemon`.
    pub facility: u8,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self { socket: PathBuf::from("/dev/log"), format: SyslogFormat::Rfc3164, facility: 3 }
    }
}

/// The formats of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogFormat {
    /// What readers of `/dev/log` expect.
    Rfc3164,
    /// With structured data.
    Rfc5424,
}

/// A program that is run for events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct HookConfig {
    /// Program (absolute) and arguments. An argument that is one of [`HookConfig::PLACEHOLDERS`], whole, stands for
    /// what it says.
    pub command: Vec<String>,
    /// For which events; empty means findings and actions.
    pub events: Vec<String>,
    /// Seconds until it is killed (1 to 3600).
    pub timeout_seconds: u64,
    /// How many may run at once (1 to 16).
    pub concurrency: usize,
}

impl Default for HookConfig {
    fn default() -> Self {
        Self { command: Vec::new(), events: Vec::new(), timeout_seconds: 30, concurrency: 1 }
    }
}

impl HookConfig {
    /// What an argument may stand for.
    pub const PLACEHOLDERS: [&'static str; 7] =
        ["{event}", "{path}", "{finding}", "{action}", "{outcome}", "{entry}", "{message}"];

    /// Returns whether it is run for this event.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let word = event.word();
        if self.events.is_empty() {
            return matches!(word, "finding" | "action");
        }
        self.events.iter().any(|wanted| wanted == word)
    }
}

/// Something in the section cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[events] {key}: {why}")]
pub struct ConfigError {
    /// The key.
    pub key: String,
    /// Why.
    pub why: String,
}

impl EventsConfig {
    /// Looks at what the types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |key: &str, why: String| Err(ConfigError { key: key.to_owned(), why });
        if !(1..=65_536).contains(&self.queue) {
            return error("queue", format!("{} is not from 1 to 65536", self.queue));
        }
        if self.syslog.as_ref().is_some_and(|syslog| syslog.facility > 23) {
            return error("syslog.facility", "a facility is a number from 0 to 23".to_owned());
        }
        if self.json.as_ref().is_some_and(|path| !path.is_absolute()) {
            return error("json", "the path must be absolute".to_owned());
        }
        self.hook.iter().try_for_each(HookConfig::check)
    }

    /// Returns whether anybody is told.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let Self { journal, syslog, json, desktop, hook, .. } = self;
        !journal && !desktop && syslog.is_none() && json.is_none() && hook.is_empty()
    }
}

impl HookConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let error = |key: &str, why: String| Err(ConfigError { key: format!("hook.{key}"), why });
        let Some(program) = self.command.first() else {
            return error("command", "name a program".to_owned());
        };
        if !program.starts_with('/') {
            return error("command", format!("'{program}' must be an absolute path"));
        }
        for arg in &self.command {
            if arg.contains('\0') {
                return error("command", "an argument has a NUL byte".to_owned());
            }
            let whole = Self::PLACEHOLDERS.contains(&arg.as_str());
            let inside = Self::PLACEHOLDERS.iter().find(|word| arg.contains(*word));
            if let Some(word) = inside.filter(|_| !whole) {
                let why = format!(
                    "{word} must be an argument of its own, or read from the environment; it is \
                     inside '{arg}'"
                );
                return error("command", why);
            }
        }
        if let Some(word) = self.events.iter().find(|word| !Event::WORDS.contains(&word.as_str())) {
            let words = Event::WORDS.join(", ");
            return error("events", format!("'{word}' is no event; there are {words}"));
        }
        if !(1..=3600).contains(&self.timeout_seconds) {
            return error("timeout-seconds", "it must be from 1 to 3600".to_owned());
        }
        if !(1..=16).contains(&self.concurrency) {
            return error("concurrency", "it must be from 1 to 16".to_owned());
        }
        Ok(())
    }
}
