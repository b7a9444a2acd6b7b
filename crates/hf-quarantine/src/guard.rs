//! What is done about a file of which a verdict was told: the one door for programs, daemon and on-access.
//!
//! Promises: only `detected` leads to an action; a file of the distribution that is as it was made is spared unless the
//! owner says otherwise; a dry run looks at all that would stop the action, and changes nothing.

use std::fs::File;
use std::path::Path;

use hf_core::{Report, Verdict};

use crate::identity::Identity;
use crate::packages::OsPackages;
use crate::place::{Place, TakeError};
use crate::raw::Raw;
use crate::record::{Content, Finding, Id, Record};
use crate::vault::{Provenance, Vault};

/// What is done about a detected file.
#[derive(Debug)]
pub enum Action {
    /// Nothing.
    Report,
    /// It goes into the vault.
    Quarantine(Vault),
    /// It is removed for good.
    Remove,
}

/// A file about which a verdict was told.
#[derive(Debug)]
pub struct Seen<'s> {
    /// Its path; links in it are resolved.
    pub path: &'s Path,
    /// The very descriptor that was scanned.
    pub file: &'s File,
    /// What it was when it was opened for the scan.
    pub identity: Identity,
    /// The verdict.
    pub verdict: Verdict,
    /// What was found, what found it, and for whom.
    pub provenance: Provenance,
}

/// What was done.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing was to be done.
    Nothing,
    /// It is in the vault.
    Quarantined {
        /// The record.
        record: Box<Record>,
        /// Other names that the same file still has.
        links_left: u64,
    },
    /// It is removed.
    Removed {
        /// Other names that the same file still has.
        links_left: u64,
    },
    /// A dry run: nothing stands in the way.
    Would,
    /// A package of the distribution owns it, and it is as the package made it.
    Spared,
    /// It could not be done.
    Failed(TakeError),
}

impl Outcome {
    /// Returns the entry, if one was made.
    #[must_use]
    pub fn entry(&self) -> Option<Id> {
        match self {
            Self::Quarantined { record, .. } => Some(record.id),
            Self::Failed(TakeError::Remains { id, .. }) => Some(*id),
            _ => None,
        }
    }
}

/// Where detected files go. The daemon, on-access and the programs hold one.
pub trait QuarantineSink: Send + Sync {
    /// Does what is to be done about a file.
    fn act(&self, seen: Seen<'_>) -> Outcome;
}

/// Does an action.
#[derive(Debug)]
pub struct Guard {
    /// What is done.
    pub action: Action,
    /// Spares what these made; none spares nothing.
    pub packages: Option<OsPackages>,
    /// Nothing is changed.
    pub dry_run: bool,
}

impl QuarantineSink for Guard {
    fn act(&self, seen: Seen<'_>) -> Outcome {
        if seen.verdict != Verdict::Detected || matches!(self.action, Action::Report) {
            return Outcome::Nothing;
        }
        self.detected(seen).unwrap_or_else(Outcome::Failed)
    }
}

impl Guard {
    fn detected(&self, seen: Seen<'_>) -> Result<Outcome, TakeError> {
        let place = Place::of(seen.path)?;
        if let Some(packages) = &self.packages
            && packages.vouch_for(&place.path, seen.file)?
        {
            return Ok(Outcome::Spared);
        }
        if self.dry_run {
            place.check(seen.file, &seen.identity)?;
            return Ok(Outcome::Would);
        }
        match &self.action {
            Action::Report => Ok(Outcome::Nothing),
            Action::Quarantine(vault) => {
                let taken = vault.take(seen.path, seen.file, &seen.identity, seen.provenance)?;
                let (record, links_left) = (Box::new(taken.record), taken.links_left);
                Ok(Outcome::Quarantined { record, links_left })
            }
            Action::Remove => {
                place.check(seen.file, &seen.identity)?;
                let links_left = place.remove(seen.file, &seen.identity)?;
                Ok(Outcome::Removed { links_left })
            }
        }
    }
}

impl Finding {
    /// Returns the findings of a report, without those that count for nothing.
    #[must_use]
    pub fn of_report(report: &Report) -> Vec<Self> {
        let counts = |hit: &&hf_core::Hit| hit.strength != hf_core::Strength::Weak;
        let hits = report.hits.iter().filter(counts).take(FINDINGS_MAX);
        hits.map(|hit| Self {
            name: hit.name.clone(),
            place: report.path(hit.object).into_iter().map(|name| Raw(name.to_vec())).collect(),
            origin: hit.origin.clone(),
        })
        .collect()
    }
}

impl Content {
    /// Returns a source of content by its name, version and digest.
    #[must_use]
    pub fn new(name: &str, version: Option<u32>, digest: &str) -> Self {
        Self { name: name.to_owned(), version, digest: digest.to_owned() }
    }
}

/// Ours: a record is for people.
const FINDINGS_MAX: usize = 64;
