//! Commands on content from channels: their configuration, and where they remember things.

pub(super) mod history;
pub(super) mod keep;
pub(super) mod monitor;
pub(super) mod rebuild;
pub(super) mod verify;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_trust::Time;
use hf_update::channel::{Channel, Memory};
use hf_update::config::Config;
use hf_update::store::time;
use hf_update::{Fetcher, SetStore};

use super::update;

/// A channel of the configuration, with what this machine remembers of it.
pub(super) struct Followed {
    pub(super) channel: Channel,
    pub(super) memory: Memory,
    /// The folder with its files in use.
    pub(super) current: Option<PathBuf>,
}

/// Returns the channels of the configuration; only the named one, when one is named.
pub(super) fn channels(matches: &ArgMatches) -> anyhow::Result<(Config, Vec<Followed>)> {
    let (config, _) = update::configuration(matches)?;
    let only = matches.try_get_one::<String>("source").ok().flatten();
    let root =
        SetStore::default_root().context("there is no place for content: set HOLDFAST_STATE")?;
    let active = SetStore::active(&root)?;
    let uses: Vec<String> = config.update.used_for.iter().cloned().collect();
    let mut found = Vec::new();
    for source in config.sources.iter().filter(|source| source.kind == "channel") {
        if only.is_some_and(|only| *only != source.name) {
            continue;
        }
        let channel = Channel::of_config(source, &uses)?;
        let folder = hf_update::channel::memory_folder(&root, &source.name);
        let current = active.as_ref().map(|active| active.dir.join(&source.name));
        found.push(Followed { channel, memory: Memory::open(&folder)?, current });
    }
    match (only, found.is_empty()) {
        (Some(only), true) => anyhow::bail!("there is no channel '{only}' in the configuration"),
        (None, true) => anyhow::bail!("no channel is configured (docs/channel.md)"),
        _ => Ok((config, found)),
    }
}

/// Returns the one channel that is meant.
pub(super) fn one(matches: &ArgMatches) -> anyhow::Result<(Config, Followed)> {
    let (config, mut all) = channels(matches)?;
    let last = all.pop().context("no channel is configured")?;
    match all.is_empty() {
        true => Ok((config, last)),
        false => anyhow::bail!("there are several channels: name one with --source"),
    }
}

/// Returns what fetches by this configuration.
pub(super) fn fetcher(config: &Config) -> anyhow::Result<Fetcher> {
    Ok(Fetcher::new(config.update.fetch_options().map_err(anyhow::Error::msg)?))
}

/// Returns a text from elsewhere, fit for a terminal.
pub(super) fn safe(text: &str) -> String {
    crate::display::safe(text.as_bytes())
}

/// Returns the time of this machine.
pub(super) fn now() -> Time {
    Time::from_unix(i64::try_from(time::now()).unwrap_or(i64::MAX))
}
