//! Completions and manual pages, generated from the table of options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::options;

/// `holdfast completions SHELL`.
pub(crate) fn completions(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let shell = matches.get_one::<String>("shell").map_or("bash", String::as_str);
    let shell: Shell = shell.parse().map_err(anyhow::Error::msg)?;
    // The generator panics when it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut options::command(), "holdfast", &mut text);
    crate::output::bytes(&text);
    Ok(ExitCode::SUCCESS)
}

/// `holdfast manual FOLDER`.
pub(crate) fn manual(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let folder = matches.get_one::<PathBuf>("folder").context("a folder is required")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut root = options::command();
    root.build();
    page(folder, "holdfast", &root)?;
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("holdfast-{}", command.get_name());
        page(folder, &name, command)?;
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            page(folder, &format!("{name}-{}", below.get_name()), below)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page(folder: &Path, name: &str, command: &Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    Man::new(command.clone().name(name.to_owned())).render(&mut page)?;
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}
