//! `holdfast update try`: the process in which a set is tried; its answer is one line of JSON.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ArgMatches;
use hf_core::{Limits, ScanOptions};
use hf_sig::PuaChoice;
use hf_update::trial::{
    CleanSample, Measure, TrialAnswer, databases_of, eicar, known_clean, measure,
};
use hf_worker::SpawnError;

use crate::content::{self, Content, OpenError, Wanted};
use crate::session;

/// Runs the command.
pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = |name: &str| matches.get_one::<PathBuf>(name);
    let owners: Vec<PathBuf> =
        matches.get_many::<PathBuf>("known-clean").into_iter().flatten().cloned().collect();
    let mut sample = CleanSample::default();
    if let Some(files) = matches.get_one::<u64>("clean-files") {
        sample.files_max = usize::try_from(*files).unwrap_or(usize::MAX);
    }
    let clean = known_clean(Path::new("/"), &owners, sample);
    let mut answer = TrialAnswer::default();
    if let Some(candidate) = path("candidate") {
        match tried(candidate, &clean) {
            Ok(measure) => {
                answer.candidate = measure;
                compile_for_services(candidate);
            }
            Err(Failed::Content(why)) => answer.refused = Some(why),
            Err(Failed::Machine(why)) => answer.impossible = Some(why),
        }
    }
    if let Some(current) = path("current").filter(|_| answer.refused.is_none()) {
        // A set in use that cannot be opened is no reason to keep another from replacing it.
        answer.current = match needs_comparison(&answer.candidate) {
            true => tried(current, &clean).ok(),
            false => opened(current)
                .ok()
                .map(|content| Measure { signatures: content.signatures, ..Measure::default() }),
        };
    }
    outln!("{}", serde_json::to_string(&answer)?);
    Ok(ExitCode::SUCCESS)
}

enum Failed {
    Content(String),
    Machine(String),
}

/// True when what the set in use makes of the same files may excuse or accuse the candidate: it condemns
/// something, or takes longer than the second that is always granted.
fn needs_comparison(candidate: &Measure) -> bool {
    !candidate.condemned.is_empty() || candidate.scan_ms > 1000
}

fn opened(set: &Path) -> Result<Content, OpenError> {
    let wanted =
        Wanted { with_builtin: true, keep_going: set.is_dir(), ..Wanted::of(databases_of(set)) };
    content::open(&wanted)
}

fn tried(set: &Path, clean: &[(PathBuf, std::fs::File)]) -> Result<Measure, Failed> {
    let content = opened(set).map_err(|err| Failed::Content(err.to_string()))?;
    let machine = |err: std::io::Error| Failed::Machine(err.to_string());
    let config = session::worker_config(&content, &Limits::holdfast(), &ScanOptions::default());
    let measured = measure(config.map_err(machine)?, content.signatures, clean, &[eicar()]);
    let mut measured = measured.map_err(|err| match err {
        // With content that workers die of, the machine is not to blame.
        SpawnError::Died(_) | SpawnError::Loop(_) | SpawnError::Refused(_) if builtin_works() => {
            Failed::Content(err.to_string())
        }
        err => Failed::Machine(err.to_string()),
    })?;
    measured.warnings.extend(content.warnings);
    Ok(measured)
}

/// Leaves a pack for daemon and guard as well, which look for no unwanted applications unless they are told to, so
/// that their reload compiles nothing. That it fails costs them time.
fn compile_for_services(set: &Path) {
    let pua = PuaChoice::None;
    let wanted = Wanted { pua, keep_going: set.is_dir(), ..Wanted::of(databases_of(set)) };
    let _ = content::open(&wanted);
}

/// True when a worker starts with what is built in.
fn builtin_works() -> bool {
    content::builtin_only().is_ok_and(|content| {
        session::worker_config(&content, &Limits::holdfast(), &ScanOptions::default())
            .is_ok_and(|config| measure(config, 0, &[], &[]).is_ok())
    })
}
