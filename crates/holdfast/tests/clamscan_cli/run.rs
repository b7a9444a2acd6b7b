//! Runs one command line under one of the two programs and takes out what cannot agree.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanner {
    /// Debian's `clamscan`.
    Theirs,
    /// Ours under that name.
    Ours,
}

/// A command line, and what standard input has.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) line: String,
    pub(crate) input: &'static [u8],
}

/// What one of them said and did.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
    /// Names and contents of all files afterwards.
    pub(crate) files: Vec<String>,
    pub(crate) code: Option<i32>,
}

/// True when there is something to compare with.
pub(crate) fn available() -> bool {
    if Command::new("clamscan").arg("--help").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "clamscan is missing, and this is CI");
    println!("skipped: there is no clamscan on this machine");
    false
}

/// Where cases run, one after another.
#[derive(Debug)]
pub(crate) struct Folder {
    outer: tempfile::TempDir,
    /// As [`files`] returns them when nothing has run yet.
    files: Vec<String>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let outer = tempfile::tempdir().expect("a folder can be made");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), outer.path().join("clamscan"))
            .expect("a link can be made");
        let root = outer.path().join("w");
        tree::fill(&root);
        Self { outer, files: files(&root) }
    }

    /// Runs a case in a folder of always the same name, which is as if it were new.
    pub(crate) fn run(&self, scanner: Scanner, case: &Case) -> Said {
        let output = self.output(scanner, case);
        let root = self.root();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.replace(&root.display().to_string(), "@")
        };
        let said = Said {
            stdout: without_help(text(&output.stdout).lines().map(plain).collect()),
            stderr: text(&output.stderr).lines().filter(|line| compared(line)).map(plain).collect(),
            files: files(&root),
            code: output.status.code(),
        };
        if said.files != self.files {
            tree::unlock(&root);
            fs::remove_dir_all(&root).expect("what was made can be removed");
            tree::fill(&root);
        }
        said
    }

    /// Returns the whole standard error of ours.
    pub(crate) fn stderr_of_ours(&self, case: &Case) -> String {
        String::from_utf8_lossy(&self.output(Scanner::Ours, case).stderr).into_owned()
    }

    fn root(&self) -> PathBuf {
        self.outer.path().join("w")
    }

    fn output(&self, scanner: Scanner, case: &Case) -> Output {
        let program = match scanner {
            Scanner::Theirs => PathBuf::from("clamscan"),
            Scanner::Ours => self.outer.path().join("clamscan"),
        };
        let (defaults, line): (&[&str], _) = match case.line.strip_prefix('!') {
            Some(line) => (&[], line),
            None => (&["-d", "db"], case.line.as_str()),
        };
        let mut child = Command::new(program)
            .args(defaults)
            .args(line.split_whitespace())
            .current_dir(self.root())
            .env("HOLDFAST_CACHE", self.outer.path().join("cache"))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("both programs can be started");
        let mut input = child.stdin.take().expect("it is piped");
        // A program that reads no input may be gone already.
        let _ = input.write_all(case.input);
        drop(input);
        child.wait_with_output().expect("it ends")
    }
}

/// Returns what `clamscan --help` prints.
pub(crate) fn help_of_clamscan() -> String {
    let output = Command::new("clamscan").arg("--help").output().expect("it was there before");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Folder {
    fn drop(&mut self) {
        tree::unlock(&self.root());
    }
}

/// Leaves of a help text the first words and the last.
fn without_help(lines: Vec<String>) -> Vec<String> {
    let starts = |line: &String| line.contains("Clam AntiVirus: Scanner 1.4.6");
    if !lines.iter().any(starts) {
        return lines;
    }
    let kept = |line: &String| starts(line) || line.contains("Default scan settings");
    lines.into_iter().filter(kept).collect()
}

/// Takes out times and amounts.
fn plain(line: &str) -> String {
    let labels = ["Time: ", "Start Date: ", "End Date:   ", "Data scanned: ", "Data read: "];
    match labels.iter().find(|label| line.starts_with(*label)) {
        Some(label) => (*label).to_owned(),
        None => line.to_owned(),
    }
}

/// Lines of standard error that both programs are to have.
fn compared(line: &str) -> bool {
    let told_by_us_alone = [": not scanned: ", " is not honoured: ", " matches nothing: ", " [HF"]
        .iter()
        .any(|words| line.contains(words));
    let shared = ["ERROR: ", "WARNING: ", "clamscan: "].iter().any(|word| line.starts_with(word))
        || line.ends_with(": No such file or directory") && !line.starts_with("LibClamAV");
    shared && !told_by_us_alone
}

/// Names of all files with the beginning of their contents.
fn files(root: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("it has a type"));
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let text = fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).replace(&root.display().to_string(), "@");
                let text: Vec<String> = text.lines().map(plain).collect();
                found.insert(format!("{name}: {}", text.join("|")));
            } else {
                found.insert(name);
            }
        }
    }
    found.into_iter().collect()
}
