//! Reports as JSON lines. The schema is `docs/json.md`; a test holds both together.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hf_core::{Defect, Hit, Report, Unscanned, Verdict};
use serde_json::{Map, Value, json};

use crate::commands::inspect;
use crate::display::hex;

/// Returns bytes as text; what is not UTF-8 becomes U+FFFD, and `*_hex` then has the bytes.
fn put_name(object: &mut Map<String, Value>, key: &str, name: &[u8]) {
    object.insert(key.to_owned(), Value::from(String::from_utf8_lossy(name)));
    if std::str::from_utf8(name).is_err() {
        object.insert(format!("{key}_hex"), Value::from(hex(name)));
    }
}

fn place(report: &Report, object: u32, last: &[u8]) -> Value {
    let names = report.path(object).into_iter().chain([last]).filter(|name| !name.is_empty());
    names.map(|name| Value::from(String::from_utf8_lossy(name))).collect()
}

/// Returns the line of one scanned file.
pub(crate) fn file(
    path: &Path,
    size: u64,
    verdict: Verdict,
    hits: &[&Hit],
    report: &Report,
) -> Value {
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
    let defects: Vec<Value> = defects(report);
    if !defects.is_empty() {
        line.insert("defects".to_owned(), Value::from(defects));
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
pub(crate) fn skipped(path: &Path, reason: &str, error: bool) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), Value::from(if error { "error" } else { "skipped" }));
    put_name(&mut line, "path", path.as_os_str().as_bytes());
    line.insert("reason".to_owned(), Value::from(reason));
    Value::Object(line)
}

fn finding(report: &Report, hit: &Hit) -> Value {
    let spans: Value = hit
        .spans
        .iter()
        .map(|span| {
            json!({
                "part": span.part, "offset": span.off, "length": span.len,
                "bytes": hex(&span.bytes),
            })
        })
        .collect();
    json!({
        "name": hit.name, "kind": hit.kind, "strength": hit.strength,
        "place": place(report, hit.object, b""), "origin": hit.origin, "matches": spans,
    })
}

fn unscanned(report: &Report, part: &Unscanned) -> Value {
    json!({
        "place": place(report, part.object, &part.name), "reason": part.reason.to_string(),
    })
}

fn defects(report: &Report) -> Vec<Value> {
    let mut all = Vec::new();
    for (idx, node) in report.objects.iter().enumerate() {
        let object = u32::try_from(idx).unwrap_or(0);
        for Defect { off, what } in &node.defects {
            all.push(json!({
                "place": place(report, object, b""), "offset": off, "what": what,
            }));
        }
    }
    all
}

/// Returns all objects of a file.
pub(crate) fn objects(report: &Report) -> Value {
    report
        .objects
        .iter()
        .enumerate()
        .map(|(idx, node)| {
            let mut object = Map::new();
            object.insert("id".to_owned(), Value::from(idx));
            object.insert("parent".to_owned(), json!(node.parent));
            put_name(&mut object, "name", &node.name);
            object.insert("file_type".to_owned(), Value::from(node.file_type.name()));
            object.insert("size".to_owned(), Value::from(node.size));
            object.insert("normalised".to_owned(), Value::from(node.normalised));
            object.insert("raw_only".to_owned(), Value::from(!inspect::opened(node)));
            object.insert("embedded_offset".to_owned(), json!(node.embedded_off));
            if let Some(digests) = &node.digests {
                object.insert("md5".to_owned(), Value::from(hex(&digests.md5)));
                object.insert("sha1".to_owned(), Value::from(hex(&digests.sha1)));
                object.insert("sha256".to_owned(), Value::from(hex(&digests.sha256)));
            }
            let facts: Value = node.facts.iter().map(|(key, value)| json!([key, value])).collect();
            object.insert("facts".to_owned(), facts);
            let defects: Value =
                node.defects.iter().map(|d| json!({"offset": d.off, "what": d.what})).collect();
            object.insert("defects".to_owned(), defects);
            Value::Object(object)
        })
        .collect()
}

/// Returns the whole tree of a file, for `inspect`.
pub(crate) fn tree(path: &Path, report: &Report) -> Value {
    let mut line = Map::new();
    line.insert("type".to_owned(), Value::from("tree"));
    put_name(&mut line, "path", path.as_os_str().as_bytes());
    line.insert("objects".to_owned(), objects(report));
    let hits: Value = report.hits.iter().map(|hit| finding(report, hit)).collect();
    line.insert("findings".to_owned(), hits);
    let parts: Value = report.unscanned.iter().map(|part| unscanned(report, part)).collect();
    line.insert("not_scanned".to_owned(), parts);
    if let Some(error) = &report.error {
        line.insert("error".to_owned(), Value::from(error.as_str()));
    }
    Value::Object(line)
}
