//! A full copy of a channel, every byte of which is checked.
//!
//! Objects, manifests and statements come first, `timestamp.json` last, so that those who read the copy
//! meanwhile see the old or the new channel.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use hf_channel::{Digest, MANIFEST_LEN_MAX, Manifest, Now, layout};
use hf_trust::Time;
use hf_trust::log::LogProof;
use hf_trust::log::tile::Tile;
use hf_trust::quorum::Bundle;
use hf_trust::tuf::{Limits, Reply, Request, Step, Trusted, Updater};
use hf_update::channel::{Mirror, delegated};
use hf_update::{FetchOptions, Fetcher};

use crate::delegate::FILE_LEN_MAX;
use crate::files;

/// Ours: no metadata file is longer.
const METADATA_MAX: u64 = 64 << 20;
/// Ours: releases that are followed back.
const RELEASES_MAX: usize = 10_000;

/// What was copied.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) here: u64,
}

struct Copy<'a> {
    mirror: Mirror,
    fetcher: Fetcher,
    to: &'a Path,
    done: Copied,
}

/// Makes a full copy of a channel's current release, and of earlier manifests and proofs.
///
/// # Errors
/// TUF refuses, something is missing or has another digest, or the disk fails.
pub(crate) fn mirror(
    from: &str,
    to: &Path,
    root: Vec<u8>,
    sets: &[String],
    now: Time,
) -> Result<Copied> {
    fs::create_dir_all(to)?;
    let fetcher = Fetcher::new(FetchOptions::default());
    let mut copy = Copy { mirror: from.parse()?, fetcher, to, done: Copied::default() };
    let trusted = Trusted { root, ..Trusted::default() };
    let mut updater = Updater::new(trusted, now, Limits::default())?;
    let mut last = Vec::new();
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    let mut ask = |copy: &Copy<'_>, updater: &mut Updater, request: &Request| -> Result<()> {
        let path = format!("{}/{}", layout::METADATA, request.file_name());
        match copy.mirror.read_if_there(&copy.fetcher, &path, request.max_bytes)? {
            Some(bytes) => {
                updater.reply(Reply::Bytes(&bytes))?;
                seen.push((path, bytes));
            }
            None => updater.reply(Reply::Missing)?,
        }
        Ok(())
    };
    while let Step::Fetch(request) = updater.step()? {
        ask(&copy, &mut updater, &request)?;
    }
    let targets = updater.targets().context("the channel has no targets")?.targets.clone();
    let mut logs: BTreeSet<String> = BTreeSet::new();
    for target in targets.values() {
        let Some(set) = target.path.strip_suffix("/manifest.json") else { continue };
        if !sets.is_empty() && !sets.iter().any(|wanted| wanted == set) {
            continue;
        }
        let name = target.file_names(true).into_iter().next().context("a target without digest")?;
        let path = format!("{}/{name}", layout::TARGETS);
        let bytes = copy.mirror.read(&copy.fetcher, &path, MANIFEST_LEN_MAX as u64)?;
        target.check_bytes(&bytes)?;
        let manifest = Manifest::parse(&bytes)?;
        delegated(&mut updater, &manifest, &mut |updater, request| ask(&copy, updater, request))?;
        copy.delegated_files(&updater, &manifest)?;
        copy.release(set, &bytes, &mut logs)?;
        copy.put(&path, &bytes)?;
    }
    ensure!(copy.done.files > 0, "the channel names no set that is wanted");
    for log in logs {
        copy.log(&log)?;
    }
    // The roots before the one that is trusted are for clients that start from them.
    for version in 1u64.. {
        let path = format!("{}/{version}.root.json", layout::METADATA);
        let Some(bytes) = copy.mirror.read_if_there(&copy.fetcher, &path, METADATA_MAX)? else {
            break;
        };
        copy.put(&path, &bytes)?;
    }
    for (path, bytes) in seen {
        if path.ends_with("/timestamp.json") {
            last.push((path, bytes));
        } else {
            copy.put(&path, &bytes)?;
        }
    }
    let root = updater.root().header.version;
    for (path, bytes) in last {
        let now = Now::new(root, &bytes).context("the timestamp is no text")?;
        copy.put(layout::NOW, &now.to_bytes()?)?;
        copy.put(&path, &bytes)?;
    }
    Ok(copy.done)
}

impl Copy<'_> {
    /// Copies the files that maintainers of sources signed, for TUF clients that know nothing of manifests.
    fn delegated_files(&mut self, updater: &Updater, manifest: &Manifest) -> Result<()> {
        for source in &manifest.sources {
            let role = updater.role_targets(&layout::source_role(&source.id));
            let folder = layout::source_target(&manifest.set, &source.id, "");
            for target in role.into_iter().flat_map(|role| role.targets.values()) {
                let inside = target.path.strip_prefix(&folder).is_some_and(layout::is_plain_name);
                let Some(name) = target.file_names(true).into_iter().next().filter(|_| inside)
                else {
                    continue;
                };
                let path = format!("{}/{name}", layout::TARGETS);
                let max = target.length.min(FILE_LEN_MAX);
                let bytes = self.mirror.read(&self.fetcher, &path, max)?;
                target.check_bytes(&bytes)?;
                self.put(&path, &bytes)?;
            }
        }
        Ok(())
    }

    /// Copies what a manifest names, its proofs, and the manifests before it.
    fn release(&mut self, set: &str, bytes: &[u8], logs: &mut BTreeSet<String>) -> Result<()> {
        let manifest = Manifest::parse(bytes)?;
        for stored in manifest.objects() {
            self.object(&stored)?;
        }
        self.proofs(&Digest::of(bytes), logs)?;
        let mut previous = manifest.previous;
        for _ in 0..RELEASES_MAX {
            let Some(digest) = previous else { break };
            let path = layout::manifest(set, &digest);
            let max = MANIFEST_LEN_MAX as u64;
            // Old manifests may be gone: the current release does not need them.
            let Some(bytes) = self.mirror.read_if_there(&self.fetcher, &path, max)? else { break };
            ensure!(Digest::of(&bytes) == digest, "{path} has another digest");
            let manifest = Manifest::parse(&bytes)?;
            if let Some(changes) = manifest.changes {
                let path = layout::object(&changes.sha256);
                if self.mirror.read_if_there(&self.fetcher, &path, changes.size)?.is_some() {
                    self.object(&changes)?;
                }
            }
            self.proofs(&digest, logs)?;
            self.put(&path, &bytes)?;
            previous = manifest.previous;
        }
        Ok(())
    }

    /// Copies the proofs of a manifest, and remembers the logs that they are of.
    fn proofs(&mut self, manifest: &Digest, logs: &mut BTreeSet<String>) -> Result<()> {
        let path = layout::proofs(manifest);
        let Some(bytes) = self.mirror.read_if_there(&self.fetcher, &path, 1 << 20)? else {
            return Ok(());
        };
        let bundle = Bundle::parse(&bytes).with_context(|| path.clone())?;
        for proof in bundle.attestations.iter().flat_map(|attestation| &attestation.proofs) {
            let proof = LogProof::parse(proof.as_bytes()).with_context(|| path.clone())?;
            logs.insert(proof.checkpoint.origin);
        }
        self.put(&path, &bytes)
    }

    /// Copies the channel's copy of a log, if it has one.
    fn log(&mut self, origin: &str) -> Result<()> {
        let folder = format!("{}/{}", layout::LOG, layout::file_name(origin));
        let path = format!("{folder}/checkpoint");
        let Some(checkpoint) = self.mirror.read_if_there(&self.fetcher, &path, 1 << 20)? else {
            return Ok(());
        };
        let note = hf_trust::log::Note::parse(&checkpoint).with_context(|| path.clone())?;
        let head = hf_trust::log::Checkpoint::parse(note.text());
        let head = head.with_context(|| format!("{path} is no checkpoint"))?;
        for tile in Tile::new_in(0, head.size) {
            let mut paths = vec![format!("{folder}/{}", tile.path())];
            if tile.level == 0 {
                paths.push(format!("{folder}/{}", tile.entries_path()));
            }
            for path in paths {
                let bytes = self.mirror.read(&self.fetcher, &path, 32 << 20)?;
                self.put(&path, &bytes)?;
            }
        }
        self.put(&path, &checkpoint)
    }

    fn object(&mut self, stored: &hf_channel::Stored) -> Result<()> {
        let path = layout::object(&stored.sha256);
        let to = self.to.join(&path);
        self.done.files += 1;
        self.done.bytes += stored.size;
        if is_whole(&to, stored) {
            self.done.here += 1;
            return Ok(());
        }
        let folder = to.parent().context("a path without a folder")?;
        fs::create_dir_all(folder)?;
        let part = folder.join(format!(".{}", stored.sha256));
        self.mirror.download(&self.fetcher, &path, &part, stored.size)?;
        if !is_whole(&part, stored) {
            fs::remove_file(&part)?;
            anyhow::bail!("{}: {path} has another digest", self.mirror);
        }
        File::open(&part)?.sync_all()?;
        fs::rename(&part, &to).with_context(|| format!("cannot write {}", to.display()))
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let to = self.to.join(path);
        self.done.files += 1;
        self.done.bytes += bytes.len() as u64;
        if files::read_if_there(&to, u64::MAX - 1)?.as_deref() == Some(bytes) {
            self.done.here += 1;
            return Ok(());
        }
        files::write(&to, bytes)
    }
}

fn is_whole(path: &Path, stored: &hf_channel::Stored) -> bool {
    let found = File::open(path).and_then(Digest::of_reader);
    found.is_ok_and(|(digest, len)| digest == stored.sha256 && len == stored.size)
}
