//! The commands of `holdfast`, from which help, manual pages and completions are generated.

mod channel;
mod config;
mod content;
mod daemon;
pub(crate) mod inspect;
pub(crate) mod onaccess;
mod options;
pub(crate) mod outcome;
mod print;
mod quarantine;
mod scan;
mod schedule;
mod selftest;
mod status;
mod supplier;
mod update;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;

/// Exit codes of every command. Source: our own; `docs/manual.md`.
pub(crate) mod exit {
    /// Everything was looked at and nothing was found; of other commands: done.
    pub(crate) const CLEAN: u8 = 0;
    /// Something was found.
    pub(crate) const DETECTED: u8 = 1;
    /// Something failed, or the command line is wrong.
    pub(crate) const ERROR: u8 = 2;
    /// Nothing was found, but not everything was looked at.
    pub(crate) const INCOMPLETE: u8 = 3;
}

/// Runs a command line; the first argument is the program's name.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let matches = match options::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return ExitCode::from(if shown { exit::CLEAN } else { exit::ERROR });
        }
    };
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::from(exit::ERROR) };
    let done = match name {
        "scan" => scan::run(matches),
        "inspect" => inspect::run(matches),
        "config" => config::run(matches),
        "content" => content::run(matches),
        "daemon" => daemon::run(matches),
        "onaccess" => onaccess::run(matches),
        "quarantine" => quarantine::run(matches),
        "schedule" => schedule::run(matches),
        "selftest" => selftest::run(matches),
        "status" => status::run(matches),
        "supplier" => supplier::run(matches),
        "inventory" => supplier::inventory(matches),
        "update" => update::run(matches),
        "verify" => channel::verify::run(matches),
        "monitor" => channel::monitor::run(matches),
        "completions" => print::completions(matches),
        _ => print::manual(matches),
    };
    done.unwrap_or_else(|error| {
        errln!("holdfast: {error:#}");
        ExitCode::from(exit::ERROR)
    })
}
