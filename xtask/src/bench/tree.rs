//! A tree of real files with real signatures.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::table::{Table, Value};
use super::{Bench, eicar};
use crate::measure::{self, Watch};

/// Processor time over the tree with one worker.
pub(super) fn tree(bench: &Bench, table: &mut Table) -> Result<()> {
    let (list, bytes) = list(bench)?;
    let what = format!("{} MiB of {}", bytes >> 20, names(bench));
    let mut sha256sum = Command::new("xargs");
    sha256sum.args(["-d", "\\n", "-a"]).arg(&list).args(["sha256sum", "--"]);
    // Once for the page cache.
    measure::expect(&mut sha256sum, bench.deadline, Watch::No, &[0])?;
    let yardstick = measure::expect(&mut sha256sum, bench.deadline, Watch::No, &[0])?;
    warm(bench)?;
    let ours = bench.scan(bench.holdfast(&bench.real).arg("--file-list").arg(&list))?;
    let (theirs, names) = bench.same_names(&bench.real, &|command| {
        command.arg("--file-list").arg(&list);
    })?;
    if names == 0 {
        bail!("nothing was found, not even the planted test files");
    }
    let values = [theirs.cpu, ours.cpu, yardstick.cpu].map(Value::Time);
    table.row(&format!("{what}: CPU"), values[0], values[1], values[2]);
    let values = [theirs.wall, ours.wall, yardstick.wall].map(Value::Time);
    table.row(&format!("{what}: time"), values[0], values[1], values[2]);
    Ok(())
}

/// Two workers against one; the yardstick is one worker.
pub(super) fn threads(bench: &Bench, table: &mut Table) -> Result<()> {
    let (list, _) = list(bench)?;
    warm(bench)?;
    let run = |workers| {
        let mut command = bench.holdfast_with(&bench.real, workers);
        bench.scan(command.arg("--file-list").arg(&list))
    };
    // Once for the page cache.
    run(2)?;
    let (one, two) = (run(1)?, run(2)?);
    if one.stdout.lines().count() != two.stdout.lines().count() {
        bail!("two workers tell something else than one");
    }
    let (one, two) = (Value::Time(one.wall), Value::Time(two.wall));
    table.row("two workers (yardstick: one): time", Value::None, two, one);
    Ok(())
}

/// Builds the packs, so that the measured run does not.
fn warm(bench: &Bench) -> Result<()> {
    for _ in 0..2 {
        bench.scan(bench.holdfast(&bench.real).arg("/etc/hostname"))?;
    }
    Ok(())
}

fn names(bench: &Bench) -> String {
    bench.trees.iter().map(|tree| tree.display().to_string()).collect::<Vec<_>>().join("+")
}

/// Writes the list of files to scan: evenly chosen up to the wanted size, and planted test files.
fn list(bench: &Bench) -> Result<(PathBuf, u64)> {
    let mut files = Vec::new();
    for tree in &bench.trees {
        walk(tree, &mut files);
    }
    let all: u64 = files.iter().map(|(_, len)| len).sum();
    let step = usize::try_from(all.div_ceil(bench.tree_bytes.max(1)))?.max(1);
    let mut list = plant(bench)?;
    let mut bytes = 0;
    for (path, len) in files.into_iter().step_by(step) {
        bytes += len;
        list.push(path);
    }
    let path = bench.path("files");
    let mut out = std::io::BufWriter::new(fs::File::create(&path)?);
    for file in &list {
        writeln!(out, "{}", file.display())?;
    }
    out.flush()?;
    Ok((path, bytes))
}

/// Plants objects in which something is to be found.
fn plant(bench: &Bench) -> Result<Vec<PathBuf>> {
    let plain = bench.path("eicar.com");
    fs::write(&plain, eicar())?;
    let packed = bench.path("eicar.gz");
    let mut gz =
        flate2::write::GzEncoder::new(fs::File::create(&packed)?, flate2::Compression::best());
    gz.write_all(eicar().as_bytes())?;
    gz.finish()?;
    Ok(vec![plain, packed])
}

/// Regular files with a plain name and a size that clamscan takes, in the order of their names.
fn walk(dir: &Path, files: &mut Vec<(PathBuf, u64)>) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let plain = path.to_str().is_some_and(|path| !path.contains(['\n', '\r']));
        if meta.is_dir() {
            // Test files of packers and archives that have no reader yet.
            if !path.ends_with("clamav-testfiles") {
                walk(&path, files);
            }
        } else if meta.is_file() && plain && meta.len() > 0 && meta.len() < 100 << 20 {
            files.push((path, meta.len()));
        }
    }
}
