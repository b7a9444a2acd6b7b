//! Which logs are known and which witnesses have to have cosigned (C2SP `tlog-policy`).
//!
//! Promises: as strict as the specification; every error names its line. At most [`LINES_MAX`] logs,
//! witnesses and groups together.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::Checkpoint;
use super::note::Note;
use super::verifier::{SignatureError, Verifier};
use crate::time::Time;

/// Most logs, witnesses and groups together.
pub const LINES_MAX: usize = 1024;
/// Most bytes of a policy.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// A log or witness, and where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What it is called: a log by its origin, a witness by the policy's own name.
    pub name: String,
    /// Its key.
    pub key: Verifier,
    /// Where it can be reached, if told.
    pub url: Option<String>,
}

/// What has to have cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// Nothing.
    None,
    /// A witness or group, by name.
    Name(String),
}

/// At least `threshold` of some witnesses or groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the group is called.
    pub name: String,
    /// How many members have to have cosigned; 1 to their number.
    pub threshold: usize,
    /// Names of witnesses or of groups before this one.
    pub members: Vec<String>,
}

/// A policy on logs and witnesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// Logs, by origin.
    pub logs: Vec<Party>,
    /// Witnesses.
    pub witnesses: Vec<Party>,
    /// Groups; each names only what is before it.
    pub groups: Vec<Group>,
    /// What has to have cosigned.
    pub quorum: Quorum,
}

/// A line of a policy is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct WitnessPolicyError {
    /// The line, from 1; 0 for the whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// A checkpoint that a policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Witnesses that cosigned, by the policy's names, with the time.
    pub cosigned: BTreeMap<String, Time>,
}

/// Why a policy refuses a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The text is no checkpoint.
    #[error("the signed text is no checkpoint")]
    NoCheckpoint,
    /// No known log has this name.
    #[error("the log {0:?} is not known")]
    UnknownLog(String),
    /// The log did not sign.
    #[error("the log {0:?} did not sign its checkpoint")]
    NotSigned(String),
    /// A known key's signature does not verify.
    #[error("the signature of {0:?} on the checkpoint does not verify")]
    BadSignature(String),
    /// Too few witnesses cosigned.
    #[error("witnesses are missing: only {cosigned} cosigned, and that is not enough")]
    NoQuorum {
        /// How many known witnesses cosigned.
        cosigned: usize,
    },
}

impl WitnessPolicy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// Names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, WitnessPolicyError> {
        let at = |line, what: &str| WitnessPolicyError { line, what: what.to_owned() };
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(at(0, "the policy is too long"));
        }
        let mut reader = Reader::default();
        for (idx, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = idx + 1;
            if line.iter().any(|byte| matches!(byte, 0..=8 | 0x0b..=0x1f | 0x7f)) {
                return Err(at(number, "a control character"));
            }
            // Names are opaque bytes; those that are no UTF-8 cannot be anyone's key name.
            let line = std::str::from_utf8(line).map_err(|_| at(number, "not UTF-8"))?;
            let words: Vec<&str> =
                line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            reader.line(&words).map_err(|what| WitnessPolicyError { line: number, what })?;
        }
        let Reader { logs, witnesses, groups, quorum, .. } = reader;
        let quorum = quorum.ok_or_else(|| at(0, "there is no quorum line"))?;
        Ok(Self { logs, witnesses, groups, quorum })
    }

    /// Decides whether a checkpoint is signed by a known log and cosigned by a quorum.
    ///
    /// # Errors
    ///
    /// See [`CheckpointError`]. A bad signature by a known key refuses the whole note.
    pub fn verify(&self, note: &Note) -> Result<Accepted, CheckpointError> {
        let checkpoint = Checkpoint::parse(note.text()).ok_or(CheckpointError::NoCheckpoint)?;
        let origin = &checkpoint.origin;
        let mut logs = self.logs.iter().filter(|log| log.key.name() == origin).peekable();
        if logs.peek().is_none() {
            return Err(CheckpointError::UnknownLog(origin.clone()));
        }
        let mut signed = false;
        for log in logs {
            match log.key.verify(note) {
                Ok(_) => signed = true,
                Err(SignatureError::Absent) => {}
                Err(_) => return Err(CheckpointError::BadSignature(log.name.clone())),
            }
        }
        if !signed {
            return Err(CheckpointError::NotSigned(origin.clone()));
        }
        let mut cosigned = BTreeMap::new();
        for witness in &self.witnesses {
            match witness.key.verify(note) {
                Ok(verified) => {
                    let time = verified.time.unwrap_or(Time::from_unix(0));
                    cosigned.insert(witness.name.clone(), time);
                }
                Err(SignatureError::Absent) => {}
                Err(_) => return Err(CheckpointError::BadSignature(witness.name.clone())),
            }
        }
        if !self.quorum_of(&cosigned.keys().map(String::as_str).collect()) {
            return Err(CheckpointError::NoQuorum { cosigned: cosigned.len() });
        }
        Ok(Accepted { checkpoint, cosigned })
    }

    /// Returns whether these witnesses are a quorum.
    #[must_use]
    pub fn quorum_of(&self, witnesses: &BTreeSet<&str>) -> bool {
        let Quorum::Name(wanted) = &self.quorum else { return true };
        let mut satisfied: BTreeSet<&str> = witnesses.clone();
        for group in &self.groups {
            let members = group.members.iter();
            let count = members.filter(|member| satisfied.contains(member.as_str())).count();
            if count >= group.threshold {
                satisfied.insert(&group.name);
            }
        }
        satisfied.contains(wanted.as_str())
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<Party>,
    witnesses: Vec<Party>,
    groups: Vec<Group>,
    quorum: Option<Quorum>,
    names: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        if self.logs.len() + self.witnesses.len() + self.groups.len() >= LINES_MAX {
            return Err(format!("more than {LINES_MAX} logs, witnesses and groups"));
        }
        match words {
            ["log", vkey] => self.log(vkey, None),
            ["log", vkey, url] => self.log(vkey, Some(url)),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.quorum(name),
            [word, ..] => Err(format!("{word:?} is no keyword, or words are missing or too many")),
            [] => Ok(()),
        }
    }

    fn log(&mut self, vkey: &str, url: Option<&str>) -> Result<(), String> {
        let key = Verifier::parse(vkey).map_err(|error| error.to_string())?;
        if self.logs.iter().any(|log| log.key.same_key(&key)) {
            return Err("the key of this log was given before".to_owned());
        }
        let name = key.name().to_owned();
        self.logs.push(Party { name, key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), String> {
        let key = Verifier::parse(vkey).map_err(|error| error.to_string())?;
        if !key.kind().is_cosignature() {
            return Err("the key of a witness has to be one for cosignatures".to_owned());
        }
        if self.witnesses.iter().any(|witness| witness.key.same_key(&key)) {
            return Err("the key of this witness was given before".to_owned());
        }
        self.name(name)?;
        let url = url.map(str::to_owned);
        self.witnesses.push(Party { name: name.to_owned(), key, url });
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        if members.is_empty() {
            return Err("a group needs a member".to_owned());
        }
        for member in members {
            if !self.names.contains(*member) {
                return Err(format!("{member:?} is not defined before"));
            }
            if !self.used.insert((*member).to_owned()) {
                return Err(format!("{member:?} is a member already"));
            }
        }
        let threshold = match threshold {
            "any" => Some(1),
            "all" => Some(members.len()),
            number => crate::text::decimal(number).and_then(|number| usize::try_from(number).ok()),
        };
        let threshold = threshold.filter(|number| (1..=members.len()).contains(number));
        let threshold = threshold.ok_or("the threshold is not between 1 and all members")?;
        self.name(name)?;
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.groups.push(Group { name: name.to_owned(), threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("there is a quorum line already".to_owned());
        }
        self.quorum = Some(match name {
            "none" => Quorum::None,
            name if self.names.contains(name) => Quorum::Name(name.to_owned()),
            name => return Err(format!("{name:?} is not defined before")),
        });
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        if name == "none" || !self.names.insert(name.to_owned()) {
            return Err(format!("the name {name:?} is taken"));
        }
        Ok(())
    }
}
