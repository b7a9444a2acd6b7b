//! The built-in signatures, end to end: each finds its sample, near misses and our own files stay clean.
//!
//! Promises: every rule of `content/` has a sample and the built program finds it by the rule's name; nothing
//! in `content/samples/benign/`, in `content/` as stored, or in this file is a detection.
//! Leaves out: whether clamscan agrees (the samples were checked with it when they were made).
//! The samples are stored encoded; `content/samples/README.md` says how and why.
//!
//! The system's `/usr` is scanned only when `HOLDFAST_SCAN_USR` or `CI` is set, because it takes minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The least number of rules the content may shrink to.
const RULES_MIN: usize = 60;

/// Every byte of a stored sample is combined with this.
const MASK: u8 = 0x5a;

/// The line of a sample's header that says so.
const ENCODING: &str = "encoding: hex of every byte XOR 0x5a";

#[test]
fn every_rule_has_a_sample_and_every_sample_a_rule() {
    let rules = rules();
    assert!(rules.len() >= RULES_MIN, "only {} rules", rules.len());
    let samples: BTreeSet<String> = stored(&content().join("samples")).into_keys().collect();
    let bare: Vec<_> = rules.difference(&samples).collect();
    let stray: Vec<_> = samples.difference(&rules).collect();
    assert!(bare.is_empty(), "rules without a sample: {bare:?}");
    assert!(stray.is_empty(), "samples without a rule: {stray:?}");
    for rule in &rules {
        assert!(rule.starts_with("Holdfast."), "{rule}");
    }
}

#[test]
fn every_rule_finds_its_sample() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let samples = decode_all(&content().join("samples"), folder.path());
    let found = scan(&[folder.path()]);
    let missed: Vec<_> = samples
        .iter()
        .filter(|(name, path)| !found.get(*path).is_some_and(|names| names.contains(*name)))
        .map(|(name, path)| (name, found.get(path)))
        .collect();
    assert!(missed.is_empty(), "samples not found by their rule: {missed:#?}");
}

#[test]
fn near_misses_stay_clean() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let samples = decode_all(&content().join("samples/benign"), folder.path());
    assert!(samples.len() >= 20, "only {} near misses", samples.len());
    let found = scan(&[folder.path()]);
    assert!(found.is_empty(), "detected: {found:#?}");
}

#[test]
fn content_as_stored_is_clean() {
    let this = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builtin.rs");
    let found = scan(&[&content(), &this]);
    assert!(found.is_empty(), "detected: {found:#?}");
}

#[test]
fn the_installed_system_is_clean() {
    let wanted = ["HOLDFAST_SCAN_USR", "CI"].iter().any(|name| std::env::var_os(name).is_some());
    if !wanted {
        println!("skipped: set HOLDFAST_SCAN_USR or CI to scan /usr");
        return;
    }
    let found = scan(&[Path::new("/usr")]);
    assert!(found.is_empty(), "detected: {found:#?}");
}

/// Returns the folder of the built-in content.
fn content() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content")
}

/// Returns the names of all rules.
fn rules() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (file, separator) in [("holdfast.ldb", ';'), ("holdfast.ndb", ':')] {
        let path = content().join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = line.split_once(separator).expect("a rule begins with its name");
            assert!(names.insert(name.to_owned()), "{name} stands twice");
        }
    }
    names
}

/// Returns the stored samples right in a folder by their name.
fn stored(folder: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder of samples is there");
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension() == Some(OsStr::new("txt")))
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect()
}

/// Decodes the samples of a folder into another one and returns where each is.
fn decode_all(from: &Path, to: &Path) -> BTreeMap<String, PathBuf> {
    let mut decoded = BTreeMap::new();
    for (name, path) in stored(from) {
        let text = fs::read_to_string(&path).expect("a sample is text");
        let (extension, bytes) = decode(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let out = to.join(format!("{name}.{extension}"));
        fs::write(&out, bytes).expect("the temporary folder takes files");
        decoded.insert(name, out);
    }
    decoded
}

/// Returns the extension and the bytes of a stored sample.
fn decode(text: &str) -> Result<(String, Vec<u8>), &'static str> {
    let (header, body) = text.split_once("\n\n").ok_or("no empty line after the header")?;
    let (extension, encoding) = header.split_once('\n').ok_or("the header has two lines")?;
    let extension = extension.strip_prefix("extension: ").ok_or("no extension")?;
    if encoding != ENCODING {
        return Err("unknown encoding");
    }
    let digits: Vec<u8> = body.bytes().filter(|byte| *byte != b'\n').collect();
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(((digit(*high)? << 4) | digit(*low)?) ^ MASK),
        _ => None,
    });
    let bytes = pairs.collect::<Option<Vec<u8>>>().ok_or("not pairs of hex digits")?;
    Ok((extension.to_owned(), bytes))
}

/// Returns the value of a hex digit.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Scans with the built-in signatures only and returns the names found, by file.
#[track_caller]
fn scan(paths: &[&Path]) -> BTreeMap<PathBuf, BTreeSet<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["scan", "--json", "--all-match", "--no-progress", "--no-heuristics"])
        .args(paths)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut found = BTreeMap::new();
    let mut files = 0;
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("each line is JSON");
        match line["type"].as_str() {
            Some("file") => {
                files += 1;
                let findings = line["findings"].as_array().expect("a file has findings");
                let names = findings.iter().filter_map(|hit| hit["name"].as_str());
                let names: BTreeSet<String> = names.map(str::to_owned).collect();
                if !names.is_empty() {
                    found.insert(PathBuf::from(line["path"].as_str().expect("a path")), names);
                }
            }
            Some("summary") => {
                assert_eq!(line["signatures"].as_u64(), Some(rules().len() as u64), "{line}");
            }
            _ => {}
        }
    }
    assert!(files > 0, "nothing was scanned: {stderr}");
    let code = output.status.code();
    assert!(code != Some(2) || paths == [Path::new("/usr")], "exit code {code:?}: {stderr}");
    found
}
