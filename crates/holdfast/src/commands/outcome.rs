//! What was done about a file, as an event, whoever did it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use hf_events::{Event, Events, EventsConfig, Kind, Outcome};
use hf_quarantine::Id;

use super::scan::telling::finish;

/// Returns the event of an action.
pub(crate) fn action(path: Vec<u8>, word: &str, done: &hf_quarantine::Outcome) -> Kind {
    let (outcome, reason) = match done {
        hf_quarantine::Outcome::Quarantined { links_left, .. }
        | hf_quarantine::Outcome::Removed { links_left } => {
            (Outcome::Success, links(*links_left).unwrap_or_default())
        }
        hf_quarantine::Outcome::Would => (Outcome::Unknown, "dry run".to_owned()),
        hf_quarantine::Outcome::Spared => (Outcome::Unknown, SPARED.to_owned()),
        hf_quarantine::Outcome::Nothing => (Outcome::Failure, "it has no name".to_owned()),
        hf_quarantine::Outcome::Failed(error) => (Outcome::Failure, error.to_string()),
    };
    let entry = done.entry().map(|id| id.to_string());
    Kind::Action { path, action: word.to_owned(), outcome, entry, reason }
}

/// Says how many other names lead to a file that lost one; none when there is none.
pub(crate) fn links(left: u64) -> Option<String> {
    (left > 0).then(|| format!("{left} other names still lead to it"))
}

/// Returns a path as events have it: whoever reads one does not know our folder, and must not take a path for an
/// option.
pub(crate) fn absolute(path: &Path) -> Vec<u8> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.as_os_str().as_bytes().to_vec()
}

/// Tells what a command does with the quarantine, to those whom the configuration names.
pub(crate) struct Teller(Option<Events>);

impl Teller {
    /// Starts the sinks, if there are any.
    pub(crate) fn of(config: &EventsConfig) -> anyhow::Result<Self> {
        let events = (!config.is_silent()).then(|| Events::start(config)).transpose();
        events.map(Self).context("events")
    }

    /// Tells.
    pub(crate) fn tell(&self, kind: Kind) {
        if let Some(events) = &self.0 {
            events.tell(Event::now("quarantine", kind));
        }
    }

    /// Tells what was done with an entry.
    pub(crate) fn entry(&self, path: Vec<u8>, word: &str, id: Id, failed: Option<String>) {
        let outcome = if failed.is_some() { Outcome::Failure } else { Outcome::Success };
        let (entry, reason) = (Some(id.to_string()), failed.unwrap_or_default());
        self.tell(Kind::Action { path, action: word.to_owned(), outcome, entry, reason });
    }

    /// Tells that an entry was deleted because of the limits of the quarantine.
    pub(crate) fn expired(&self, path: Vec<u8>, id: Id, why: &str, failed: Option<String>) {
        let outcome = if failed.is_some() { Outcome::Failure } else { Outcome::Success };
        let (entry, reason) = (Some(id.to_string()), failed.unwrap_or_else(|| why.to_owned()));
        self.tell(Kind::Action { path, action: "delete".to_owned(), outcome, entry, reason });
    }

    /// Waits for the sinks, and says what they did not get.
    pub(crate) fn finish(self) {
        self.0.into_iter().for_each(finish);
    }
}

/// Why a file was left.
pub(crate) const SPARED: &str =
    "a package of the distribution owns it, and it is as the package made it";
