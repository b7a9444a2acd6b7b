//! Runs both programs and reads what they print.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::compare::Difference;
use crate::signatures::Databases;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanner {
    /// Debian's `clamscan`.
    Theirs,
    /// Ours under that name.
    Ours,
}

/// What one of them said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Names by file.
    pub(crate) found: BTreeMap<String, BTreeSet<String>>,
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
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

/// Scans everything below `root`.
pub(crate) fn scan(scanner: Scanner, content: &Path, root: &Path, flags: &[&str]) -> Said {
    let output = run(scanner, content, root, flags);
    let mut said = Said {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        ..Said::default()
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(line) = line.strip_suffix(" FOUND") else { continue };
        let Some((path, name)) = line.rsplit_once(": ") else { continue };
        let file = path.rsplit('/').next().unwrap_or(path);
        said.found.entry(file.to_owned()).or_default().insert(name.to_owned());
    }
    said
}

fn run(scanner: Scanner, content: &Path, root: &Path, flags: &[&str]) -> Output {
    let mut command = match scanner {
        Scanner::Theirs => Command::new("clamscan"),
        Scanner::Ours => Command::new(ours()),
    };
    // What it remembers as clean depends on the order of the folder: parts of a trusted archive are clean anywhere.
    command.args(["--no-summary", "--recursive", "--disable-cache", "--database"]);
    command.arg(content).args(flags).arg(root);
    if std::env::var_os("HOLDFAST_CACHE").is_none() {
        command.env("HOLDFAST_CACHE", root.with_file_name("cache"));
    }
    command.output().expect("both programs can be started")
}

/// Returns our program under the name `clamscan`.
fn ours() -> PathBuf {
    static LINK: std::sync::OnceLock<(tempfile::TempDir, PathBuf)> = std::sync::OnceLock::new();
    let (_, link) = LINK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let link = folder.path().join("clamscan");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &link)
            .expect("a link can be made");
        (folder, link)
    });
    link.clone()
}

/// Writes the databases and takes out each line that one of the two refuses; when the other takes it, that
/// is a difference.
pub(crate) fn settle(content: &Path, databases: &mut Databases) -> Vec<Difference> {
    let mut found = Vec::new();
    let _ = std::fs::remove_dir_all(content);
    std::fs::create_dir(content).expect("a folder can be made");
    for (file, lines) in &mut databases.files {
        let path = content.join(&*file);
        while !lines.is_empty() {
            let first = [Scanner::Theirs, Scanner::Ours]
                .into_iter()
                .find_map(|scanner| refused(scanner, &path, lines));
            let Some((at, _)) = first else { break };
            let line = lines.remove(at.min(lines.len() - 1));
            let alone = std::slice::from_ref(&line);
            let theirs = refused(Scanner::Theirs, &path, alone);
            let ours = refused(Scanner::Ours, &path, alone);
            let why = match (theirs, ours) {
                (Some((_, why)), None) => format!("only clamscan refuses: {why}"),
                (None, Some((_, why))) => format!("only we refuse: {why}"),
                _ => continue,
            };
            found.push(Difference::Loading { db: file.clone(), line, why });
        }
        if lines.is_empty() {
            let _ = std::fs::remove_file(&path);
        }
    }
    found
}

/// Takes out the lines that end `clamscan` with a signal (a negated boundary at the start of an object does) and
/// returns what it says without them.
pub(crate) fn scan_alive(
    content: &Path,
    databases: &mut Databases,
    root: &Path,
    flags: &[&str],
) -> Said {
    loop {
        let said = scan(Scanner::Theirs, content, root, flags);
        if said.code.is_some() {
            return said;
        }
        let deadly = databases.files.iter_mut().find_map(|(file, lines)| {
            let path = content.join(&*file);
            let at = deadly(&path, lines, root)?;
            let line = lines.remove(at);
            if lines.is_empty() {
                let _ = std::fs::remove_file(&path);
            } else {
                write(&path, lines);
            }
            Some(format!("{file}: {line}"))
        });
        match deadly {
            Some(line) => println!("clamscan dies of {line}"),
            None => return said,
        }
    }
}

/// Returns the index of a line that alone ends `clamscan` with a signal.
fn deadly(path: &Path, lines: &[String], root: &Path) -> Option<usize> {
    let dies = |lines: &[String]| {
        write(path, lines);
        scan(Scanner::Theirs, path, root, &["--allmatch"]).code.is_none()
    };
    let mut range = 0..lines.len();
    let mut found = !lines.is_empty() && dies(lines);
    while found && range.len() > 1 {
        let middle = range.start + range.len() / 2;
        let (left, right) = (range.start..middle, middle..range.end);
        let half = [left, right].into_iter().find(|half| dies(&lines[half.clone()]));
        found = half.is_some();
        range = half.unwrap_or(range);
    }
    if !lines.is_empty() {
        write(path, lines);
    }
    found.then_some(range.start)
}

fn write(path: &Path, lines: &[String]) {
    std::fs::write(path, lines.join("\n") + "\n").expect("a database can be written");
}

/// Writes a database; returns the index of the line that a program refuses, and its words.
fn refused(scanner: Scanner, path: &Path, lines: &[String]) -> Option<(usize, String)> {
    write(path, lines);
    let empty = path.with_file_name("../empty");
    std::fs::write(&empty, b"nothing").expect("a file can be written");
    let said = scan(scanner, path, &empty, &[]);
    if matches!(said.code, Some(0 | 1)) {
        return None;
    }
    let why = said.stderr.lines().take(4).collect::<Vec<_>>().join(" / ");
    Some((line_number(&said.stderr).map_or(0, |line| line.saturating_sub(1)), why))
}

/// Returns the number of the line that a program complains about.
fn line_number(text: &str) -> Option<usize> {
    let at = text.rfind("at line ")? + "at line ".len();
    let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
