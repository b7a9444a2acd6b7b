//! Microsoft Defender's `mdatp_managed.json`, as far as it has an equal here.
//!
//! Promises: every preference in the file is either taken over or named as having no equal.
//! Source: "Set preferences for Microsoft Defender for Endpoint on Linux".

use std::path::Path;

use anyhow::Context as _;
use hf_daemon::Config;
use serde_json::Value;

use super::super::daemon::Read;

/// Reads the file.
///
/// # Errors
/// It cannot be read, or is no object in JSON; the text names file, line and column.
pub(super) fn import(path: &Path) -> anyhow::Result<Read> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown}"))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{shown}:{}:{}: {error}", error.line(), error.column()))?;
    let Value::Object(sections) = value else { anyhow::bail!("{shown}: not a JSON object") };
    let mut import = Import { config: Config::default(), without: Vec::new() };
    for (section, value) in &sections {
        match value {
            Value::Object(keys) => {
                for (key, value) in keys {
                    import.take(&format!("{section}.{key}"), value);
                }
            }
            other => import.without(section, other, "it is not known"),
        }
    }
    Ok(Read { config: import.config, not_honoured: import.without })
}

struct Import {
    config: Config,
    without: Vec<String>,
}

impl Import {
    fn take(&mut self, key: &str, value: &Value) {
        match (key, value) {
            ("antivirusEngine.scanArchives", Value::Bool(on)) => {
                self.config.scan.scan_archive = *on
            }
            ("antivirusEngine.exclusions", Value::Array(list)) => {
                list.iter().for_each(|one| self.exclusion(one));
            }
            ("antivirusEngine.threatTypeSettings", Value::Array(list)) => {
                list.iter().for_each(|one| self.threat(one));
            }
            ("antivirusEngine.maximumOnDemandScanThreads", Value::Number(count)) => {
                let count = count.as_u64().and_then(|count| usize::try_from(count).ok());
                self.config.service.workers = count.unwrap_or(0);
            }
            ("antivirusEngine.enforcementLevel", Value::String(level)) if level == "on_demand" => {}
            (
                "antivirusEngine.enforcementLevel" | "antivirusEngine.enableRealTimeProtection",
                _,
            ) => {
                self.without(key, value, "on-access protection has a configuration of its own");
            }
            ("cloudService.enabled" | "cloudService.automaticSampleSubmissionConsent", value)
                if *value == Value::Bool(false) || value.as_str() == Some("none") => {}
            (key, value) if key.starts_with("cloudService.") => {
                self.without(key, value, "nothing is ever sent to anybody");
            }
            (key, value) => self.without(key, value, "there is no equal"),
        }
    }

    fn exclusion(&mut self, one: &Value) {
        let text = |key: &str| one.get(key).and_then(Value::as_str);
        let kind = text("$type").unwrap_or_default();
        let pattern = match (kind, text("path"), text("extension"), text("name")) {
            ("excludedPath", Some(path), ..) => {
                let folder = one.get("isDirectory").and_then(Value::as_bool).unwrap_or(false);
                let path = wildcards(path.trim_end_matches('/'));
                if folder { format!("^{path}(/|$)") } else { format!("^{path}$") }
            }
            ("excludedFileExtension", _, Some(suffix), _) => {
                format!("\\.{}$", escaped(suffix.trim_start_matches('.')))
            }
            ("excludedFileName", _, _, Some(name)) => format!("/{}$", wildcards(name)),
            _ => {
                return self.without(
                    "antivirusEngine.exclusions",
                    one,
                    "this kind of exclusion has no equal here",
                );
            }
        };
        self.config.clamd.exclude_paths.push(pattern);
    }

    fn threat(&mut self, one: &Value) {
        let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
        match (text("key"), text("value")) {
            ("potentially_unwanted_application", "off") => self.config.scan.detect_pua = false,
            ("potentially_unwanted_application", "audit" | "block") => {
                self.config.scan.detect_pua = true;
            }
            ("archive_bomb", "off") => self.config.scan.alert_exceeds_max = false,
            ("archive_bomb", "audit" | "block") => self.config.scan.alert_exceeds_max = true,
            _ => self.without("antivirusEngine.threatTypeSettings", one, "there is no equal"),
        }
    }

    fn without(&mut self, key: &str, value: &Value, why: &str) {
        let value: String = value.to_string().chars().take(VALUE_CHARS).collect();
        self.without.push(format!("{key} = {value} is not taken over: {why}"));
    }
}

/// Returns a regular expression for a path with `*` and `?`, which stop at slashes.
fn wildcards(path: &str) -> String {
    let mut pattern = String::new();
    for letter in path.chars() {
        match letter {
            '*' => pattern.push_str("[^/]*"),
            '?' => pattern.push_str("[^/]"),
            letter => pattern.push_str(&escaped(&letter.to_string())),
        }
    }
    pattern
}

fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if "\\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Ours: as much of a value is shown.
const VALUE_CHARS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_taken_over_or_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("mdatp_managed.json");
        let text = r#"{
            "antivirusEngine": {
                "enforcementLevel": "real_time", "scanArchives": false,
                "exclusions": [
                    {"$type": "excludedPath", "isDirectory": true, "path": "/home/*/git"},
                    {"$type": "excludedFileExtension", "extension": ".pdf"},
                    {"$type": "excludedFileName", "name": "cat"}
                ],
                "threatTypeSettings": [
                    {"key": "potentially_unwanted_application", "value": "block"}
                ]
            },
            "cloudService": {"enabled": true}
        }"#;
        std::fs::write(&path, text).unwrap();
        let Read { config, not_honoured } = import(&path).unwrap();
        assert!(!config.scan.scan_archive && config.scan.detect_pua);
        let want = ["^/home/[^/]*/git(/|$)", "\\.pdf$", "/cat$"];
        assert_eq!(config.clamd.exclude_paths, want);
        assert_eq!(not_honoured.len(), 2, "{not_honoured:?}");
        std::fs::write(&path, "{\n  \"a\" 1}").unwrap();
        let error = import(&path).err().unwrap().to_string();
        assert!(error.contains("mdatp_managed.json:2:"), "{error}");
    }
}
