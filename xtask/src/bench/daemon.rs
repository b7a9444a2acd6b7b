//! The daemon beside clamd: same databases, clients and files, one run.
//!
//! Asserted: both give the same verdict on every object of the stream row, and find the same in the tree.
//! Every object is unique, so that no cache of verdicts answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::random::Random;
use crate::service::{Daemon, answer, send_stream};

#[derive(Debug)]
struct Bench {
    holdfast: PathBuf,
    clamd: PathBuf,
    clamdscan: PathBuf,
    seconds: Duration,
    tree: PathBuf,
    databases: PathBuf,
    work: TempDir,
}

/// One line of the table: what, clamd's value, ours, and their ratio beside what it must be.
#[derive(Debug)]
struct Line {
    what: String,
    theirs: String,
    ours: String,
    ratio: String,
    must: &'static str,
}

type Row = fn(&Bench) -> Result<Vec<Line>>;

const ROWS: &[(&str, Row)] =
    &[("stream", stream), ("multiscan", multiscan), ("memory", memory), ("start", start)];

/// Runs `bench daemon`.
pub(super) fn run(rows: &[String], mut arguments: Arguments) -> Result<()> {
    let or = |given: Option<String>, default: &str| {
        PathBuf::from(given.unwrap_or_else(|| default.to_owned()))
    };
    let work = tempfile::tempdir()?;
    let databases = work.path().join("databases");
    gather(Path::new(&arguments.required("--databases")?), &databases)?;
    let seconds = arguments.value("--seconds")?.map_or(Ok(15), |text| text.parse::<u64>())?;
    let bench = Bench {
        holdfast: fs::canonicalize(or(arguments.value("--holdfast")?, "target/release/holdfast"))
            .context("holdfast is not built")?,
        clamd: or(arguments.value("--clamd")?, "/usr/sbin/clamd"),
        clamdscan: or(arguments.value("--clamdscan")?, "/usr/bin/clamdscan"),
        seconds: Duration::from_secs(seconds),
        tree: or(arguments.value("--tree")?, "/usr/share"),
        databases,
        work,
    };
    arguments.finish()?;
    println!("| what | clamd | holdfast | ratio | must |\n|---|---|---|---|---|");
    for (name, measure) in ROWS {
        if !rows.is_empty() && !rows.iter().any(|row| row == name) {
            continue;
        }
        eprintln!("measuring {name}");
        for line in measure(&bench).with_context(|| format!("row {name}"))? {
            let Line { what, theirs, ours, ratio, must } = line;
            println!("| {what} | {theirs} | {ours} | {ratio} | {must} |");
        }
    }
    Ok(())
}

/// Makes a folder of databases: unpacked `*.gz`, links to all else, and a signature of this benchmark.
fn gather(from: &Path, to: &Path) -> Result<()> {
    super::unpack(from, to)?;
    for entry in fs::read_dir(from)? {
        let path = fs::canonicalize(entry?.path())?;
        let name = path.file_name().unwrap_or_default().to_owned();
        let read_me = path.extension().is_some_and(|suffix| suffix == "gz" || suffix == "md");
        if path.is_file() && !read_me {
            std::os::unix::fs::symlink(&path, to.join(name))?;
        }
    }
    write_own(to, 0)
}

/// Writes the signature that objects of this benchmark are found by, and one that only makes it new.
fn write_own(databases: &Path, number: u32) -> Result<()> {
    let hex = |text: &[u8]| text.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let text = format!(
        "Bench.Marker:0:*:{}\nBench.Number:0:*:{}\n",
        hex(MARKER),
        hex(format!("bench number {number:08} of the databases").as_bytes())
    );
    fs::write(databases.join("bench.ndb"), text)?;
    Ok(())
}

impl Bench {
    fn start(&self, program: &Path, name: &str) -> Result<Daemon> {
        Daemon::start(program, &self.databases, &self.work.path().join(name))
    }

    fn both<T>(&self, measure: impl Fn(&Daemon) -> Result<T>) -> Result<(T, T)> {
        let theirs = measure(&self.start(&self.clamd, "theirs")?).context("clamd")?;
        // The first start compiles the databases, which clamd does at each start.
        drop(self.start(&self.holdfast, "ours")?);
        let ours = measure(&self.start(&self.holdfast, "ours")?).context("holdfast")?;
        Ok((theirs, ours))
    }
}

/// `INSTREAM` from 8 clients.
fn stream(bench: &Bench) -> Result<Vec<Line>> {
    let base = objects();
    let (theirs, ours) = bench.both(|daemon| {
        let counter = AtomicU64::new(0);
        let until = Instant::now() + bench.seconds;
        let begun = Instant::now();
        let times: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
            let client = || {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let nth = counter.fetch_add(1, Ordering::Relaxed);
                    times.push(one_request(daemon, &base, nth)?);
                }
                Ok(times)
            };
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            let joined = clients.into_iter().map(|client| client.join().expect("no panic"));
            joined.collect()
        });
        let took = begun.elapsed();
        let mut all: Vec<Duration> = times.into_iter().collect::<Result<Vec<_>>>()?.concat();
        all.sort();
        let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        Ok((all.len() as f64 / took.as_secs_f64(), at(50), at(99)))
    })?;
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let less = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    Ok(vec![
        Line {
            what: "INSTREAM, 8 clients, 1 KiB to 5 MiB: requests per second".to_owned(),
            theirs: format!("{:.1}", theirs.0),
            ours: format!("{:.1}", ours.0),
            ratio: format!("{:.1}", ours.0 / theirs.0),
            must: "5",
        },
        Line {
            what: "the same: p50".to_owned(),
            theirs: ms(theirs.1),
            ours: ms(ours.1),
            ratio: format!("{:.1}", less(theirs.1, ours.1)),
            must: "",
        },
        Line {
            what: "the same: p99".to_owned(),
            theirs: ms(theirs.2),
            ours: ms(ours.2),
            ratio: format!("{:.1}", less(theirs.2, ours.2)),
            must: "above 1",
        },
    ])
}

/// Sends one object that nobody has seen; returns the time to its verdict.
fn one_request(daemon: &Daemon, base: &[Vec<u8>], nth: u64) -> Result<Duration> {
    let mut object = base[usize::try_from(nth)? % base.len()].clone();
    object.extend_from_slice(format!("\nobject {nth} of the benchmark\n").as_bytes());
    let bad = nth.is_multiple_of(16);
    if bad {
        object.extend_from_slice(MARKER);
    }
    let begun = Instant::now();
    let mut stream = daemon.connect()?;
    send_stream(&mut stream, &object)?;
    let line = answer(&mut stream)?;
    let want: &[u8] = if bad { b"stream: Bench.Marker.UNOFFICIAL FOUND" } else { b"stream: OK" };
    if line != want {
        bail!("object {nth}: {:?}", String::from_utf8_lossy(&line));
    }
    Ok(begun.elapsed())
}

/// Objects whose sizes are spread evenly over the powers of two from 1 KiB to 5 MiB: texts, programs, noise.
fn objects() -> Vec<Vec<u8>> {
    let mut random = Random(7);
    let mut list = Vec::new();
    for nth in 0..48u32 {
        let exponent = 10.0 + f64::from(nth % 24) * (22.3 - 10.0) / 23.0;
        let len = exponent.exp2() as usize;
        let mut object = match nth % 3 {
            // What people send: text with words that repeat.
            0 => {
                std::iter::repeat_with(|| format!("{} {} ", random.pick(WORDS), random.below(999)))
                    .flat_map(String::into_bytes)
                    .take(len)
                    .collect()
            }
            // A program of this machine, cut or repeated to the size.
            1 => {
                let program = fs::read("/usr/bin/openssl").or_else(|_| fs::read("/bin/bash"));
                program.unwrap_or_default().into_iter().cycle().take(len).collect::<Vec<u8>>()
            }
            _ => {
                std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(len).collect()
            }
        };
        object.shrink_to_fit();
        list.push(object);
    }
    list
}

/// `clamdscan --multiscan --fdpass` over a tree, the same client for both.
fn multiscan(bench: &Bench) -> Result<Vec<Line>> {
    // Once for the page cache.
    let mut warm = Command::new("grep");
    warm.args(["-rqsF", "no file has these words in it", "--"]).arg(&bench.tree);
    warm.stdout(Stdio::null()).status()?;
    let (theirs, ours) = bench.both(|daemon| {
        let conf = daemon.socket.with_file_name("clamd.conf");
        let mut client = Command::new(&bench.clamdscan);
        client.arg("-c").arg(conf).args(["--multiscan", "--fdpass", "--no-summary", "-i"]);
        let begun = Instant::now();
        let output = client.arg(&bench.tree).stderr(Stdio::null()).output()?;
        let took = begun.elapsed();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut found: Vec<String> =
            text.lines().filter(|line| line.ends_with(" FOUND")).map(str::to_owned).collect();
        found.sort();
        Ok((took, found))
    })?;
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).count();
    let (missing, more) = (only(&theirs.1, &ours.1), only(&ours.1, &theirs.1));
    let s = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    Ok(vec![Line {
        what: format!(
            "clamdscan --multiscan --fdpass {} ({} found by clamd; {missing} of them not by holdfast, {more} more)",
            bench.tree.display(),
            theirs.1.len()
        ),
        theirs: s(theirs.0),
        ours: s(ours.0),
        ratio: format!("{:.1}", theirs.0.as_secs_f64() / ours.0.as_secs_f64()),
        must: "10",
    }])
}

/// Proportional set size at rest and during a reload.
fn memory(bench: &Bench) -> Result<Vec<Line>> {
    let number = AtomicU64::new(0);
    let (theirs, ours) = bench.both(|daemon| {
        // Something has been scanned, so that every part of the service has run.
        for nth in 1..64 {
            one_request(daemon, &[b"small object".to_vec()], nth)?;
        }
        let rest = settled(daemon);
        let next = number.fetch_add(1, Ordering::Relaxed) + 1;
        write_own(&bench.databases, u32::try_from(next)?)?;
        if daemon.ask(b"RELOAD")? != b"RELOADING" {
            bail!("no reload");
        }
        let mut most = rest;
        let (begun, mut changed) = (Instant::now(), Instant::now());
        let mut last = rest;
        // It is over when the memory stays the same; clamd is silent for a while before it begins.
        while begun.elapsed() < RELOAD_MIN || changed.elapsed() < STILL {
            let now = daemon.pss_bytes();
            most = most.max(now);
            if now.abs_diff(last) > last / 100 {
                (last, changed) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        one_request(daemon, &[b"small object".to_vec()], 16)?;
        Ok((rest, most))
    })?;
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let more =
        |(rest, most): (u64, u64)| format!("{:.1} %", (most as f64 / rest as f64 - 1.0) * 100.0);
    Ok(vec![
        Line {
            what: "memory at rest (PSS of all processes)".to_owned(),
            theirs: mib(theirs.0),
            ours: mib(ours.0),
            ratio: format!("{:.1}", theirs.0 as f64 / ours.0 as f64),
            must: "300 MiB",
        },
        Line {
            what: "most memory during a reload".to_owned(),
            theirs: format!("{} (+{})", mib(theirs.1), more(theirs)),
            ours: format!("{} (+{})", mib(ours.1), more(ours)),
            ratio: format!("{:.1}", theirs.1 as f64 / ours.1 as f64),
            must: "under +10 %",
        },
    ])
}

/// Returns the memory once it stays the same.
fn settled(daemon: &Daemon) -> u64 {
    let mut last = daemon.pss_bytes();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(200));
        let now = daemon.pss_bytes();
        if now.abs_diff(last) <= last / 200 {
            return now;
        }
        last = now;
    }
    last
}

/// From the start to the first `PONG`, the packs built.
fn start(bench: &Bench) -> Result<Vec<Line>> {
    let theirs = bench.start(&bench.clamd, "theirs")?.start;
    drop(bench.start(&bench.holdfast, "ours")?);
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| bench.start(&bench.holdfast, "ours").map(|daemon| daemon.start))
        .collect::<Result<_>>()?;
    times.sort();
    let ours = times[STARTS / 2];
    Ok(vec![Line {
        what: "start to PONG, packs built".to_owned(),
        theirs: format!("{:.2} s", theirs.as_secs_f64()),
        ours: format!("{:.0} ms", ours.as_secs_f64() * 1e3),
        ratio: format!("{:.0}", theirs.as_secs_f64() / ours.as_secs_f64()),
        must: "200 ms",
    }])
}

const CLIENTS: usize = 8;
const STARTS: usize = 7;
const RELOAD_MIN: Duration = Duration::from_secs(6);
const STILL: Duration = Duration::from_secs(4);
const MARKER: &[u8] = b"the marker of the benchmark of daemons";
const WORDS: &[&str] =
    &["invoice", "total", "the", "of", "dear", "shipment", "and", "account", "\n"];
