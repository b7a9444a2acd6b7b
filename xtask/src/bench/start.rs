//! Building and opening content of today's size.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::table::{Table, Value};
use super::{Bench, eicar, found};
use crate::measure::{self, Run, Watch};

/// What building the packs costs, against what loading costs clamscan at every start.
pub(super) fn build(bench: &Bench, table: &mut Table) -> Result<()> {
    let Some(large) = &bench.large else {
        table.skipped("build", "no --large");
        return Ok(());
    };
    let cache = bench.path("cache");
    if cache.exists() {
        fs::remove_dir_all(cache)?;
    }
    let object = small_object(bench)?;
    let clamscan = clamscan(bench, large, &object)?;
    let ours =
        measure::expect(bench.holdfast(large).arg(&object), bench.deadline, Watch::No, &[1])?;
    let (time, cpu) = (Value::Time(clamscan.wall), Value::Time(clamscan.cpu));
    table.row("load content, build packs: time", time, Value::Time(ours.wall), Value::None);
    table.row("load content, build packs: CPU", cpu, Value::Time(ours.cpu), Value::None);
    let peak = Value::Bytes(ours.peak_bytes);
    table.row(
        "load content, build packs: peak RSS",
        Value::Bytes(clamscan.peak_bytes),
        peak,
        Value::None,
    );
    Ok(())
}

/// What a start costs when the packs are there, and what a worker keeps for itself.
pub(super) fn startup(bench: &Bench, table: &mut Table) -> Result<()> {
    let Some(large) = &bench.large else {
        table.skipped("startup", "no --large");
        return Ok(());
    };
    let object = small_object(bench)?;
    let start =
        |watch| measure::expect(bench.holdfast(large).arg(&object), bench.deadline, watch, &[1]);
    // The first builds packs if they are not there, the second may verify them.
    start(Watch::No)?;
    start(Watch::No)?;
    let mut runs: Vec<Run> = (0..STARTS).map(|_| start(Watch::No)).collect::<Result<_>>()?;
    runs.sort_by_key(|run| run.wall);
    let Some(median) = runs.get(STARTS / 2) else { bail!("no runs") };
    let clamscan = clamscan(bench, large, &object)?;
    let sha256sum = measure::expect(
        std::process::Command::new("sha256sum").arg(&object),
        Duration::from_secs(60),
        Watch::No,
        &[0],
    )?;
    let yardstick = Value::Time(sha256sum.wall);
    let (theirs, ours) = (Value::Time(clamscan.wall), Value::Time(median.wall));
    table.row("start to verdict, one small file: time", theirs, ours, yardstick);
    let (theirs, ours) = (Value::Time(clamscan.cpu), Value::Time(median.cpu));
    table.row("start to verdict, one small file: CPU", theirs, ours, Value::None);
    memory(bench, large, table)
}

/// Samples while a folder is scanned, so that there is time to look.
fn memory(bench: &Bench, large: &Path, table: &mut Table) -> Result<()> {
    let dir = bench.path("memory");
    fs::create_dir_all(&dir)?;
    for n in 0..200u32 {
        fs::write(dir.join(format!("{n}.txt")), format!("text {n}\n").repeat(20_000))?;
    }
    let mut ours = bench.holdfast(large);
    let ours = measure::expect(ours.arg(&dir), bench.deadline, Watch::Memory, &[0, 3])?;
    let mut theirs = bench.clamscan(&bench.clamscan, large);
    let theirs = measure::expect(theirs.arg(&dir), bench.deadline, Watch::Memory, &[0])?;
    let private = Value::Bytes(theirs.own_private_bytes);
    let worker = Value::Bytes(ours.child_private_bytes);
    table.row("private memory of a worker", private, worker, Value::None);
    table.row(
        "private memory of the parent",
        private,
        Value::Bytes(ours.own_private_bytes),
        Value::None,
    );
    Ok(())
}

/// EICAR, which the content's first real signature names.
fn small_object(bench: &Bench) -> Result<PathBuf> {
    let path = bench.path("eicar.com");
    fs::write(&path, eicar())?;
    Ok(path)
}

fn clamscan(bench: &Bench, large: &Path, object: &Path) -> Result<Run> {
    let mut command = bench.clamscan(&bench.clamscan, large);
    let run = measure::expect(command.arg(object), bench.deadline, Watch::No, &[1])?;
    if found(&run.stdout).is_empty() {
        bail!("clamscan did not find EICAR");
    }
    Ok(run)
}

const STARTS: usize = 21;
