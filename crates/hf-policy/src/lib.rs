//! From a report to a verdict: which finding is told, and what the file is called.
//!
//! Promises: pure; the same report gives the same decision. An error or an incomplete scan never becomes
//! a detection, and never silently `clean`.
//! Leaves out: actions on files (move, copy, remove), which the program takes after a decision.
#![forbid(unsafe_code)]

pub mod json;
mod metadata;

pub use metadata::metadata;

use hf_core::{Hit, Report, Strength, Verdict};

/// What is decided about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'r> {
    /// The verdict.
    pub verdict: Verdict,
    /// Hits to tell, the decisive one first. Empty unless the verdict is `detected`.
    pub findings: Vec<&'r Hit>,
}

impl Decision<'_> {
    /// Returns the name to tell when only one is told.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.findings.first().map(|hit| hit.name.as_str())
    }
}

/// How many findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// The decisive one: the first strong hit, else the last potentially unwanted one.
    One,
    /// All, in the order in which they were found.
    All,
}

/// Decides about one report.
///
/// Potentially unwanted and heuristic hits count only when there is no strong one, except under
/// [`Tell::All`]; weak hits never count. Source: ClamAV's documented alert classes.
#[must_use]
pub fn decide(report: &Report, tell: Tell) -> Decision<'_> {
    let counts = |hit: &&Hit| hit.strength != Strength::Weak;
    let findings: Vec<&Hit> = match tell {
        Tell::All => report.hits.iter().filter(counts).collect(),
        Tell::One => {
            let strong = report.hits.iter().find(|hit| hit.strength == Strength::Strong);
            strong.or_else(|| report.hits.iter().rfind(counts)).into_iter().collect()
        }
    };
    let verdict = if !findings.is_empty() {
        Verdict::Detected
    } else if report.error.is_some() {
        Verdict::Error
    } else if report.unscanned.is_empty() && report.unscanned_more == 0 {
        Verdict::Clean
    } else {
        Verdict::Incomplete
    };
    Decision { verdict, findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_core::{HitKind, Reason, Unscanned};

    fn report(names: &[&str], unscanned: bool, error: bool) -> Report {
        Report {
            hits: names
                .iter()
                .map(|name| Hit {
                    object: 0,
                    name: (*name).to_owned(),
                    kind: HitKind::Body,
                    strength: Strength::of_name(name),
                    origin: String::new(),
                    spans: Vec::new(),
                })
                .collect(),
            unscanned: unscanned
                .then(|| Unscanned { object: 0, name: Vec::new(), reason: Reason::Encrypted })
                .into_iter()
                .collect(),
            error: error.then(|| "worker killed".to_owned()),
            ..Report::default()
        }
    }

    #[track_caller]
    fn check(names: &[&str], unscanned: bool, error: bool, want: Verdict, told: Option<&str>) {
        let report = report(names, unscanned, error);
        let decision = decide(&report, Tell::One);
        assert_eq!((decision.verdict, decision.name()), (want, told));
    }

    #[test]
    fn verdicts() {
        check(&[], false, false, Verdict::Clean, None);
        check(&[], true, false, Verdict::Incomplete, None);
        check(&[], true, true, Verdict::Error, None);
        check(&["A.B"], true, true, Verdict::Detected, Some("A.B"));
        check(&["PUA.X", "Heuristics.Y"], false, false, Verdict::Detected, Some("Heuristics.Y"));
        check(&["PUA.X", "A.B", "C.D"], false, false, Verdict::Detected, Some("A.B"));
        check(&["Weak.X"], false, false, Verdict::Clean, None);
    }

    #[test]
    fn all_are_told_in_order() {
        let report = report(&["PUA.X", "Weak.W", "A.B"], false, false);
        let names: Vec<_> =
            decide(&report, Tell::All).findings.iter().map(|hit| hit.name.clone()).collect();
        assert_eq!(names, ["PUA.X", "A.B"]);
    }
}
