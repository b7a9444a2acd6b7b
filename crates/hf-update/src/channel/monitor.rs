//! Follows a log: every entry is read, and what should not be there is cried out.
//!
//! All leaf hashes are kept, so that the root of each new checkpoint is computed from all entries ever
//! seen: a log that changed its past cannot come out right.
//! Limits: ten million entries (320 MB kept); 64 KiB an entry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hf_channel::layout;
use hf_channel::{ChangeKind, Changes, Digest, MANIFEST_LEN_MAX, Manifest};
use hf_trust::log::merkle::{empty_root, leaf_hash, node_hash};
use hf_trust::log::tile::{Tile, WIDTH, parse_entries};
use hf_trust::log::{Hash, Note};
use hf_trust::quorum::{Policy, Statement};

use super::mirror::{Mirror, MirrorError};
use crate::fetch::Fetcher;
use crate::store::write_whole;

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What kind.
    pub kind: AlarmKind,
    /// In words.
    pub text: String,
    /// The entry of the log, if it is one.
    pub index: Option<u64>,
}

/// Kinds of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// The log has another history than it had, or one release stands for two contents.
    Fork,
    /// The log is shorter than it was.
    Rollback,
    /// Somebody signed who is not in the policy.
    UnexpectedPublisher,
    /// An entry is no statement.
    Malformed,
    /// A signature was removed.
    RemovedSignature,
    /// The checkpoint lacks witnesses.
    Unwitnessed,
}

impl AlarmKind {
    /// Returns the word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::UnexpectedPublisher => "unexpected-publisher",
            Self::Malformed => "malformed",
            Self::RemovedSignature => "removed-signature",
            Self::Unwitnessed => "unwitnessed",
        }
    }
}

/// What following a log came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// Entries that were seen before.
    pub before: u64,
    /// Entries now.
    pub size: u64,
    /// Statements that are new: publisher, set, release.
    pub statements: Vec<(String, String, u64)>,
    /// What should be looked at.
    pub alarms: Vec<Alarm>,
}

/// A log could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// It cannot be had.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// What it gives is not a log.
    #[error("{0}")]
    Log(String),
    /// What is remembered cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    Disk(PathBuf, std::io::Error),
}

/// A log that is followed.
#[derive(Debug)]
pub struct Monitor<'a> {
    /// Where the log is: its folder, without a path behind.
    pub log: Mirror,
    /// The channel, whose lists of changes are read; none for none.
    pub channel: Option<Mirror>,
    /// Whom the owner believes.
    pub policy: &'a Policy,
    /// For the network.
    pub fetcher: &'a Fetcher,
    /// The folder in which is remembered what was seen.
    pub memory: &'a Path,
}

const ENTRIES_MAX: u64 = 10_000_000;
const CHECKPOINT_MAX: u64 = 1 << 20;
const BUNDLE_MAX: u64 = 32 << 20;
/// Ours: changes of a release that are read.
const CHANGES_MAX: u64 = 256 << 20;

impl Monitor<'_> {
    /// Reads what is new in the log.
    ///
    /// # Errors
    /// The log cannot be had or read; nothing is remembered then.
    pub fn follow(&self) -> Result<Followed, MonitorError> {
        let bytes = self.log.read(self.fetcher, "checkpoint", CHECKPOINT_MAX)?;
        let note = Note::parse(&bytes).map_err(|err| MonitorError::Log(err.to_string()))?;
        let mut followed = Followed::default();
        let checkpoint = match self.policy.witnesses.verify(&note) {
            Ok(accepted) => accepted.checkpoint,
            Err(error @ hf_trust::log::policy::CheckpointError::NoQuorum { .. }) => {
                followed.alarm(AlarmKind::Unwitnessed, error.to_string(), None);
                let parsed = hf_trust::log::Checkpoint::parse(note.text());
                parsed.ok_or_else(|| MonitorError::Log("no checkpoint".to_owned()))?
            }
            Err(error) => return Err(MonitorError::Log(error.to_string())),
        };
        let mut leaves = self.leaves(&checkpoint.origin)?;
        followed.before = leaves.len() as u64;
        followed.size = checkpoint.size;
        if checkpoint.size < followed.before {
            let text = format!(
                "the log {} shows {} entries and had {} before",
                checkpoint.origin, checkpoint.size, followed.before
            );
            followed.alarm(AlarmKind::Rollback, text, None);
            return Ok(followed);
        }
        if checkpoint.size > ENTRIES_MAX {
            return Err(MonitorError::Log("the log has too many entries".to_owned()));
        }
        let entries = self.entries(followed.before, checkpoint.size)?;
        leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
        if root(&leaves) != checkpoint.root {
            let text = format!(
                "the log {} at {} entries does not follow from the {} seen before",
                checkpoint.origin, checkpoint.size, followed.before
            );
            followed.alarm(AlarmKind::Fork, text, None);
            return Ok(followed);
        }
        let mut seen = self.seen(&checkpoint.origin)?;
        for (index, entry) in (followed.before..).zip(&entries) {
            self.entry(index, entry, &mut seen, &mut followed);
        }
        self.remember(&checkpoint.origin, &leaves, &seen)?;
        Ok(followed)
    }

    fn entry(
        &self,
        index: u64,
        entry: &[u8],
        seen: &mut BTreeMap<String, String>,
        followed: &mut Followed,
    ) {
        let note = Note::parse(entry).ok();
        let Some((note, statement)) = note.and_then(|note| {
            Some((Statement::parse(note.text()).ok()?, note)).map(|(s, n)| (n, s))
        }) else {
            let text = format!("entry {index} is no statement");
            followed.alarm(AlarmKind::Malformed, text, Some(index));
            return;
        };
        let release = format!("{} {}", statement.set, statement.release);
        let known = self.policy.publishers.iter().find(|by| by.verify(&note).is_ok());
        let Some(publisher) = known else {
            let names: Vec<&str> =
                note.signatures().iter().map(|line| line.name.as_str()).collect();
            let text = format!("entry {index}: {} vouches for release {release}", names.join(", "));
            followed.alarm(AlarmKind::UnexpectedPublisher, text, Some(index));
            return;
        };
        let digest = Digest(statement.manifest);
        followed.statements.push((
            publisher.name.clone(),
            statement.set.clone(),
            statement.release,
        ));
        match seen.get(&release) {
            Some(other) if *other != digest.to_string() => {
                let text = format!(
                    "entry {index}: {} vouches for release {release} as {digest}, others for {other}",
                    publisher.name
                );
                followed.alarm(AlarmKind::Fork, text, Some(index));
            }
            Some(_) => {}
            None => {
                seen.insert(release, digest.to_string());
                self.removed(index, &statement.set, &digest, followed);
            }
        }
    }

    /// Cries out signatures that a release removed; what cannot be read is not known.
    fn removed(&self, index: u64, set: &str, digest: &Digest, followed: &mut Followed) {
        let Some(channel) = &self.channel else { return };
        let path = layout::manifest(set, digest);
        let Ok(bytes) = channel.read(self.fetcher, &path, MANIFEST_LEN_MAX as u64) else { return };
        let manifest = Manifest::parse(&bytes).ok().filter(|_| Digest::of(&bytes) == *digest);
        let Some((changes, manifest)) = manifest.and_then(|m| Some((m.changes?, m))) else {
            return;
        };
        let path = layout::object(&changes.sha256);
        let bytes = channel.read(self.fetcher, &path, changes.size.min(CHANGES_MAX));
        let Some(bytes) = bytes.ok().filter(|bytes| Digest::of(bytes) == changes.sha256) else {
            return;
        };
        let Ok(list) = Changes::read(&bytes[..]) else { return };
        for change in list.list.iter().filter(|change| change.kind == ChangeKind::Removed) {
            let text = format!(
                "release {} of {set} removes {}: {}",
                manifest.release, change.name, change.reason
            );
            followed.alarm(AlarmKind::RemovedSignature, text, Some(index));
        }
    }

    /// Reads entries from one index to another.
    fn entries(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, MonitorError> {
        let bad = || MonitorError::Log("a bundle of entries is damaged".to_owned());
        let mut entries = Vec::new();
        let mut at = from;
        while at < to {
            let tile = Tile::of_log(0, at / WIDTH, to).ok_or_else(bad)?;
            let read = self.log.read(self.fetcher, &tile.entries_path(), BUNDLE_MAX);
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(_) => {
                    let full = Tile { width: 256, ..tile };
                    self.log.read(self.fetcher, &full.entries_path(), BUNDLE_MAX)?
                }
            };
            let bundle = parse_entries(&bytes).ok_or_else(bad)?;
            let skip = usize::try_from(at % WIDTH).map_err(|_| bad())?;
            let wanted = bundle.get(skip..usize::from(tile.width)).ok_or_else(bad)?;
            entries.extend(wanted.iter().map(|entry| entry.to_vec()));
            at = (at / WIDTH).saturating_add(1).saturating_mul(WIDTH);
        }
        entries.truncate(usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX));
        Ok(entries)
    }

    fn path(&self, origin: &str, what: &str) -> PathBuf {
        self.memory.join(format!("{}.{what}", layout::file_name(origin)))
    }

    fn leaves(&self, origin: &str) -> Result<Vec<Hash>, MonitorError> {
        let path = self.path(origin, "leaves");
        match fs::read(&path) {
            Ok(bytes) => Ok(bytes.as_chunks::<32>().0.to_vec()),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(err) => Err(MonitorError::Disk(path, err)),
        }
    }

    /// Returns which manifest each release stands for.
    fn seen(&self, origin: &str) -> Result<BTreeMap<String, String>, MonitorError> {
        let path = self.path(origin, "releases.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|err| MonitorError::Disk(path, std::io::Error::other(err))),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(err) => Err(MonitorError::Disk(path, err)),
        }
    }

    fn remember(
        &self,
        origin: &str,
        leaves: &[Hash],
        seen: &BTreeMap<String, String>,
    ) -> Result<(), MonitorError> {
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |err| MonitorError::Disk(path, err)
        };
        fs::create_dir_all(self.memory).map_err(disk(self.memory))?;
        let path = self.path(origin, "releases.json");
        let bytes = serde_json::to_vec(seen).unwrap_or_default();
        write_whole(&path, &bytes).map_err(disk(&path))?;
        let path = self.path(origin, "leaves");
        write_whole(&path, &leaves.concat()).map_err(disk(&path))
    }
}

impl Followed {
    fn alarm(&mut self, kind: AlarmKind, text: String, index: Option<u64>) {
        self.alarms.push(Alarm { kind, text, index });
    }
}

/// RFC 6962 §2.1, MTH(D[n]).
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}
