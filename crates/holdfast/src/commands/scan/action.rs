//! `--action`: what is done with a detected file, and how that is told.

use std::path::Path;

use anyhow::Context as _;
use clap::ArgMatches;
use hf_core::Verdict;
use hf_quarantine::vault::Provenance;
use hf_quarantine::{By, Finding, Guard, OsPackages, Outcome, QuarantineSink as _, Seen};
use serde_json::{Map, Value, json};

use super::Counts;
use crate::commands::outcome::{SPARED, links};
use crate::commands::quarantine;
use crate::content::Content;
use crate::display::{safe, safe_path};
use crate::drive::Scanned;
use crate::settings::Settings;

/// What is done with detected files.
pub(super) struct Actions {
    guard: Guard,
    word: &'static str,
    provenance: Provenance,
}

/// What was done with one.
pub(super) struct Done {
    pub(super) word: &'static str,
    pub(super) outcome: Outcome,
}

impl Actions {
    /// Reads the options; opens the vault if it is needed.
    pub(super) fn of(matches: &ArgMatches, content: &Content) -> anyhow::Result<Self> {
        let dry_run = matches.get_flag("dry-run");
        let (word, action) = match matches.get_one::<String>("action").map(String::as_str) {
            Some("quarantine") => {
                let settings = Settings::of_or_machine(matches)?;
                let path = quarantine::vault_path(matches, &settings)?;
                let vault = hf_quarantine::Vault::create(&path).context("no quarantine")?;
                ("quarantine", hf_quarantine::Action::Quarantine(vault))
            }
            Some("remove") => ("remove", hf_quarantine::Action::Remove),
            _ => ("report", hf_quarantine::Action::Report),
        };
        let touch = matches.get_flag("touch-system-files");
        let packages = (!touch).then(OsPackages::default);
        let provenance = Provenance {
            findings: Vec::new(),
            content: quarantine::content_records(content),
            by: By::this_process("holdfast scan"),
        };
        Ok(Self { guard: Guard { action, packages, dry_run }, word, provenance })
    }

    /// Returns whether anything is done.
    pub(super) fn wanted(&self) -> bool {
        !matches!(self.guard.action, hf_quarantine::Action::Report)
    }

    /// Does it; none when nothing was to be done.
    pub(super) fn act(&self, scanned: &Scanned, verdict: Verdict) -> Option<Done> {
        if verdict != Verdict::Detected || !self.wanted() {
            return None;
        }
        let (Some(file), Some(identity)) = (&scanned.file, scanned.identity) else {
            return Some(Done { word: self.word, outcome: Outcome::Nothing });
        };
        let findings = Finding::of_report(&scanned.report);
        let provenance = Provenance { findings, ..self.provenance.clone() };
        let seen = Seen { path: &scanned.path, file, identity, verdict, provenance };
        Some(Done { word: self.word, outcome: self.guard.act(seen) })
    }
}

impl Done {
    /// Returns the number that this adds to.
    pub(super) fn counter<'c>(&self, counts: &'c mut Counts) -> &'c mut u64 {
        match self.outcome {
            Outcome::Quarantined { .. } => &mut counts.quarantined,
            Outcome::Removed { .. } => &mut counts.removed,
            _ => &mut counts.left,
        }
    }

    /// Returns the line for people.
    pub(super) fn line(&self, path: &Path) -> String {
        let path = safe_path(path);
        let links = |left: u64| links(left).map(|text| format!(" ({text})")).unwrap_or_default();
        match &self.outcome {
            Outcome::Quarantined { record, links_left } => {
                format!("quarantined {path}: as {}{}", record.id, links(*links_left))
            }
            Outcome::Removed { links_left } => {
                format!("removed     {path}{}", links(*links_left))
            }
            Outcome::Would => format!("dry run     {path}: {} would be possible", self.word),
            Outcome::Spared => format!("left        {path}: {SPARED} (--touch-system-files)"),
            Outcome::Nothing => format!("left        {path}: it has no name that could be removed"),
            Outcome::Failed(error) => {
                format!("left        {path}: {}", safe(error.to_string().as_bytes()))
            }
        }
    }

    /// Returns the value of `action` in a line of JSON.
    pub(super) fn json(&self) -> Value {
        let mut action = Map::new();
        action.insert("asked".to_owned(), Value::from(self.word));
        let (result, reason) = match &self.outcome {
            Outcome::Quarantined { .. } | Outcome::Removed { .. } => ("done", None),
            Outcome::Would => ("dry_run", None),
            Outcome::Spared => ("spared", Some(format!("{SPARED} (--touch-system-files)"))),
            Outcome::Nothing => ("failed", Some("it has no name that could be removed".to_owned())),
            Outcome::Failed(error) => ("failed", Some(error.to_string())),
        };
        action.insert("result".to_owned(), Value::from(result));
        if let Some(entry) = self.outcome.entry() {
            action.insert("entry".to_owned(), Value::from(entry.to_string()));
        }
        if let Outcome::Quarantined { links_left, .. } | Outcome::Removed { links_left } =
            self.outcome
        {
            action.insert("links_left".to_owned(), json!(links_left));
        }
        if let Some(reason) = reason {
            action.insert("reason".to_owned(), Value::from(reason));
        }
        Value::Object(action)
    }
}
