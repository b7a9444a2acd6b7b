//! Reports as JSON: what `holdfast scan --json` prints for a file, and what services answer.
//!
//! Promises: pure. The schema is `docs/json.md`; a test of the program holds both together.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hf_core::hex::to_hex;
use hf_core::{Defect, Hit, Report, Unscanned, Verdict};
use serde_json::{Map, Value, json};

/// Inserts bytes as text; what is not UTF-8 becomes U+FFFD, and `*_hex` then has the bytes.
pub fn put_name(object: &mut Map<String, Value>, key: &str, name: &[u8]) {
    object.insert(key.to_owned(), Value::from(String::from_utf8_lossy(name)));
    if std::str::from_utf8(name).is_err() {
        object.insert(format!("{key}_hex"), Value::from(to_hex(name)));
    }
}

fn place(report: &Report, object: u32, last: &[u8]) -> Value {
    let names = report.path(object).into_iter().chain([last]).filter(|name| !name.is_empty());
    names.map(|name| Value::from(String::from_utf8_lossy(name))).collect()
}

/// Returns the line of one scanned file.
#[must_use]
pub fn file(path: &Path, size: u64, verdict: Verdict, hits: &[&Hit], report: &Report) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), Value::from("file"));
    put_name(&mut line, "path", path.as_os_str().as_bytes());
    line.insert("verdict".to_owned(), json!(verdict));
    line.insert("size".to_owned(), Value::from(size));
    line.insert("objects".to_owned(), Value::from(report.object_count));
    line.insert("scanned_bytes".to_owned(), Value::from(report.scanned_bytes));
    line.insert("findings".to_owned(), hits.iter().map(|hit| finding(report, hit)).collect());
    line.insert(
        "not_scanned".to_owned(),
        report.unscanned.iter().map(|part| unscanned(report, part)).collect(),
    );
    if report.unscanned_more > 0 {
        line.insert("not_scanned_more".to_owned(), Value::from(report.unscanned_more));
    }
    let (defects, more) = defects(report);
    if !defects.is_empty() {
        line.insert("defects".to_owned(), Value::from(defects));
    }
    if more > 0 {
        line.insert("defects_more".to_owned(), Value::from(more));
    }
    if report.trusted {
        line.insert("trusted".to_owned(), Value::from(true));
    }
    if let Some(error) = &report.error {
        line.insert("error".to_owned(), Value::from(error.as_str()));
    }
    Value::Object(line)
}

/// Returns the line of something that was not scanned at all.
#[must_use]
pub fn skipped(path: &Path, reason: &str, error: bool) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), Value::from(if error { "error" } else { "skipped" }));
    put_name(&mut line, "path", path.as_os_str().as_bytes());
    line.insert("reason".to_owned(), Value::from(reason));
    Value::Object(line)
}

/// Returns a finding.
#[must_use]
pub fn finding(report: &Report, hit: &Hit) -> Value {
    let spans: Value = hit
        .spans
        .iter()
        .map(|span| {
            json!({
                "part": span.part, "offset": span.off, "length": span.len,
                "bytes": to_hex(&span.bytes),
            })
        })
        .collect();
    json!({
        "name": hit.name, "kind": hit.kind, "strength": hit.strength,
        "place": place(report, hit.object, b""), "origin": hit.origin, "matches": spans,
    })
}

/// Returns a part that was not looked at.
#[must_use]
pub fn unscanned(report: &Report, part: &Unscanned) -> Value {
    json!({
        "place": place(report, part.object, &part.name), "reason": part.reason.to_string(),
    })
}

/// Defects told of one file: thousands of objects may have dozens each, and each repeats the names around it.
const DEFECTS_TOLD_MAX: usize = 256;

/// Returns the first defects, and how many more there are.
fn defects(report: &Report) -> (Vec<Value>, u64) {
    let (mut told, mut more) = (Vec::new(), 0u64);
    for (idx, node) in report.objects.iter().enumerate() {
        let object = u32::try_from(idx).unwrap_or(0);
        for Defect { off, what } in &node.defects {
            if told.len() < DEFECTS_TOLD_MAX {
                told.push(json!({
                    "place": place(report, object, b""), "offset": off, "what": what,
                }));
            } else {
                more = more.saturating_add(1);
            }
        }
    }
    (told, more)
}

#[cfg(test)]
mod tests {
    use hf_core::{FileType, ObjectNode};

    use super::*;

    #[test]
    fn defects_are_told_in_bounds() {
        let node = |parent| ObjectNode {
            parent,
            name: vec![0xff; 1024],
            file_type: FileType::Zip,
            normalised: false,
            embedded_off: None,
            size: 0,
            digests: None,
            facts: Vec::new(),
            defects: vec![Defect::new(1, "local header"); Report::DEFECTS_MAX],
        };
        let objects = (0u32..5000).map(|idx| node(idx.checked_sub(1).map(|_| 0))).collect();
        let report = Report { objects, ..Report::default() };
        let line = file(Path::new("x"), 0, Verdict::Incomplete, &[], &report);
        assert_eq!(line["defects"].as_array().unwrap().len(), DEFECTS_TOLD_MAX);
        let all = 5000 * Report::DEFECTS_MAX - DEFECTS_TOLD_MAX;
        assert_eq!(line["defects_more"], json!(all));
        assert!(line.to_string().len() < 2 << 20);
    }
}
