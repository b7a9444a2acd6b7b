//! An operator's folder: keys, what is configured, and what is served.
//!
//! ```text
//! HOME/operator.toml    name, set, parts (channel, publisher, log, source, witness), expiries
//! HOME/sources.toml     the sources of the set, and which of them their own maintainers sign
//! HOME/log.toml         whom the log takes statements from, and which witnesses it asks
//! HOME/witness.toml     the logs that the witness knows
//! HOME/keys/ROLE.key    secret keys (0600); ROLE.pub beside it is for others
//! HOME/root.json        the root of the channel that a publisher attests for, or a source is signed for
//! HOME/channel/         what is served
//! HOME/log/             the log that is served
//! HOME/state/           what a witness has cosigned, and the log's checkpoint in the making
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use hf_channel::layout::is_plain_name;
use hf_trust::Scheme;
use hf_trust::log::{Verifier, VerifierKind};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::files;
use crate::keys::{self, Passphrase, SecretKey, Signer as _};

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// Keeps a channel: its TUF keys, its folder.
    Channel,
    /// Attests releases.
    Publisher,
    /// Keeps a log.
    Log,
    /// Maintains a source, and signs its files.
    Source,
    /// Cosigns logs.
    Witness,
}

/// `operator.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    /// Name in keys, such as `alice.example`.
    pub(crate) name: String,
    /// Name of the set.
    pub(crate) set: String,
    /// What the operator is.
    pub(crate) parts: Vec<Part>,
    /// Sign with ML-DSA-44 besides.
    pub(crate) post_quantum: bool,
    /// Days until what is signed has to be renewed.
    #[serde(default)]
    pub(crate) expiry_days: Expiry,
    /// Patches are made from so many releases before.
    pub(crate) patches: usize,
    /// Folder of the root's keys, which need not be on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_keys: Option<PathBuf>,
}

/// Days.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expiry {
    pub(crate) root: u32,
    pub(crate) targets: u32,
    pub(crate) snapshot: u32,
    pub(crate) timestamp: u32,
}

impl Default for Expiry {
    /// A year; a season; a month; a fortnight, since a laptop may be away for a week.
    fn default() -> Self {
        Self { root: 365, targets: 90, snapshot: 30, timestamp: 14 }
    }
}

/// `sources.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sources {
    #[serde(default)]
    pub(crate) source: Vec<SourceConfig>,
}

/// One source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) author: String,
    pub(crate) licence: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forbids: Vec<String>,
    #[serde(default)]
    pub(crate) url: String,
    /// A database, or a folder of databases.
    pub(crate) path: PathBuf,
    /// Who signs its files in place of the channel's keeper; they are not taken from `path` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) maintainers: Option<Maintainers>,
}

/// Those to whom a source is delegated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maintainers {
    /// How many of them have to sign.
    pub(crate) threshold: u64,
    /// Public keys, by maintainer: one, or an Ed25519 and an ML-DSA-44 key.
    pub(crate) keys: Vec<Vec<String>>,
}

/// `log.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogConfig {
    /// Public keys of those whose statements are taken.
    #[serde(default)]
    pub(crate) publishers: Vec<String>,
    #[serde(default)]
    pub(crate) witness: Vec<WitnessAddress>,
}

/// A witness that a log asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessAddress {
    pub(crate) url: String,
    /// Its public keys.
    pub(crate) keys: Vec<String>,
}

/// `witness.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessConfig {
    /// Public keys of logs.
    #[serde(default)]
    pub(crate) logs: Vec<String>,
}

/// An operator's folder.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) operator: Operator,
    passphrase: Option<Passphrase>,
}

/// The largest configuration file.
const CONFIG_LEN_MAX: u64 = 1 << 20;

impl Home {
    /// Opens a folder.
    ///
    /// # Errors
    /// It was not initialised, or is damaged.
    pub(crate) fn open(dir: &Path, passphrase: Option<Passphrase>) -> Result<Self> {
        let path = dir.join("operator.toml");
        ensure!(path.exists(), "{} is no operator's folder: run init first", dir.display());
        let operator: Operator = read_toml(&path)?;
        ensure!(is_plain_name(&operator.set), "{}: set is no plain name", path.display());
        Ok(Self { dir: dir.to_owned(), operator, passphrase })
    }

    /// Makes a folder: its keys, its configuration.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub(crate) fn create(
        dir: &Path,
        operator: Operator,
        passphrase: Option<Passphrase>,
    ) -> Result<Self> {
        let path = dir.join("operator.toml");
        ensure!(!path.exists(), "{} is initialised already", dir.display());
        ensure!(is_plain_name(&operator.set), "the set's name must be letters, digits, . - _");
        // A name that no key can have is found out before there is a key.
        Verifier::new(&operator.name, VerifierKind::Ed25519, &BASE_POINT)
            .context("the operator's name")?;
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let home = Self { dir: dir.to_owned(), operator, passphrase };
        for role in home.roles() {
            home.new_key(role)?;
        }
        write_toml(&path, &home.operator)?;
        Ok(home)
    }

    /// Returns the names of all keys of this operator.
    pub(crate) fn roles(&self) -> Vec<&'static str> {
        let parts = self.operator.parts.iter();
        parts
            .flat_map(|part| match part {
                Part::Channel => &["root", "targets", "snapshot", "timestamp"][..],
                Part::Publisher => &["publisher"],
                Part::Log => &["log"],
                Part::Source => &["source"],
                Part::Witness => &["witness"],
            })
            .copied()
            .collect()
    }

    /// Returns an error when the operator is not this.
    pub(crate) fn needs(&self, part: Part) -> Result<()> {
        let named = format!("{part:?}").to_lowercase();
        ensure!(
            self.operator.parts.contains(&part),
            "{} is no {named}: see parts in operator.toml, and init --part {named}",
            self.dir.display()
        );
        Ok(())
    }

    /// Returns the path of a key.
    pub(crate) fn key_path(&self, role: &str, scheme: Scheme) -> PathBuf {
        let folder = self.operator.root_keys.as_ref().filter(|_| role == "root");
        let folder = folder.map_or_else(|| self.dir.join("keys"), |folder| self.dir.join(folder));
        let suffix = if scheme == Scheme::MlDsa44 { "-pq" } else { "" };
        folder.join(format!("{role}{suffix}.key"))
    }

    /// Makes the keys of a role, and the file for others beside them. A key file that was prepared as
    /// `ROLE.next.key` is taken in place of a new key: its secret may be in a token.
    ///
    /// # Errors
    /// They are there already, or cannot be written.
    pub(crate) fn new_key(&self, role: &str) -> Result<()> {
        for scheme in self.schemes() {
            let path = self.key_path(role, scheme);
            let prepared = path.with_extension("next.key");
            if prepared.exists() {
                let key = keys::read(&prepared, self.passphrase.as_ref())?;
                let shown = prepared.display();
                ensure!(key.public().scheme() == scheme, "{shown} is a key of another scheme");
                ensure!(!path.exists(), "{} is there already", path.display());
                fs::rename(&prepared, &path).with_context(|| format!("cannot move {shown}"))?;
                continue;
            }
            let name = &self.operator.name;
            keys::create(&path, name, role, scheme, self.passphrase.as_ref())?;
        }
        let folder = self.key_path(role, Scheme::Ed25519);
        let public = folder.with_extension("pub");
        let lines: Vec<String> =
            self.verifiers(role)?.iter().map(|verifier| format!("{verifier}\n")).collect();
        if !lines.is_empty() {
            files::write(&public, lines.concat().as_bytes())?;
        }
        Ok(())
    }

    /// Returns the schemes that this operator signs with.
    pub(crate) fn schemes(&self) -> Vec<Scheme> {
        let more = self.operator.post_quantum.then_some(Scheme::MlDsa44);
        [Scheme::Ed25519].into_iter().chain(more).collect()
    }

    /// Opens the keys of a role.
    ///
    /// # Errors
    /// One is missing, or cannot be opened.
    pub(crate) fn keys(&self, role: &str) -> Result<Vec<SecretKey>> {
        let of = |scheme| keys::read(&self.key_path(role, scheme), self.passphrase.as_ref());
        self.schemes().into_iter().map(of).collect()
    }

    /// Opens the keys of a role that signs notes, with how each signs.
    ///
    /// # Errors
    /// One is missing, or cannot be opened.
    pub(crate) fn note_keys(&self, role: &str) -> Result<Vec<(VerifierKind, SecretKey)>> {
        let kind = |key: &SecretKey| match (role, key.public().scheme()) {
            ("witness", Scheme::MlDsa44) => VerifierKind::MlDsa44Cosignature,
            ("witness", _) => VerifierKind::Ed25519Cosignature,
            (_, Scheme::MlDsa44) => VerifierKind::MlDsa44Note,
            _ => VerifierKind::Ed25519,
        };
        Ok(self.keys(role)?.into_iter().map(|key| (kind(&key), key)).collect())
    }

    /// Returns the name that a role's keys have in notes.
    pub(crate) fn key_name(&self, role: &str) -> String {
        match role {
            "log" => format!("{}/log", self.operator.name),
            _ => self.operator.name.clone(),
        }
    }

    /// Returns the public keys of a role that signs notes; none for others.
    ///
    /// # Errors
    /// A key is missing, or cannot be opened.
    pub(crate) fn verifiers(&self, role: &str) -> Result<Vec<Verifier>> {
        if !matches!(role, "publisher" | "log" | "source" | "witness") {
            return Ok(Vec::new());
        }
        let name = self.key_name(role);
        let of = |(kind, key): (VerifierKind, SecretKey)| {
            Ok(Verifier::new(&name, kind, key.public().as_bytes())?)
        };
        self.note_keys(role)?.into_iter().map(of).collect()
    }

    /// Returns the channel's folder.
    pub(crate) fn channel(&self) -> PathBuf {
        self.dir.join("channel")
    }

    /// Reads the sources.
    ///
    /// # Errors
    /// The file is damaged.
    pub(crate) fn sources(&self) -> Result<Sources> {
        read_toml_or_default(&self.dir.join("sources.toml"))
    }

    /// Writes the sources.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn set_sources(&self, sources: &Sources) -> Result<()> {
        write_toml(&self.dir.join("sources.toml"), sources)
    }

    /// Reads the log's configuration.
    ///
    /// # Errors
    /// The file is damaged.
    pub(crate) fn log_config(&self) -> Result<LogConfig> {
        read_toml_or_default(&self.dir.join("log.toml"))
    }

    /// Writes the log's configuration.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn set_log_config(&self, config: &LogConfig) -> Result<()> {
        write_toml(&self.dir.join("log.toml"), config)
    }

    /// Reads the witness's configuration.
    ///
    /// # Errors
    /// The file is damaged.
    pub(crate) fn witness_config(&self) -> Result<WitnessConfig> {
        read_toml_or_default(&self.dir.join("witness.toml"))
    }

    /// Writes the witness's configuration.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn set_witness_config(&self, config: &WitnessConfig) -> Result<()> {
        write_toml(&self.dir.join("witness.toml"), config)
    }
}

/// Reads public keys: each argument is a key, or a file with one on each line.
///
/// # Errors
/// A file cannot be read, or a key is none.
pub(crate) fn read_verifiers(arguments: &[String]) -> Result<Vec<Verifier>> {
    let mut found = Vec::new();
    for argument in arguments {
        let text = if Path::new(argument).is_file() {
            String::from_utf8(files::read(Path::new(argument), CONFIG_LEN_MAX)?)?
        } else {
            argument.clone()
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let verifier = Verifier::parse(line);
            found.push(verifier.with_context(|| format!("{argument} is no public key"))?);
        }
    }
    Ok(found)
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = String::from_utf8(files::read(path, CONFIG_LEN_MAX)?)
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    match toml::from_str(&text) {
        Ok(value) => Ok(value),
        Err(error) => bail!("{}: {error}", path.display()),
    }
}

fn read_toml_or_default<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    if path.exists() { read_toml(path) } else { Ok(T::default()) }
}

fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    files::write(path, toml::to_string(value)?.as_bytes())
}

/// The base point of Ed25519, encoded (RFC 8032 §5.1): a key that nobody holds, to try names with.
const BASE_POINT: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};
