//! A working copy by the program `git`.
//!
//! Promises: `git` asks nobody, runs no hook and no transport but https, ssh, git and files, and is ended after
//! [`PATIENCE`], or when what it has fetched is larger than it may be. Only the newest state is fetched.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ours.
const PATIENCE: Duration = Duration::from_secs(900);

/// Ours: deepest folder that is weighed.
const DEPTH_MAX: u32 = 32;
/// Ours: how many times larger a working copy may be than its history.
const UNPACKED: u64 = 4;

/// Brings a working copy up to date, whose history has at most `max` bytes; returns its commit.
pub(super) fn checkout(
    url: &str,
    branch: Option<&str>,
    folder: &Path,
    max: u64,
) -> Result<String, String> {
    let unsafe_word =
        |word: &str| word.is_empty() || word.starts_with('-') || word.chars().any(char::is_control);
    if unsafe_word(url) || branch.is_some_and(unsafe_word) || url.starts_with("ext::") {
        return Err("not an address or branch for git".to_owned());
    }
    let branch = branch.unwrap_or("HEAD");
    let was_there = folder.join(".git").is_dir();
    if !was_there {
        std::fs::create_dir_all(folder).map_err(|err| err.to_string())?;
        git(folder, &["init", "-q"])?;
    }
    let objects = folder.join(".git/objects");
    let is_small =
        |folder: &Path, times: u64| weight(folder, DEPTH_MAX) <= max.saturating_mul(times);
    let fetched = git_while(
        folder,
        &["fetch", "-q", "--depth", "1", "--no-tags", "--no-recurse-submodules", "--", url, branch],
        // A repository has no end that it would tell before.
        || is_small(&objects, 1),
    );
    if fetched.is_err() && !is_small(&objects, 1) {
        // What it has left would be in the way of everything later.
        let _ = std::fs::remove_dir_all(folder);
        // It may only have grown by one update after the other.
        if was_there {
            return checkout(url, Some(branch), folder, max);
        }
    }
    fetched?;
    // Some bytes of history may be many of a file.
    git_while(folder, &["reset", "-q", "--hard", "FETCH_HEAD"], || is_small(folder, UNPACKED))?;
    git(folder, &["clean", "-q", "-ffdx"])?;
    git(folder, &["rev-parse", "FETCH_HEAD"]).map(|text| text.trim().to_owned())
}

/// Returns the bytes of all files below a folder.
fn weight(folder: &Path, depth: u32) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 0 };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold(0, |sum, entry| {
        let own = match entry.metadata() {
            Ok(meta) if meta.is_dir() => weight(&entry.path(), depth),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        };
        sum.saturating_add(own)
    })
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    git_while(folder, arguments, || true)
}

/// Runs `git` as long as something is so.
fn git_while(folder: &Path, arguments: &[&str], so: impl Fn() -> bool) -> Result<String, String> {
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
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| format!("git cannot be started: {err}"))?;
    let until = Instant::now() + PATIENCE;
    // Its output is some lines: it fits a pipe, so that nobody has to read while it runs.
    let mut looks = 0u32;
    let status = loop {
        looks = looks.wrapping_add(1);
        let why = match child.try_wait().map_err(|err| err.to_string())? {
            Some(status) => break status,
            None if Instant::now() > until => "git did not end in time",
            None if looks.is_multiple_of(20) && !so() => "the repository is too large",
            None => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        // Its helpers read from the network by themselves.
        let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = child.wait();
        return Err(why.to_owned());
    };
    if !so() {
        return Err("the repository is too large".to_owned());
    }
    let output = child.wait_with_output().map_err(|err| err.to_string())?;
    match status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("git: {}", text.lines().last().unwrap_or("failed")))
        }
    }
}
