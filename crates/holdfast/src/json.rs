//! Reports as JSON lines, beyond what `hf_policy::json` has. The schema is `docs/json.md`; a test holds both
//! together.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hf_core::Report;
use hf_core::hex::to_hex;
pub(crate) use hf_policy::json::{file, skipped};
use hf_policy::json::{finding, put_name, unscanned};
use serde_json::{Map, Value, json};

use crate::commands::inspect;

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
                object.insert("md5".to_owned(), Value::from(to_hex(&digests.md5)));
                object.insert("sha1".to_owned(), Value::from(to_hex(&digests.sha1)));
                object.insert("sha256".to_owned(), Value::from(to_hex(&digests.sha256)));
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
