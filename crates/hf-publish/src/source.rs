//! Signs the files of a source as one of its maintainers, and hands them in.
//!
//! What is signed is metadata of the TUF role of this source, one version above the one that the channel
//! has. It is put below `incoming` of the channel's folder, or of another that is carried there; the
//! channel's keeper takes it with the next build (see [`crate::delegate`]).
//! Promises: files come first, named by digest, the metadata last. A further maintainer who signs the same
//! files adds a signature; one who signs others begins anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use hf_channel::layout;
use hf_trust::Time;
use hf_trust::tuf::metadata::Header;
use hf_trust::tuf::{Envelope, Limits, Role, Step, Target, Targets, Trusted, Updater};
use hf_update::channel::Mirror;
use hf_update::{FetchOptions, Fetcher};

use crate::attest::ask;
use crate::build::databases;
use crate::delegate::{FILE_LEN_MAX, FILES_MAX, ROLE_LEN_MAX};
use crate::files;
use crate::home::Home;
use crate::repository::cosign;

/// What was signed.
pub(crate) struct Signed {
    /// The version of the source's metadata.
    pub(crate) version: u64,
    /// Files that they name.
    pub(crate) files: usize,
    /// Keys that have signed, with ours.
    pub(crate) signatures: usize,
    /// Where it was handed in.
    pub(crate) path: PathBuf,
}

/// Signs the databases in `path` as the files of a source.
///
/// # Errors
/// The channel is refused or not to be had, there are no databases, the key refuses, or the disk fails.
pub(crate) fn sign(
    home: &Home,
    channel: &str,
    source: &str,
    path: &Path,
    out: Option<&Path>,
    now: Time,
) -> Result<Signed> {
    ensure!(layout::is_plain_name(source), "{source:?} is no name of a source");
    let mirror: Mirror = channel.parse()?;
    let folder = match (out, &mirror) {
        (Some(out), _) => out.to_owned(),
        (None, Mirror::Folder(folder)) => folder.clone(),
        (None, Mirror::Web(_)) => bail!("say with --out where the signed files go"),
    };
    let set = &home.operator.set;
    let role = layout::source_role(source);
    let version = next_version(home, &mirror, &role, now)?;
    let below = folder.join(layout::INCOMING).join(&role);
    let mut targets = BTreeMap::new();
    let mut named = Vec::new();
    for path in databases(path)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = files::read(&path, FILE_LEN_MAX)?;
        let target = Target::of(layout::source_target(set, source, &name), &bytes);
        let stored = target.file_names(true).into_iter().next().unwrap_or_default();
        let stored = stored.rsplit('/').next().unwrap_or_default().to_owned();
        files::write(&below.join(&stored), &bytes)?;
        named.push(stored);
        targets.insert(target.path.clone(), target);
    }
    ensure!(!targets.is_empty(), "there are no databases in {}", path.display());
    ensure!(targets.len() <= FILES_MAX, "more than {FILES_MAX} files");
    let days = i64::from(home.operator.expiry_days.targets);
    let header = Header::new(version, now.plus_seconds(days * 86_400));
    let signed = Targets { header, targets, delegations: None, extra: Default::default() };
    let place = folder.join(layout::incoming(source));
    let mut envelope = begun(&place, &role, &signed, now)?;
    cosign(&mut envelope, &home.keys("source")?)?;
    let bytes = envelope.to_bytes();
    ensure!(bytes.len() as u64 <= ROLE_LEN_MAX, "the names of all files are too long together");
    files::write(&place, &bytes)?;
    for entry in fs::read_dir(&below)?.flatten() {
        if !named.iter().any(|name| *name == entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    let (files, signatures) = (named.len(), envelope.signatures.len());
    Ok(Signed { version, files, signatures, path: place })
}

/// Returns what others have signed already, when it says the same and does not live longer than ours
/// would; else what is to be signed first.
fn begun(place: &Path, role: &str, signed: &Targets, now: Time) -> Result<Envelope<Targets>> {
    let fresh = || Envelope::new(signed.clone());
    let Some(bytes) = files::read_if_there(place, ROLE_LEN_MAX)? else { return Ok(fresh()) };
    let name = Role::Delegated(role.to_owned());
    let Ok(theirs) = Envelope::<Targets>::parse(&name, &bytes) else { return Ok(fresh()) };
    let expires = theirs.signed.header.expires;
    let mut same = signed.clone();
    same.header.expires = expires;
    let fits = theirs.signed == same && expires > now && expires <= signed.header.expires;
    Ok(if fits { theirs } else { fresh() })
}

/// Returns the version after the one that the channel has.
fn next_version(home: &Home, mirror: &Mirror, role: &str, now: Time) -> Result<u64> {
    let root = files::read(&home.dir.join("root.json"), 512_000).context(
        "the channel's root is not known: put its root.json into this folder, or use init --root",
    )?;
    let fetcher = Fetcher::new(FetchOptions::default());
    let trusted = Trusted { root, ..Trusted::default() };
    let mut updater = Updater::new(trusted, now, Limits::default())?;
    while let Step::Fetch(request) = updater.step()? {
        ask(mirror, &fetcher, &mut updater, &request)?;
    }
    let snapshot = updater.snapshot().context("the channel has no snapshot")?;
    let meta = snapshot.meta.get(&format!("{role}.json"));
    let next = meta.map_or(0, |meta| meta.version).checked_add(1);
    next.context("the channel's version of this role cannot grow")
}
