//! Reading `clamd.conf` line by line.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::table::{Fate, Opt, Takes, named};

/// A file that was read.
#[derive(Debug, Clone, Default)]
pub struct ClamdConf {
    path: PathBuf,
    values: BTreeMap<&'static str, Vec<Value>>,
    /// What is to be told before anything else, in clamd's words.
    pub warnings: Vec<String>,
    /// Options that are not honoured, with line and reason.
    pub not_honoured: Vec<String>,
}

#[derive(Debug, Clone)]
struct Value {
    text: Vec<u8>,
    line: usize,
}

/// A file that is refused; the lines are for standard error, in clamd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Vec<String>);

impl ClamdConf {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path);
        let read = file.and_then(|file| file.take(FILE_BYTES).read_to_end(&mut text));
        if let Err(error) = read {
            let why = format!("ERROR: {}: {error}", path.display());
            return Err(Refused(vec![why, last(path)]));
        }
        Self::parse(path, &text)
    }

    /// Reads a text; `path` is what messages call it.
    ///
    /// # Errors
    /// A line is wrong.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, Refused> {
        let mut conf = Self { path: path.to_owned(), ..Self::default() };
        for (line, idx) in text.split(|b| *b == b'\n').zip(1usize..) {
            if let Err(why) = conf.line(line, idx) {
                let mut lines = std::mem::take(&mut conf.warnings);
                lines.push(why);
                lines.push(last(path));
                return Err(Refused(lines));
            }
        }
        Ok(conf)
    }

    fn line(&mut self, line: &[u8], idx: usize) -> Result<(), String> {
        let path = self.path.display().to_string();
        if line.len() > LINE_BYTES {
            return Err(format!("ERROR: Line too long at {path}:{idx}"));
        }
        let line = line.trim_ascii();
        // ClamAV leaves out lines of one or two characters.
        if line.len() <= 2 || line.starts_with(b"#") {
            return Ok(());
        }
        if line.starts_with(b"Example") {
            return Err(format!("ERROR: Please edit the example config file {path}"));
        }
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        let name = String::from_utf8_lossy(name);
        let opt = named(&name)
            .ok_or_else(|| format!("ERROR: Parse error at {path}:{idx}: Unknown option {name}"))?;
        let value = value(rest);
        if value.is_empty() {
            return Err(format!("ERROR: Missing argument for option at {path}:{idx}"));
        }
        if opt.fate == Fate::Deprecated {
            let warning = format!("WARNING: Ignoring deprecated option {name} at {path}:{idx}");
            self.warnings.push(warning);
            return Ok(());
        }
        self.put(opt, value, idx)
    }

    /// Adds a value as if the file had it; for the command line, whose values come before the file's.
    ///
    /// # Errors
    /// The value is of the wrong kind, in clamd's words.
    pub fn put_first(&mut self, opt: &'static Opt, value: &[u8]) -> Result<(), String> {
        let before = self.values.remove(opt.name);
        self.put(opt, value, 0)?;
        if matches!(opt.takes, Takes::Texts | Takes::Numbers) {
            self.values.entry(opt.name).or_default().extend(before.into_iter().flatten());
        }
        Ok(())
    }

    fn put(&mut self, opt: &'static Opt, text: &[u8], line: usize) -> Result<(), String> {
        if !fits(opt.takes, text) {
            return Err(format!("ERROR: Incorrect argument format for option {}", opt.name));
        }
        let name = match opt.fate {
            Fate::Alias(of) => {
                // As with clamd: the old name only adds to what the new one says.
                if !is_default(opt.takes, text) {
                    self.warnings.push(deprecated_alias(opt.name, of, truth(text) == Some(true)));
                    let value = Value { text: text.to_vec(), line };
                    self.values.entry(of).or_default().insert(0, value);
                }
                return Ok(());
            }
            Fate::NotHonoured(why) => {
                // What says the default changes nothing.
                if !is_default(opt.takes, text) {
                    let place = match line {
                        0 => "the command line".to_owned(),
                        line => format!("{}:{line}", self.path.display()),
                    };
                    let name = opt.name;
                    self.not_honoured
                        .push(format!("Option {name} at {place} is not honoured: {why}"));
                }
                opt.name
            }
            Fate::Honoured | Fate::Deprecated => opt.name,
        };
        self.values.entry(name).or_default().push(Value { text: text.to_vec(), line });
        Ok(())
    }

    /// Returns the file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True when an option is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Returns the line of an option's first value; 0 when there is none.
    #[must_use]
    pub fn line_of(&self, name: &str) -> usize {
        self.first(name).map_or(0, |value| value.line)
    }

    /// Returns a switch, its default when it is not given.
    #[must_use]
    pub fn on(&self, name: &str) -> bool {
        let given = self.first(name).and_then(|value| truth(&value.text));
        given.unwrap_or(matches!(named(name).map(|opt| opt.takes), Some(Takes::Bool(true))))
    }

    /// Returns a number or size, its default when it is not given.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let given = self.first(name).and_then(|value| size(&value.text));
        given.or(match named(name).map(|opt| opt.takes) {
            Some(Takes::Number(default)) => default,
            Some(Takes::Size(default)) => Some(default),
            _ => None,
        })
    }

    /// Returns the numbers of an option that may be given several times.
    #[must_use]
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        self.all(name).filter_map(|value| size(&value.text)).collect()
    }

    /// Returns a text; the first, as ClamAV does.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&OsStr> {
        self.first(name).map(|value| OsStr::from_bytes(&value.text))
    }

    /// Returns every text.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<OsString> {
        self.all(name).map(|value| OsString::from_vec(value.text.clone())).collect()
    }

    /// Returns every option with its values and their lines, by name; values in the order of the file.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &[u8], usize)> {
        self.values.iter().flat_map(|(name, values)| {
            values.iter().map(|value| (*name, value.text.as_slice(), value.line))
        })
    }

    fn first(&self, name: &str) -> Option<&Value> {
        self.values.get(name).and_then(|values| values.first())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.values.get(name).into_iter().flatten()
    }
}

fn last(path: &Path) -> String {
    format!("ERROR: Can't open/parse the config file {}", path.display())
}

/// Returns the value behind a name: what is between quotes, or up to a comment.
fn value(rest: &[u8]) -> &[u8] {
    let rest = rest.trim_ascii();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let end = quoted.iter().position(|b| *b == b'"').unwrap_or(quoted.len());
        return quoted.get(..end).unwrap_or_default();
    }
    let comment = rest.windows(2).position(|two| matches!(two, [b' ' | b'\t', b'#']));
    rest.get(..comment.unwrap_or(rest.len())).unwrap_or_default().trim_ascii()
}

fn fits(takes: Takes, text: &[u8]) -> bool {
    match takes {
        Takes::Bool(_) => truth(text).is_some(),
        Takes::Number(_) | Takes::Numbers => text.iter().all(u8::is_ascii_digit),
        Takes::Size(_) => size(text).is_some(),
        Takes::Text | Takes::Texts => true,
        Takes::OneOf(words) => words.iter().any(|w| w.as_bytes().eq_ignore_ascii_case(text)),
    }
}

fn is_default(takes: Takes, text: &[u8]) -> bool {
    match takes {
        Takes::Bool(default) => truth(text) == Some(default),
        Takes::Number(default) => size(text) == default,
        Takes::Size(default) => size(text) == Some(default),
        Takes::OneOf(words) => {
            words.first().is_some_and(|w| w.as_bytes().eq_ignore_ascii_case(text))
        }
        Takes::Text | Takes::Texts | Takes::Numbers => false,
    }
}

fn truth(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"yes" | b"true" | b"1" => Some(true),
        b"no" | b"false" | b"0" => Some(false),
        _ => None,
    }
}

/// Returns a number with an optional `K`, `M` or `G` in bytes; the highest one for more than that.
fn size(text: &[u8]) -> Option<u64> {
    let (digits, factor) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 1u64 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        (b'g' | b'G', digits) => (digits, 1 << 30),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().unwrap_or(u64::MAX);
    Some(number.saturating_mul(factor))
}

fn deprecated_alias(name: &str, of: &str, on: bool) -> String {
    let word = if on { "enable" } else { "disable" };
    format!(
        "WARNING: Using deprecated option \"{name}\" to {word} {of}. Please update your \
         configuration to use replacement option \"{of}\"."
    )
}

/// ClamAV's.
const LINE_BYTES: usize = 1024;

/// Ours: longer files are cut, and nobody has them.
const FILE_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClamdConf, Refused> {
        ClamdConf::parse(Path::new("f.conf"), text.as_bytes())
    }

    #[track_caller]
    fn refuses(text: &str, first: &str) {
        let Refused(lines) = parse(text).unwrap_err();
        assert_eq!(lines[0], first);
        assert_eq!(lines.last().unwrap(), "ERROR: Can't open/parse the config file f.conf");
    }

    /// Each was tried with clamd 1.4.6.
    #[test]
    fn refusals() {
        refuses("Bogus x\n", "ERROR: Parse error at f.conf:1: Unknown option Bogus");
        refuses("\nLocalSocket\n", "ERROR: Missing argument for option at f.conf:2");
        refuses("MaxThreads abc\n", "ERROR: Incorrect argument format for option MaxThreads");
        refuses("MaxScanSize 5X\n", "ERROR: Incorrect argument format for option MaxScanSize");
        refuses("ScanPE maybe\n", "ERROR: Incorrect argument format for option ScanPE");
        let bytecode = "ERROR: Incorrect argument format for option BytecodeSecurity";
        refuses("BytecodeSecurity Foo\n", bytecode);
        refuses("Example\n", "ERROR: Please edit the example config file f.conf");
    }

    #[test]
    fn values() {
        let conf = parse(
            "# comment\n  LocalSocket \"/run/a b\" #c\nLocalSocket /other\nMaxScanSize 5M # five\n\
             TCPAddr localhost\nTCPAddr ::1\nScanPE False\r\nExcludePath ^/a#b\n",
        )
        .unwrap();
        assert_eq!(conf.text("LocalSocket").unwrap(), "/run/a b");
        assert_eq!(
            (conf.number("MaxScanSize"), conf.number("MaxFiles")),
            (Some(5 << 20), Some(10_000))
        );
        assert_eq!(conf.texts("TCPAddr"), ["localhost", "::1"]);
        assert!(!conf.on("ScanPE") && conf.on("ScanELF") && !conf.on("LogTime"));
        assert_eq!(conf.text("ExcludePath").unwrap(), "^/a#b");
        assert_eq!(conf.number("TCPSocket"), None);
    }

    #[test]
    fn what_is_not_honoured_is_said_with_its_line() {
        let conf = parse("Bytecode yes\nScanOnAccess yes\nLeaveTemporaryFiles yes\n").unwrap();
        assert_eq!(conf.warnings, ["WARNING: Ignoring deprecated option ScanOnAccess at f.conf:2"]);
        assert_eq!(conf.not_honoured.len(), 1);
        assert!(conf.not_honoured[0].starts_with("Option LeaveTemporaryFiles at f.conf:3 is not"));
        let conf = parse("AlgorithmicDetection no\n").unwrap();
        assert!(!conf.on("HeuristicAlerts") && conf.warnings.len() == 1);
        let conf =
            parse("AlertEncrypted yes\nArchiveBlockEncrypted no\nOLE2BlockMacros yes\n").unwrap();
        assert!(
            conf.on("AlertEncrypted") && conf.on("AlertOLE2Macros") && conf.warnings.len() == 1
        );
    }
}
