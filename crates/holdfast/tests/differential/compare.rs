//! What two scanners disagree about.

use std::collections::BTreeSet;
use std::fmt;

use crate::scanners::Said;
use crate::signatures::Databases;

/// One disagreement.
#[derive(Debug, Clone)]
pub(crate) enum Difference {
    /// A line is loaded by one of them only.
    Loading { db: String, line: String, why: String },
    /// A name is found by one of them only.
    Name { ours: bool, file: String, name: String, db: String, line: String },
    /// A file is infected for one of them only.
    Verdict { ours: bool, file: String },
    /// The exit codes are not the same.
    Code { theirs: Option<i32>, ours: Option<i32>, stderr: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |ours: &bool| if *ours { "only we find" } else { "only clamscan finds" };
        match self {
            Self::Loading { db, line, why } => write!(f, "loading {db}: {why}\n    {line}"),
            Self::Name { ours, file, name, db, line } => {
                write!(f, "{} {name} in {file}\n    {db}: {line}", who(ours))
            }
            Self::Verdict { ours, file } => write!(f, "{} anything in {file}", who(ours)),
            Self::Code { theirs, ours, stderr } => {
                write!(f, "exit codes: theirs {theirs:?}, ours {ours:?}\n    {stderr}")
            }
        }
    }
}

/// Compares; `verdicts` only looks whether anything was found.
pub(crate) fn differences(
    theirs: &Said,
    ours: &Said,
    databases: &Databases,
    verdicts: bool,
) -> Vec<Difference> {
    let mut all = Vec::new();
    if theirs.code != ours.code {
        let stderr = ours.stderr.lines().take(5).collect::<Vec<_>>().join(" / ");
        all.push(Difference::Code { theirs: theirs.code, ours: ours.code, stderr });
    }
    let files: BTreeSet<_> = theirs.found.keys().chain(ours.found.keys()).collect();
    let none = BTreeSet::new();
    for file in files {
        let one = theirs.found.get(file).unwrap_or(&none);
        let two = ours.found.get(file).unwrap_or(&none);
        if verdicts {
            if one.is_empty() != two.is_empty() {
                all.push(Difference::Verdict { ours: one.is_empty(), file: file.clone() });
            }
            continue;
        }
        for name in one.symmetric_difference(two) {
            let (db, line) = databases.line_of(name).unwrap_or(("?", "?"));
            all.push(Difference::Name {
                ours: two.contains(name),
                file: file.clone(),
                name: name.clone(),
                db: db.to_owned(),
                line: line.to_owned(),
            });
        }
    }
    all
}
