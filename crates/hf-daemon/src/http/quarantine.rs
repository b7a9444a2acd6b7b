//! What is in the quarantine, for `/v1/quarantine` and the status page: read only.
//!
//! Promises: a quarantine that is not there yet is empty; one that cannot be read says why. Entries are
//! read with the rights of the service, which may have none when it is not root.

use std::path::Path;
use std::time::{Duration, SystemTime};

use hf_quarantine::{Listed, Record, Vault, VaultError};
use serde_json::{Value, json};

use super::views::rfc3339;

/// Returns the entries, newest first, at most [`SHOWN`].
///
/// # Errors
/// It cannot be read; text for people.
pub(super) fn list(path: &Path) -> Result<Vec<Value>, String> {
    let entries = match Vault::open(path).and_then(|vault| vault.list()) {
        Ok(entries) => entries,
        Err(VaultError::None(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let told =
        entries.into_iter().rev().take(SHOWN).map(|Listed { id, record, .. }| match record {
            Ok(record) => entry(&record),
            Err(error) => json!({
                "id": id.to_string(), "at": "", "name": "", "path": "", "error": error.to_string(),
            }),
        });
    Ok(told.collect())
}

fn entry(record: &Record) -> Value {
    let names: Vec<&str> = record.findings.iter().map(|finding| finding.name.as_str()).collect();
    let since = Duration::from_secs(u64::try_from(record.taken.s).unwrap_or(0));
    json!({
        "id": record.id.to_string(),
        "at": rfc3339(SystemTime::UNIX_EPOCH + since),
        "name": names.join(", "),
        "path": String::from_utf8_lossy(&record.path.0),
        "size": record.size,
    })
}

/// Ours.
const SHOWN: usize = 1000;
