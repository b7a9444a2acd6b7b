//! Target files: length, digests, and the check of bytes as they come.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256, Sha512};

use super::error::TufError;
use super::metadata::{hashes_to_json, take_hashes, take_length};
use crate::json::{Json, Members};
use crate::text::{from_hex, to_hex};

/// What a role says of a target (§4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path; relative to the targets' base, with `/` between segments. Hostile until the caller
    /// checked it: it may hold `..`.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// Digests by name, in hexadecimal digits; at least one.
    pub hashes: BTreeMap<String, String>,
    /// `custom`, and members that are not understood; kept.
    pub extra: Members,
}

impl Target {
    /// Makes the entry for a target of these bytes, with its SHA-256.
    #[must_use]
    pub fn of(path: impl Into<String>, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self::new(path, length, Sha256::digest(bytes).into())
    }

    /// Makes the entry for a target whose length and SHA-256 are known.
    #[must_use]
    pub fn new(path: impl Into<String>, length: u64, sha256: [u8; 32]) -> Self {
        let hashes = BTreeMap::from([("sha256".to_owned(), to_hex(&sha256))]);
        Self { path: path.into(), length, hashes, extra: Members::new() }
    }

    pub(super) fn from_json(path: &str, json: Json) -> Result<Self, String> {
        let Json::Object(mut members) = json else {
            return Err(format!("the target {path:?} is no object"));
        };
        let length = take_length(&mut members)?;
        let length = length.ok_or_else(|| format!("the target {path:?} has no \"length\""))?;
        let hashes = take_hashes(&mut members)?;
        let hashes = hashes.ok_or_else(|| format!("the target {path:?} has no \"hashes\""))?;
        Ok(Self { path: path.to_owned(), length, hashes, extra: members })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut members = self.extra.clone();
        members.insert("length".to_owned(), Json::uint(self.length));
        members.insert("hashes".to_owned(), hashes_to_json(&self.hashes));
        Json::Object(members)
    }

    /// Returns `custom`.
    #[must_use]
    pub fn custom(&self) -> Option<&Json> {
        self.extra.get("custom")
    }

    /// Returns the names under which a repository may serve this target, best first: with a digest
    /// before the last segment when snapshots are consistent (§6.2), else the path alone.
    #[must_use]
    pub fn file_names(&self, consistent_snapshot: bool) -> Vec<String> {
        if !consistent_snapshot {
            return vec![self.path.clone()];
        }
        let (folder, file) = match self.path.rsplit_once('/') {
            Some((folder, file)) => (format!("{folder}/"), file),
            None => (String::new(), self.path.as_str()),
        };
        let known = ["sha256", "sha512"];
        let digests = known.iter().filter_map(|name| self.hashes.get(*name));
        digests.map(|digest| format!("{folder}{digest}.{file}")).collect()
    }

    /// Starts to check this target's bytes.
    #[must_use]
    pub fn check(&self) -> TargetCheck<'_> {
        TargetCheck { target: self, length: 0, sha256: Sha256::new(), sha512: Sha512::new() }
    }

    /// Checks bytes that are all there.
    ///
    /// # Errors
    ///
    /// [`TufError::EndlessData`] or [`TufError::WrongTarget`].
    pub fn check_bytes(&self, bytes: &[u8]) -> Result<(), TufError> {
        let mut check = self.check();
        check.update(bytes)?;
        check.finish()
    }
}

/// The check of a target's bytes as they come.
#[derive(Clone, Debug)]
pub struct TargetCheck<'a> {
    target: &'a Target,
    length: u64,
    sha256: Sha256,
    sha512: Sha512,
}

impl TargetCheck<'_> {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`TufError::EndlessData`] as soon as there are more than promised: stop reading then.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(more);
        if self.length > self.target.length {
            let (file, max_bytes) = (self.target.path.clone(), self.target.length);
            return Err(TufError::EndlessData { file, max_bytes });
        }
        if self.target.hashes.contains_key("sha256") {
            self.sha256.update(bytes);
        }
        if self.target.hashes.contains_key("sha512") {
            self.sha512.update(bytes);
        }
        Ok(())
    }

    /// Decides, when all bytes were given.
    ///
    /// # Errors
    ///
    /// [`TufError::WrongTarget`]: too short, or a digest differs, or none is of a known kind.
    pub fn finish(self) -> Result<(), TufError> {
        let wrong = |what: &str| {
            let (path, what) = (self.target.path.clone(), what.to_owned());
            Err(TufError::WrongTarget { path, what })
        };
        if self.length != self.target.length {
            return wrong("length");
        }
        let digests = [
            ("sha256", self.sha256.finalize().to_vec()),
            ("sha512", self.sha512.finalize().to_vec()),
        ];
        let mut checked = false;
        for (name, got) in digests {
            let Some(want) = self.target.hashes.get(name) else { continue };
            if from_hex(want).as_deref() != Some(&got) {
                return wrong(name);
            }
            checked = true;
        }
        if checked { Ok(()) } else { wrong("digest (none of a known kind)") }
    }
}
