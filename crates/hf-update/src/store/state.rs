//! What a store remembers: what was in use when, what was refused and why, and the owner's brakes.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StoreError, disk};

/// What a store remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The owner's brakes.
    pub brakes: Brakes,
    /// Sets that came into use, oldest first.
    pub past: Vec<Past>,
    /// Sets that were refused, or left by the owner.
    pub refused: Vec<Refused>,
    /// A set that waits for its time, and since when.
    pub waiting: Option<Waiting>,
}

/// The owner's brakes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brakes {
    /// Nothing new comes into use, for this reason.
    pub hold: Option<String>,
    /// Only this set is used.
    pub pin: Option<String>,
    /// Percentage of machines that take a new set at once.
    pub stage_percent: Option<u8>,
    /// Seconds that all others wait.
    pub stage_delay: u64,
}

/// A set that came into use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its digest.
    pub digest: String,
    /// When, in seconds since 1970; 0 when that is not known.
    pub at: u64,
    /// What brought it into use.
    pub by: String,
}

/// A set that was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Digest of what the scanner sees of it.
    pub content: String,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A set that waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Digest of what the scanner sees of it.
    pub content: String,
    /// When it was seen first, in seconds since 1970.
    pub since: u64,
}

/// Ours: older ones are forgotten.
const PAST_MAX: usize = 100;

impl State {
    pub(super) fn read(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("state.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(err) => return Err(StoreError::io(&path, err)),
        };
        serde_json::from_slice(&bytes).map_err(|err| StoreError::damaged(&path, &err.to_string()))
    }

    pub(super) fn write(&self, root: &Path) -> Result<(), StoreError> {
        let path = root.join("state.json");
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        disk::write_whole(&path, &bytes).map_err(|err| StoreError::io(&path, err))
    }

    pub(super) fn came_into_use(&mut self, digest: &str, at: u64, by: &str) {
        self.past.push(Past { digest: digest.to_owned(), at, by: by.to_owned() });
        let surplus = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..surplus);
    }

    pub(super) fn refuse(&mut self, content: &str, reason: &str, at: u64) {
        self.refused.retain(|refused| refused.content != content);
        self.refused.push(Refused { content: content.to_owned(), reason: reason.to_owned(), at });
        let surplus = self.refused.len().saturating_sub(PAST_MAX);
        self.refused.drain(..surplus);
    }
}
