//! `policy.toml`, read with errors that name line and column.
//!
//! ```toml
//! publishers_needed = 2          # how many publishers have to vouch for the same content
//! witnesses_needed = 2           # how many witnesses have to have cosigned the log
//! logs_needed = 1                # in how many logs each statement has to stand (1 if not told)
//! stale_after = "3d"             # when to say that content is stale: s, m, h, d (3d if not told)
//!
//! [[publisher]]
//! name = "alice"
//! keys = ["alice.example+1a2b3c4d+AQ…", "alice.example+…+/2hvb…"]   # all of them have to have signed
//!
//! [[log]]
//! key = "log.example/holdfast+…+AQ…"
//! url = "https://log.example/holdfast"
//!
//! [[witness]]
//! name = "w1"
//! key = "witness.example/w1+…+BA…"
//!
//! [[group]]                      # only with witness_quorum = "europe", instead of witnesses_needed
//! name = "europe"
//! needs = 2                      # or "any", "all"
//! members = ["w1", "w2", "w3"]
//!
//! [set.daily]                    # what differs for one set of content
//! publishers_needed = 3
//! publishers = ["alice", "bob", "carol"]
//! ```
//!
//! Instead of logs, witnesses and groups, `tlog_policy = '''…'''` takes a C2SP `tlog-policy` as it is.
//! Promises: what is not understood, given twice or cannot be met is an error, never ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::policy::{Policy, Publisher, Rules};
use crate::log::note::is_key_name;
use crate::log::policy::{Group, Party, Quorum, WitnessPolicy};
use crate::log::verifier::{Verifier, VerifierKind};

/// Most bytes of `policy.toml`.
pub const POLICY_BYTES_MAX: usize = 1 << 20;
/// Most publishers, logs, witnesses or groups.
const PARTIES_MAX: usize = 256;
/// Three days.
const STALE_AFTER_SECONDS: i64 = 3 * 86_400;

/// `policy.toml` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    publishers_needed: Spanned<usize>,
    witnesses_needed: Option<Spanned<usize>>,
    witness_quorum: Option<Spanned<String>>,
    tlog_policy: Option<Spanned<String>>,
    logs_needed: Option<Spanned<usize>>,
    stale_after: Option<Spanned<String>>,
    #[serde(default, rename = "publisher")]
    publishers: Vec<Spanned<PublisherEntry>>,
    #[serde(default, rename = "log")]
    logs: Vec<Spanned<LogEntry>>,
    #[serde(default, rename = "witness")]
    witnesses: Vec<Spanned<WitnessEntry>>,
    #[serde(default, rename = "group")]
    groups: Vec<Spanned<GroupEntry>>,
    #[serde(default, rename = "set")]
    sets: BTreeMap<String, Spanned<SetEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublisherEntry {
    name: Spanned<String>,
    keys: Spanned<Vec<Spanned<String>>>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogEntry {
    key: Spanned<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessEntry {
    name: Spanned<String>,
    key: Spanned<String>,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupEntry {
    name: Spanned<String>,
    needs: Spanned<Needs>,
    members: Spanned<Vec<Spanned<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Needs {
    Number(usize),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetEntry {
    publishers_needed: Option<Spanned<usize>>,
    publishers: Option<Spanned<Vec<Spanned<String>>>>,
    witnesses_needed: Option<Spanned<usize>>,
    logs_needed: Option<Spanned<usize>>,
    stale_after: Option<Spanned<String>>,
}

/// What is wrong, and where in the file.
struct Fault {
    span: Range<usize>,
    what: String,
}

fn fault(span: Range<usize>, what: impl Into<String>) -> Fault {
    Fault { span, what: what.into() }
}

impl Policy {
    /// Reads `policy.toml`.
    ///
    /// # Errors
    ///
    /// Names line and column.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        read(text).map_err(|fault| {
            let start = fault.span.start.min(text.len());
            let before = text.get(..start).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            PolicyError { line, column, what: fault.what }
        })
    }
}

fn read(text: &str) -> Result<Policy, Fault> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(fault(0..0, "the policy is longer than 1 MiB"));
    }
    let file: File = toml::from_str(text).map_err(|error| {
        fault(error.span().unwrap_or(0..0), error.message().trim().replace('\n', "; "))
    })?;
    let mut keys = Keys::default();
    let publishers = publishers(&file, &mut keys)?;
    let witnesses = witnesses(&file, &mut keys)?;
    let rules = rules(&file, &publishers, &witnesses)?;
    let mut sets = BTreeMap::new();
    for (name, entry) in &file.sets {
        let entry = entry.as_ref();
        sets.insert(name.clone(), set_rules(entry, &rules, &publishers, &witnesses)?);
    }
    Ok(Policy { publishers, witnesses, rules, sets })
}

/// Keys so far: one key stands for one party, or the count would be of names only.
#[derive(Default)]
struct Keys(Vec<(Verifier, String)>);

impl Keys {
    fn read(&mut self, vkey: &Spanned<String>, owner: &str) -> Result<Verifier, Fault> {
        let key = Verifier::parse(vkey.as_ref())
            .map_err(|error| fault(vkey.span(), format!("key of {owner}: {error}")))?;
        self.add(&key, owner, vkey.span())?;
        Ok(key)
    }

    fn add(&mut self, key: &Verifier, owner: &str, span: Range<usize>) -> Result<(), Fault> {
        if let Some((_, other)) = self.0.iter().find(|(other, _)| other.same_key(key)) {
            return Err(fault(span, format!("this key is that of {other} already")));
        }
        self.0.push((key.clone(), owner.to_owned()));
        Ok(())
    }
}

fn publishers(file: &File, keys: &mut Keys) -> Result<Vec<Publisher>, Fault> {
    let mut names = BTreeSet::new();
    let mut publishers = Vec::new();
    for entry in file.publishers.iter().take(PARTIES_MAX + 1) {
        let (span, entry) = (entry.span(), entry.as_ref());
        if publishers.len() >= PARTIES_MAX {
            return Err(fault(span, format!("more than {PARTIES_MAX} publishers")));
        }
        let name = unique(&entry.name, &mut names)?;
        let owner = format!("the publisher {name:?}");
        if entry.keys.as_ref().is_empty() {
            return Err(fault(entry.keys.span(), format!("{owner} has no key")));
        }
        let mut own = Vec::new();
        for vkey in entry.keys.as_ref() {
            let key = keys.read(vkey, &owner)?;
            if key.kind().is_cosignature() {
                return Err(fault(vkey.span(), format!("the key of {owner} is one of a witness")));
            }
            own.push(key);
        }
        publishers.push(Publisher { name, keys: own, url: entry.url.clone() });
    }
    Ok(publishers)
}

fn unique(name: &Spanned<String>, names: &mut BTreeSet<String>) -> Result<String, Fault> {
    let (span, name) = (name.span(), name.as_ref());
    if !is_key_name(name) || name == "none" {
        return Err(fault(span, format!("{name:?} cannot be a name")));
    }
    if !names.insert(name.clone()) {
        return Err(fault(span, format!("the name {name:?} is taken")));
    }
    Ok(name.clone())
}

fn witnesses(file: &File, keys: &mut Keys) -> Result<WitnessPolicy, Fault> {
    if let Some(text) = &file.tlog_policy {
        let others = [
            file.logs.first().map(Spanned::span),
            file.witnesses.first().map(Spanned::span),
            file.groups.first().map(Spanned::span),
            file.witnesses_needed.as_ref().map(Spanned::span),
            file.witness_quorum.as_ref().map(Spanned::span),
        ];
        if let Some(span) = others.into_iter().flatten().next() {
            return Err(fault(span, "tlog_policy says this already; keep one of the two"));
        }
        let policy = WitnessPolicy::parse(text.as_ref().as_bytes())
            .map_err(|error| fault(text.span(), format!("tlog_policy: {error}")))?;
        for party in policy.logs.iter().chain(&policy.witnesses) {
            keys.add(&party.key, &format!("{:?}", party.name), text.span())?;
        }
        return Ok(policy);
    }
    let mut logs = Vec::new();
    for entry in file.logs.iter().take(PARTIES_MAX) {
        let entry = entry.as_ref();
        let key = keys.read(&entry.key, "a log")?;
        if key.kind() == VerifierKind::Ed25519Cosignature || key.kind() == VerifierKind::MlDsa44Note
        {
            return Err(fault(entry.key.span(), "the key of a log has to be of type 0x01 or 0x06"));
        }
        logs.push(Party { name: key.name().to_owned(), key, url: entry.url.clone() });
    }
    let mut names = BTreeSet::new();
    let mut witnesses = Vec::new();
    for entry in file.witnesses.iter().take(PARTIES_MAX) {
        let entry = entry.as_ref();
        let name = unique(&entry.name, &mut names)?;
        let key = keys.read(&entry.key, &format!("the witness {name:?}"))?;
        if !key.kind().is_cosignature() {
            let what = format!("the key of the witness {name:?} has to be of type 0x04 or 0x06");
            return Err(fault(entry.key.span(), what));
        }
        witnesses.push(Party { name, key, url: entry.url.clone() });
    }
    if let Some(span) = [file.logs.get(PARTIES_MAX).map(Spanned::span)]
        .into_iter()
        .chain([file.witnesses.get(PARTIES_MAX).map(Spanned::span)])
        .flatten()
        .next()
    {
        return Err(fault(span, format!("more than {PARTIES_MAX} logs or witnesses")));
    }
    let mut groups = groups(file, &mut names)?;
    let quorum = quorum(file, &witnesses, &mut groups, &names)?;
    Ok(WitnessPolicy { logs, witnesses, groups, quorum })
}

fn groups(file: &File, names: &mut BTreeSet<String>) -> Result<Vec<Group>, Fault> {
    let mut groups = Vec::new();
    let mut used = BTreeSet::new();
    for entry in &file.groups {
        let (span, entry) = (entry.span(), entry.as_ref());
        if groups.len() >= PARTIES_MAX {
            return Err(fault(span, format!("more than {PARTIES_MAX} groups")));
        }
        let mut members = Vec::new();
        for member in entry.members.as_ref() {
            let (span, member) = (member.span(), member.as_ref());
            if !names.contains(member) {
                return Err(fault(span, format!("{member:?} is no witness, nor a group before")));
            }
            if !used.insert(member.clone()) {
                return Err(fault(span, format!("{member:?} is a member already")));
            }
            members.push(member.clone());
        }
        let threshold = match entry.needs.as_ref() {
            Needs::Number(number) => Some(*number),
            Needs::Word(word) if word == "any" => Some(1),
            Needs::Word(word) if word == "all" => Some(members.len()),
            Needs::Word(_) => None,
        };
        let threshold = threshold.filter(|number| (1..=members.len()).contains(number));
        let threshold = threshold.ok_or_else(|| {
            let what = format!("needs has to be 1 to {}, \"any\" or \"all\"", members.len());
            fault(entry.needs.span(), what)
        })?;
        groups.push(Group { name: unique(&entry.name, names)?, threshold, members });
    }
    Ok(groups)
}

/// The name of the group that `witnesses_needed` stands for; no name that a file can give.
const ALL: &str = "all witnesses";

fn quorum(
    file: &File,
    witnesses: &[Party],
    groups: &mut Vec<Group>,
    names: &BTreeSet<String>,
) -> Result<Quorum, Fault> {
    match (&file.witnesses_needed, &file.witness_quorum) {
        (Some(needed), None) => {
            if let Some(group) = file.groups.first() {
                return Err(fault(group.span(), "groups go with witness_quorum only"));
            }
            let number = count(needed, witnesses.len(), "witnesses", 0)?;
            Ok(any_of(number, witnesses, groups))
        }
        (None, Some(name)) if name.as_ref() == "none" => Ok(Quorum::None),
        (None, Some(name)) if names.contains(name.as_ref()) => {
            Ok(Quorum::Name(name.as_ref().clone()))
        }
        (None, Some(name)) => {
            Err(fault(name.span(), format!("{:?} is no witness or group", name.as_ref())))
        }
        (Some(needed), Some(_)) => {
            Err(fault(needed.span(), "witness_quorum says this already; keep one of the two"))
        }
        (None, None) => {
            Err(fault(0..0, "witnesses_needed is missing (or witness_quorum, or tlog_policy)"))
        }
    }
}

fn any_of(number: usize, witnesses: &[Party], groups: &mut Vec<Group>) -> Quorum {
    if number == 0 {
        return Quorum::None;
    }
    let members = witnesses.iter().map(|witness| witness.name.clone()).collect();
    groups.push(Group { name: ALL.to_owned(), threshold: number, members });
    Quorum::Name(ALL.to_owned())
}

fn count(needed: &Spanned<usize>, there: usize, what: &str, least: usize) -> Result<usize, Fault> {
    let number = *needed.as_ref();
    if number < least {
        return Err(fault(
            needed.span(),
            format!("at least {least} of the {what} have to be needed"),
        ));
    }
    if number > there {
        let what = format!("{number} {what} are needed, and there are only {there}");
        return Err(fault(needed.span(), what));
    }
    Ok(number)
}

fn rules(file: &File, publishers: &[Publisher], witnesses: &WitnessPolicy) -> Result<Rules, Fault> {
    let publishers_needed = count(&file.publishers_needed, publishers.len(), "publishers", 1)?;
    let origins = origins(witnesses);
    let logs_needed = match &file.logs_needed {
        Some(needed) => count(needed, origins, "logs", 0)?,
        None if origins == 0 => {
            return Err(fault(0..0, "there is no log; without one, say logs_needed = 0"));
        }
        None => 1,
    };
    let stale_after_seconds = match &file.stale_after {
        Some(text) => seconds(text)?,
        None => STALE_AFTER_SECONDS,
    };
    Ok(Rules {
        publishers_needed,
        publishers: Vec::new(),
        logs_needed,
        witnesses: None,
        stale_after_seconds,
    })
}

fn origins(witnesses: &WitnessPolicy) -> usize {
    let origins: BTreeSet<&str> = witnesses.logs.iter().map(|log| log.name.as_str()).collect();
    origins.len()
}

fn set_rules(
    entry: &SetEntry,
    common: &Rules,
    publishers: &[Publisher],
    witnesses: &WitnessPolicy,
) -> Result<Rules, Fault> {
    let mut rules = common.clone();
    if let Some(names) = &entry.publishers {
        for name in names.as_ref() {
            let (span, name) = (name.span(), name.as_ref());
            if !publishers.iter().any(|publisher| publisher.name == *name) {
                return Err(fault(span, format!("there is no publisher {name:?}")));
            }
            if rules.publishers.contains(name) {
                return Err(fault(span, format!("{name:?} is given twice")));
            }
            rules.publishers.push(name.clone());
        }
        if rules.publishers.len() < rules.publishers_needed && entry.publishers_needed.is_none() {
            let what = format!("{} publishers are needed", rules.publishers_needed);
            return Err(fault(names.span(), what));
        }
    }
    if let Some(needed) = &entry.publishers_needed {
        let there = match rules.publishers.len() {
            0 => publishers.len(),
            named => named,
        };
        rules.publishers_needed = count(needed, there, "publishers", 1)?;
    }
    if let Some(needed) = &entry.witnesses_needed {
        let number = count(needed, witnesses.witnesses.len(), "witnesses", 0)?;
        let mut own = witnesses.clone();
        own.groups.clear();
        own.quorum = any_of(number, &witnesses.witnesses, &mut own.groups);
        rules.witnesses = Some(own);
    }
    if let Some(needed) = &entry.logs_needed {
        rules.logs_needed = count(needed, origins(witnesses), "logs", 0)?;
    }
    if let Some(text) = &entry.stale_after {
        rules.stale_after_seconds = seconds(text)?;
    }
    Ok(rules)
}

fn seconds(text: &Spanned<String>) -> Result<i64, Fault> {
    let what = "a time is a number and s, m, h or d, such as \"36h\", and at most 3650d";
    let bad = || fault(text.span(), what);
    let (unit, number) = text.as_ref().split_last_chunk_char().ok_or_else(bad)?;
    let unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let number = crate::text::decimal(number).and_then(|number| i64::try_from(number).ok());
    let seconds = number.and_then(|number| number.checked_mul(unit));
    seconds.filter(|seconds| (1..=3650 * 86_400).contains(seconds)).ok_or_else(bad)
}

trait SplitLast {
    fn split_last_chunk_char(&self) -> Option<(char, &str)>;
}

impl SplitLast for String {
    fn split_last_chunk_char(&self) -> Option<(char, &str)> {
        let last = self.chars().next_back()?;
        Some((last, self.get(..self.len() - last.len_utf8())?))
    }
}
