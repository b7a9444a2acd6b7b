//! One small program in containers, encodings and damage of a thousand kinds, made by other people's tools.
//!
//! Promises: the program is found in each; what is not found is in [`MISSED`], is never called clean, and a line
//! there that is found after all is a failure too. What clamscan finds, we find.
//! Leaves out: machines without Debian's `clamav-testfiles` and python3, and cases whose packer is not there,
//! unless they are CI.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest as _, Md5};
use serde_json::Value;

const PAYLOAD: &str = "/usr/share/clamav-testfiles/clam.exe";
const NAME: &str = "Wrapped.Payload-1";

/// Cases in which the program is not found, with the reason that is told for each.
const MISSED: &[(&str, &str)] = &[];

/// Cases for which Debian has no packer on every machine; CI may be without.
const OPTIONAL: &[&str] = &[];

#[test]
fn the_program_is_found_in_each() {
    let Some(made) = make() else { return };
    let (found, told) = scan(&made);
    let mut wrong = Vec::new();
    for case in &made.cases {
        match (found.contains(case), MISSED.iter().find(|(missed, _)| missed == case)) {
            (true, None) => {}
            (true, Some(_)) => wrong.push(format!("{case}: found, but expected to be missed")),
            (false, Some((_, reason))) => {
                let told = told.iter().find(|(name, _)| name == case);
                if !told.is_some_and(|(_, text)| text.contains(reason)) {
                    wrong.push(format!("{case}: missed, and {reason:?} is not told: {told:?}"));
                }
            }
            (false, None) => {
                let told = told.iter().find(|(name, _)| name == case);
                wrong.push(format!("{case}: missed: {told:?}"));
            }
        }
    }
    for case in clamscan(&made) {
        if !found.contains(&case) {
            wrong.push(format!("{case}: found by clamscan alone"));
        }
    }
    println!("{} of {} found", found.len(), made.cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was made.
#[derive(Debug)]
struct Made {
    folder: tempfile::TempDir,
    cases: BTreeSet<String>,
}

impl Made {
    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("content")
    }
}

/// Makes all cases whose packers are there, and the content that finds the program and opens what is encrypted.
fn make() -> Option<Made> {
    let ci = std::env::var_os("CI").is_some();
    let python = Command::new("python3").arg("--version").output().is_ok();
    let payload = fs::read(PAYLOAD).ok().filter(|_| python);
    let Some(payload) = payload else {
        assert!(!ci, "clamav-testfiles or python3 is missing, and this is CI");
        println!("skipped: clamav-testfiles or python3 is not on this machine");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut made = Made { folder, cases: BTreeSet::new() };
    fs::create_dir(made.database()).expect("a folder can be made");
    let digest: String = Md5::digest(&payload).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{digest}:{}:{NAME}\n", payload.len());
    fs::write(made.database().join("a.hdb"), line).expect("a database can be written");
    let passwords = "P1;Engine:81-255;0;infected\n";
    fs::write(made.database().join("a.pwdb"), passwords).expect("a database can be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrappers/make.py");
    let output = Command::new("python3")
        .args(["-W", "ignore"])
        .args([&script, Path::new(PAYLOAD), &made.files()])
        .output()
        .expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in text.lines().filter(|line| line.starts_with("skipped")) {
        let optional = OPTIONAL.iter().any(|case| line.contains(case));
        assert!(!ci || optional, "a packer is missing, and this is CI: {line}");
        println!("{line}");
    }
    made.cases = fs::read_dir(made.files())
        .expect("files were made")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(made.cases.len() > 100, "{text}");
    Some(made)
}

/// Returns the cases in which the program was found, and what was told of the others.
fn scan(made: &Made) -> (BTreeSet<String>, Vec<(String, String)>) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["scan", "--json", "--no-summary", "--database"])
        .arg(made.database())
        .arg(made.files())
        .env("HOLDFAST_CACHE", made.folder.path().join("cache"))
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let (mut found, mut told) = (BTreeSet::new(), Vec::new());
    for line in String::from_utf8(output.stdout).expect("it prints UTF-8").lines() {
        let value: Value = serde_json::from_str(line).expect("it prints JSON");
        let path = value["path"].as_str().unwrap_or_default();
        let case = path.rsplit('/').next().unwrap_or(path).to_owned();
        let findings = value["findings"].as_array().into_iter().flatten();
        let name = format!("{NAME}.UNOFFICIAL");
        if findings.into_iter().any(|finding| finding["name"] == name.as_str()) {
            found.insert(case);
        } else {
            told.push((case, format!("{} {}", value["verdict"], value["not_scanned"])));
        }
    }
    (found, told)
}

/// Returns the cases in which clamscan finds the program.
fn clamscan(made: &Made) -> BTreeSet<String> {
    let run = Command::new("clamscan")
        .args(["--no-summary", "--infected", "-r", "-d"])
        .arg(made.database())
        .arg(made.files())
        .output();
    let Ok(output) = run else {
        assert!(std::env::var_os("CI").is_none(), "clamscan is missing, and this is CI");
        println!("skipped: clamscan is not on this machine");
        return BTreeSet::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cases: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_suffix(".UNOFFICIAL FOUND")?.strip_suffix(NAME))
        .filter_map(|path| Some(path.strip_suffix(": ")?.rsplit('/').next()?.to_owned()))
        .collect();
    assert!(cases.len() > 50, "clamscan finds little: {text}");
    cases
}
