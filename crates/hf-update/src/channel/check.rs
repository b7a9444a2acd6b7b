//! Metadata, manifest and proofs of a channel from one mirror: believed or refused.

use hf_channel::{Digest, MANIFEST_LEN_MAX, Manifest, ManifestError, NOW_LEN_MAX, Now, layout};
use hf_trust::Time;
use hf_trust::log::merkle::{Hash, prove_consistency};
use hf_trust::log::tile::{BadTile, Tile, TileNodes, TileSource};
use hf_trust::quorum::bundle::BUNDLE_BYTES_MAX;
use hf_trust::quorum::{Accepted, Consistency, Offer, Refused, verify};
use hf_trust::tuf::{Limits, Reply, Role, Step, Target, TufError, Updater};

use super::Channel;
use super::delegated::{WrongRole, delegated};
use super::memory::{Memory, MemoryError};
use super::mirror::{Mirror, MirrorError};
use crate::fetch::{FetchErrorKind, Fetcher};

/// What a mirror has to say.
#[derive(Debug)]
pub enum Checked {
    /// Another release than the one accepted last; it is remembered as accepted.
    New {
        /// By whom, with which proofs.
        accepted: Box<Accepted>,
        /// The manifest's bytes.
        manifest: Vec<u8>,
    },
    /// The release that was accepted last.
    Same {
        /// Up to when somebody vouches for it.
        fresh_until: Option<Time>,
        /// Whether one request said so.
        at_once: bool,
    },
}

/// What a mirror offers is refused, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing was offered.
    #[error("not to be had: {0}")]
    Mirror(#[from] MirrorError),
    /// By TUF.
    #[error("refused ({}): {}", .0.attack(), .0)]
    Tuf(#[from] TufError),
    /// By the owner's policy.
    #[error("refused ({}): {}", .0.attack(), .0)]
    Quorum(#[from] Refused),
    /// The manifest is not readable.
    #[error("refused (malformed): {0}")]
    Manifest(#[from] ManifestError),
    /// Something does not fit together.
    #[error("refused (mix-and-match): {0}")]
    Mixed(String),
    /// A file of a source is not signed by the role that it is delegated to.
    #[error("refused (wrong-role): {0}")]
    WrongRole(#[from] WrongRole),
    /// What is remembered here cannot be read or written.
    #[error("{}: {}", .0, .0.kind)]
    Memory(#[from] MemoryError),
}

impl Refusal {
    /// Returns the name of the attack that was stopped; empty when nothing was offered.
    #[must_use]
    pub fn attack(&self) -> &'static str {
        match self {
            Self::Mirror(MirrorError::TooLong(..)) => "endless-data",
            Self::Mirror(_) | Self::Memory(_) => "",
            Self::Tuf(error) => error.attack(),
            Self::Quorum(refused) => refused.attack(),
            Self::Manifest(_) => "malformed",
            Self::Mixed(_) => "mix-and-match",
            Self::WrongRole(_) => "wrong-role",
        }
    }
}

/// Asks a mirror. What was believed on the way is remembered, also when something later is refused.
///
/// # Errors
/// Something is refused, or cannot be had.
pub fn check(
    channel: &Channel,
    mirror: &Mirror,
    fetcher: &Fetcher,
    memory: &Memory,
    now: Time,
) -> Result<Checked, Refusal> {
    let (mut updater, asked) = refreshed(channel, mirror, fetcher, memory, now)?;
    // Nothing new, and proofs that are young enough: one question was all.
    // What TUF trusts may have been refused by the policy: only what was accepted counts.
    let timestamp = memory.trusted(&channel.root)?.local.remove("timestamp").unwrap_or_default();
    let timestamp = Digest::of(&timestamp);
    let same = memory.accepted_under() == Some(timestamp);
    let fresh_until = memory.fresh_until();
    if same && memory.last_digest().is_some() && is_young(channel, fresh_until, now) {
        return Ok(Checked::Same { fresh_until, at_once: asked <= 1 });
    }
    let target = find(&mut updater, channel, mirror, fetcher)?;
    for stored in updater.stored() {
        memory.set_trusted(&stored)?;
    }
    let bytes = manifest_of(&target, mirror, fetcher, memory)?;
    let manifest = Manifest::parse(&bytes)?;
    if manifest.set != channel.set {
        return Err(Refusal::Mixed(format!("the manifest is of the set {:?}", manifest.set)));
    }
    let signed = delegated(&mut updater, &manifest, &mut |updater, request| {
        reply(updater, request, mirror, fetcher)
    });
    for stored in updater.stored() {
        memory.set_trusted(&stored)?;
    }
    signed?;
    let digest = Digest::of(&bytes);
    let path = layout::proofs(&digest);
    let bundle = mirror.read(fetcher, &path, BUNDLE_BYTES_MAX as u64)?;
    let accepted = quorum(channel, mirror, fetcher, memory, (&digest, &bundle), now)?;
    fits(&manifest, &accepted)?;
    let new = memory.last_digest() != Some(digest);
    memory.accept(&accepted, &bytes, &bundle, &timestamp, now)?;
    if new {
        return Ok(Checked::New { accepted: Box::new(accepted), manifest: bytes });
    }
    Ok(Checked::Same { fresh_until: Some(accepted.fresh_until), at_once: false })
}

/// True when proofs need not be looked at again: they are younger than half of what is stale.
fn is_young(channel: &Channel, fresh_until: Option<Time>, now: Time) -> bool {
    let bound = channel.policy.rules_for(&channel.set).stale_after_seconds / 2;
    fresh_until.is_some_and(|until| now.seconds_since(until) < bound)
}

/// Brings metadata up to date; returns them, and how many questions it took.
///
/// What `now.json` says is a guess that saves questions: when anything that follows from it is refused,
/// all is asked again as if it were not there.
fn refreshed(
    channel: &Channel,
    mirror: &Mirror,
    fetcher: &Fetcher,
    memory: &Memory,
    now: Time,
) -> Result<(Updater, usize), Refusal> {
    let mut asked = 1;
    let mut guess = match mirror.read_if_there(fetcher, layout::NOW, NOW_LEN_MAX) {
        Ok(bytes) => bytes.and_then(|bytes| Now::parse(&bytes)),
        Err(MirrorError::TooLong(..)) => None,
        Err(err) => return Err(err.into()),
    };
    loop {
        let trusted = memory.trusted(&channel.root)?;
        let mut updater = Updater::new(trusted, now, Limits::default())?;
        let done = refresh(&mut updater, mirror, fetcher, guess.as_ref(), &mut asked);
        for stored in updater.stored() {
            memory.set_trusted(&stored)?;
        }
        match done {
            Ok(()) => return Ok((updater, asked)),
            Err(_) if guess.is_some() => guess = None,
            Err(refusal) => return Err(refusal),
        }
    }
}

fn refresh(
    updater: &mut Updater,
    mirror: &Mirror,
    fetcher: &Fetcher,
    guess: Option<&Now>,
    asked: &mut usize,
) -> Result<(), Refusal> {
    while let Step::Fetch(request) = updater.step()? {
        match guess {
            Some(now) if request.role == Role::Root && request.version > Some(now.root) => {
                updater.reply(Reply::Missing)?;
            }
            Some(now) if request.role == Role::Timestamp => {
                updater.reply(Reply::Bytes(now.timestamp.as_bytes()))?;
            }
            _ => {
                *asked = asked.saturating_add(1);
                reply(updater, &request, mirror, fetcher)?;
            }
        }
    }
    Ok(())
}

fn reply(
    updater: &mut Updater,
    request: &hf_trust::tuf::Request,
    mirror: &Mirror,
    fetcher: &Fetcher,
) -> Result<(), Refusal> {
    let path = format!("{}/{}", layout::METADATA, request.file_name());
    match mirror.read_if_there(fetcher, &path, request.max_bytes) {
        Ok(Some(bytes)) => updater.reply(Reply::Bytes(&bytes))?,
        Ok(None) => updater.reply(Reply::Missing)?,
        Err(MirrorError::TooLong(..)) => updater.reply(Reply::TooLong)?,
        Err(MirrorError::Fetch(err)) if matches!(err.kind, FetchErrorKind::Slow) => {
            updater.reply(Reply::TooSlow)?;
        }
        Err(err) => return Err(err.into()),
    }
    Ok(())
}

/// Finds the manifest among the targets.
fn find(
    updater: &mut Updater,
    channel: &Channel,
    mirror: &Mirror,
    fetcher: &Fetcher,
) -> Result<Target, Refusal> {
    let path = layout::manifest_target(&channel.set);
    updater.search(&path)?;
    loop {
        match updater.step()? {
            Step::Fetch(request) => reply(updater, &request, mirror, fetcher)?,
            Step::Found(target) => return Ok(*target),
            Step::NotFound | Step::Current => return Err(TufError::NoSuchTarget { path }.into()),
        }
    }
}

fn manifest_of(
    target: &Target,
    mirror: &Mirror,
    fetcher: &Fetcher,
    memory: &Memory,
) -> Result<Vec<u8>, Refusal> {
    if let Some(known) = memory.last()?
        && target.check_bytes(&known.manifest).is_ok()
    {
        return Ok(known.manifest);
    }
    let names = target.file_names(true);
    let name = names.first().ok_or_else(|| Refusal::Mixed("a target has no digest".to_owned()))?;
    let path = format!("{}/{name}", layout::TARGETS);
    let max = target.length.min(MANIFEST_LEN_MAX as u64);
    let bytes = mirror.read(fetcher, &path, max)?;
    target.check_bytes(&bytes)?;
    Ok(bytes)
}

/// Asks the owner's policy; a proof that a log only grew is made of its tiles when it is missing.
fn quorum(
    channel: &Channel,
    mirror: &Mirror,
    fetcher: &Fetcher,
    memory: &Memory,
    (digest, bundle): (&Digest, &[u8]),
    now: Time,
) -> Result<Accepted, Refusal> {
    let state = memory.state()?;
    let mut consistency: Vec<Consistency> = Vec::new();
    loop {
        let offer = Offer {
            set: &channel.set,
            manifest: Some(digest.0),
            bundle,
            consistency: &consistency,
        };
        match verify(&channel.policy, &state, &offer, now) {
            Ok(accepted) => return Ok(accepted),
            Err(Refused::NoConsistency { log, from, to })
                if consistency.len() < GROWTHS_MAX
                    && !consistency.iter().any(|c| (&c.log, c.from, c.to) == (&log, from, to)) =>
            {
                let hashes = grown(channel, mirror, fetcher, &log, from, to);
                let Some(hashes) = hashes else {
                    return Err(Refused::NoConsistency { log, from, to }.into());
                };
                consistency.push(Consistency { log, from, to, hashes });
            }
            Err(refused) => return Err(refused.into()),
        }
    }
}

/// Ours: logs of a policy, and some.
const GROWTHS_MAX: usize = 16;

/// Proves out of a log's tiles that it only grew: from the channel's copy, else from the log itself.
fn grown(
    channel: &Channel,
    mirror: &Mirror,
    fetcher: &Fetcher,
    log: &str,
    from: u64,
    to: u64,
) -> Option<Vec<Hash>> {
    let copy = format!("{}/{}/", layout::LOG, layout::file_name(log));
    let own = channel.policy.witnesses.logs.iter().find(|party| party.key.name() == log);
    let own = own.and_then(|party| party.url.as_ref()?.parse::<Mirror>().ok());
    let places = [Some((mirror.clone(), copy)), own.map(|own| (own, String::new()))];
    places.into_iter().flatten().find_map(|(mirror, folder)| {
        let source = Tiles { mirror, fetcher, folder };
        prove_consistency(&mut TileNodes { source, size: to }, from, to).ok()
    })
}

/// Tiles of a log in a folder of a mirror.
pub(super) struct Tiles<'a> {
    pub(super) mirror: Mirror,
    pub(super) fetcher: &'a Fetcher,
    pub(super) folder: String,
}

/// A tile cannot be had.
#[derive(Debug)]
pub(super) struct NoTile;

impl From<BadTile> for NoTile {
    fn from(_: BadTile) -> Self {
        Self
    }
}

impl TileSource for Tiles<'_> {
    type Error = NoTile;

    fn tile(&mut self, tile: Tile) -> Result<Vec<u8>, NoTile> {
        let path = |tile: Tile| format!("{}{}", self.folder, tile.path());
        let bytes = self.mirror.read(self.fetcher, &path(tile), TILE_LEN_MAX).ok();
        bytes
            .or_else(|| {
                // The log may have grown over the partial tile and removed it.
                let full = Tile { width: 256, ..tile };
                let bytes = self.mirror.read(self.fetcher, &path(full), TILE_LEN_MAX).ok()?;
                Some(bytes.get(..tile.bytes_len())?.to_vec())
            })
            .ok_or(NoTile)
    }
}

const TILE_LEN_MAX: u64 = 8192;

/// What publishers attested is what the manifest says: packs and sources, by name and digest.
fn fits(manifest: &Manifest, accepted: &Accepted) -> Result<(), Refusal> {
    let statement = &accepted.statement;
    let named = |files: Vec<(&str, [u8; 32])>, attested: &[hf_trust::quorum::Named]| {
        let mut files = files;
        files.sort_unstable();
        let attested: Vec<(&str, [u8; 32])> =
            attested.iter().map(|file| (file.name.as_str(), file.sha256)).collect();
        files == attested
    };
    let packs = manifest.packs.iter().map(|pack| &pack.blob);
    let packs = packs.map(|blob| (blob.name.as_str(), blob.sha256.0)).collect();
    let sources = manifest.sources.iter().flat_map(|source| &source.files);
    let sources = sources.map(|blob| (blob.name.as_str(), blob.sha256.0)).collect();
    let same = manifest.release == statement.release
        && named(packs, &statement.packs)
        && named(sources, &statement.sources);
    if same {
        return Ok(());
    }
    Err(Refusal::Mixed("publishers attest other files than the manifest names".to_owned()))
}
