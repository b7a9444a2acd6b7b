//! Proof that the confinement holds on this machine, now: real workers try what they must not.
//!
//! Promises: a row says *stopped* only when the forbidden thing did not happen, as far as the parent
//! can see for itself (a file that was not created, a process that did not become another program)
//! and by the worker's own word. Every row uses a fresh worker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_ipc::Probe;

use crate::worker::probe;
use crate::{Death, SpawnError, WorkerConfig};

/// One attempt and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelftestRow {
    /// What the worker was asked to do.
    pub asked: &'static str,
    /// It did not happen; of crashes: only the worker was lost, and the parent knows why.
    pub stopped: bool,
    /// What the parent saw.
    pub parent_reported: String,
}

/// Asks workers to do what they must not do, one after the other.
///
/// # Errors
/// A worker could not be started, which is an answer of its own.
pub fn selftest(config: &WorkerConfig) -> Result<Vec<SelftestRow>, SpawnError> {
    let witness = witness_path();
    let rows = attempts(config, &witness)
        .into_iter()
        .map(|attempt| row(config, attempt, &witness))
        .collect();
    // It is only there when the confinement failed.
    let _ = std::fs::remove_file(&witness);
    rows
}

struct Attempt {
    asked: &'static str,
    probe: Probe,
    want: Want,
}

/// What has to come of an attempt.
#[derive(Clone, Copy)]
enum Want {
    /// Killed by the filter, or refused by the kernel.
    Stopped,
    /// The worker dies of it, and the parent knows of what.
    Death(fn(&Death) -> bool),
}

fn attempts(config: &WorkerConfig, witness: &Path) -> Vec<Attempt> {
    let stopped = |asked, probe| Attempt { asked, probe, want: Want::Stopped };
    let deadly = |asked, probe, want| Attempt { asked, probe, want: Want::Death(want) };
    // The bound counts from what was in use, stack included, so the edge is a little blurred.
    let too_much = config.memory_bytes.saturating_add(16 << 20);
    vec![
        stopped("open a network socket", Probe::OpenSocket),
        stopped("open a file", Probe::OpenFile(PathBuf::from("/etc/passwd"))),
        stopped("create a file", Probe::CreateFile(witness.to_owned())),
        stopped("start a program", Probe::StartProgram(PathBuf::from("/bin/sh"))),
        stopped("fork", Probe::Fork),
        stopped("trace its parent", Probe::TraceParent),
        stopped("signal its parent", Probe::SignalParent),
        stopped("make memory executable", Probe::MapExecutable),
        stopped("open an io_uring", Probe::MakeRing),
        deadly("use more memory than allowed", Probe::Memory(too_much), |death| {
            *death == Death::OutOfMemory
        }),
        deadly("run past its deadline", Probe::Loop, |death| {
            matches!(death, Death::Deadline { .. })
        }),
        deadly("panic", Probe::Panic, |death| matches!(death, Death::Panic(_))),
        deadly("abort", Probe::Abort, |death| *death == Death::Signal(6)),
        deadly("overflow its stack", Probe::OverflowStack, |death| {
            matches!(death, Death::StackOverflow | Death::Signal(11))
        }),
        deadly("read through a null pointer", Probe::ReadNull, |death| *death == Death::Signal(11)),
    ]
}

fn row(config: &WorkerConfig, attempt: Attempt, witness: &Path) -> Result<SelftestRow, SpawnError> {
    let Attempt { asked, probe: what, want } = attempt;
    let created = matches!(what, Probe::CreateFile(_));
    let outcome = probe(config, what, PROBE_TIME)?;
    let (mut stopped, mut parent_reported) = match (&outcome, want) {
        (Ok(Ok(())), _) => (false, "it succeeded".to_owned()),
        // Not there is not the same as not allowed.
        (Ok(Err(error)), Want::Stopped) => {
            (!error.contains("os error 2)"), format!("refused: {error}"))
        }
        (Ok(Err(error)), Want::Death(_)) => (false, format!("it went on: {error}")),
        (Err(death), Want::Stopped) => (*death == Death::Forbidden, death.to_string()),
        (Err(death), Want::Death(wanted)) => (wanted(death), death.to_string()),
    };
    if created && witness.exists() {
        stopped = false;
        parent_reported = "the file is there".to_owned();
    }
    Ok(SelftestRow { asked, stopped, parent_reported })
}

/// Returns a path at which nothing is, in a folder in which everybody may create files.
fn witness_path() -> PathBuf {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_nanos());
    std::env::temp_dir().join(format!("holdfast-selftest-{}-{now}", std::process::id()))
}

/// Ours: everything but the endless loop takes microseconds.
const PROBE_TIME: Duration = Duration::from_secs(1);
