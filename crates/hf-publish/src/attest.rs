//! Attests a release: builds it anew from its sources, and signs only when every digest is the same.
//!
//! The manifest is believed for nothing: sources come from the channel by digest, or from a folder of the
//! publisher's own, which has to hold the same; packs are built here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use hf_channel::{Digest, MANIFEST_LEN_MAX, Manifest, layout};
use hf_content::COMPILER_VERSION;
use hf_trust::Time;
use hf_trust::log::Note;
use hf_trust::quorum::{Named, Statement};
use hf_trust::tuf::{Limits, Reply, Request, Step, Trusted, Updater};
use hf_update::channel::{At, Mirror, delegated, rebuild};
use hf_update::{FetchOptions, Fetcher};

use crate::files;
use crate::home::Home;
use crate::keys::sign_note;

/// A release that was found in a channel and rebuilt.
pub(crate) struct Rebuilt {
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
}

/// Finds the current release in a channel, starting from a trusted root.
///
/// # Errors
/// TUF refuses, or something cannot be had.
pub(crate) fn current(
    mirror: &Mirror,
    fetcher: &Fetcher,
    root: Vec<u8>,
    set: &str,
    now: Time,
) -> Result<(Manifest, Vec<u8>)> {
    let trusted = Trusted { root, ..Trusted::default() };
    let mut updater = Updater::new(trusted, now, Limits::default())?;
    let path = layout::manifest_target(set);
    let mut searched = false;
    let target = loop {
        match updater.step()? {
            Step::Fetch(request) => ask(mirror, fetcher, &mut updater, &request)?,
            Step::Current if !searched => {
                searched = true;
                updater.search(&path)?;
            }
            Step::Found(target) => break target,
            Step::Current | Step::NotFound => bail!("the channel has no set {set:?}"),
        }
    };
    let name = target.file_names(true).into_iter().next().context("a target without a digest")?;
    let max = target.length.min(MANIFEST_LEN_MAX as u64);
    let bytes = mirror.read(fetcher, &format!("{}/{name}", layout::TARGETS), max)?;
    target.check_bytes(&bytes)?;
    let manifest = Manifest::parse(&bytes)?;
    delegated(&mut updater, &manifest, &mut |updater, request| {
        ask(mirror, fetcher, updater, request)
    })?;
    Ok((manifest, bytes))
}

/// Asks a mirror for the metadata that an updater needs next.
///
/// # Errors
/// TUF refuses, or it cannot be had.
pub(crate) fn ask(
    mirror: &Mirror,
    fetcher: &Fetcher,
    updater: &mut Updater,
    request: &Request,
) -> Result<()> {
    let file = format!("{}/{}", layout::METADATA, request.file_name());
    match mirror.read_if_there(fetcher, &file, request.max_bytes)? {
        Some(bytes) => updater.reply(Reply::Bytes(&bytes))?,
        None => updater.reply(Reply::Missing)?,
    }
    Ok(())
}

/// Attests the current release of a channel.
///
/// # Errors
/// It cannot be rebuilt, or the key refuses.
pub(crate) fn attest(
    home: &Home,
    channel: &str,
    own: Option<&Path>,
    out: Option<&Path>,
    now: Time,
) -> Result<(Rebuilt, PathBuf)> {
    let mirror: Mirror = channel.parse()?;
    let fetcher = Fetcher::new(FetchOptions::default());
    let root = files::read(&home.dir.join("root.json"), 512_000).context(
        "the channel's root is not known: put its root.json into this folder, or use init --root",
    )?;
    let (manifest, bytes) = current(&mirror, &fetcher, root, &home.operator.set, now)?;
    let work = home.dir.join("state/attest");
    let _ = fs::remove_dir_all(&work);
    let (mirrors, parts) = ([mirror.clone()], work.join("parts"));
    fs::create_dir_all(&parts)?;
    let at =
        At { mirrors: &mirrors, fetcher: &fetcher, current: None, before: None, parts: &parts };
    let rebuilt = rebuild(&manifest, &at, own, &work);
    let _ = fs::remove_dir_all(&work);
    rebuilt?;
    let digest = Digest::of(&bytes);
    let note = sign(home, &manifest, &digest, now)?;
    let folder = match (out, &mirror) {
        (Some(out), _) => out.to_owned(),
        (None, Mirror::Folder(folder)) => folder.clone(),
        (None, Mirror::Web(_)) => bail!("say with --out where the attestation goes"),
    };
    let path = folder.join(layout::attestation(&digest, &home.operator.name));
    files::write(&path, note.to_string().as_bytes())?;
    Ok((Rebuilt { manifest, digest }, path))
}

/// Signs the statement on a release.
fn sign(home: &Home, manifest: &Manifest, digest: &Digest, now: Time) -> Result<Note> {
    let statement = statement(manifest, digest, now);
    ensure!(statement.is_well_formed(), "the release cannot be written as a statement");
    let mut note = Note::new(statement.to_string())?;
    for (kind, key) in home.note_keys("publisher")? {
        sign_note(&key, &home.key_name("publisher"), kind, &mut note, now)?;
    }
    Ok(note)
}

/// Returns the statement that a release is what it says.
pub(crate) fn statement(manifest: &Manifest, digest: &Digest, now: Time) -> Statement {
    let sorted = |mut files: Vec<Named>| {
        files.sort();
        files
    };
    let named = |blob: &hf_channel::Blob| Named { name: blob.name.clone(), sha256: blob.sha256.0 };
    let sources = manifest.sources.iter().flat_map(|source| &source.files);
    Statement {
        set: manifest.set.clone(),
        release: manifest.release,
        manifest: digest.0,
        packs: sorted(manifest.packs.iter().map(|pack| named(&pack.blob)).collect()),
        sources: sorted(sources.map(named).collect()),
        builder: format!("holdfast {COMPILER_VERSION}"),
        time: now,
    }
}
