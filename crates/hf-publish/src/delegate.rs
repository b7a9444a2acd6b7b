//! Sources that are delegated: their maintainers sign the files, the channel's keeper only takes them.
//!
//! For TUF each is a role `source-ID`, to which the targets role delegates `SET/sources/ID/*`, terminating.
//! Its maintainers hand in metadata and files (see [`crate::source`]); a build takes them together with the
//! delegation, so that clients never see a release without the signatures that it needs.
//! Promises: what is handed in is hostile until it is verified: signatures, version, expiry, paths, digests.
//! What does not hold is told and left lying, and the files signed before stay. Those who sign for one
//! source can neither name files of another, nor delegate further.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use hf_channel::layout;
use hf_trust::Time;
use hf_trust::log::Verifier;
use hf_trust::tuf::{
    DelegatedRole, Delegations, Envelope, PathSet, Role, RoleKeys, Target, Targets, TufKey,
};

use crate::build::is_source;
use crate::files;
use crate::home::{Home, Maintainers, SourceConfig};
use crate::repository::Repository;

/// Ours: most bytes of what maintainers sign, as clients take it.
pub(crate) const ROLE_LEN_MAX: u64 = 5_000_000;
/// Ours: most bytes of a file that maintainers sign; it is in memory once.
pub(crate) const FILE_LEN_MAX: u64 = 2 << 30;
/// Ours: most files of a source.
pub(crate) const FILES_MAX: usize = 256;
/// Ours: most maintainers of a source.
const MAINTAINERS_MAX: usize = 64;

/// The role of a source, with what it signed.
pub(crate) struct SourceRole {
    /// The delegation.
    pub(crate) delegated: DelegatedRole,
    /// The keys that the delegation names.
    keys: Vec<TufKey>,
    /// The version of its metadata.
    pub(crate) version: u64,
    /// Its metadata.
    pub(crate) bytes: Vec<u8>,
    /// Its files, by name.
    pub(crate) files: Vec<(String, Target)>,
}

/// Reads the keys of maintainers: each has one Ed25519 key, or one and an ML-DSA-44 key beside it.
///
/// # Errors
/// The keys are none that a source can be delegated to, or fewer than the threshold.
pub(crate) fn maintainers(keys: &[Vec<Verifier>], threshold: u64) -> Result<Maintainers> {
    ensure!(!keys.is_empty(), "--key is needed: the public key of a maintainer, or a file of it");
    ensure!(keys.len() <= MAINTAINERS_MAX, "more than {MAINTAINERS_MAX} maintainers");
    let number = keys.len() as u64;
    ensure!(
        (1..=number).contains(&threshold),
        "--threshold {threshold}: there are {number} maintainers"
    );
    let mut seen: Vec<&[u8]> = Vec::new();
    for key in keys.iter().flatten() {
        ensure!(!key.kind().is_cosignature(), "{key} is the key of a witness");
        ensure!(!seen.contains(&key.key().as_bytes()), "{key} is given twice");
        seen.push(key.key().as_bytes());
    }
    let schemes = |keys: &Vec<Verifier>| {
        let mut schemes: Vec<String> = keys.iter().map(|k| k.key().scheme().to_string()).collect();
        schemes.sort();
        schemes
    };
    let first = keys.first().map(schemes).unwrap_or_default();
    ensure!(
        first.len() <= 2,
        "a maintainer has one key, or one of each scheme: name each by --key"
    );
    let mut distinct = first.clone();
    distinct.dedup();
    ensure!(
        distinct == first,
        "a maintainer has two keys of one scheme: name each by its own --key"
    );
    ensure!(
        keys.iter().all(|keys| schemes(keys) == first),
        "maintainers of one source have keys of the same schemes: all with --post-quantum, or none"
    );
    let keys = keys.iter().map(|keys| keys.iter().map(ToString::to_string).collect()).collect();
    Ok(Maintainers { threshold, keys })
}

/// Returns the delegations to these roles; none when there are none.
pub(crate) fn delegations(roles: &[SourceRole]) -> Option<Delegations> {
    let keys = roles.iter().flat_map(|role| &role.keys).map(|key| (key.id(), key.clone()));
    let all = roles.iter().map(|role| role.delegated.clone()).collect();
    (!roles.is_empty()).then(|| Delegations {
        keys: keys.collect(),
        roles: all,
        ..Delegations::default()
    })
}

/// Returns the delegation of a source, with its keys.
fn delegation(
    set: &str,
    source: &str,
    maintainers: &Maintainers,
) -> Result<(DelegatedRole, Vec<TufKey>)> {
    let mut keys = Vec::new();
    for line in maintainers.keys.iter().flatten() {
        let key = Verifier::parse(line).with_context(|| format!("source {source}: {line}"))?;
        keys.push(TufKey::new(key.key().clone()));
    }
    let each = maintainers.keys.first().map_or(0, Vec::len) as u64;
    let needed = maintainers.threshold.saturating_mul(each.max(1));
    let mut by = RoleKeys::new(keys.iter().map(TufKey::id).collect(), needed);
    if each > 1 {
        // With a post-quantum key beside it, neither of the two is enough.
        let of = |key: &TufKey| (key.keytype().to_owned(), maintainers.threshold);
        by.by_keytype = keys.iter().map(of).collect();
    }
    let delegated = DelegatedRole {
        name: layout::source_role(source),
        keys: by,
        terminating: true,
        paths: PathSet::Patterns(vec![layout::source_target(set, source, "*")]),
        extra: Default::default(),
    };
    Ok((delegated, keys))
}

/// Finds what the maintainers of a source signed last, and copies its files into a folder; none for a
/// source that is not delegated.
///
/// # Errors
/// Nothing that they signed holds, neither what is handed in nor what was taken before.
pub(crate) fn take(
    home: &Home,
    repository: &Repository<'_>,
    source: &SourceConfig,
    to: &Path,
    now: Time,
) -> Result<Option<SourceRole>> {
    let Some(maintainers) = &source.maintainers else { return Ok(None) };
    let set = &home.operator.set;
    let (delegated, keys) = delegation(set, &source.id, maintainers)?;
    let current = repository.delegated(&delegated.name)?;
    let taken = current.as_deref().and_then(|bytes| {
        Envelope::<Targets>::parse(&Role::Delegated(delegated.name.clone()), bytes).ok()
    });
    let taken = taken.map_or(0, |file| file.signed.header.version);
    let incoming = home.channel().join(layout::incoming(&source.id));
    let handed = files::read_if_there(&incoming, ROLE_LEN_MAX)
        .with_context(|| format!("source {}", source.id))?;
    // What was handed in and taken stays there.
    let handed = handed.filter(|bytes| current.as_ref() != Some(bytes));
    let mut why = Vec::new();
    for (bytes, lowest, from) in [
        (handed, taken.saturating_add(1), incoming.display().to_string()),
        (current, taken, "what was taken before".to_owned()),
    ] {
        let Some(bytes) = bytes else { continue };
        let mut role = SourceRole {
            delegated: delegated.clone(),
            keys: keys.clone(),
            version: 0,
            bytes,
            files: Vec::new(),
        };
        let done = verify(&mut role, (set, &source.id), lowest, now)
            .and_then(|()| fetch(home, &role, &source.id, to));
        match done {
            Ok(()) => {
                for why in why {
                    eprintln!("holdfast-publish: source {}: not taken: {why}", source.id);
                }
                return Ok(Some(role));
            }
            Err(err) => why.push(format!("{from}: {err:#}")),
        }
    }
    if why.is_empty() {
        why.push(format!("{} is not there", incoming.display()));
    }
    bail!(
        "source {} is delegated, and nothing that its maintainers signed holds: {}",
        source.id,
        why.join("; ")
    )
}

/// Verifies metadata of a source's maintainers, and fills in what they say.
fn verify(
    role: &mut SourceRole,
    (set, source): (&str, &str),
    lowest: u64,
    now: Time,
) -> Result<()> {
    let name = Role::Delegated(role.delegated.name.clone());
    let file = Envelope::<Targets>::parse(&name, &role.bytes)?;
    let keys = role.keys.iter().map(|key| (key.id(), key.clone())).collect();
    file.verify(&name, &role.delegated.keys, &keys)?;
    let header = &file.signed.header;
    ensure!(header.version >= lowest, "{name}: version {} is not a new one", header.version);
    // The next one has to have a number, too.
    ensure!(header.version < 1 << 53, "{name}: version {} is too high", header.version);
    ensure!(
        header.expires > now,
        "{name}: version {} expired at {}",
        header.version,
        header.expires
    );
    ensure!(file.signed.delegations.is_none(), "{name} delegates further, which it may not");
    ensure!(file.signed.targets.len() <= FILES_MAX, "{name} names more than {FILES_MAX} files");
    role.version = header.version;
    let folder = layout::source_target(set, source, "");
    for (path, target) in &file.signed.targets {
        let file = path.strip_prefix(&folder);
        let file = file.with_context(|| {
            format!("{name} names {path:?}, which is not of the source that it may sign")
        })?;
        ensure!(is_source(file), "{name} names {file:?}, which is no database");
        let digest = target
            .hashes
            .get("sha256")
            .is_some_and(|hex| hex.parse::<hf_channel::Digest>().is_ok());
        ensure!(digest, "{name}: {file} has no SHA-256");
        role.files.push((file.to_owned(), target.clone()));
    }
    ensure!(!role.files.is_empty(), "{name} names no file");
    Ok(())
}

/// Copies the files of a role into a folder, each with the digest that was signed; keeps them among the
/// targets, too, where other TUF clients look for them.
fn fetch(home: &Home, role: &SourceRole, source: &str, to: &Path) -> Result<()> {
    let incoming = home.channel().join(layout::INCOMING).join(layout::source_role(source));
    let mut placed = Vec::new();
    let mut all = role.files.iter();
    let done = all.try_for_each(|(name, target)| {
        let stored =
            target.file_names(true).into_iter().next().context("a file without a digest")?;
        let kept = home.channel().join(layout::TARGETS).join(&stored);
        let base = stored.rsplit('/').next().unwrap_or_default();
        let from = if kept.exists() { kept.clone() } else { incoming.join(base) };
        let bytes = files::read(&from, target.length.min(FILE_LEN_MAX))?;
        target.check_bytes(&bytes)?;
        let place = to.join(name);
        ensure!(!place.exists(), "{name} is in two sources: rename one of them");
        files::write(&place, &bytes)?;
        placed.push(place);
        if from == kept { Ok(()) } else { files::write(&kept, &bytes) }
    });
    if done.is_err() {
        // The files signed before take their place.
        placed.iter().for_each(|place| drop(fs::remove_file(place)));
    }
    done
}
