//! `holdfast content keep`: an owner who does not agree that a signature was withdrawn keeps it.
//!
//! The lines come from the lists of changes, and are written as databases into a folder of the owner's,
//! `kept` beside the store, which is configured as a source like any other folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgMatches;
use hf_update::SetStore;
use hf_update::channel::{kept_lines, releases};

use super::safe;
use crate::display::safe_path;

/// Adds, removes, or lists names, and writes the databases anew.
pub(in super::super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let root = SetStore::default_root().context("there is no place for content")?;
    let folder = root.with_file_name("kept");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", safe_path(&folder)))?;
    let list = folder.join("names");
    let known = fs::read_to_string(&list).unwrap_or_default();
    let mut names: Vec<String> = known.lines().map(str::to_owned).collect();
    let given: Vec<String> =
        matches.get_many::<String>("names").into_iter().flatten().cloned().collect();
    if given.is_empty() {
        names.iter().for_each(|name| outln!("{}", safe(name)));
        return Ok(ExitCode::SUCCESS);
    }
    let (_, channels) = super::channels(matches)?;
    let mut all = Vec::new();
    for followed in channels {
        all.extend(releases(&followed.memory, &followed.channel.policy)?);
    }
    if matches.get_flag("remove") {
        names.retain(|name| !given.contains(name));
    } else {
        for name in given {
            if kept_lines(&all, std::slice::from_ref(&name)).is_empty() {
                bail!("no release that is remembered here withdrew {}", safe(&name));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    fs::write(&list, text).with_context(|| format!("cannot write {}", safe_path(&list)))?;
    write(&folder, kept_lines(&all, &names))?;
    outln!("{} signatures are kept in {}", names.len(), safe_path(&folder));
    outln!("as a source: kind = \"folder\", path = \"{}\"", safe_path(&folder));
    Ok(ExitCode::SUCCESS)
}

/// Writes lines into databases of their languages, and removes those without any.
fn write(folder: &Path, lines: Vec<(String, String)>) -> anyhow::Result<()> {
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (file, line) in lines {
        let suffix = file.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let text = files.entry(folder.join(format!("kept.{suffix}"))).or_default();
        text.push_str(&line);
        text.push('\n');
    }
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if entry.file_name() != "names" && !files.contains_key(&path) {
            fs::remove_file(&path)?;
        }
    }
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("cannot write {}", safe_path(&path)))?;
    }
    Ok(())
}

/// Returns the files of a folder whose bytes hold a name; what cannot be read is none.
pub(super) fn names_in(folder: Option<&Path>, name: &str) -> Vec<String> {
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten();
    let mut found: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            memchr::memmem::find(&bytes, name.as_bytes()).is_some()
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}
