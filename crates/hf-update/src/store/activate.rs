//! From a sealed set to the one in use: brakes, trial, one rename; and the way back.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::state::Waiting;
use super::{
    ActiveSet, Brakes, SealedSet, SetStore, StoreError, StoreErrorKind, disk, named_by_link,
    read_set, short, verify_set,
};

/// Says whether a set is fit for use.
pub trait Judge {
    /// Tries a set; `current` is the one in use.
    ///
    /// # Errors
    /// It is not fit, for a reason.
    fn judge(
        &self,
        candidate: &SealedSet,
        current: Option<&ActiveSet>,
    ) -> Result<Vec<String>, Refusal>;
}

/// Why a set is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// For people.
    pub reason: String,
    /// It may be another time: the machine was busy, not the set bad.
    pub try_again: bool,
}

impl Refusal {
    /// Refuses a set for good.
    #[must_use]
    pub fn bad(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), try_again: false }
    }
}

/// What became of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activation {
    /// It is what is in use already.
    Unchanged,
    /// It is in use now; with what the trial has to say.
    Activated(Vec<String>),
    /// The owner holds everything.
    Held(String),
    /// The owner wants another set.
    Pinned(String),
    /// It waits for its time, in seconds since 1970.
    Staged(u64),
    /// It is not fit.
    Refused(String),
}

/// How new sets are spread over machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageRule {
    /// Machines that take it at once, in percent.
    pub percent: u8,
    /// Seconds that the others wait.
    pub delay: u64,
}

/// Returns whether this machine waits: it has a place from 0 to 99 by its identity and the set's, so that it is not
/// always the same machines that go first.
#[must_use]
pub fn waits(rule: StageRule, machine: &[u8], content: &str) -> bool {
    let mut hasher = blake3::Hasher::new();
    hasher.update(machine);
    hasher.update(content.as_bytes());
    let place =
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap_or_default());
    place % 100 >= u64::from(rule.percent)
}

impl SetStore {
    /// Brings a set into use if nothing stands against it: the owner's brakes, an earlier refusal, the judge.
    ///
    /// # Errors
    /// The disk fails; the set in use stays.
    pub fn activate(
        &self,
        set: &SealedSet,
        judge: &dyn Judge,
        now: u64,
        by: &str,
    ) -> Result<Activation, StoreError> {
        let active = Self::active(&self.root)?;
        let state = self.state()?;
        let same = active.as_ref().is_some_and(|active| {
            active.instead_of.is_none() && active.manifest.content == set.manifest.content
        });
        if same {
            return Ok(Activation::Unchanged);
        }
        if let Some(waiting) = self.braked(&state.brakes, set, now, active.is_some())? {
            return Ok(waiting);
        }
        let known = state.refused.iter().find(|refused| refused.content == set.manifest.content);
        if let Some(refused) = known {
            return Ok(Activation::Refused(format!("{} (decided before)", refused.reason)));
        }
        verify_set(&self.root, &set.digest)?;
        match judge.judge(set, active.as_ref()) {
            Ok(notes) => {
                self.swap(&set.digest)?;
                self.change(|state| {
                    state.came_into_use(&set.digest, now, by);
                    state.waiting = None;
                })?;
                Ok(Activation::Activated(notes))
            }
            Err(refusal) => {
                if !refusal.try_again {
                    self.change(|state| state.refuse(&set.manifest.content, &refusal.reason, now))?;
                }
                Ok(Activation::Refused(refusal.reason))
            }
        }
    }

    /// Returns what the owner's brakes say; a machine without content is not held back.
    fn braked(
        &self,
        brakes: &Brakes,
        set: &SealedSet,
        now: u64,
        have_content: bool,
    ) -> Result<Option<Activation>, StoreError> {
        if let Some(pin) = brakes.pin.as_ref().filter(|pin| **pin != set.digest) {
            return Ok(Some(Activation::Pinned(pin.clone())));
        }
        if let Some(reason) = &brakes.hold {
            return Ok(Some(Activation::Held(reason.clone())));
        }
        let Some(percent) = brakes.stage_percent.filter(|_| have_content) else { return Ok(None) };
        let rule = StageRule { percent, delay: brakes.stage_delay };
        if !waits(rule, &machine_id(), &set.manifest.content) {
            return Ok(None);
        }
        let content = set.manifest.content.clone();
        let waiting = self.state()?.waiting.filter(|waiting| waiting.content == content);
        let since = match waiting {
            Some(waiting) => waiting.since,
            None => {
                self.change(|state| state.waiting = Some(Waiting { content, since: now }))?;
                now
            }
        };
        let until = since.saturating_add(rule.delay);
        Ok((now < until).then_some(Activation::Staged(until)))
    }

    /// Makes `current` name a set.
    fn swap(&self, digest: &str) -> Result<(), StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |err| StoreError::io(&path, err)
        };
        let link = self.root.join("current.new");
        let _ = fs::remove_file(&link);
        symlink(format!("sets/{digest}"), &link).map_err(at(&link))?;
        let current = self.root.join("current");
        fs::rename(&link, &current).map_err(at(&current))?;
        disk::sync_folder(&self.root).map_err(at(&self.root))
    }

    /// Goes back to the set that was in use before, without a network. What is left is not taken again by itself.
    ///
    /// # Errors
    /// There is none, or the disk fails.
    pub fn roll_back(&self, reason: &str, now: u64) -> Result<ActiveSet, StoreError> {
        let state = self.state()?;
        let named = named_by_link(&self.root)?;
        let none = || StoreError { path: self.root.clone(), kind: StoreErrorKind::NothingBefore };
        let named = named.ok_or_else(none)?;
        let left = read_set(&self.root, &named).ok();
        // Sets that were left or refused are nothing to go back to.
        let bad = |content: &str| state.refused.iter().any(|refused| refused.content == content);
        let before = state
            .past
            .iter()
            .rev()
            .filter(|past| past.digest != named)
            .filter_map(|past| verify_set(&self.root, &past.digest).ok())
            .find(|set| !bad(&set.manifest.content))
            .ok_or_else(none)?;
        if let Some(left) = &left {
            self.change(|state| state.refuse(&left.manifest.content, reason, now))?;
        }
        self.swap(&before.digest)?;
        let by = format!("rolled back from {}: {reason}", short(&named));
        self.change(|state| state.came_into_use(&before.digest, now, &by))?;
        Ok(before)
    }

    /// Uses this set and no other until the pin is taken away; the digest may be shortened.
    ///
    /// # Errors
    /// There is no such set, or it is damaged.
    pub fn pin(&self, prefix: &str, now: u64) -> Result<ActiveSet, StoreError> {
        let digest = self.find(prefix)?;
        let set = verify_set(&self.root, &digest)?;
        self.change(|state| state.brakes.pin = Some(digest.clone()))?;
        if named_by_link(&self.root)?.as_ref() != Some(&digest) {
            self.swap(&digest)?;
            self.change(|state| state.came_into_use(&digest, now, "pinned by the owner"))?;
        }
        Ok(set)
    }

    /// Returns the digest of the one set on the disk whose digest begins so.
    fn find(&self, prefix: &str) -> Result<String, StoreError> {
        let sets = self.root.join("sets");
        let entries = fs::read_dir(&sets).map_err(|err| StoreError::io(&sets, err))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<String> =
            names.filter(|name| super::is_digest(name) && name.starts_with(prefix)).collect();
        match (found.pop(), found.is_empty(), prefix.len() >= 4) {
            (Some(digest), true, true) => Ok(digest),
            _ => Err(StoreError { path: sets.join(prefix), kind: StoreErrorKind::Unknown }),
        }
    }
}

/// Returns what tells this machine from others. Source: machine-id(5), which asks for it never to be told as it is.
fn machine_id() -> Vec<u8> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .find_map(|path| fs::read(path).ok().filter(|bytes| !bytes.is_empty()))
        .unwrap_or_default()
}
