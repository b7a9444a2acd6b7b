//! `holdfast config`: checking a configuration, and importing another program's.

mod defender;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;

use super::daemon::{Read, read};
use super::exit;

/// Runs the command.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(ExitCode::from(exit::ERROR));
    };
    let path = matches.get_one::<PathBuf>("file").context("no file")?;
    if name == "check" {
        let Read { not_honoured, .. } = read(path)?;
        not_honoured.iter().for_each(|line| outln!("{line}"));
        if not_honoured.is_empty() {
            outln!("{}: right", path.display());
        }
        return Ok(code(&not_honoured));
    }
    let json = path.extension().is_some_and(|suffix| suffix == "json");
    let Read { config, not_honoured } = if json { defender::import(path)? } else { read(path)? };
    not_honoured.iter().for_each(|line| errln!("{line}"));
    outln!("# Imported from {}.", path.display());
    outln!("{}", config.text().trim_end());
    Ok(code(&not_honoured))
}

fn code(not_honoured: &[String]) -> ExitCode {
    ExitCode::from(if not_honoured.is_empty() { exit::CLEAN } else { exit::INCOMPLETE })
}
