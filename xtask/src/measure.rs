//! Runs a program and tells what it used: wall and processor time, peak and private memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hf_sys::{Exit, Process};

/// What one run used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) wall: Duration,
    /// User and system time of the process and of all children that it waited for.
    pub(crate) cpu: Duration,
    /// Largest resident size of any of the processes.
    pub(crate) peak_bytes: u64,
    /// Largest private memory of the started process, when watched.
    pub(crate) own_private_bytes: u64,
    /// Largest private memory of one of its descendants, when watched.
    pub(crate) child_private_bytes: u64,
    pub(crate) code: i32,
    pub(crate) stdout: String,
}

/// Whether memory is sampled while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    No,
    /// Every few milliseconds; costs the program some speed.
    Memory,
}

/// Runs a program to its end, at most so long.
pub(crate) fn run(command: &mut Command, at_most: Duration, watch: Watch) -> Result<Run> {
    let name = format!("{command:?}");
    let name: String = name.chars().take(200).collect();
    let mut out = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(Stdio::inherit());
    let start = Instant::now();
    let mut process = Process::start(command).with_context(|| format!("cannot start {name}"))?;
    let mut run = Run::default();
    let (exit, usage) = loop {
        let step = if watch == Watch::Memory { SAMPLE } else { at_most };
        if let Some(done) = process.wait(step) {
            break done;
        }
        if start.elapsed() >= at_most {
            process.kill();
            bail!("ended after {} s: {name}", at_most.as_secs());
        }
        run.own_private_bytes = run.own_private_bytes.max(private_bytes(process.id()));
        for child in descendants(process.id()) {
            run.child_private_bytes = run.child_private_bytes.max(private_bytes(child));
        }
    };
    run.wall = start.elapsed();
    run.cpu = usage.user + usage.system;
    run.peak_bytes = usage.peak_bytes;
    run.code = match exit {
        Exit::Code(code) => code,
        other => bail!("{other:?}: {name}"),
    };
    out.rewind()?;
    let mut stdout = Vec::new();
    out.read_to_end(&mut stdout)?;
    run.stdout = String::from_utf8_lossy(&stdout).into_owned();
    Ok(run)
}

/// As [`run`], and the exit code must be one of these.
pub(crate) fn expect(
    command: &mut Command,
    at_most: Duration,
    watch: Watch,
    codes: &[i32],
) -> Result<Run> {
    let run = run(command, at_most, watch)?;
    if !codes.contains(&run.code) {
        let end: String = run.stdout.lines().rev().take(5).collect::<Vec<_>>().join(" / ");
        bail!("exit code {} from {command:?}: {end}", run.code);
    }
    Ok(run)
}

/// Returns memory that no other process shares.
fn private_bytes(pid: u32) -> u64 {
    rollup(pid, &["Private_"])
}

/// Returns the sum of the lines of the memory of a process that begin so; 0 for one that is gone.
pub(crate) fn rollup(pid: u32, names: &[&str]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    let kib = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.sum::<u64>() * 1024
}

/// Returns the children of a process, theirs, and so on.
pub(crate) fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open = vec![pid];
    while let Some(pid) = open.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let mut text = String::new();
            let children = File::open(task.path().join("children"));
            let _ = children.map(|mut file| file.read_to_string(&mut text));
            let children = text.split_whitespace().filter_map(|pid| pid.parse().ok());
            open.extend(children.filter(|child| found.insert(*child)));
        }
    }
    found
}

const SAMPLE: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_program_used() {
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; exit 3";
        let mut command = Command::new("/bin/sh");
        let run = run(command.args(["-c", script]), Duration::from_secs(20), Watch::Memory);
        let run = run.unwrap();
        assert_eq!((run.code, run.stdout.as_str()), (3, "done\n"));
        assert!(run.cpu > Duration::ZERO && run.wall >= run.cpu / 4);
        assert!(run.peak_bytes > 100_000);
        let late = super::run(Command::new("/bin/sleep").arg("9"), SAMPLE, Watch::No);
        assert!(late.unwrap_err().to_string().contains("ended after"));
    }

    #[test]
    fn refuses_other_exit_codes() {
        let done = expect(&mut Command::new("/bin/false"), Duration::from_secs(9), Watch::No, &[0]);
        assert!(done.unwrap_err().to_string().contains("exit code 1"));
    }
}
