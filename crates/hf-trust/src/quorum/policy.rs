//! The owner's policy: whom to believe, and how many of them.
//!
//! See [`super::policy_file`] for the file.

use std::collections::BTreeMap;

use crate::log::WitnessPolicy;
use crate::log::note::Note;
use crate::log::verifier::{SignatureError, Verifier};

/// Whom to believe, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Publishers.
    pub publishers: Vec<Publisher>,
    /// Logs, witnesses and what has to have cosigned.
    pub witnesses: WitnessPolicy,
    /// What holds for sets that have no rules of their own.
    pub rules: Rules,
    /// Rules for single sets.
    pub sets: BTreeMap<String, Rules>,
}

/// Somebody who vouches for content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// What the owner calls them.
    pub name: String,
    /// Their keys. A statement counts when *all* of them signed it: Ed25519 and ML-DSA both, say.
    pub keys: Vec<Verifier>,
    /// Where they stand; for people and `suppliers.toml`.
    pub url: Option<String>,
}

/// How many have to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many publishers; at least 1.
    pub publishers_needed: usize,
    /// Names of the publishers that count; all of the policy when empty.
    pub publishers: Vec<String>,
    /// In how many logs each statement has to stand.
    pub logs_needed: usize,
    /// What has to have cosigned, when it differs from the policy's.
    pub witnesses: Option<WitnessPolicy>,
    /// After how many seconds without a newer witnessed checkpoint to say that content is stale.
    pub stale_after_seconds: i64,
}

impl Policy {
    /// Returns the rules for a set.
    #[must_use]
    pub fn rules_for(&self, set: &str) -> &Rules {
        self.sets.get(set).unwrap_or(&self.rules)
    }

    /// Returns who is known under rules.
    pub fn publishers_of<'a>(&'a self, rules: &'a Rules) -> impl Iterator<Item = &'a Publisher> {
        let counts = |publisher: &&Publisher| {
            rules.publishers.is_empty() || rules.publishers.contains(&publisher.name)
        };
        self.publishers.iter().filter(counts)
    }
}

impl Publisher {
    /// Verifies that all keys of this publisher signed a note.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Absent`] when none did; else what is wrong with the first that did not.
    pub fn verify(&self, note: &Note) -> Result<(), SignatureError> {
        let mut present = false;
        let mut worst = None;
        for key in &self.keys {
            match key.verify(note) {
                Ok(_) => present = true,
                Err(SignatureError::Absent) => worst = worst.or(Some(SignatureError::Absent)),
                Err(error) => {
                    present = true;
                    worst = Some(error);
                }
            }
        }
        match worst {
            None => Ok(()),
            Some(SignatureError::Absent) if present => Err(SignatureError::Bad),
            Some(error) => Err(error),
        }
    }
}
