//! The status page: what protects this machine, how old its content is, what was found.
//!
//! Promises: whole without script, which only keeps it fresh; nothing from elsewhere; what strangers
//! named is only text.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::Value;

use super::views::{self, SECONDS, ago, last_seconds, rfc3339};
use crate::icap::answer::escaped;
use crate::service::{Finding, Metrics, Service, Status};

/// Its style.
pub(super) const STYLE: &str = include_str!("page.css");

/// Its script.
pub(super) const SCRIPT: &str = include_str!("page.js");

/// Returns the page. `quarantine` has its entries, or why they cannot be told; none when there is none.
#[must_use]
pub(super) fn html(service: &Service, quarantine: Option<Result<Vec<Value>, String>>) -> String {
    let (status, metrics) = (service.status(), service.metrics());
    render(&status, &metrics, &service.recent_findings(), service.is_stopping(), quarantine)
}

fn render(
    status: &Status,
    metrics: &Metrics,
    findings: &[Finding],
    stopping: bool,
    quarantine: Option<Result<Vec<Value>, String>>,
) -> String {
    let (health, ready) = views::health(status, stopping);
    let (class, word) = if ready { ("good", "Scanning") } else { ("bad", "Not scanning") };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Holdfast</title>\n\
         <link rel=\"stylesheet\" href=\"page.css\">\n<script src=\"page.js\" defer></script>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n</head>\n<body>\n\
         <header class=\"{class}\" id=\"state\"><h1>Holdfast</h1><p id=\"word\">{word}</p></header>\n\
         <main>\n"
    );
    for key in ["reasons", "notes"] {
        for text in health[key].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(text));
        }
    }
    counts(&mut page, status, metrics);
    let _ = writeln!(page, "<h2>Scans per second, last five minutes</h2>\n{}", chart(metrics));
    found(&mut page, findings);
    content(&mut page, status);
    if let Some(entries) = quarantine {
        held(&mut page, entries);
    }
    protection(&mut page, status);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn counts(page: &mut String, status: &Status, metrics: &Metrics) {
    page.push_str("<dl class=\"counts\">\n");
    for (id, label, count) in [
        ("scans", "scanned", metrics.scans),
        ("clean", "clean", metrics.clean),
        ("detected", "detected", metrics.detected),
        ("incomplete", "incomplete", metrics.incomplete),
        ("error", "failed", metrics.error),
        ("queued", "waiting", u64::try_from(status.queued).unwrap_or(u64::MAX)),
        ("signatures", "signatures", status.content.signatures),
    ] {
        let _ =
            writeln!(page, "<div><dt>{label}</dt><dd id=\"{id}\">{}</dd></div>", grouped(count));
    }
    page.push_str("</dl>\n");
}

/// Returns the drawing of the last seconds: one unit of width for each.
fn chart(metrics: &Metrics) -> String {
    let seconds: Vec<_> = last_seconds(metrics, SystemTime::now()).collect();
    let most = seconds.iter().map(|second| second.scans).max().unwrap_or(0).max(1);
    let mut line = String::new();
    let mut marks = String::new();
    for (x, second) in seconds.iter().enumerate() {
        let y = 100.0 - f64::from(second.scans) * 100.0 / f64::from(most);
        let _ = write!(line, "{}{x},{y:.1}", if x == 0 { "" } else { " " });
        if second.detected > 0 {
            let _ = write!(marks, "<path class=\"mark\" d=\"M{x} 0V100\"/>");
        }
    }
    format!(
        "<figure><svg id=\"chart\" viewBox=\"0 0 {last} 100\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"Scans per second\">{marks}<polygon points=\"0,100 {line} {last},100\"/>\
         <polyline points=\"{line}\"/></svg>\
         <figcaption>at most <span id=\"most\">{most}</span> a second; lines mark detections\
         </figcaption></figure>",
        last = SECONDS - 1,
    )
}

fn found(page: &mut String, findings: &[Finding]) {
    page.push_str(
        "<h2>Recent findings</h2>\n<table><thead><tr><th>When</th><th>What</th>\
        <th>Where</th><th>From</th></tr></thead><tbody id=\"findings\">\n",
    );
    for finding in findings.iter().take(SHOWN) {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} {}</td></tr>",
            rfc3339(finding.at),
            escaped(&finding.names.join(", ")),
            escaped(&String::from_utf8_lossy(&finding.object)),
            finding.door.name(),
            escaped(&finding.client),
        );
    }
    if findings.is_empty() {
        page.push_str("<tr><td colspan=\"4\">nothing since the start</td></tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn content(page: &mut String, status: &Status) {
    let _ = writeln!(
        page,
        "<h2>Content</h2>\n<p>Opened {} ago; last looked for newer content {} ago.</p>\n<table><thead>\
         <tr><th>Database</th><th>Version</th><th>Built</th><th>Signatures</th><th>Verified by</th></tr>\
         </thead><tbody>",
        ago(status.content.opened),
        ago(status.content_checked),
    );
    for database in status.content.databases.iter().take(SHOWN) {
        let version = database.version.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let proof = if database.proof.is_empty() { "nothing" } else { &database.proof };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{version}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&database.name),
            escaped(&database.built_at),
            grouped(database.signatures),
            escaped(proof),
        );
    }
    page.push_str("</tbody></table>\n");
}

fn held(page: &mut String, entries: Result<Vec<Value>, String>) {
    page.push_str("<h2>Quarantine</h2>\n");
    let entries = match entries {
        Ok(entries) => entries,
        Err(why) => {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(&why));
            return;
        }
    };
    page.push_str(
        "<table><thead><tr><th>When</th><th>What</th><th>Where</th></tr></thead><tbody>\n",
    );
    for entry in entries.iter().take(SHOWN) {
        let text = |key: &str| escaped(entry[key].as_str().unwrap_or_default());
        let (at, name, path) = (text("at"), text("name"), text("path"));
        let _ = writeln!(page, "<tr><td>{at}</td><td>{name}</td><td>{path}</td></tr>");
    }
    if entries.is_empty() {
        page.push_str("<tr><td colspan=\"3\">empty</td></tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn protection(page: &mut String, status: &Status) {
    page.push_str("<h2>Confinement of workers</h2>\n<table><tbody>\n");
    for protection in &status.protections {
        let (class, state) =
            if protection.active { ("yes", "in force") } else { ("no", "missing") };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"{class}\">{state}</td><td>{}</td></tr>",
            escaped(&protection.name),
            escaped(&protection.detail),
        );
    }
    let _ = writeln!(
        page,
        "</tbody></table>\n<p>{} of {} workers run. Up for {}. Holdfast {}.</p>",
        status.workers_ready,
        status.workers,
        ago(SystemTime::now() - status.uptime),
        env!("CARGO_PKG_VERSION"),
    );
}

/// Returns a number with thin spaces between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Ours: rows of a table.
const SHOWN: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Door;

    #[test]
    fn hostile_names_are_text() {
        let finding = Finding {
            at: SystemTime::UNIX_EPOCH,
            door: Door::Http,
            client: "<c>".to_owned(),
            object: b"\"><script>alert(1)</script>\xff".to_vec(),
            names: vec!["<b>N</b>".to_owned()],
            size: 1,
        };
        let mut page = String::new();
        found(&mut page, &[finding]);
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<c>"));
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}"));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(8_234_567), "8\u{202f}234\u{202f}567");
    }
}
