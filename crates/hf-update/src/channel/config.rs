//! A channel as the owner's configuration describes it.
//!
//! ```toml
//! [[source]]
//! name = "main"
//! kind = "channel"
//! mirrors = ["https://a.example/channel", "/media/usb/channel"]
//! [source.channel]
//! set = "main"                           # which set of the channel
//! root = "/etc/holdfast/root.json"       # the root that is trusted at first
//! policy = "/etc/holdfast/policy.toml"   # whom to believe
//! take = "packs"                         # or "sources", to be compiled here
//! ```

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hf_channel::layout::is_plain_name;
use hf_trust::quorum::Policy;

use super::{Channel, Mirror, Take};
use crate::config::SourceConfig;

/// A channel's configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChannelConfigError {
    /// A key is missing, unknown, or has an impossible value.
    #[error("channel {name}: {key}: {why}")]
    Key {
        /// The source.
        name: String,
        /// The key.
        key: String,
        /// Why.
        why: String,
    },
    /// A file cannot be read.
    #[error("channel {name}: cannot read {}: {why}", path.display())]
    File {
        /// The source.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Ours: no root or policy is longer.
const FILE_LEN_MAX: u64 = 1 << 20;

impl Channel {
    /// Makes a channel of its source's configuration.
    ///
    /// # Errors
    /// As [`Channel::configured`].
    pub fn of_config(config: &SourceConfig, uses: &[String]) -> Result<Self, ChannelConfigError> {
        let table = config.channel.clone().unwrap_or_default();
        Self::configured(&config.name, &config.mirrors, &table, uses)
    }

    /// Makes a channel of its configuration; the files that it names are read.
    ///
    /// # Errors
    /// A key is wrong, or a file cannot be read or is refused; with the line of a policy.
    pub fn configured(
        name: &str,
        mirrors: &[String],
        table: &toml::Table,
        uses: &[String],
    ) -> Result<Self, ChannelConfigError> {
        let bad = |key: &str, why: &str| ChannelConfigError::Key {
            name: name.to_owned(),
            key: key.to_owned(),
            why: why.to_owned(),
        };
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(bad(key, "is no key of a channel"));
        }
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| bad(key, "is no text")),
        };
        let needed = |key: &str| text(key)?.ok_or_else(|| bad(key, "is missing"));
        let set = text("set")?.unwrap_or("main").to_owned();
        if !is_plain_name(&set) {
            return Err(bad("set", "is no name of a set"));
        }
        let take = match text("take")? {
            None | Some("packs") => Take::Packs,
            Some("sources") => Take::Sources,
            Some(_) => return Err(bad("take", "is \"packs\" or \"sources\"")),
        };
        if mirrors.is_empty() {
            return Err(bad("mirrors", "are missing"));
        }
        let mirrors = mirrors.iter().map(|mirror| mirror.parse::<Mirror>());
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>();
        let mirrors = mirrors.map_err(|err| bad("mirrors", &err.to_string()))?;
        let root = read(name, Path::new(needed("root")?))?;
        let path = Path::new(needed("policy")?);
        let file = |why: String| ChannelConfigError::File {
            name: name.to_owned(),
            path: path.to_owned(),
            why,
        };
        let policy = String::from_utf8(read(name, path)?);
        let policy = policy.map_err(|_| file("it is not UTF-8".to_owned()))?;
        let policy = Policy::parse(&policy).map_err(|err| file(err.to_string()))?;
        let uses = uses.to_vec();
        Ok(Self { name: name.to_owned(), set, mirrors, root, policy, take, uses })
    }
}

const KEYS: [&str; 4] = ["set", "root", "policy", "take"];

fn read(name: &str, path: &Path) -> Result<Vec<u8>, ChannelConfigError> {
    let file = |why: String| ChannelConfigError::File {
        name: name.to_owned(),
        path: path.to_owned(),
        why,
    };
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(|err| file(err.to_string()))?;
    opened.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|err| file(err.to_string()))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(file("it is longer than 1 MiB".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, want: &str) {
        let table: toml::Table = toml::from_str(text).unwrap();
        let error = Channel::configured("main", &["/x".to_owned()], &table, &[]).unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("more = 1", "more: is no key");
        refused("set = 1", "set: is no text");
        refused("set = '../x'", "set: is no name");
        refused("take = 'all'", "take: is \"packs\"");
        refused("set = 'main'", "root: is missing");
        refused("root = '/nonexistent/root.json'\npolicy = 'x'", "/nonexistent/root.json");
    }
}
