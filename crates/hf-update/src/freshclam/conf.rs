//! The configuration file: `Name Value` on each line.
//!
//! Limits: a line has at most 1024 bytes (as in ClamAV), a file [`FILE_MAX`]. Unknown names and values of another form
//! are refused with file, line and name; names that mean nothing any more are told.

use super::options::{self, OPTIONS, Settings, Takes};

/// Why a configuration is refused, with the file's place.
pub type ConfError = Vec<String>;

const LINE_MAX: usize = 1024;
/// Ours.
const FILE_MAX: usize = 1 << 20;

/// Reads a configuration by itself; for tests and fuzzing.
///
/// # Errors
/// Lines for people.
pub fn parse(path: &str, bytes: &[u8]) -> Result<(Settings, Vec<String>), ConfError> {
    let mut settings = Settings::default();
    let warnings = apply(path, bytes, &mut settings)?;
    Ok((settings, warnings))
}

/// Reads a configuration into settings in which the command line's are already; returns warnings.
pub(super) fn apply(
    path: &str,
    bytes: &[u8],
    settings: &mut Settings,
) -> Result<Vec<String>, ConfError> {
    let refuse = |text: String| vec![format!("ERROR: {text}")];
    if bytes.len() > FILE_MAX {
        return Err(refuse(format!("The config file {path} is too large")));
    }
    let mut warnings = Vec::new();
    let mut from_file = Settings::default();
    for (idx, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = idx.saturating_add(1);
        let line = String::from_utf8_lossy(line);
        let line = line.trim_start_matches([' ', '\t']).trim_end_matches(['\r', ' ', '\t']);
        if line.len() > LINE_MAX {
            return Err(refuse(format!("Parse error at {path}:{number}: the line is too long")));
        }
        if line.len() <= 2 || line.starts_with('#') {
            continue;
        }
        if line.starts_with("Example") {
            return Err(refuse(format!("Please edit the example config file {path}")));
        }
        let (name, value) = match line.split_once([' ', '\t']) {
            Some((name, value)) => (name, value_of(value)),
            None => (line, ""),
        };
        let Some(opt) = OPTIONS.iter().find(|opt| !opt.key.is_empty() && opt.key == name) else {
            return Err(refuse(format!("Parse error at {path}:{number}: Unknown option {name}")));
        };
        if opt.takes == Takes::Deprecated {
            warnings.push(format!("WARNING: Ignoring deprecated option {name} at {path}:{number}"));
            continue;
        }
        if value.is_empty() {
            return Err(refuse(format!("Missing argument for option at {path}:{number}")));
        }
        if !options::fits(opt, value) {
            // Without the line, as ClamAV tells it.
            return Err(refuse(format!("Incorrect argument format for option {name}")));
        }
        from_file.put(opt, value);
    }
    for opt in OPTIONS.iter().filter(|opt| !opt.key.is_empty()) {
        if settings.is_set(opt.key) && opt.takes != Takes::Texts {
            continue;
        }
        for value in from_file.texts(opt.key) {
            settings.put(opt, value);
        }
    }
    Ok(warnings)
}

/// Returns a value without its quotes, or without a comment behind it.
fn value_of(text: &str) -> &str {
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default();
    }
    let end = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Result<&[(&str, &str)], &str>) {
        match (parse("f", text.as_bytes()), want) {
            (Ok((settings, _)), Ok(list)) => {
                for (name, value) in list {
                    assert_eq!(settings.text(name), Some(*value), "{text}");
                }
            }
            (Err(lines), Err(first)) => assert_eq!(lines[0], first, "{text}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn files() {
        check("# c\n\n  Checks 24 # often\n", Ok(&[("Checks", "24")]));
        check(
            "OnUpdateExecute \"a # b\"\nChecks 3\nChecks 4\n",
            Ok(&[("OnUpdateExecute", "a # b"), ("Checks", "3")]),
        );
        check("DNSDatabaseInfo no\r\n", Ok(&[("DNSDatabaseInfo", "no")]));
        check("Bogus x\n", Err("ERROR: Parse error at f:1: Unknown option Bogus"));
        check("\nChecks\n", Err("ERROR: Missing argument for option at f:2"));
        check("Checks x\n", Err("ERROR: Incorrect argument format for option Checks"));
        check("LogTime maybe\n", Err("ERROR: Incorrect argument format for option LogTime"));
        check("Example\n", Err("ERROR: Please edit the example config file f"));
        let (settings, warnings) =
            parse("f", b"SafeBrowsing yes\nDatabaseMirror a\nDatabaseMirror b\n").unwrap();
        assert_eq!(warnings, ["WARNING: Ignoring deprecated option SafeBrowsing at f:1"]);
        assert_eq!(settings.texts("DatabaseMirror"), ["a", "b"]);
    }
}
