//! Tries a set before it is used: is it read, does it find what is known, leave alone what is known to be clean, and
//! stay about as fast as the one in use?
//!
//! Databases are compiled, and files scanned, in a process of its own that the one who decides starts and ends; objects
//! are interpreted only in the sandboxed workers of that process.
//! Promises: whatever the process does — crash, hang, take all memory — is an answer, and the answer is no.
//! Leaves out: how content is opened, which is the program's.

mod clean;
mod measure;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::store::{ActiveSet, Judge, Refusal, SealedSet};

pub use clean::{CleanSample, known_clean};
pub use measure::{Measure, Missed, eicar, measure};

/// What the process that tries says, as one line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrialAnswer {
    /// The candidate cannot be opened, for this reason.
    pub refused: Option<String>,
    /// The trial cannot be made on this machine, for this reason.
    pub impossible: Option<String>,
    /// The candidate.
    pub candidate: Measure,
    /// The set in use, on the same files.
    pub current: Option<Measure>,
}

/// Bounds of a trial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialBounds {
    /// How many times slower than the set in use a set may be; one second is always granted.
    pub slower_max: f64,
    /// What share of the signatures in use must still be there, in percent.
    pub signatures_min_percent: u64,
    /// For the whole trial.
    pub deadline: Duration,
}

impl Default for TrialBounds {
    fn default() -> Self {
        Self { slower_max: 3.0, signatures_min_percent: 40, deadline: Duration::from_secs(900) }
    }
}

/// Tries sets in a process of its own.
#[derive(Debug, Clone)]
pub struct ChildJudge {
    /// The program.
    pub program: PathBuf,
    /// Its name for itself.
    pub arg0: OsString,
    /// Its arguments, before those that name the sets.
    pub arguments: Vec<OsString>,
    /// Bounds.
    pub bounds: TrialBounds,
}

impl ChildJudge {
    /// Tries with the running program, which must answer to `update try`.
    #[must_use]
    pub fn this_program(arguments: Vec<OsString>, bounds: TrialBounds) -> Self {
        let mut all = vec![OsString::from("update"), OsString::from("try")];
        all.extend(arguments);
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arg0: OsString::from("holdfast"),
            arguments: all,
            bounds,
        }
    }

    /// Runs the process and reads its answer.
    ///
    /// # Errors
    /// It gave none: it died or hung.
    pub fn ask(&self, more: &[OsString]) -> Result<TrialAnswer, Refusal> {
        use std::os::unix::process::CommandExt as _;
        let again = |reason: String| Refusal { reason, try_again: true };
        let mut child = Command::new(&self.program)
            .arg0(&self.arg0)
            .args(&self.arguments)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|err| again(format!("the trial cannot be started: {err}")))?;
        let mut output = child.stdout.take();
        let (sender, answers) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(output) = &mut output {
                let _ = output.take(ANSWER_MAX).read_to_end(&mut text);
            }
            let _ = sender.send(text);
        });
        let until = Instant::now().checked_add(self.bounds.deadline);
        let left = until
            .map_or(self.bounds.deadline, |until| until.saturating_duration_since(Instant::now()));
        let Ok(text) = answers.recv_timeout(left) else {
            let _ = child.kill();
            let _ = child.wait();
            let _ = reader.join();
            let seconds = self.bounds.deadline.as_secs();
            return Err(Refusal::bad(format!("it cannot be tried within {seconds} s")));
        };
        let _ = reader.join();
        let status = child.wait().map_err(|err| again(err.to_string()))?;
        serde_json::from_slice(&text)
            .map_err(|_| Refusal::bad(format!("the process that opened it ended with {status}")))
    }
}

impl Judge for ChildJudge {
    fn judge(
        &self,
        candidate: &SealedSet,
        current: Option<&ActiveSet>,
    ) -> Result<Vec<String>, Refusal> {
        let mut more = vec![OsString::from("--candidate"), candidate.dir.clone().into_os_string()];
        if let Some(current) = current {
            more.push(OsString::from("--current"));
            more.push(current.dir.clone().into_os_string());
        }
        let answer = self.ask(&more)?;
        decide(&answer, &self.bounds)
    }
}

/// Decides by what a trial has measured.
///
/// # Errors
/// The set is not fit.
pub fn decide(answer: &TrialAnswer, bounds: &TrialBounds) -> Result<Vec<String>, Refusal> {
    if let Some(why) = &answer.impossible {
        return Err(Refusal { reason: format!("it cannot be tried: {why}"), try_again: true });
    }
    if let Some(why) = &answer.refused {
        return Err(Refusal::bad(format!("it cannot be opened: {why}")));
    }
    let measure = &answer.candidate;
    if let Some(death) = measure.deaths.first() {
        return Err(Refusal::bad(format!(
            "it ends workers ({} of {} files): {death}",
            measure.deaths.len(),
            measure.files
        )));
    }
    if let Some(name) = measure.missed.first() {
        return Err(Refusal::bad(format!("it does not find what is known: {name}")));
    }
    // What the set in use condemns as well is no news, and an owner who goes on needs the other news.
    let known: Vec<&PathBuf> = answer
        .current
        .iter()
        .flat_map(|current| &current.condemned)
        .map(|(path, _)| path)
        .collect();
    let fresh: Vec<&(PathBuf, String)> =
        measure.condemned.iter().filter(|(path, _)| !known.contains(&path)).collect();
    if let Some((path, name)) = fresh.first() {
        return Err(Refusal::bad(format!(
            "it condemns {} of {} files known to be clean: {} as {name}",
            fresh.len(),
            measure.files,
            path.display()
        )));
    }
    let mut notes = vec![format!(
        "{} signatures; {} files known to be clean are left alone",
        measure.signatures, measure.files
    )];
    notes.extend(measure.warnings.iter().take(20).cloned());
    let Some(current) = &answer.current else { return Ok(notes) };
    let least = current.signatures.saturating_mul(bounds.signatures_min_percent) / 100;
    if measure.signatures < least {
        return Err(Refusal::bad(format!(
            "it has {} signatures, the set in use has {}: pin it to use it all the same",
            measure.signatures, current.signatures
        )));
    }
    let (new_ms, old_ms) = (measure.scan_ms, current.scan_ms);
    let allowed_ms = old_ms as f64 * bounds.slower_max + 1000.0;
    if new_ms as f64 > allowed_ms {
        return Err(Refusal {
            reason: format!("it scans the same files in {new_ms} ms instead of {old_ms} ms"),
            try_again: false,
        });
    }
    Ok(notes)
}

/// Returns the databases of a set: the folder of each source; for a file, itself.
#[must_use]
pub fn databases_of(set: &Path) -> Vec<PathBuf> {
    if set.is_file() {
        return vec![set.to_owned()];
    }
    let entries = std::fs::read_dir(set).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    // A source may have nothing at the moment.
    folders.retain(|folder| std::fs::read_dir(folder).is_ok_and(|mut list| list.next().is_some()));
    folders
}

/// Longest answer in bytes; ours.
const ANSWER_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: TrialAnswer, want: Result<(), &str>) {
        let got = decide(&answer, &TrialBounds::default());
        match want {
            Ok(()) => assert!(got.is_ok(), "{got:?}"),
            Err(part) => assert!(got.unwrap_err().reason.contains(part)),
        }
    }

    fn good() -> Measure {
        Measure { signatures: 100, files: 10, scan_ms: 100, ..Measure::default() }
    }

    fn with(change: impl FnOnce(&mut Measure)) -> TrialAnswer {
        let mut candidate = good();
        change(&mut candidate);
        TrialAnswer { candidate, current: Some(good()), ..TrialAnswer::default() }
    }

    #[test]
    fn decisions() {
        check(with(|_| {}), Ok(()));
        check(with(|m| m.deaths.push("killed".to_owned())), Err("ends workers"));
        check(with(|m| m.missed.push("EICAR".to_owned())), Err("EICAR"));
        check(with(|m| m.condemned.push(("/bin/ls".into(), "X".to_owned()))), Err("/bin/ls as X"));
        check(with(|m| m.signatures = 39), Err("39 signatures"));
        check(with(|m| m.scan_ms = 1301), Err("1301 ms instead of 100 ms"));
        check(with(|m| m.scan_ms = 1299), Ok(()));
        let mut both = with(|m| m.condemned.push(("/bin/ls".into(), "X".to_owned())));
        both.current = Some(both.candidate.clone());
        check(both, Ok(()));
        check(
            TrialAnswer { refused: Some("bad".to_owned()), ..TrialAnswer::default() },
            Err("opened: bad"),
        );
    }

    #[test]
    fn processes_that_do_not_answer() {
        let judge = |script: &str, deadline: u64| ChildJudge {
            program: PathBuf::from("/bin/sh"),
            arg0: OsString::from("sh"),
            arguments: vec![OsString::from("-c"), OsString::from(script)],
            bounds: TrialBounds {
                deadline: Duration::from_millis(deadline),
                ..TrialBounds::default()
            },
        };
        let ask = |script: &str| judge(script, 5000).ask(&[]);
        assert!(ask("kill -SEGV $$").unwrap_err().reason.contains("ended with signal: 11"));
        assert!(ask("echo nonsense").unwrap_err().reason.contains("exit status: 0"));
        assert_eq!(
            ask("echo '{\"refused\":null,\"impossible\":null,\"candidate\":{},\"current\":null}'")
                .unwrap(),
            TrialAnswer::default()
        );
        let hung = judge("exec sleep 60", 50).ask(&[]).unwrap_err();
        assert!(hung.reason.contains("cannot be tried within"), "{}", hung.reason);
    }
}
