//! The decision: may this content be used?
//!
//! Promises: pure; the same policy, state, offer and time give the same answer. A refusal has a name and
//! leaves the state as it was. Statements that do not count (unknown publisher, bad signature, no
//! proof) cannot spoil those that do, so a stolen minority of keys can neither push content nor
//! block it. At most [`CHECKPOINTS_MAX`] different checkpoints are verified an offer.

use std::collections::{BTreeMap, BTreeSet};

use super::bundle::{Bundle, BundleError, Consistency};
use super::policy::{Policy, Rules};
use super::refusal::Refused;
use super::state::{LogHead, SetState, State};
use super::statement::Statement;
use crate::log::checkpoint::Checkpoint;
use crate::log::merkle::verify_consistency;
use crate::log::note::Note;
use crate::log::policy::WitnessPolicy;
use crate::log::proof::LogProof;
use crate::log::verifier::SignatureError;
use crate::time::Time;

/// Most different checkpoints that are looked at for one offer.
pub const CHECKPOINTS_MAX: usize = 16;

/// Content that is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The set that is to be updated.
    pub set: &'a str,
    /// The SHA-256 of the manifest that the channel's metadata names, when there is one.
    pub manifest: Option<[u8; 32]>,
    /// The bundle of statements and proofs, as it came.
    pub bundle: &'a [u8],
    /// Proofs that logs only grew, beside those in the bundle; made of a log's tiles, say.
    pub consistency: &'a [Consistency],
}

/// Content that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to remember from now on.
    pub state: State,
    /// What was vouched for; of the publishers' statements the earliest.
    pub statement: Statement,
    /// Who vouched for it, by the policy's names.
    pub publishers: Vec<String>,
    /// Publishers whose valid statement is on other content for this set: to be told.
    pub dissenting: Vec<String>,
    /// Logs that have it, with the statement's index there, one of each.
    pub logs: BTreeMap<String, u64>,
    /// Up to when witnesses vouch that this is the latest; the statement's time without witnesses.
    pub fresh_until: Time,
    /// By how many seconds that is longer ago than the owner's bound: to be told loudly.
    pub stale_by_seconds: Option<i64>,
    /// By how many seconds this machine's clock is behind what witnesses vouched for.
    pub clock_behind_seconds: Option<i64>,
    /// Whether this very release was in use before.
    pub unchanged: bool,
}

/// A statement that counts.
struct Counted {
    publisher: String,
    statement: Statement,
    heads: Vec<Proven>,
}

/// A log's head that proves a statement.
#[derive(Clone)]
struct Proven {
    checkpoint: Checkpoint,
    index: u64,
    fresh: Option<Time>,
}

/// Decides whether an offer may be used.
///
/// # Errors
///
/// Names why not.
pub fn verify(
    policy: &Policy,
    state: &State,
    offer: &Offer<'_>,
    now: Time,
) -> Result<Accepted, Refused> {
    let bundle = Bundle::parse(offer.bundle).map_err(|error| match error {
        BundleError::TooLong(_) => Refused::EndlessData(error),
        BundleError::Malformed(_) => Refused::Malformed(error),
    })?;
    let rules = policy.rules_for(offer.set);
    if rules.publishers_needed == 0 {
        return Err(Refused::Policy("no publisher is needed".to_owned()));
    }
    let mut court = Court { policy, rules, checkpoints: BTreeMap::new(), problems: Vec::new() };
    let counted = court.count(&bundle, offer.set);
    let agreed = agree(&counted, offer, rules, court.problems)?;
    let dissenting = dissenters(&counted, &agreed);
    let known = Growths { offered: &bundle.consistency, own: offer.consistency };
    let mut next = state.clone();
    let unchanged = follows(state, &agreed, offer.set)?;
    let set_logs = grow(state, &mut next, &agreed, offer.set, known)?;
    let first = agreed.iter().min_by_key(|counted| counted.statement.time);
    let statement = first.map(|counted| counted.statement.clone());
    let statement =
        statement.ok_or_else(|| Refused::Policy("no publisher is needed".to_owned()))?;
    let set = SetState { release: statement.release, manifest: statement.manifest, logs: set_logs };
    next.sets.insert(offer.set.to_owned(), set);
    let witnessed = agreed.iter().flat_map(|counted| &counted.heads).filter_map(|head| head.fresh);
    let witnessed = witnessed.max();
    let fresh_until = witnessed.unwrap_or(statement.time);
    next.latest = next.latest.max(witnessed);
    // A clock that was set back does not make content fresh again.
    let latest = next.latest.unwrap_or(now);
    let age = now.max(latest).seconds_since(fresh_until);
    let behind = latest.seconds_since(now);
    let mut publishers: Vec<String> = Vec::new();
    publishers.extend(agreed.iter().map(|counted| counted.publisher.clone()));
    let heads = agreed.iter().flat_map(|counted| &counted.heads);
    let logs = heads.map(|head| (head.checkpoint.origin.clone(), head.index)).collect();
    Ok(Accepted {
        state: next,
        statement,
        publishers,
        dissenting,
        logs,
        fresh_until,
        stale_by_seconds: Some(age - rules.stale_after_seconds).filter(|late| *late > 0),
        clock_behind_seconds: Some(behind).filter(|behind| *behind > 0),
        unchanged,
    })
}

/// What has to be known to weigh statements.
struct Court<'a> {
    policy: &'a Policy,
    rules: &'a Rules,
    /// Checkpoints that were looked at, by their notes.
    checkpoints: BTreeMap<String, Result<Option<Time>, String>>,
    /// Why statements of known publishers do not count.
    problems: Vec<String>,
}

impl Court<'_> {
    /// Returns the statements that count, at most one a publisher and content.
    fn count(&mut self, bundle: &Bundle, set: &str) -> Vec<Counted> {
        let mut counted: Vec<Counted> = Vec::new();
        for attestation in &bundle.attestations {
            let Ok(note) = Note::parse(attestation.note.as_bytes()) else { continue };
            let Some(publisher) = self.publisher(&note) else { continue };
            let statement = match Statement::parse(note.text()) {
                Ok(statement) if statement.set == set => statement,
                Ok(statement) => {
                    self.problem(&publisher, format!("vouches for the set {:?}", statement.set));
                    continue;
                }
                Err(error) => {
                    self.problem(&publisher, error.to_string());
                    continue;
                }
            };
            let twice = counted.iter().any(|other| {
                other.publisher == publisher && other.statement.agrees_with(&statement)
            });
            if twice {
                continue;
            }
            match self.heads(attestation.note.as_bytes(), &attestation.proofs) {
                Ok(heads) => counted.push(Counted { publisher, statement, heads }),
                Err(problem) => self.problem(&publisher, problem),
            }
        }
        counted
    }

    fn problem(&mut self, publisher: &str, what: impl Into<String>) {
        self.problems.push(format!("{publisher}: {}", what.into()));
    }

    /// Returns whose statement a note is, when all keys of a known publisher signed it.
    fn publisher(&mut self, note: &Note) -> Option<String> {
        for publisher in self.policy.publishers_of(self.rules) {
            match publisher.verify(note) {
                Ok(()) => return Some(publisher.name.clone()),
                Err(SignatureError::Absent) => {}
                Err(_) => {
                    let name = &publisher.name;
                    let what = "its signature does not verify, or one of its keys did not sign";
                    self.problems.push(format!("{name}: {what}"));
                }
            }
        }
        None
    }

    /// Verifies that enough logs have an entry; returns one head a log.
    fn heads(&mut self, entry: &[u8], proofs: &[String]) -> Result<Vec<Proven>, String> {
        let mut heads: Vec<Proven> = Vec::new();
        let mut problem = "it stands in no log".to_owned();
        for proof in proofs {
            let proven = LogProof::parse(proof.as_bytes())
                .map_err(|error| error.to_string())
                .and_then(|proof| self.head(entry, &proof));
            match proven {
                Ok(head) => {
                    let origin = &head.checkpoint.origin;
                    if !heads.iter().any(|other| other.checkpoint.origin == *origin) {
                        heads.push(head);
                    }
                }
                Err(error) => problem = error,
            }
        }
        if heads.len() >= self.rules.logs_needed {
            return Ok(heads);
        }
        let needed = self.rules.logs_needed;
        Err(format!("it stands in {} of the {needed} logs needed: {problem}", heads.len()))
    }

    fn head(&mut self, entry: &[u8], proof: &LogProof) -> Result<Proven, String> {
        let fresh = self.checkpoint(&proof.note)?;
        let origin = &proof.checkpoint.origin;
        proof.verify_entry(entry).map_err(|error| format!("the log {origin:?}: {error}"))?;
        Ok(Proven { checkpoint: proof.checkpoint.clone(), index: proof.index, fresh })
    }

    /// Verifies a checkpoint, each only once; returns up to when witnesses vouch for it.
    fn checkpoint(&mut self, note: &Note) -> Result<Option<Time>, String> {
        let key = note.to_string();
        if let Some(known) = self.checkpoints.get(&key) {
            return known.clone();
        }
        if self.checkpoints.len() >= CHECKPOINTS_MAX {
            return Err(format!("more than {CHECKPOINTS_MAX} checkpoints"));
        }
        let witnesses = self.rules.witnesses.as_ref().unwrap_or(&self.policy.witnesses);
        let verified = match witnesses.verify(note) {
            Ok(accepted) => Ok(fresh(witnesses, &accepted.cosigned)),
            Err(error) => Err(error.to_string()),
        };
        self.checkpoints.insert(key, verified.clone());
        verified
    }
}

/// The latest time for which a quorum of witnesses vouches: those who cosigned no earlier are one.
/// So a witness that lies about the time does not decide alone.
fn fresh(policy: &WitnessPolicy, cosigned: &BTreeMap<String, Time>) -> Option<Time> {
    let mut times: Vec<(&String, &Time)> = cosigned.iter().collect();
    times.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
    let mut names = BTreeSet::new();
    for (name, time) in times {
        names.insert(name.as_str());
        if policy.quorum_of(&names) {
            return Some(*time);
        }
    }
    None
}

/// Finds the content that a quorum of publishers vouches for.
fn agree<'a>(
    counted: &'a [Counted],
    offer: &Offer<'_>,
    rules: &Rules,
    problems: Vec<String>,
) -> Result<Vec<&'a Counted>, Refused> {
    let groups: Vec<Vec<&Counted>> = counted
        .iter()
        .map(|one| {
            let same = counted.iter().filter(|other| other.statement.agrees_with(&one.statement));
            same.collect()
        })
        .collect();
    let need = rules.publishers_needed;
    let quorums: Vec<&Vec<&Counted>> = groups.iter().filter(|group| group.len() >= need).collect();
    // The newest release with a quorum; an older one may still be in the bundle.
    let newest = quorums.iter().filter_map(|group| group.first()).map(|one| one.statement.release);
    let Some(newest) = newest.max() else {
        return Err(no_quorum(counted, &groups, offer.set, need, problems));
    };
    let mut best: Option<&Vec<&Counted>> = None;
    for group in quorums {
        let Some(first) = group.first().filter(|first| first.statement.release == newest) else {
            continue;
        };
        match best.and_then(|best| best.first()) {
            Some(other) if !other.statement.agrees_with(&first.statement) => {
                return Err(Refused::Fork { set: offer.set.to_owned(), release: newest });
            }
            _ => best = Some(group),
        }
    }
    let best = best.cloned().unwrap_or_default();
    let named = offer.manifest;
    if best.iter().any(|one| named.is_some_and(|named| named != one.statement.manifest)) {
        return Err(Refused::WrongManifest);
    }
    Ok(best)
}

fn no_quorum(
    counted: &[Counted],
    groups: &[Vec<&Counted>],
    set: &str,
    need: usize,
    problems: Vec<String>,
) -> Refused {
    let have = groups.iter().map(Vec::len).max().unwrap_or(0);
    let everybody: BTreeSet<&str> = counted.iter().map(|one| one.publisher.as_str()).collect();
    let releases = counted.iter().map(|one| one.statement.release);
    let (Some(low), Some(high)) = (releases.clone().min(), releases.max()) else {
        return Refused::TooFewPublishers { have, need, problems };
    };
    // Enough publishers came, and they do not agree.
    if everybody.len() >= need && low != high {
        return Refused::MixedReleases { set: set.to_owned(), low, high };
    }
    if everybody.len() >= need {
        return Refused::Fork { set: set.to_owned(), release: low };
    }
    Refused::TooFewPublishers { have, need, problems }
}

fn dissenters(counted: &[Counted], agreed: &[&Counted]) -> Vec<String> {
    let differs = |one: &&Counted| {
        agreed.first().is_some_and(|first| {
            let (one, first) = (&one.statement, &first.statement);
            one.release >= first.release && !one.agrees_with(first)
        })
    };
    let names: BTreeSet<&String> =
        counted.iter().filter(differs).map(|one| &one.publisher).collect();
    names.into_iter().cloned().collect()
}

/// Checks that a release is no older than the one in use; returns whether it is that one.
fn follows(state: &State, agreed: &[&Counted], set: &str) -> Result<bool, Refused> {
    let (Some(before), Some(first)) = (state.sets.get(set), agreed.first()) else {
        return Ok(false);
    };
    let (have, got) = (before.release, first.statement.release);
    if got < have {
        return Err(Refused::Rollback { set: set.to_owned(), have, got });
    }
    if got == have && before.manifest != first.statement.manifest {
        return Err(Refused::Fork { set: set.to_owned(), release: got });
    }
    Ok(got == have)
}

/// Checks that all heads follow from those that were seen before; returns the sizes for the set.
fn grow(
    state: &State,
    next: &mut State,
    agreed: &[&Counted],
    set: &str,
    known: Growths<'_>,
) -> Result<BTreeMap<String, u64>, Refused> {
    let before = state.sets.get(set);
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    for head in agreed.iter().flat_map(|counted| &counted.heads) {
        let (origin, size) = (&head.checkpoint.origin, head.checkpoint.size);
        let head = LogHead { size, root: head.checkpoint.root };
        let have = before.and_then(|before| before.logs.get(origin)).copied().unwrap_or(0);
        if size < have {
            return Err(Refused::LogRollback { log: origin.clone(), have, got: size });
        }
        match next.logs.get(origin).copied() {
            Some(seen) => {
                consistent(origin, seen, head, known)?;
                if size > seen.size {
                    next.logs.insert(origin.clone(), head);
                }
            }
            None => {
                next.logs.insert(origin.clone(), head);
            }
        }
        let largest = sizes.entry(origin.clone()).or_insert(size);
        *largest = size.max(*largest);
    }
    // A log that did not prove this release keeps the size at which it proved an earlier one.
    for (origin, size) in before.map(|before| before.logs.clone()).unwrap_or_default() {
        sizes.entry(origin).or_insert(size);
    }
    Ok(sizes)
}

/// Proofs that logs only grew.
#[derive(Clone, Copy)]
struct Growths<'a> {
    /// What came with the bundle. A bad one may be the mirror's doing, and says nothing of the log.
    offered: &'a [Consistency],
    /// What the caller made of the log's own tiles.
    own: &'a [Consistency],
}

/// Checks that two heads are of one history. An older head than the one seen is no roll-back by itself:
/// another set of the same log may have been updated in between.
fn consistent(
    origin: &str,
    seen: LogHead,
    offered: LogHead,
    known: Growths<'_>,
) -> Result<(), Refused> {
    let split = || Refused::SplitView { log: origin.to_owned(), size: offered.size };
    let (old, new) = if seen.size <= offered.size { (seen, offered) } else { (offered, seen) };
    if old.size == new.size {
        return if old.root == new.root { Ok(()) } else { Err(split()) };
    }
    if old.size == 0 {
        return Ok(());
    }
    let fits = |growth: &&Consistency| {
        growth.log == origin && growth.from == old.size && growth.to == new.size
    };
    let proves = |growth: &Consistency| {
        let (old, new) = ((old.size, &old.root), (new.size, &new.root));
        verify_consistency(old, new, &growth.hashes).is_ok()
    };
    if known.offered.iter().chain(known.own).filter(fits).any(proves) {
        return Ok(());
    }
    if known.own.iter().any(|growth| fits(&growth)) {
        return Err(split());
    }
    Err(Refused::NoConsistency { log: origin.to_owned(), from: old.size, to: new.size })
}
