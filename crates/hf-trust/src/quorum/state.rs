//! What a machine remembers of what it accepted: releases of sets, heads of logs, and the latest time.
//!
//! JSON, to be replaced as a whole after each acceptance. Losing it loses protection against roll-back
//! until the next acceptance; a damaged one is refused, never taken for an empty one.

use std::collections::BTreeMap;

use crate::json::{Json, Members};
use crate::log::merkle::Hash;
use crate::text::{hash_from_hex, to_hex};
use crate::time::Time;

const FORMAT: &str = "holdfast-trust-state/1";

/// What was accepted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last release of each set.
    pub sets: BTreeMap<String, SetState>,
    /// The largest head of each log, by origin.
    pub logs: BTreeMap<String, LogHead>,
    /// The latest time that a quorum of witnesses vouched for.
    pub latest: Option<Time>,
}

/// The release of a set that was accepted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetState {
    /// Its number.
    pub release: u64,
    /// The SHA-256 of its manifest.
    pub manifest: Hash,
    /// The sizes of the logs that proved it, by origin.
    pub logs: BTreeMap<String, u64>,
}

/// The head of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Bytes are no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was remembered of earlier updates is not readable: {0}")]
pub struct StateError(String);

impl State {
    /// Reads a state.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, StateError> {
        let json = Json::parse(bytes).map_err(|error| StateError(error.to_string()))?;
        Self::read(&json).ok_or_else(|| StateError(format!("no {FORMAT:?}, or a member is wrong")))
    }

    fn read(json: &Json) -> Option<Self> {
        (json.member("format")?.as_str()? == FORMAT).then_some(())?;
        let hash = |json: &Json, name: &str| hash_from_hex(json.member(name)?.as_str()?);
        let mut state = Self::default();
        for (name, set) in json.member("sets")?.as_object()? {
            let sizes = set.member("logs")?.as_object()?;
            let sizes = sizes.iter().map(|(origin, size)| Some((origin.clone(), size.as_uint()?)));
            let logs: Option<BTreeMap<String, u64>> = sizes.collect();
            let release = set.member("release")?.as_uint()?;
            let set = SetState { release, manifest: hash(set, "manifest")?, logs: logs? };
            state.sets.insert(name.clone(), set);
        }
        for (origin, head) in json.member("logs")?.as_object()? {
            let head = LogHead { size: head.member("size")?.as_uint()?, root: hash(head, "root")? };
            state.logs.insert(origin.clone(), head);
        }
        state.latest = match json.member("latest") {
            Some(latest) => Some(Time::parse(latest.as_str()?)?),
            None => None,
        };
        Some(state)
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sets = self.sets.iter().map(|(name, set)| {
            let logs = set.logs.iter().map(|(origin, size)| (origin.clone(), Json::uint(*size)));
            let json = Json::object([
                ("release", Json::uint(set.release)),
                ("manifest", Json::str(to_hex(&set.manifest))),
                ("logs", Json::Object(logs.collect())),
            ]);
            (name.clone(), json)
        });
        let logs = self.logs.iter().map(|(origin, head)| {
            let json = Json::object([
                ("size", Json::uint(head.size)),
                ("root", Json::str(to_hex(&head.root))),
            ]);
            (origin.clone(), json)
        });
        let mut members = Members::from([
            ("format".to_owned(), Json::str(FORMAT)),
            ("sets".to_owned(), Json::Object(sets.collect())),
            ("logs".to_owned(), Json::Object(logs.collect())),
        ]);
        if let Some(latest) = self.latest {
            members.insert("latest".to_owned(), Json::str(latest.to_string()));
        }
        Json::Object(members).to_file()
    }
}
