//! Verifies everything of a channel once more, from the root down, without a network.

use std::fs::File;
use std::path::Path;

use hf_channel::{Digest, Manifest, layout};
use hf_trust::Time;
use hf_trust::quorum::Accepted;
use hf_trust::tuf::{Limits, Reply, Request, Role, Step, Trusted, Updater};

use super::delegated::delegated;
use super::memory::{Kept, Memory};
use super::{Channel, Refusal};

/// What was verified.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The release in use.
    pub manifest: Manifest,
    /// By whom it is attested, with which proofs.
    pub accepted: Accepted,
    /// The version of root that the chain ends with.
    pub root_version: u64,
    /// Files whose digest was compared.
    pub files: usize,
    /// What is not as it should be.
    pub complaints: Vec<String>,
}

/// Verifies the last accepted release: root after root, the metadata as they were when they were
/// accepted, statements and proofs under the owner's policy as it is now, and the files in use.
///
/// # Errors
/// Something is refused, or nothing was accepted yet (none).
pub fn verify(
    channel: &Channel,
    memory: &Memory,
    current: Option<&Path>,
    now: Time,
) -> Result<Option<Verified>, Refusal> {
    let Some(Kept { manifest, .. }) = memory.last()? else { return Ok(None) };
    let digest = Digest::of(&manifest);
    let mut complaints = Vec::new();
    let parsed = Manifest::parse(&manifest)?;
    let root_version = chain(channel, memory, &digest, &parsed)?;
    let Some((accepted, _)) = memory.recheck(channel, now)? else { return Ok(None) };
    let late = accepted.stale_by_seconds.map(|_| accepted.fresh_until);
    complaints.extend(late.map(|until| format!("stale: nobody vouches for it since {until}")));
    let mut files = 0;
    for blob in parsed.blobs() {
        let Some(path) = current.map(|folder| folder.join(&blob.name)) else { continue };
        if !path.exists() {
            continue;
        }
        files += 1;
        match File::open(&path).and_then(Digest::of_reader) {
            Ok((found, _)) if found == blob.sha256 => {}
            Ok((found, _)) => complaints.push(format!(
                "{}: its digest is {found}, and the release says {}",
                path.display(),
                blob.sha256
            )),
            Err(err) => complaints.push(format!("{}: {err}", path.display())),
        }
    }
    if files == 0 {
        complaints.push("no file of this release is in use".to_owned());
    }
    Ok(Some(Verified { manifest: parsed, accepted, root_version, files, complaints }))
}

/// Goes from the owner's root to the manifest, and to the roles of delegated sources, through what is
/// remembered. Whether it has expired by now is not asked: the network is, and it is told as staleness.
fn chain(
    channel: &Channel,
    memory: &Memory,
    digest: &Digest,
    manifest: &Manifest,
) -> Result<u64, Refusal> {
    let trusted = Trusted { root: channel.root.clone(), ..Trusted::default() };
    let then = memory.accepted_at().unwrap_or(Time::from_unix(0));
    let mut updater = Updater::new(trusted, then, Limits::default())?;
    let path = layout::manifest_target(&channel.set);
    let mut searched = false;
    loop {
        match updater.step()? {
            Step::Fetch(request) => remembered(&mut updater, &request, memory)?,
            Step::Current if !searched => {
                searched = true;
                updater.search(&path)?;
            }
            Step::Found(target) => {
                let named = target.hashes.get("sha256").map(String::as_str);
                if named != Some(digest.to_string().as_str()) {
                    let why = "the metadata name another manifest than the one accepted";
                    return Err(Refusal::Mixed(why.to_owned()));
                }
                break;
            }
            Step::Current | Step::NotFound => {
                return Err(Refusal::Mixed(format!("the metadata do not name {path}")));
            }
        }
    }
    delegated(&mut updater, manifest, &mut |updater, request| {
        remembered(updater, request, memory)
    })?;
    Ok(updater.root().header.version)
}

/// Replies with what is remembered.
fn remembered(updater: &mut Updater, request: &Request, memory: &Memory) -> Result<(), Refusal> {
    let bytes = match (&request.role, request.version) {
        (Role::Root, Some(version)) => memory.root(version)?,
        (role, _) => memory.trusted_role(role.name())?,
    };
    match bytes {
        Some(bytes) => updater.reply(Reply::Bytes(&bytes))?,
        None => updater.reply(Reply::Missing)?,
    }
    Ok(())
}
