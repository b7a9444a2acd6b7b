//! Events as objects of the Elastic Common Schema.
//!
//! Names are text; what is not UTF-8 becomes U+FFFD, and `holdfast.path_hex` then has the bytes.
//! Source: Elastic Common Schema 8.17: `event`, `file`, `hash`, `threat`, `rule`, `process`, `host`, `agent`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::escape::line;
use crate::event::{Event, Kind, Opener, Outcome, Priority};
use crate::moment;

/// Returns the word for how something went.
#[must_use]
pub fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Unknown => "unknown",
    }
}

/// Returns this machine's name.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// Returns an event as an object.
#[must_use]
pub fn object(event: &Event, host: &str) -> Value {
    let mut object = Map::new();
    object.insert("@timestamp".to_owned(), Value::from(moment::utc(event.time)));
    object.insert("ecs".to_owned(), json!({"version": "8.17.0"}));
    object.insert("message".to_owned(), Value::from(event.message()));
    let (kind, category, kinds) = class(event);
    let mut about = json!({
        "kind": kind, "category": category, "type": kinds, "action": event.word(),
        "module": "holdfast", "dataset": format!("holdfast.{}", event.source),
        "severity": severity(event.priority()), "provider": event.source,
    });
    if let Some(how) = how(event) {
        about["outcome"] = Value::from(outcome(how));
    }
    object.insert("event".to_owned(), about);
    object.insert("log".to_owned(), json!({"level": level(event.priority())}));
    object.insert("host".to_owned(), json!({"name": host, "hostname": host}));
    let version = env!("CARGO_PKG_VERSION");
    object.insert("agent".to_owned(), json!({"type": "holdfast", "version": version}));
    fields(event, &mut object);
    Value::Object(object)
}

fn class(event: &Event) -> (&'static str, Value, Value) {
    match &event.kind {
        Kind::Finding { .. } => ("alert", json!(["malware"]), json!(["info"])),
        Kind::Action { action, .. } => {
            let kinds = match action.as_str() {
                "remove" | "delete" | "quarantine" => json!(["deletion"]),
                "restore" => json!(["creation"]),
                "deny" => json!(["denied"]),
                _ => json!(["info"]),
            };
            ("event", json!(["malware", "file"]), kinds)
        }
        Kind::NotScanned { .. } => ("event", json!(["malware", "file"]), json!(["error"])),
        Kind::WorkerDied { .. } => ("event", json!(["process"]), json!(["error", "end"])),
        Kind::ScanStarted { .. } => ("event", json!(["process"]), json!(["start"])),
        Kind::ScanEnded { .. } => ("event", json!(["process"]), json!(["end"])),
        Kind::ScanPaused { .. } => ("event", json!(["process"]), json!(["change"])),
        Kind::ContentLoaded { .. } | Kind::ContentRefused { .. } | Kind::Update { .. } => {
            ("event", json!(["configuration"]), json!(["change"]))
        }
        Kind::ContentStale { .. } => ("state", json!(["configuration"]), json!(["info"])),
        Kind::ProtectionChanged { .. } => ("state", json!(["configuration"]), json!(["change"])),
        Kind::Dropped { .. } => ("pipeline_error", json!(["host"]), json!(["error"])),
    }
}

fn how(event: &Event) -> Option<Outcome> {
    match &event.kind {
        Kind::Action { outcome, .. }
        | Kind::ScanEnded { outcome, .. }
        | Kind::Update { outcome, .. } => Some(*outcome),
        Kind::ContentLoaded { .. } => Some(Outcome::Success),
        Kind::ContentRefused { .. } | Kind::NotScanned { .. } => Some(Outcome::Failure),
        _ => None,
    }
}

fn fields(event: &Event, object: &mut Map<String, Value>) {
    let mut own = Map::new();
    if let Some(path) = event.path() {
        object.insert("file".to_owned(), file(path, &event.kind));
        if std::str::from_utf8(path).is_err() {
            own.insert("path_hex".to_owned(), Value::from(hf_core::hex::to_hex(path)));
        }
    }
    match &event.kind {
        Kind::Finding { sha256, name, origin, place, opener, .. } => {
            object.insert("rule".to_owned(), json!({"name": name, "ruleset": origin}));
            let mut indicator = json!({"type": "file", "name": name, "provider": "holdfast"});
            if let Some(digest) = sha256 {
                indicator["file"] = json!({"hash": {"sha256": digest}});
                object.insert("hash".to_owned(), json!({"sha256": digest}));
            }
            object.insert("threat".to_owned(), json!({"indicator": indicator}));
            if let Some(opener) = opener {
                object.insert("process".to_owned(), process(opener));
            }
            let place: Value = place.iter().map(|part| text(part)).collect();
            own.insert("place".to_owned(), place);
        }
        Kind::Action { action, entry, reason, .. } => {
            own.insert("action".to_owned(), Value::from(action.as_str()));
            own.insert("entry".to_owned(), json!(entry));
            own.insert("reason".to_owned(), Value::from(reason.as_str()));
        }
        Kind::NotScanned { verdict, reason, others, .. } => {
            own.insert("verdict".to_owned(), Value::from(*verdict));
            own.insert("reason".to_owned(), Value::from(reason.as_str()));
            own.insert("others".to_owned(), Value::from(*others));
        }
        Kind::WorkerDied { reason, others, .. } => {
            own.insert("reason".to_owned(), Value::from(reason.as_str()));
            own.insert("others".to_owned(), Value::from(*others));
        }
        Kind::ContentStale { days, days_max } => {
            own.insert("days".to_owned(), Value::from(*days));
            own.insert("days_max".to_owned(), Value::from(*days_max));
        }
        Kind::ScanStarted { .. } | Kind::ScanPaused { .. } | Kind::ScanEnded { .. } => {
            scan_fields(&event.kind, &mut own);
        }
        Kind::ContentLoaded { signatures, databases } => {
            own.insert("signatures".to_owned(), Value::from(*signatures));
            own.insert("databases".to_owned(), json!(databases));
        }
        Kind::ContentRefused { reason } => {
            own.insert("reason".to_owned(), Value::from(reason.as_str()));
        }
        Kind::ProtectionChanged { what, on, reason } => {
            own.insert("protection".to_owned(), json!({"name": what, "on": on, "reason": reason}));
        }
        Kind::Update { from, detail, .. } => {
            own.insert("update".to_owned(), json!({"from": from, "detail": detail}));
        }
        Kind::Dropped { count } => {
            own.insert("dropped".to_owned(), Value::from(*count));
        }
    }
    object.insert("holdfast".to_owned(), Value::Object(own));
}

fn scan_fields(kind: &Kind, own: &mut Map<String, Value>) {
    match kind {
        Kind::ScanStarted { task, paths } => {
            own.insert("task".to_owned(), Value::from(task.as_str()));
            own.insert("paths".to_owned(), paths.iter().map(|path| text(path)).collect());
        }
        Kind::ScanPaused { task, paused, reason } => {
            own.insert("task".to_owned(), Value::from(task.as_str()));
            own.insert("paused".to_owned(), Value::from(*paused));
            own.insert("reason".to_owned(), Value::from(reason.as_str()));
        }
        Kind::ScanEnded { task, files, detected, incomplete, errors, .. } => {
            own.insert("task".to_owned(), Value::from(task.as_str()));
            let counts = json!({
                "files": files, "detected": detected, "incomplete": incomplete, "errors": errors,
            });
            own.insert("counts".to_owned(), counts);
        }
        _ => {}
    }
}

fn file(path: &[u8], kind: &Kind) -> Value {
    use std::os::unix::ffi::OsStrExt as _;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let part = |part: Option<&std::ffi::OsStr>| part.map(|part| text(part.as_bytes()));
    let mut file = json!({"path": text(path.as_os_str().as_bytes()), "type": "file"});
    if let Some(name) = part(path.file_name()) {
        file["name"] = name;
    }
    if let Some(extension) = part(path.extension()) {
        file["extension"] = extension;
    }
    if let Some(folder) = path.parent() {
        file["directory"] = text(folder.as_os_str().as_bytes());
    }
    if let Kind::Finding { size: Some(size), .. } | Kind::NotScanned { size: Some(size), .. } = kind
    {
        file["size"] = Value::from(*size);
    }
    if let Kind::Finding { sha256: Some(digest), .. } = kind {
        file["hash"] = json!({"sha256": digest});
    }
    file
}

fn process(opener: &Opener) -> Value {
    let mut process = Map::new();
    if let Some(pid) = opener.pid {
        process.insert("pid".to_owned(), Value::from(pid));
    }
    if !opener.executable.is_empty() {
        process.insert("executable".to_owned(), text(&opener.executable));
    }
    if let Some(uid) = opener.uid {
        process.insert("user".to_owned(), json!({"id": uid.to_string()}));
    }
    Value::Object(process)
}

fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes))
}

/// Higher is worse; the schema leaves the scale to us.
fn severity(priority: Priority) -> u8 {
    match priority {
        Priority::Critical => 90,
        Priority::Error => 70,
        Priority::Warning => 50,
        Priority::Notice => 30,
        Priority::Info => 10,
    }
}

fn level(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical => "critical",
        Priority::Error => "error",
        Priority::Warning => "warning",
        Priority::Notice => "notice",
        Priority::Info => "info",
    }
}

/// Returns an event as one line, with its end.
#[must_use]
pub fn json_line(event: &Event, host: &str) -> Vec<u8> {
    let mut bytes = object(event, host).to_string().into_bytes();
    bytes.push(b'\n');
    if bytes.len() > LINE_MAX {
        // Nothing we tell is so long; a name of a megabyte would be. Its message still fits.
        let short = json!({
            "@timestamp": moment::utc(event.time), "ecs": {"version": "8.17.0"},
            "message": line(event.message().as_bytes(), 4096),
            "event": {"action": event.word(), "module": "holdfast"},
            "host": {"name": host}, "holdfast": {"cut": true},
        });
        bytes = short.to_string().into_bytes();
        bytes.push(b'\n');
    }
    bytes
}

/// Ours: what collectors of logs take as one line.
const LINE_MAX: usize = 256 << 10;
