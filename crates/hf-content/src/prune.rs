//! What is removed from the cache: packs that nobody used for long, and what a cut-off build left.
//!
//! Promises: a pack in use by this process, or used lately by any, stays; so do the newest others.
//! A removed pack that is mapped somewhere stays whole for whoever maps it.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use crate::cache::{Cache, DRAFT_PREFIX, LOCK_SUFFIX, PACK_SUFFIX, RECORD_SUFFIX};
use crate::record::Record;

/// True once a day, when a record's pack is to be read whole; notes that it is in use. Who may not
/// note it leaves that to the owner of the cache.
pub(crate) fn is_due(record: &File) -> bool {
    let now = SystemTime::now();
    record.metadata().is_ok_and(|meta| age(&meta, now) > DAY) && record.set_modified(now).is_ok()
}

/// Removes what is not worth keeping. `in_use` names packs.
pub(crate) fn prune(cache: &Cache, in_use: &[String]) {
    let now = SystemTime::now();
    let mut packs = Vec::new();
    let mut used: HashMap<String, Duration> = HashMap::new();
    for entry in fs::read_dir(cache.dir()).into_iter().flatten().flatten() {
        let (Ok(name), Ok(meta)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        let age = age(&meta, now);
        if name.starts_with(DRAFT_PREFIX) {
            if age > DRAFT_AGE && is_abandoned(cache, &name) {
                cache.remove(&name);
            }
        } else if name.ends_with(LOCK_SUFFIX) {
            if age > DAY {
                cache.remove(&name);
            }
        } else if let Some(id) = name.strip_suffix(RECORD_SUFFIX) {
            match Record::read(cache, id).filter(|_| age < PACK_AGE) {
                Some((record, _)) => {
                    let known = used.entry(record.key).or_insert(age);
                    *known = age.min(*known);
                }
                None => cache.remove(&name),
            }
        } else if let Some(key) = name.strip_suffix(PACK_SUFFIX) {
            packs.push((age, key.to_owned(), meta.len()));
        }
    }
    packs.retain(|(_, key, _)| !in_use.contains(key));
    for (age, key, _) in &mut packs {
        *age = used.get(key).map_or(*age, |used| (*used).min(*age));
    }
    packs.sort();
    let mut bytes = 0u64;
    for (nth, (age, key, len)) in packs.into_iter().enumerate() {
        bytes = bytes.saturating_add(len);
        if age > PACK_AGE || nth >= PACKS_MAX || bytes > PACK_BYTES_MAX {
            cache.remove(&format!("{key}{PACK_SUFFIX}"));
        }
    }
}

fn age(meta: &Metadata, now: SystemTime) -> Duration {
    let modified = meta.modified().ok();
    modified.and_then(|then| now.duration_since(then).ok()).unwrap_or_default()
}

/// True when the writer of a draft is gone: a living one holds its lock.
fn is_abandoned(cache: &Cache, name: &str) -> bool {
    cache.read(name).is_some_and(|file| {
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ours: between making a draft and locking it lie microseconds.
const DRAFT_AGE: Duration = Duration::from_secs(60);
/// Ours: a configuration that was not used for a month is forgotten.
const PACK_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ours: predecessors for roll-back and several configurations fit.
const PACKS_MAX: usize = 16;
const PACK_BYTES_MAX: u64 = 4 << 30;
