//! Loads the daemon with every kind of request while its databases change and its workers are killed.
//!
//! Asserted: no request fails, no verdict is wrong, memory and descriptors do not grow. The daemon gives an object whose
//! worker was killed to another.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::random::Random;
use crate::service::{Daemon, answer, send_file, send_stream};

/// Runs `soak`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let number = |given: Option<String>| given.map(|text| text.parse::<u64>()).transpose();
    let seconds = number(arguments.value("--seconds")?)?;
    let minutes = number(arguments.value("--minutes")?)?.unwrap_or(5);
    let time = Duration::from_secs(seconds.unwrap_or(minutes.saturating_mul(60)));
    let program = arguments.value("--holdfast")?;
    let program = PathBuf::from(program.unwrap_or_else(|| "target/release/holdfast".to_owned()));
    arguments.finish()?;
    let program = fs::canonicalize(&program).with_context(|| format!("{}", program.display()))?;
    let work = tempfile::tempdir()?;
    let databases = work.path().join("databases");
    fs::create_dir(&databases)?;
    write_databases(&databases, 0)?;
    let files = Files::make(&work.path().join("files"))?;
    let daemon = Daemon::start(&program, &databases, &work.path().join("run"))?;
    let soak = Soak {
        daemon,
        files,
        databases,
        stop: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        kills: AtomicU64::new(0),
        reloads: AtomicU64::new(0),
    };
    soak.run(time)
}

type Kind = fn(&Soak, &mut Random) -> Result<()>;

struct Soak {
    daemon: Daemon,
    files: Files,
    databases: PathBuf,
    stop: AtomicBool,
    requests: AtomicU64,
    kills: AtomicU64,
    reloads: AtomicU64,
}

/// Memory and descriptors at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    pss_bytes: u64,
    descriptors: usize,
}

impl Soak {
    fn run(&self, time: Duration) -> Result<()> {
        let kinds: [(&str, Kind); 6] = [
            ("INSTREAM", Self::in_stream),
            ("INSTREAM", Self::in_stream),
            ("FILDES", Self::fildes),
            ("SCAN", Self::scan),
            ("IDSESSION", Self::session),
            ("MULTISCAN", Self::multiscan),
        ];
        let (first, last) = std::thread::scope(|scope| {
            let loads: Vec<_> = (0u64..)
                .zip(kinds)
                .map(|(seed, kind)| scope.spawn(move || self.until_stopped(seed, kind)))
                .collect();
            let chaos = scope.spawn(|| self.chaos());
            // The first fifth warms up. Samples are the least of some, so that what runs just then counts little.
            let watched = self.watch(time);
            self.stop.store(true, Ordering::Relaxed);
            // What went wrong for a client says more than that there was too little to watch.
            for load in loads.into_iter().chain([chaos]) {
                load.join().expect("no panic")?;
            }
            watched
        })?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (kills, reloads) = (count(&self.kills), count(&self.reloads));
        println!(
            "{} requests, {reloads} reloads, {kills} workers killed\n\
             memory {:.1} to {:.1} MiB, descriptors {} to {}",
            count(&self.requests),
            mib(first.pss_bytes),
            mib(last.pss_bytes),
            first.descriptors,
            last.descriptors,
        );
        if kills == 0 || reloads == 0 {
            bail!("nothing was killed, or nothing reloaded: the soak was too short");
        }
        if last.descriptors > first.descriptors + DESCRIPTORS_MORE {
            bail!("descriptors grow");
        }
        if last.pss_bytes > first.pss_bytes + first.pss_bytes / 5 + MEMORY_MORE {
            bail!("memory grows");
        }
        Ok(())
    }

    /// Returns the state after the warm-up and at the end.
    fn watch(&self, time: Duration) -> Result<(Sample, Sample)> {
        let begun = Instant::now();
        let mut first = None;
        let (warm, window) = (time / 5, time / 5);
        let mut last: Option<Sample> = None;
        while begun.elapsed() < time && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(250));
            let now = Sample {
                pss_bytes: self.daemon.pss_bytes(),
                descriptors: self.daemon.descriptors(),
            };
            let past = begun.elapsed();
            let kept = if past > warm && past < warm + window {
                &mut first
            } else if past + window > time {
                &mut last
            } else {
                continue;
            };
            let least = kept.unwrap_or(now);
            *kept = Some(Sample {
                pss_bytes: least.pss_bytes.min(now.pss_bytes),
                descriptors: least.descriptors.min(now.descriptors),
            });
        }
        first.zip(last).context("it ended before there was anything to compare")
    }

    fn until_stopped(&self, seed: u64, (name, kind): (&str, Kind)) -> Result<()> {
        let mut random = Random(seed);
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = kind(self, &mut random) {
                self.stop.store(true, Ordering::Relaxed);
                return Err(error.context(name.to_owned()));
            }
        }
        Ok(())
    }

    /// Checks an answer: `bad` says what the verdict is to be.
    fn check(&self, line: &[u8], bad: bool) -> Result<()> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(line);
        let right = if bad { text.ends_with(FOUND) } else { text.ends_with(": OK") };
        if right {
            return Ok(());
        }
        bail!("bad: {bad}, answer {text:?}")
    }

    fn in_stream(&self, random: &mut Random) -> Result<()> {
        let (object, bad) = object(random);
        let mut stream = self.daemon.connect()?;
        send_stream(&mut stream, &object)?;
        self.check(&answer(&mut stream)?, bad)
    }

    fn fildes(&self, random: &mut Random) -> Result<()> {
        let (path, bad) = random.pick(&self.files.all).clone();
        let mut stream = self.daemon.connect()?;
        send_file(&mut stream, &File::open(path)?)?;
        self.check(&answer(&mut stream)?, bad)
    }

    fn scan(&self, random: &mut Random) -> Result<()> {
        let (path, bad) = random.pick(&self.files.all).clone();
        let line = self.daemon.ask(format!("SCAN {}", path.display()).as_bytes())?;
        self.check(&line, bad)
    }

    /// A session of mixed commands, of which several are in flight.
    fn session(&self, random: &mut Random) -> Result<()> {
        let mut stream = self.daemon.connect()?;
        stream.write_all(b"zIDSESSION\0")?;
        let mut want: Vec<Option<bool>> = Vec::new();
        for _ in 0..1 + random.below(12) {
            match random.below(4) {
                0 => {
                    let (object, bad) = object(random);
                    send_stream(&mut stream, &object)?;
                    want.push(Some(bad));
                }
                1 => {
                    let (path, bad) = random.pick(&self.files.all).clone();
                    send_file(&mut stream, &File::open(path)?)?;
                    want.push(Some(bad));
                }
                2 => {
                    let (path, bad) = random.pick(&self.files.all).clone();
                    stream.write_all(format!("zSCAN {}\0", path.display()).as_bytes())?;
                    want.push(Some(bad));
                }
                _ => {
                    stream.write_all(b"zPING\0")?;
                    want.push(None);
                }
            }
        }
        for _ in 0..want.len() {
            let line = answer(&mut stream)?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let (number, rest) = text.split_once(": ").context("an answer has a number")?;
            let nth = number.parse::<usize>()?.checked_sub(1).context("numbers begin with 1")?;
            match want.get(nth).context("no such command")? {
                Some(bad) => self.check(rest.as_bytes(), *bad)?,
                None if rest == "PONG" => {}
                None => bail!("PING: {rest}"),
            }
        }
        stream.write_all(b"zEND\0")?;
        Ok(())
    }

    fn multiscan(&self, _: &mut Random) -> Result<()> {
        let folder = self.files.folder.display();
        let lines = self.daemon.ask_all(format!("MULTISCAN {folder}").as_bytes())?;
        let found = lines.iter().filter(|line| line.ends_with(FOUND.as_bytes())).count();
        let others: Vec<_> =
            lines.iter().filter(|line| !line.ends_with(FOUND.as_bytes())).collect();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let want = self.files.all.iter().filter(|(_, bad)| *bad).count();
        if found != want || !others.is_empty() {
            let others = others.first().map(|line| String::from_utf8_lossy(line).into_owned());
            bail!("MULTISCAN found {found} of {want}; {others:?}");
        }
        Ok(())
    }

    /// Kills a worker now and then, and has changed databases loaded.
    fn chaos(&self) -> Result<()> {
        let mut random = Random(99);
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(300 + random.below(900)));
            // All processes but the first are workers, or on the way to be ones.
            let processes = self.daemon.processes();
            if let Some((_, workers)) = processes.split_first()
                && !workers.is_empty()
            {
                let id = i32::try_from(*random.pick(workers))?;
                let id = rustix::process::Pid::from_raw(id).context("ids are above 0")?;
                if rustix::process::kill_process(id, rustix::process::Signal::KILL).is_ok() {
                    self.kills.fetch_add(1, Ordering::Relaxed);
                }
            }
            if random.below(2) == 0 {
                number += 1;
                write_databases(&self.databases, number)?;
                let line = self.daemon.ask(b"RELOAD")?;
                if line != b"RELOADING" {
                    self.stop.store(true, Ordering::Relaxed);
                    bail!("RELOAD: {}", String::from_utf8_lossy(&line));
                }
                self.reloads.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Files in a folder, and whether each is bad.
struct Files {
    folder: PathBuf,
    all: Vec<(PathBuf, bool)>,
}

impl Files {
    fn make(folder: &Path) -> Result<Self> {
        let mut random = Random(3);
        let mut all = Vec::new();
        for nth in 0..60 {
            let below = folder.join(format!("{}", nth % 5));
            fs::create_dir_all(&below)?;
            let (object, bad) = object(&mut random);
            let path = below.join(format!("{nth}"));
            fs::write(&path, object)?;
            all.push((path, bad));
        }
        if !all.iter().any(|(_, bad)| *bad) || all.iter().all(|(_, bad)| *bad) {
            bail!("the files are all of one kind");
        }
        Ok(Self { folder: folder.to_path_buf(), all })
    }
}

/// Returns an object that nobody has seen, and whether it is bad.
fn object(random: &mut Random) -> (Vec<u8>, bool) {
    let len = 1usize << (6 + random.below(13));
    let mut object: Vec<u8> = Vec::with_capacity(len + 64);
    let noise = random.below(2) == 0;
    while object.len() < len {
        if noise {
            object.extend_from_slice(&random.next().to_le_bytes());
        } else {
            object.extend_from_slice(format!("line {}\n", random.below(1000)).as_bytes());
        }
    }
    object.extend_from_slice(&random.hex(16).into_bytes());
    let bad = random.below(4) == 0;
    if bad {
        object.extend_from_slice(MARKER);
    }
    (object, bad)
}

/// Writes databases that find the same, and are new by their number.
fn write_databases(folder: &Path, number: u32) -> Result<()> {
    let hex = |text: &[u8]| text.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let other = format!("soak number {number:08} of the databases");
    let text = format!("Soak.Bad:0:*:{}\nSoak.Other:0:*:{}\n", hex(MARKER), hex(other.as_bytes()));
    // As updaters do it: never half a file under the name.
    let (new, name) = (folder.join("new"), folder.join("soak.ndb"));
    fs::write(&new, text)?;
    fs::rename(new, name)?;
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

const MARKER: &[u8] = b"the marker by which the soak finds what is bad";
const FOUND: &str = ": Soak.Bad.UNOFFICIAL FOUND";
/// Connections that just then are open.
const DESCRIPTORS_MORE: usize = 24;
const MEMORY_MORE: u64 = 24 << 20;
