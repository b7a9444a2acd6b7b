//! `/metrics` in Prometheus's text format.
//!
//! Sources: Prometheus, "Exposition formats", text format 0.0.4.

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::scan::Door;
use crate::service::{Metrics, Status};

/// Returns the text.
#[must_use]
pub fn text(metrics: &Metrics, status: &Status) -> String {
    let mut out = String::new();
    let page = &mut out;
    family(page, "build_info", "gauge", "1, with the version as a label.");
    sample(page, "build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    family(page, "scans_total", "counter", "Objects answered, by verdict.");
    for (verdict, count) in [
        ("clean", metrics.clean),
        ("detected", metrics.detected),
        ("error", metrics.error),
        ("incomplete", metrics.incomplete),
    ] {
        sample(page, "scans_total", &[("verdict", verdict)], count);
    }
    family(page, "door_scans_total", "counter", "Objects answered, by the door they came through.");
    for (door, count) in Door::ALL.iter().zip(metrics.doors) {
        sample(page, "door_scans_total", &[("door", door.name())], count);
    }
    counter(page, "scanned_bytes_total", "Bytes of all objects answered.", metrics.bytes);
    latency(page, metrics);
    counter(page, "cache_hits_total", "Verdicts from the cache.", metrics.cache_hits);
    gauge(page, "cache_entries", "Verdicts in the cache.", metrics.cache_entries);
    counter(page, "worker_deaths_total", "Workers that died over an object.", metrics.deaths);
    family(page, "reloads_total", "counter", "Reloads of content, by result.");
    sample(page, "reloads_total", &[("result", "changed")], metrics.reloads);
    sample(page, "reloads_total", &[("result", "failed")], metrics.reloads_failed);
    gauge(page, "queued_objects", "Objects that wait for a worker.", wide(status.queued));
    gauge(page, "scanning_objects", "Objects that are with a worker.", wide(status.scanning));
    gauge(page, "workers", "Workers that should run.", wide(status.workers));
    gauge(page, "workers_ready", "Workers that run.", wide(status.workers_ready));
    gauge(page, "uptime_seconds", "Time since the start.", status.uptime.as_secs());
    content(page, status);
    out
}

fn content(page: &mut String, status: &Status) {
    let unix = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    };
    gauge(page, "content_signatures", "Signatures in use.", status.content.signatures);
    let help = "When the content in use was opened.";
    gauge(page, "content_opened_timestamp_seconds", help, unix(status.content.opened));
    let help = "When it was last looked for newer content without an error.";
    gauge(page, "content_checked_timestamp_seconds", help, unix(status.content_checked));
    let help = "1 when the last reload failed, so that older content is in use.";
    gauge(page, "content_reload_failed", help, u64::from(status.reload_error.is_some()));
    family(page, "content_database_version", "gauge", "Versions of signed databases in use.");
    for database in &status.content.databases {
        if let Some(version) = database.version {
            let labels = [("database", database.name.as_str())];
            sample(page, "content_database_version", &labels, u64::from(version));
        }
    }
}

fn latency(page: &mut String, metrics: &Metrics) {
    let name = "scan_duration_seconds";
    family(page, name, "histogram", "Time from a request to its answer, waiting included.");
    let mut count = 0_u64;
    for (bound, class) in Metrics::BOUNDS_US.iter().zip(metrics.latency) {
        count = count.saturating_add(class);
        sample(page, "scan_duration_seconds_bucket", &[("le", &seconds(*bound))], count);
    }
    count = count.saturating_add(metrics.latency.last().copied().unwrap_or(0));
    sample(page, "scan_duration_seconds_bucket", &[("le", "+Inf")], count);
    let sum = seconds(metrics.latency_sum_us);
    let _ = writeln!(page, "holdfast_scan_duration_seconds_sum {sum}");
    sample(page, "scan_duration_seconds_count", &[], count);
}

/// Returns microseconds as seconds, without trailing zeros.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn counter(page: &mut String, name: &str, help: &str, value: u64) {
    family(page, name, "counter", help);
    sample(page, name, &[], value);
}

fn gauge(page: &mut String, name: &str, help: &str, value: u64) {
    family(page, name, "gauge", help);
    sample(page, name, &[], value);
}

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP holdfast_{name} {help}\n# TYPE holdfast_{name} {kind}");
}

fn sample(page: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let _ = write!(page, "holdfast_{name}");
    for (idx, (key, label)) in labels.iter().enumerate() {
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(page, "{}{key}=\"{label}\"", if idx == 0 { "{" } else { "," });
    }
    let _ = writeln!(page, "{} {value}", if labels.is_empty() { "" } else { "}" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels() {
        assert_eq!(seconds(0), "0");
        assert_eq!(seconds(250), "0.00025");
        assert_eq!(seconds(60_000_000), "60");
        let mut page = String::new();
        sample(&mut page, "x", &[("a", "1"), ("b", "q\"\\\n")], 3);
        sample(&mut page, "y", &[], 4);
        assert_eq!(page, "holdfast_x{a=\"1\",b=\"q\\\"\\\\\\n\"} 3\nholdfast_y 4\n");
    }

    #[test]
    fn buckets_add_up() {
        let mut metrics = Metrics { latency_sum_us: 1_500_000, ..Metrics::default() };
        metrics.latency[0] = 2;
        metrics.latency[3] = 1;
        metrics.latency[Metrics::BOUNDS_US.len()] = 4;
        let mut page = String::new();
        latency(&mut page, &metrics);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[2], "holdfast_scan_duration_seconds_bucket{le=\"0.00025\"} 2");
        assert_eq!(lines[5], "holdfast_scan_duration_seconds_bucket{le=\"0.005\"} 3");
        assert_eq!(lines[13], "holdfast_scan_duration_seconds_bucket{le=\"60\"} 3");
        assert_eq!(lines[14], "holdfast_scan_duration_seconds_bucket{le=\"+Inf\"} 7");
        assert_eq!(lines[15], "holdfast_scan_duration_seconds_sum 1.5");
        assert_eq!(lines[16], "holdfast_scan_duration_seconds_count 7");
    }
}
