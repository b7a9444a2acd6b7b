//! The owner's configuration: `update.toml`.
//!
//! Unknown keys, names twice and kinds that do not exist are refused with the file's name and, as far as it is known, the
//! line.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::fetch::{FetchOptions, Proxy};
use crate::store::state_folder;
use crate::trial::{CleanSample, TrialBounds};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What holds for all sources.
    pub update: UpdateConfig,
    /// Sources, in order.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
}

/// What holds for all sources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateConfig {
    /// What this machine is used for (`private`, `commercial`, …), by which licences are respected.
    #[serde(rename = "use")]
    pub used_for: Option<String>,
    /// Earlier sets that are kept.
    pub keep: usize,
    /// `host:port` of a proxy.
    pub proxy: Option<String>,
    /// Who we are to the proxy.
    pub proxy_user: Option<String>,
    /// The password for it.
    pub proxy_password: Option<String>,
    /// The address from which connections start.
    pub local_address: Option<IpAddr>,
    /// Bytes in a second that are taken at most.
    pub bytes_per_second: Option<u64>,
    /// Seconds until a connection stands.
    pub connect_timeout: u64,
    /// Seconds until something arrives.
    pub receive_timeout: u64,
    /// A file (PEM) of authorities instead of the system's.
    pub authorities: Option<PathBuf>,
    /// Files that are known to be clean.
    pub known_clean: Vec<PathBuf>,
    /// Files of the distribution's packages that are scanned in a trial.
    pub clean_files: usize,
    /// How many times slower than the set in use a set may be.
    pub slower_max: f64,
    /// What share of the signatures in use must still be there, in percent.
    pub signatures_min_percent: u64,
    /// Seconds for a trial.
    pub trial_deadline: u64,
    /// The file of suppliers.
    pub suppliers: PathBuf,
    /// Folder of certificates in which detached signatures may end.
    pub certificates: Option<PathBuf>,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        let bounds = TrialBounds::default();
        Self {
            used_for: None,
            keep: 5,
            proxy: None,
            proxy_user: None,
            proxy_password: None,
            local_address: None,
            bytes_per_second: None,
            connect_timeout: 30,
            receive_timeout: 60,
            authorities: None,
            known_clean: Vec::new(),
            clean_files: CleanSample::default().files_max,
            slower_max: bounds.slower_max,
            signatures_min_percent: bounds.signatures_min_percent,
            trial_deadline: bounds.deadline.as_secs(),
            suppliers: PathBuf::from("/etc/holdfast/suppliers.toml"),
            certificates: None,
        }
    }
}

/// One source.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// Its name, unlike any other's.
    pub name: String,
    /// What it is: see [`KINDS`].
    pub kind: String,
    /// It is not asked.
    pub disabled: bool,
    /// Mirrors, in the order in which they are asked.
    pub mirrors: Vec<String>,
    /// The mirrors are private ones.
    pub private: bool,
    /// Names of databases on the mirrors.
    pub databases: Vec<String>,
    /// The whole is always fetched, never changes to it.
    pub whole: bool,
    /// An address.
    pub url: Option<String>,
    /// A file or folder.
    pub path: Option<PathBuf>,
    /// A repository for `git`.
    pub git: Option<String>,
    /// Its branch or tag.
    pub branch: Option<String>,
    /// In a list: the column with names, as the header calls it, or its number from 1.
    pub name_column: Option<String>,
    /// Largest file in bytes that is fetched.
    pub max_bytes: Option<u64>,
    /// Who wrote it.
    pub author: String,
    /// Who hands it out.
    pub publisher: String,
    /// Its licence.
    pub licence: String,
    /// Uses that the licence allows; without any, all.
    pub allows: Vec<String>,
    /// Who stands behind it, by the name in the file of suppliers.
    pub supplier: Option<String>,
    /// Where a Holdfast channel's policy, root and state are, and other things of its own.
    pub channel: Option<toml::Table>,
}

/// The kinds of sources.
pub const KINDS: &[&str] = &["clamav", "yara", "csv", "misp", "stix", "folder", "channel"];

/// The configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Why, with the line where it is known.
    pub why: String,
}

/// Largest file in bytes; ours.
const FILE_MAX: u64 = 4 << 20;

impl Config {
    /// Returns where the configuration is looked for.
    #[must_use]
    pub fn places() -> Vec<PathBuf> {
        let mut places = Vec::new();
        if !rustix::process::geteuid().is_root() {
            let set = |name: &str| {
                std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
            };
            let base =
                set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
            places.extend(base.map(|base| base.join("holdfast/update.toml")));
        }
        places.push(PathBuf::from("/etc/holdfast/update.toml"));
        places
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// It cannot be read, or says something that makes no sense.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let refuse = |why: String| ConfigError { path: path.to_owned(), why };
        let meta = std::fs::metadata(path).map_err(|err| refuse(err.to_string()))?;
        if meta.len() > FILE_MAX {
            return Err(refuse("it is too large".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|err| refuse(err.to_string()))?;
        Self::parse(&text).map_err(refuse)
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// Says what makes no sense, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self =
            toml::from_str(text).map_err(|err| err.to_string().trim_end().to_owned())?;
        let mut names = BTreeSet::new();
        for source in &config.sources {
            if !crate::store::is_source_name(&source.name) {
                return Err(format!(
                    "source '{}': a name is letters, digits, '.', '_' and '-', and does not begin with '.'",
                    source.name
                ));
            }
            if !names.insert(&source.name) {
                return Err(format!("source '{}' is there twice", source.name));
            }
            source.check().map_err(|why| format!("source '{}': {why}", source.name))?;
        }
        config.update.fetch_options()?;
        Ok(config)
    }
}

impl UpdateConfig {
    /// Returns how things are fetched.
    ///
    /// # Errors
    /// The proxy makes no sense.
    pub fn fetch_options(&self) -> Result<FetchOptions, String> {
        let proxy = match &self.proxy {
            None => None,
            Some(text) => {
                let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
                let (host, port) = bare.rsplit_once(':').ok_or("proxy: write it as host:port")?;
                let port = port.parse().map_err(|_| "proxy: the port is not a number")?;
                let password = self.proxy_password.clone().unwrap_or_default();
                let login = self.proxy_user.clone().map(|user| (user, password));
                Some(Proxy { host: host.trim_matches(['[', ']']).to_owned(), port, login })
            }
        };
        Ok(FetchOptions {
            proxy,
            local_address: self.local_address,
            bytes_per_second: self.bytes_per_second,
            connect_timeout: Duration::from_secs(self.connect_timeout.max(1)),
            receive_timeout: Duration::from_secs(self.receive_timeout.max(1)),
            roots: self.authorities.clone(),
            ..FetchOptions::default()
        })
    }

    /// Returns the bounds of trials.
    #[must_use]
    pub fn trial_bounds(&self) -> TrialBounds {
        TrialBounds {
            slower_max: self.slower_max,
            signatures_min_percent: self.signatures_min_percent,
            deadline: Duration::from_secs(self.trial_deadline.max(1)),
        }
    }
}

impl SourceConfig {
    fn check(&self) -> Result<(), String> {
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(format!("kind '{}' is none of {}", self.kind, KINDS.join(", ")));
        }
        let places = usize::from(self.url.is_some())
            + usize::from(self.path.is_some())
            + usize::from(self.git.is_some());
        match self.kind.as_str() {
            "clamav" if self.mirrors.is_empty() => {
                Err("mirrors: at least one is needed".to_owned())
            }
            "clamav" if places > 0 => {
                Err("url, path and git mean nothing for kind clamav".to_owned())
            }
            "yara" if places != 1 => Err("exactly one of url, path and git is needed".to_owned()),
            "csv" | "misp" | "stix" if places != 1 || self.git.is_some() => {
                Err("exactly one of url and path is needed".to_owned())
            }
            "folder" if self.path.is_none() || places != 1 => {
                Err("path is needed, and nothing else".to_owned())
            }
            _ => Ok(()),
        }?;
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_absolute()) {
            return Err(format!("path {} must be absolute", path.display()));
        }
        // The mirrors of a channel may be folders, and are read by whoever makes the channel.
        let mirrors = self.mirrors.iter().filter(|_| self.kind != "channel");
        for address in self.url.iter().chain(mirrors) {
            let with_scheme = match address.contains("://") {
                true => address.clone(),
                false => format!("https://{address}"),
            };
            crate::fetch::Url::parse(&with_scheme).map_err(|why| format!("{address}: {why}"))?;
        }
        Ok(())
    }

    /// Says why the owner's use is not allowed, if the licence forbids it.
    #[must_use]
    pub fn forbidden(&self, used_for: Option<&str>) -> Option<String> {
        let used_for = used_for?;
        let allowed =
            self.allows.is_empty() || self.allows.iter().any(|allowed| allowed == used_for);
        (!allowed).then(|| {
            let licence = if self.licence.is_empty() { "its licence" } else { &self.licence };
            format!(
                "{licence} allows {} use only, and this machine's use is {used_for}",
                self.allows.join(" and ")
            )
        })
    }
}

/// Returns the folder of the owner's state, for messages.
#[must_use]
pub fn state_place() -> String {
    state_folder().map_or_else(|| "no folder".to_owned(), |folder| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let why = Config::parse(text).unwrap_err();
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn configurations() {
        let text = "[update]\nuse = \"commercial\"\nproxy = \"proxy:3128\"\n\
            [[source]]\nname = \"a\"\nkind = \"clamav\"\nmirrors = [\"database.clamav.net\"]\n\
            [[source]]\nname = \"b\"\nkind = \"yara\"\nurl = \"https://x/y.zip\"\nlicence = \"X\"\nallows = [\"private\"]\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.sources.len(), 2);
        let forbidden = config.sources[1].forbidden(config.update.used_for.as_deref()).unwrap();
        assert_eq!(forbidden, "X allows private use only, and this machine's use is commercial");
        assert_eq!(config.sources[0].forbidden(Some("commercial")), None);
        assert_eq!(Config::parse("").unwrap().update.keep, 5);
    }

    #[test]
    fn what_makes_no_sense() {
        refused("[update]\nbogus = 1\n", "line 2");
        refused("[update]\nproxy = \"nowhere\"\n", "host:port");
        refused("[[source]]\nname = \"a\"\nkind = \"x\"\n", "none of clamav");
        refused("[[source]]\nname = \"../a\"\nkind = \"folder\"\n", "a name is letters");
        refused("[[source]]\nname = \"a\"\nkind = \"folder\"\npath = \"x\"\n", "absolute");
        refused("[[source]]\nname = \"a\"\nkind = \"yara\"\n", "exactly one");
        refused(
            "[[source]]\nname = \"a\"\nkind = \"clamav\"\nmirrors = [\"ftp://x\"]\n",
            "ftp://x",
        );
        let twice = "[[source]]\nname = \"a\"\nkind = \"folder\"\npath = \"/x\"\n".repeat(2);
        refused(&twice, "there twice");
    }
}
