//! Compares `holdfast` with `clamscan` and `sha256sum`: same files, same signatures, one run.
//!
//! Every row asserts that both found the same where both look; a ratio of runs that found different
//! things would say nothing. Processor time is user and system time of a process and its children.
//! Every run has a deadline. Nothing here knows absolute times: the table holds ratios.

mod daemon;
mod formats;
mod onaccess;
mod start;
mod table;
mod tiny_pe;
mod tree;
mod yara;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::measure::{self, Run, Watch};
use table::Table;

/// What the rows share.
#[derive(Debug)]
struct Bench {
    holdfast: PathBuf,
    clamscan: PathBuf,
    yr: Option<PathBuf>,
    /// Real databases, unpacked.
    real: PathBuf,
    large: Option<PathBuf>,
    trees: Vec<PathBuf>,
    tree_bytes: u64,
    tiny_clamscan: u64,
    deadline: Duration,
    work: TempDir,
}

/// Runs `bench`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let mut rows = arguments.words();
    if rows.first().is_some_and(|row| row == "formats") {
        return formats::run(&rows[1..], arguments);
    }
    if rows.first().is_some_and(|row| row == "onaccess") {
        return onaccess::run(arguments);
    }
    if rows.first().is_some_and(|row| row == "daemon") {
        return daemon::run(&rows[1..], arguments);
    }
    if rows.is_empty() || rows == ["all"] {
        rows = ROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    }
    let bench = Bench::new(arguments)?;
    let mut table = Table::default();
    for row in &rows {
        let Some((_, measure)) = ROWS.iter().find(|(name, _)| name == row) else {
            bail!("no row {row}");
        };
        eprintln!("measuring {row}");
        measure(&bench, &mut table).with_context(|| format!("row {row}"))?;
    }
    print!("{table}");
    Ok(())
}

type Row = fn(&Bench, &mut Table) -> Result<()>;

const ROWS: &[(&str, Row)] = &[
    ("build", start::build),
    ("startup", start::startup),
    ("tree", tree::tree),
    ("threads", tree::threads),
    ("tiny-pe", tiny_pe::tiny_pe),
    ("yara", yara::yara),
];

impl Bench {
    fn new(mut arguments: Arguments) -> Result<Self> {
        let work = tempfile::tempdir()?;
        let real = work.path().join("real");
        unpack(Path::new(&arguments.required("--real")?), &real)?;
        let or = |given: Option<String>, default: &str| {
            PathBuf::from(given.unwrap_or_else(|| default.to_owned()))
        };
        let number = |given: Option<String>, default: u64| {
            given.map_or(Ok(default), |text| text.parse::<u64>())
        };
        let mut trees = arguments.values("--tree")?;
        if trees.is_empty() {
            trees = vec!["/usr/bin".to_owned(), "/usr/share".to_owned()];
        }
        let bench = Self {
            holdfast: or(arguments.value("--holdfast")?, "target/release/holdfast"),
            clamscan: or(arguments.value("--clamscan")?, "/usr/bin/clamscan"),
            yr: find("yr", arguments.value("--yr")?),
            real,
            large: arguments.value("--large")?.map(PathBuf::from),
            trees: trees.into_iter().map(PathBuf::from).collect(),
            tree_bytes: arguments.mib("--tree-mib", 300)?,
            tiny_clamscan: number(arguments.value("--tiny-clamscan")?, 200)?,
            deadline: Duration::from_secs(number(arguments.value("--deadline")?, 900)?),
            work,
        };
        arguments.finish()?;
        for program in [&bench.holdfast, &bench.clamscan] {
            if !program.is_file() {
                bail!("{} is missing", program.display());
            }
        }
        std::os::unix::fs::symlink(fs::canonicalize(&bench.holdfast)?, bench.stand_in())?;
        Ok(bench)
    }

    /// Returns the name under which holdfast stands in for clamscan.
    fn stand_in(&self) -> PathBuf {
        self.path("clamscan")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Returns `holdfast scan` with one worker, this content and a cache of its own.
    fn holdfast(&self, content: &Path) -> Command {
        self.holdfast_with(content, 1)
    }

    fn holdfast_with(&self, content: &Path, workers: u32) -> Command {
        let mut command = Command::new(&self.holdfast);
        command.env("HOLDFAST_CACHE", self.path("cache"));
        command.args(["scan", "--all-match", "--no-summary", "--no-progress", "-d"]).arg(content);
        command.args(["--threads", &workers.to_string()]);
        command
    }

    fn clamscan(&self, program: &Path, content: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOLDFAST_CACHE", self.path("cache"));
        command.args(["--allmatch", "--no-summary", "-i", "-r", "-d"]).arg(content);
        command
    }

    /// Runs a scanner; clean, detected and (for holdfast) incomplete are all fine.
    fn scan(&self, command: &mut Command) -> Result<Run> {
        measure::expect(command, self.deadline, Watch::No, &[0, 1, 3])
    }

    /// Runs clamscan and its stand-in on the same arguments; both must find the same.
    fn same_names(&self, content: &Path, on: &dyn Fn(&mut Command)) -> Result<(Run, usize)> {
        let mut clamscan = self.clamscan(&self.clamscan, content);
        on(&mut clamscan);
        let theirs = measure::expect(&mut clamscan, self.deadline, Watch::No, &[0, 1])?;
        let mut stand_in = self.clamscan(&self.stand_in(), content);
        on(&mut stand_in);
        let ours = measure::expect(&mut stand_in, self.deadline, Watch::No, &[0, 1])?;
        let (want, got) = (found(&theirs.stdout), found(&ours.stdout));
        if want != got {
            let missing: Vec<_> = want.difference(&got).take(10).collect();
            let extra: Vec<_> = got.difference(&want).take(10).collect();
            bail!("found differently: only clamscan {missing:#?}, only holdfast {extra:#?}");
        }
        let names = want.len();
        Ok((theirs, names))
    }
}

/// Returns the lines that tell of something found, each once.
fn found(stdout: &str) -> BTreeSet<&str> {
    stdout.lines().filter(|line| line.ends_with(" FOUND")).collect()
}

fn unpack(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(plain) = name.strip_suffix(".gz") {
            let mut out = BufWriter::new(File::create(to.join(plain))?);
            std::io::copy(&mut GzDecoder::new(File::open(&path)?), &mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn find(name: &str, given: Option<String>) -> Option<PathBuf> {
    let given = given.map(PathBuf::from);
    given.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
    })
}

/// EICAR's test file, put together so that this program is not found itself.
fn eicar() -> String {
    let (front, back) =
        ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
    format!("{front}{back}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_lines() {
        let text = "/a: OK\n/b: X.Y FOUND\n/b: X.Y FOUND\n/c: Z FOUND\n";
        assert_eq!(found(text).into_iter().collect::<Vec<_>>(), ["/b: X.Y FOUND", "/c: Z FOUND"]);
        assert_eq!(eicar().len(), 68);
    }
}
