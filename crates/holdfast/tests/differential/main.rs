//! The same signatures and the same files through `clamscan` and through us: the same names.
//!
//! Each round makes random signatures of every kind, cut from real files, and databases of them; both
//! programs scan the same tree with the same words on the command line. Where we are different on purpose,
//! [`expected`] says so, with the reason.
//!
//! Without a seed a few fixed rounds run, whose files are the project's own: the same on every machine.
//! `HOLDFAST_DIFF_SEED` makes rounds from that seed on, of files of this machine, and `HOLDFAST_DIFF_ROUNDS` says how
//! many; `HOLDFAST_DIFF_KEEP` keeps a failing round's files in that folder. It needs `clamscan`; where there is none
//! it is skipped, but not in CI.

mod compare;
mod corpus;
mod expected;
mod pinned;
mod rng;
mod scanners;
mod signatures;

use std::path::Path;

use compare::{Difference, differences};
use corpus::{Corpus, From};
use rng::Rng;
use scanners::Scanner;
use signatures::Databases;

/// Signatures in a round, in units of 41.
const SCALE: usize = 24;

#[test]
fn same_names_with_allmatch() {
    rounds("allmatch", 2, 3, |round| {
        let databases = signatures::generate(&round.corpus, &mut round.rng, SCALE);
        round.compare(databases, &["--allmatch"])
    });
}

#[test]
fn same_names_with_trusted_and_ignored() {
    rounds("trusted", 7, 1, |round| {
        let mut databases = signatures::generate(&round.corpus, &mut round.rng, SCALE);
        signatures::allowed(&round.corpus, &mut round.rng, &mut databases, 12);
        signatures::ignored(&mut round.rng, &mut databases, 60);
        round.compare(databases, &["--allmatch"])
    });
}

#[test]
fn same_verdicts_without_allmatch() {
    rounds("verdicts", 2, 3, |round| {
        let databases = signatures::generate(&round.corpus, &mut round.rng, 2);
        round.compare(databases, &[])
    });
}

struct Round {
    rng: Rng,
    corpus: Corpus,
    folder: tempfile::TempDir,
}

impl Round {
    /// Scans with both; returns what they disagree about.
    fn compare(&self, mut databases: Databases, flags: &[&str]) -> Vec<Difference> {
        let content = self.folder.path().join("content");
        let mut found = scanners::settle(&content, &mut databases);
        let root = &self.corpus.root;
        let theirs = scanners::scan_alive(&content, &mut databases, root, flags);
        // Otherwise there would be nothing to differ about.
        assert!(matches!(theirs.code, Some(0 | 1)), "clamscan: {}", theirs.stderr);
        let ours = scanners::scan(Scanner::Ours, &content, root, flags);
        found.extend(differences(&theirs, &ours, &databases, flags.is_empty()));
        found.retain(|difference| expected::reason(difference).is_none());
        let names: usize = theirs.found.values().map(std::collections::BTreeSet::len).sum();
        println!(
            "{} signatures, {} files, {names} findings, {} differences",
            databases.files.iter().map(|(_, lines)| lines.len()).sum::<usize>(),
            self.corpus.files.len(),
            found.len()
        );
        found
    }
}

/// Runs rounds from a seed on, which the environment may choose, and panics when one finds a difference.
fn rounds(kind: &str, seed: u64, count: u64, round: impl Fn(&mut Round) -> Vec<Difference>) {
    if !scanners::available() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, from) = match number("HOLDFAST_DIFF_SEED") {
        Some(seed) => (seed, From::Machine),
        None => (seed, From::Project),
    };
    let count = number("HOLDFAST_DIFF_ROUNDS").unwrap_or(count);
    let mut bad = Vec::new();
    for seed in first..first + count {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let root = folder.path().join("objects");
        std::fs::create_dir(&root).expect("a folder can be made");
        let mut rng = Rng::new(seed ^ u64::from(kind.as_bytes()[0]) << 32);
        let corpus = Corpus::build(&root, from, &mut rng);
        let mut state = Round { rng, corpus, folder };
        let found = round(&mut state);
        if !found.is_empty() {
            keep(state.folder.path(), kind, seed);
        }
        bad.extend(found.into_iter().map(|difference| format!("{kind} seed {seed}: {difference}")));
    }
    assert!(bad.is_empty(), "{} differences:\n{}", bad.len(), bad.join("\n"));
}

fn keep(folder: &Path, kind: &str, seed: u64) {
    let Some(to) = std::env::var_os("HOLDFAST_DIFF_KEEP") else { return };
    let to = Path::new(&to).join(format!("{kind}-{seed}"));
    let _ = std::fs::create_dir_all(&to);
    let copied = std::process::Command::new("cp").arg("-a").arg(folder).arg(&to).status();
    println!("kept in {}: {copied:?}", to.display());
}
