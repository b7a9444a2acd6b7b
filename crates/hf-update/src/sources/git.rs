//! A working copy by the program `git`.
//!
//! Promises: `git` asks nobody, runs no hook and no transport but https, ssh, git and files, and is ended after
//! [`PATIENCE`]. Only the newest state is fetched.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ours.
const PATIENCE: Duration = Duration::from_secs(900);

/// Brings a working copy up to date; returns its commit.
pub(super) fn checkout(url: &str, branch: Option<&str>, folder: &Path) -> Result<String, String> {
    let unsafe_word =
        |word: &str| word.is_empty() || word.starts_with('-') || word.chars().any(char::is_control);
    if unsafe_word(url) || branch.is_some_and(unsafe_word) || url.starts_with("ext::") {
        return Err("not an address or branch for git".to_owned());
    }
    let branch = branch.unwrap_or("HEAD");
    if !folder.join(".git").is_dir() {
        std::fs::create_dir_all(folder).map_err(|err| err.to_string())?;
        git(folder, &["init", "-q"])?;
    }
    git(
        folder,
        &["fetch", "-q", "--depth", "1", "--no-tags", "--no-recurse-submodules", "--", url, branch],
    )?;
    git(folder, &["reset", "-q", "--hard", "FETCH_HEAD"])?;
    git(folder, &["clean", "-q", "-ffdx"])?;
    git(folder, &["rev-parse", "FETCH_HEAD"]).map(|text| text.trim().to_owned())
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "core.symlinks=false",
        ])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_DIR", folder.join(".git"))
        .env("GIT_WORK_TREE", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| format!("git cannot be started: {err}"))?;
    let until = Instant::now() + PATIENCE;
    // Its output is some lines: it fits a pipe, so that nobody has to read while it runs.
    let status = loop {
        match child.try_wait().map_err(|err| err.to_string())? {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("git did not end in time".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let output = child.wait_with_output().map_err(|err| err.to_string())?;
    match status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("git: {}", text.lines().last().unwrap_or("failed")))
        }
    }
}
