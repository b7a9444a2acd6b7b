//! The name `freshclam`: what the library for it cannot do itself.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use hf_update::freshclam::Program;
use hf_update::trial::{ChildJudge, TrialBounds, decide};

use crate::content;

/// Runs a command line without the program's name.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let program = Program {
        tester: &tried,
        version_suffix: &|folder| content::version_suffix(Some(folder)),
        ctime: &content::in_words,
        certificates: &|folder| content::roots(folder, &mut Vec::new()),
    };
    ExitCode::from(hf_update::freshclam::run(arguments.collect(), program))
}

/// Opens a database in a process of its own and has a worker find something with it.
fn tried(database: &Path) -> Result<u64, String> {
    let bounds = TrialBounds::default();
    let judge = ChildJudge::this_program(vec![OsString::from("--clean-files=0")], bounds);
    let more = [OsString::from("--candidate"), database.as_os_str().to_owned()];
    let answer = judge.ask(&more).map_err(|refusal| refusal.reason)?;
    decide(&answer, &bounds).map_err(|refusal| refusal.reason)?;
    // Without those that are built in.
    Ok(answer
        .candidate
        .signatures
        .saturating_sub(content::builtin_only().map_or(0, |content| content.signatures)))
}
