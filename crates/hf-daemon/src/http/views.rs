//! What the service tells of itself, as JSON. The schemas are in `docs/openapi.json`.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::service::{Finding, Metrics, Second, Status};

/// Returns `/v1/health`: live whenever it is answered; ready when objects can be scanned now.
#[must_use]
pub fn health(status: &Status, stopping: bool) -> (Value, bool) {
    let mut reasons = Vec::new();
    if stopping {
        reasons.push("the service is ending".to_owned());
    }
    if status.workers_ready == 0 {
        let why = status.worker_error.as_deref().unwrap_or("it is starting");
        reasons.push(format!("no worker is ready: {why}"));
    }
    if status.content.signatures == 0 {
        reasons.push("there are no signatures".to_owned());
    }
    let ready = reasons.is_empty();
    let mut notes = Vec::new();
    if let Some(error) = &status.reload_error {
        notes.push(format!("older content is in use, since the last reload failed: {error}"));
    }
    notes.extend(missing(status));
    let value = json!({
        "live": true,
        "ready": ready,
        "reasons": reasons,
        "notes": notes,
        "workers": status.workers,
        "workers_ready": status.workers_ready,
        "queued": status.queued,
        "scanning": status.scanning,
        "uptime_seconds": status.uptime.as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    (value, ready)
}

/// Returns a sentence for each mechanism of confinement that workers lack.
pub(super) fn missing(status: &Status) -> impl Iterator<Item = String> {
    let missing = status.protections.iter().filter(|protection| !protection.active);
    missing.map(|protection| format!("workers lack {}", protection.name))
}

/// Returns `/v1/content`.
#[must_use]
pub fn content(status: &Status) -> Value {
    let databases: Vec<Value> = status
        .content
        .databases
        .iter()
        .map(|database| {
            json!({
                "name": database.name,
                "version": database.version,
                "built_at": database.built_at,
                "signatures": database.signatures,
                "official": database.official,
                "proof": database.proof,
            })
        })
        .collect();
    json!({
        "digest": status.content.hex(),
        "signatures": status.content.signatures,
        "generation": status.generation,
        "opened": rfc3339(status.content.opened),
        "checked": rfc3339(status.content_checked),
        "reload_error": status.reload_error,
        "databases": databases,
    })
}

/// Returns `/v1/stats`: counters, and the last five minutes second by second, without gaps.
#[must_use]
pub fn stats(metrics: &Metrics, status: &Status) -> Value {
    let seconds: Vec<Value> = last_seconds(metrics, SystemTime::now())
        .map(|second| {
            json!({
                "at": second.at, "scans": second.scans, "bytes": second.bytes,
                "detected": second.detected,
            })
        })
        .collect();
    json!({
        "scans": metrics.scans,
        "bytes": metrics.bytes,
        "clean": metrics.clean,
        "detected": metrics.detected,
        "incomplete": metrics.incomplete,
        "error": metrics.error,
        "cache_hits": metrics.cache_hits,
        "worker_deaths": metrics.deaths,
        "queued": status.queued,
        "scanning": status.scanning,
        "workers": status.workers,
        "workers_ready": status.workers_ready,
        "uptime_seconds": status.uptime.as_secs(),
        "signatures": status.content.signatures,
        "seconds": seconds,
    })
}

/// Returns the last [`SECONDS`] seconds that are over, oldest first.
pub(super) fn last_seconds(metrics: &Metrics, now: SystemTime) -> impl Iterator<Item = Second> {
    let now = unix(now);
    (now.saturating_sub(SECONDS)..now).map(|at| {
        let known = metrics.seconds.binary_search_by_key(&at, |second| second.at).ok();
        let known = known.and_then(|idx| metrics.seconds.get(idx)).copied();
        known.unwrap_or(Second { at, ..Second::default() })
    })
}

/// Returns `/v1/findings`, newest first.
#[must_use]
pub fn findings(findings: &[Finding]) -> Value {
    let all: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "at": rfc3339(finding.at),
                "door": finding.door.name(),
                "client": finding.client,
                "path": String::from_utf8_lossy(&finding.object),
                "names": finding.names,
                "size": finding.size,
            })
        })
        .collect();
    json!({ "findings": all })
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns a time as `2026-12-01T00:00:00Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = unix(time);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, counted from 1 March of year 0: [Hinnant, chrono-compatible date algorithms].
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest % 3_600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns how long ago a time is, for people.
pub(super) fn ago(time: SystemTime) -> String {
    let seconds = time.elapsed().unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Seconds that are told.
pub(super) const SECONDS: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_796_083_200), "2026-12-01T00:00:00Z");
    }

    #[test]
    fn seconds_have_no_gaps() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let second = Second { at: 998, scans: 7, ..Second::default() };
        let metrics = Metrics { seconds: vec![second], ..Metrics::default() };
        let all: Vec<Second> = last_seconds(&metrics, now).collect();
        assert_eq!(all.len(), 300);
        assert_eq!((all[0].at, all[299].at, all[298]), (700, 999, second));
    }
}
