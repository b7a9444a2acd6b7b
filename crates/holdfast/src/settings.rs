//! `holdfast.toml`, as far as the commands need it: `[events]`, `[quarantine]` and `[[schedule]]`. Other sections are the daemon's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ArgMatches;
use hf_events::EventsConfig;
use hf_quarantine::QuarantineConfig;
use hf_schedule::Task;
use serde::Deserialize;

/// Where the configuration is when nothing else is said.
pub(crate) const PATH: &str = "/etc/holdfast/holdfast.toml";

/// What the commands need.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The file.
    pub(crate) path: PathBuf,
    /// To whom events are told.
    pub(crate) events: EventsConfig,
    /// Where the quarantine is, and what is kept.
    pub(crate) quarantine: QuarantineConfig,
    /// Tasks.
    pub(crate) schedule: Vec<Task>,
}

#[derive(Deserialize)]
struct Sections {
    #[serde(default)]
    events: EventsConfig,
    #[serde(default)]
    quarantine: QuarantineConfig,
    #[serde(default)]
    schedule: Vec<Task>,
}

impl Settings {
    /// Reads the file that the options name, which must be there, else the usual one.
    pub(crate) fn of(matches: &ArgMatches) -> anyhow::Result<Self> {
        match matches.get_one::<PathBuf>("config") {
            Some(path) => Self::read(path),
            None => Self::read(Path::new(PATH)),
        }
    }

    /// Reads a file; what is wrong is told with its line.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = crate::display::safe_path(path);
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let sections: Sections = toml::from_str(&text).with_context(|| shown.clone())?;
        sections.events.check().with_context(|| shown.clone())?;
        for task in &sections.schedule {
            task.check().with_context(|| shown.clone())?;
        }
        let Sections { events, quarantine, schedule } = sections;
        Ok(Self { path: path.to_path_buf(), events, quarantine, schedule })
    }

    /// Reads the file that the options name, which must be there, else those of this machine.
    pub(crate) fn of_or_machine(matches: &ArgMatches) -> anyhow::Result<Self> {
        match matches.get_one::<PathBuf>("config") {
            Some(path) => Self::read(path),
            None => Self::of_the_machine(),
        }
    }

    /// Returns the settings of this machine, for root; others have none of their own.
    pub(crate) fn of_the_machine() -> anyhow::Result<Self> {
        let path = Path::new(PATH);
        if rustix::process::geteuid().is_root() && path.exists() {
            Self::read(path)
        } else {
            Ok(Self::default())
        }
    }
}
