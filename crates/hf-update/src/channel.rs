//! A Holdfast channel as a source: metadata, statements and proofs are verified, then content is put
//! together from what is at hand and what is fetched.
//!
//! The same code reads a web server, a folder, and a bundle on a stick: each is a [`Mirror`]. Mirrors are
//! asked in order; what one of them lacks, or spoils, is asked of the next.
//! Promises: nothing is offered unless TUF accepts it, enough publishers attest the same manifest, and
//! witnessed logs hold their statements (`hf-trust` decides all three); every file has the digest that
//! the manifest says. What was believed is on the disk before anything follows from it. A refusal names
//! the attack that it would have been, and leaves in use what is in use.
//! Leaves out: activation, and when to look.

mod assemble;
mod bundle;
mod check;
mod config;
mod delegated;
mod early;
mod history;
mod memory;
mod mirror;
mod monitor;
mod rebuild;
mod verify;

use std::path::{Path, PathBuf};

use hf_channel::{Blob, Digest, Manifest};
use hf_content::COMPILER_VERSION;
use hf_trust::Time;
use hf_trust::quorum::{Accepted, Policy};

use crate::provenance::Provenance;
use crate::source::{Context, Note, Offer, Outcome, Source, SourceError};

pub use assemble::{At, assemble};
pub use bundle::{ExportError, ExportOptions, Exported, export, from_oci, is_oci, to_oci};
pub use check::{Checked, Refusal, check};
pub use config::ChannelConfigError;
pub use delegated::{WrongRole, delegated};
pub use history::{Attested, Origin, Release, kept_lines, origins, releases};
pub use memory::{Kept, Memory, MemoryError};
pub use mirror::{Mirror, MirrorError, NoMirror};
pub use monitor::{Alarm, AlarmKind, Followed, Monitor, MonitorError};
pub use rebuild::{RebuildError, rebuild};
pub use verify::{Verified, verify};

/// What is taken of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Take {
    /// Compiled packs, when they are of this engine's compiler; else sources.
    #[default]
    Packs,
    /// Sources, to be compiled here.
    Sources,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// Name of the source: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Which set of the channel.
    pub set: String,
    /// Mirrors in order: addresses or folders.
    pub mirrors: Vec<Mirror>,
    /// The root that the owner trusts at first: the file's bytes.
    pub root: Vec<u8>,
    /// Whom the owner believes.
    pub policy: Policy,
    /// What is taken.
    pub take: Take,
    /// Uses that the owner makes of content; a source that forbids one of them is left out.
    pub uses: Vec<String>,
}

impl Source for Channel {
    fn name(&self) -> &str {
        &self.name
    }

    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError> {
        let memory = Memory::open(context.memory).map_err(memory_error)?;
        let now = Time::from_unix(i64::try_from(context.now).unwrap_or(i64::MAX));
        let checked = self.ask(context, &memory, now)?;
        if let Checked::Same { fresh_until, .. } = &checked
            && self.in_use(context, &memory)
        {
            self.tell_staleness(context, *fresh_until, now);
            return Ok(Outcome::UpToDate);
        }
        let Some((accepted, manifest_bytes)) = self.believed(&checked, &memory, context, now)?
        else {
            return Ok(Outcome::UpToDate);
        };
        let manifest = Manifest::parse(&manifest_bytes)
            .map_err(|err| SourceError::refused("manifest", err.to_string()))?;
        self.tell(context, &accepted, now);
        if context.check_only {
            return Ok(Outcome::Available(format!(
                "release {} of {}",
                manifest.release, manifest.set
            )));
        }
        let offers = self.offers(context, &memory, &manifest, &accepted)?;
        self.changes(context, &memory, &manifest);
        memory.set_offered(&manifest_bytes).map_err(memory_error)?;
        Ok(Outcome::New(offers))
    }
}

impl Channel {
    /// Asks one mirror after the other for metadata and proofs, until one is believed.
    fn ask(
        &self,
        context: &mut Context<'_>,
        memory: &Memory,
        now: Time,
    ) -> Result<Checked, SourceError> {
        let mut refused: Vec<String> = Vec::new();
        let mut stale = None;
        for mirror in &self.mirrors {
            match check(self, mirror, context.fetcher, memory, now) {
                // A mirror may be asleep while others go on.
                Ok(same @ Checked::Same { .. })
                    if self.mirrors.len() > 1 && self.is_late(&same, now) =>
                {
                    stale = Some(same);
                }
                Ok(checked) => return Ok(checked),
                Err(refusal) => {
                    let text = format!("{mirror}: {refusal}");
                    (context.tell)(Note::Warning(text.clone()));
                    refused.push(text);
                }
            }
        }
        match stale {
            Some(same) => Ok(same),
            None if refused.is_empty() => {
                Err(SourceError::refused(&*self.name, "there is no mirror to ask"))
            }
            None => Err(SourceError::refused(&*self.name, refused.join("; "))),
        }
    }

    fn is_late(&self, checked: &Checked, now: Time) -> bool {
        let Checked::Same { fresh_until, .. } = checked else { return false };
        let bound = self.policy.rules_for(&self.set).stale_after_seconds;
        fresh_until.is_none_or(|until| now.seconds_since(until) > bound)
    }

    /// True when what was accepted last is what is in use: putting it together may have failed.
    fn in_use(&self, context: &Context<'_>, memory: &Memory) -> bool {
        let last = memory.last().ok().flatten();
        let Some(manifest) = last.and_then(|last| Manifest::parse(&last.manifest).ok()) else {
            return false;
        };
        let release = version_of(&manifest);
        !context.current_files.is_empty()
            && context.current_files.iter().all(|file| file.provenance.version == release)
    }

    /// Returns what is believed now: of this update, or of an earlier one whose content is not in use.
    fn believed(
        &self,
        checked: &Checked,
        memory: &Memory,
        context: &mut Context<'_>,
        now: Time,
    ) -> Result<Option<(Accepted, Vec<u8>)>, SourceError> {
        match checked {
            Checked::New { accepted, manifest } => {
                Ok(Some(((**accepted).clone(), manifest.clone())))
            }
            Checked::Same { .. } => {
                let again = memory.recheck(self, now);
                match again {
                    Ok(found) => Ok(found),
                    Err(refusal) => {
                        (context.tell)(Note::Warning(refusal.to_string()));
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Remembers what changed. It is for people: without it content is no worse.
    fn changes(&self, context: &mut Context<'_>, memory: &Memory, manifest: &Manifest) {
        let Some(changes) = manifest.changes.filter(|changes| changes.size <= CHANGES_LEN_MAX)
        else {
            return;
        };
        let path = hf_channel::layout::object(&changes.sha256);
        let bytes = self.mirrors.iter().find_map(|mirror| {
            let bytes = mirror.read(context.fetcher, &path, changes.size).ok()?;
            (Digest::of(&bytes) == changes.sha256).then_some(bytes)
        });
        let kept = bytes.is_some_and(|bytes| memory.set_changes(manifest.release, &bytes).is_ok());
        if !kept {
            (context.tell)(Note::Warning("the list of changes is not to be had".to_owned()));
        }
    }

    fn tell(&self, context: &mut Context<'_>, accepted: &Accepted, now: Time) {
        let logs: Vec<String> =
            accepted.logs.iter().map(|(log, index)| format!("{log} entry {index}")).collect();
        (context.tell)(Note::Info(format!(
            "release {} of {}: attested by {}; in {}",
            accepted.statement.release,
            self.set,
            accepted.publishers.join(", "),
            logs.join(", ")
        )));
        for publisher in &accepted.dissenting {
            let text = format!("{publisher} vouches for other content: ask why");
            (context.tell)(Note::Warning(text));
        }
        self.tell_staleness(context, Some(accepted.fresh_until), now);
        if let Some(behind) = accepted.clock_behind_seconds {
            let text = format!("this machine's clock is {behind} s behind what witnesses say");
            (context.tell)(Note::Warning(text));
        }
    }

    fn tell_staleness(&self, context: &mut Context<'_>, fresh_until: Option<Time>, now: Time) {
        let bound = self.policy.rules_for(&self.set).stale_after_seconds;
        let Some(until) = fresh_until else { return };
        if now.seconds_since(until) > bound {
            (context.tell)(Note::Warning(format!(
                "STALE: nobody vouches for this content since {until}; it stays in use"
            )));
        }
    }

    /// Puts together the files of a release.
    fn offers(
        &self,
        context: &mut Context<'_>,
        memory: &Memory,
        manifest: &Manifest,
        accepted: &Accepted,
    ) -> Result<Vec<Offer>, SourceError> {
        let before = memory.offered();
        let at = At {
            mirrors: &self.mirrors,
            fetcher: context.fetcher,
            current: context.current,
            before: before.as_ref(),
            parts: &memory.parts(),
        };
        let mut offers = Vec::new();
        for wanted in self.wanted(manifest, context) {
            let path = context.staging.join(&wanted.blob.name);
            let how = assemble(&at, wanted.blob, &path)
                .map_err(|err| SourceError::refused(&*wanted.blob.name, err.to_string()))?;
            (context.tell)(Note::Detail(format!("{}: {how}", wanted.blob.name)));
            let provenance = Provenance {
                publisher: accepted.publishers.join(", "),
                version: version_of(manifest),
                proof: proof_of(accepted),
                ..wanted.provenance
            };
            offers.push(Offer { name: wanted.blob.name.clone(), path, provenance });
        }
        if offers.is_empty() {
            return Err(SourceError::Forbidden("every source forbids this use".to_owned()));
        }
        Ok(offers)
    }

    /// Returns which files of a release are taken.
    fn wanted<'a>(&self, manifest: &'a Manifest, context: &mut Context<'_>) -> Vec<Wanted<'a>> {
        let forbidden: Vec<&str> = manifest
            .sources
            .iter()
            .filter(|source| source.forbids.iter().any(|used| self.uses.contains(used)))
            .map(|source| source.id.as_str())
            .collect();
        for id in &forbidden {
            let text = format!("the source {id} forbids this use, and is left out");
            (context.tell)(Note::Warning(text));
        }
        let other = manifest.packs.iter().any(|pack| pack.compiler != COMPILER_VERSION);
        // A pack holds all sources: with one left out, the others are compiled here.
        let packs = self.take == Take::Packs && forbidden.is_empty();
        if packs && !other && !manifest.packs.is_empty() {
            return manifest.packs.iter().map(|pack| pack_wanted(manifest, &pack.blob)).collect();
        }
        if packs && other {
            (context.tell)(Note::Info(
                "packs are of another compiler version; sources are taken".to_owned(),
            ));
        }
        let sources =
            manifest.sources.iter().filter(|source| !forbidden.contains(&source.id.as_str()));
        sources
            .flat_map(|source| {
                source.files.iter().map(|blob| Wanted {
                    blob,
                    provenance: Provenance {
                        url: source.url.clone(),
                        author: source.author.clone(),
                        licence: source.licence.clone(),
                        fetched_at: context.now,
                        ..Provenance::default()
                    },
                })
            })
            .collect()
    }
}

/// Ours: a longer list is nothing to be read.
const CHANGES_LEN_MAX: u64 = 64 << 20;

/// A file that is taken.
struct Wanted<'a> {
    blob: &'a Blob,
    provenance: Provenance,
}

/// A pack is of all authors, under all licences.
fn pack_wanted<'a>(manifest: &Manifest, blob: &'a Blob) -> Wanted<'a> {
    let joined = |of: fn(&hf_channel::SourceEntry) -> &String| {
        let mut all: Vec<&str> = manifest.sources.iter().map(|s| of(s).as_str()).collect();
        all.retain(|text| !text.is_empty());
        all.dedup();
        all.join("; ")
    };
    let provenance = Provenance {
        url: joined(|source| &source.url),
        author: joined(|source| &source.author),
        licence: joined(|source| &source.licence),
        ..Provenance::default()
    };
    Wanted { blob, provenance }
}

/// The version of a release's files, as it stands in a set.
fn version_of(manifest: &Manifest) -> String {
    format!("release {} of {}", manifest.release, manifest.set)
}

fn proof_of(accepted: &Accepted) -> String {
    let logs: Vec<String> =
        accepted.logs.iter().map(|(log, index)| format!("{log}#{index}")).collect();
    format!("{} publishers; {}", accepted.publishers.len(), logs.join(" "))
}

fn memory_error(error: MemoryError) -> SourceError {
    SourceError::io(error.path, error.kind)
}

/// Returns where a channel's source remembers things below a store.
#[must_use]
pub fn memory_folder(store: &Path, name: &str) -> PathBuf {
    store.join("memory").join(name)
}
