//! What changed, when, by whom, with which proof: out of the releases that a machine remembers.

use hf_channel::{Change, ChangeKind, Changes, Digest, Manifest};
use hf_trust::Time;
use hf_trust::log::{LogProof, Note};
use hf_trust::quorum::{Bundle, Policy, Statement};

use super::memory::{Kept, Memory, MemoryError};

/// A release as it is remembered.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its manifest.
    pub manifest: Manifest,
    /// The digest of the manifest.
    pub digest: Digest,
    /// Who attested it.
    pub attested: Vec<Attested>,
    /// What changed; none when it is not known.
    pub changes: Option<Changes>,
}

/// A publisher's statement, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The publisher, by the policy's name.
    pub by: String,
    /// When they said so.
    pub time: Time,
    /// Logs that have it, with the entry.
    pub places: Vec<(String, u64)>,
}

/// Where a signature comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// What happened to it.
    pub change: Change,
    /// In which release.
    pub release: u64,
    /// When that was made.
    pub created: String,
}

/// Returns the releases that are remembered, oldest first.
///
/// # Errors
/// They cannot be read.
pub fn releases(memory: &Memory, policy: &Policy) -> Result<Vec<Release>, MemoryError> {
    let mut found = Vec::new();
    for Kept { manifest, proofs } in memory.releases()? {
        let Ok(parsed) = Manifest::parse(&manifest) else { continue };
        found.push(Release {
            attested: attested(&proofs, policy),
            changes: memory.changes(parsed.release),
            digest: Digest::of(&manifest),
            manifest: parsed,
        });
    }
    Ok(found)
}

fn attested(proofs: &[u8], policy: &Policy) -> Vec<Attested> {
    let bundle = Bundle::parse(proofs).unwrap_or_default();
    let each = bundle.attestations.iter().filter_map(|attestation| {
        let note = Note::parse(attestation.note.as_bytes()).ok()?;
        let by = policy.publishers.iter().find(|publisher| publisher.verify(&note).is_ok())?;
        let statement = Statement::parse(note.text()).ok()?;
        let places = attestation.proofs.iter().filter_map(|proof| {
            let proof = LogProof::parse(proof.as_bytes()).ok()?;
            proof.verify_entry(attestation.note.as_bytes()).ok()?;
            Some((proof.checkpoint.origin, proof.index))
        });
        Some(Attested { by: by.name.clone(), time: statement.time, places: places.collect() })
    });
    each.collect()
}

/// Returns what is remembered of a signature, oldest first.
#[must_use]
pub fn origins(releases: &[Release], name: &str) -> Vec<Origin> {
    let mut found = Vec::new();
    for release in releases {
        let changes = release.changes.iter().flat_map(|changes| &changes.list);
        for change in changes.filter(|change| change.name == name) {
            found.push(Origin {
                change: change.clone(),
                release: release.manifest.release,
                created: release.manifest.created.clone(),
            });
        }
    }
    found
}

/// Returns the lines of withdrawn signatures that an owner keeps, by the file that they were in.
#[must_use]
pub fn kept_lines(releases: &[Release], names: &[String]) -> Vec<(String, String)> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for name in names {
        let all = origins(releases, name);
        let Some(last) = all.last().filter(|last| last.change.kind == ChangeKind::Removed) else {
            continue;
        };
        lines.push((last.change.file.clone(), last.change.line.clone()));
    }
    lines
}
