//! What guarding costs whoever opens files: unpacking a tar, building a C project, opening one file.
//!
//! All happens on two ext4 file systems of their own in files, alike but that one of them is guarded; nothing
//! else of the machine is. Each run on the guarded one comes after the same run on the other, and what
//! is told is the median of the ratios of these pairs, so that a machine that is busy with something else for a
//! while counts on both sides. *Cold* is the first run after a guard was started, *warm* those after it; pages
//! are cached in both. Each guard is started several times. The guard has the built-in signatures; clamonacc,
//! where it is installed, asks a clamd that has one signature.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::arguments::Arguments;

/// Runs `bench onaccess`.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let holdfast =
        arguments.value("--holdfast")?.unwrap_or_else(|| "target/release/holdfast".into());
    let source = arguments.value("--tree")?.unwrap_or_else(|| "/usr/include".into());
    arguments.finish()?;
    let holdfast = fs::canonicalize(&holdfast).with_context(|| format!("no program {holdfast}"))?;
    let plain = Stage::new(&holdfast, Path::new(&source))?;
    let stage = Stage::new(&holdfast, Path::new(&source))?;
    println!("{:<12} {:>14} {:>10} {:>10}", "guard", "work", "cold", "warm");
    plain.opens(GuardKind::None)?;
    for guard in [GuardKind::Holdfast, GuardKind::Clamonacc] {
        let mut pairs: [Pairs; 2] = Default::default();
        for _ in 0..STARTS {
            for (work, pairs) in [Work::Unpack, Work::Build].into_iter().zip(&mut pairs) {
                let Some(guarding) = stage.start(guard)? else { break };
                for run in 0..=WARM_RUNS {
                    let pair = (plain.time(work)?, stage.time(work)?);
                    if run == 0 { pairs.cold.push(pair) } else { pairs.warm.push(pair) }
                }
                drop(guarding);
            }
        }
        if pairs[0].cold.is_empty() {
            println!("{:<12} not installed", guard.name());
            continue;
        }
        for (name, pairs) in ["unpack", "build"].into_iter().zip(&mut pairs) {
            println!(
                "{:<12} {name:>14} {} {}",
                guard.name(),
                told(&mut pairs.cold),
                told(&mut pairs.warm)
            );
        }
        if let Some(guarding) = stage.start(guard)? {
            stage.opens(guard)?;
            drop(guarding);
        }
    }
    Ok(())
}

/// Times of the same run without and with a guard.
#[derive(Debug, Default)]
struct Pairs {
    cold: Vec<(Duration, Duration)>,
    warm: Vec<(Duration, Duration)>,
}

/// Returns the median of the ratios, with that pair's times.
fn told(pairs: &mut [(Duration, Duration)]) -> String {
    let ratio = |(plain, guarded): &(Duration, Duration)| {
        guarded.as_secs_f64() / plain.as_secs_f64().max(f64::EPSILON)
    };
    pairs.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let Some(median) = pairs.get(pairs.len() / 2) else { return String::new() };
    let (plain, guarded) = (median.0.as_secs_f64() * 1e3, median.1.as_secs_f64() * 1e3);
    let best = |side: fn(&(Duration, Duration)) -> Duration| pairs.iter().map(side).min();
    let least = match (best(|pair| pair.0), best(|pair| pair.1)) {
        (Some(plain), Some(guarded)) => (ratio(&(plain, guarded)) - 1.0) * 100.0,
        _ => 0.0,
    };
    let percent = (ratio(median) - 1.0) * 100.0;
    format!("{plain:>6.0} to {guarded:>6.0} ms {percent:>+6.1} % (least times {least:>+6.1} %)")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuardKind {
    None,
    Holdfast,
    Clamonacc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Unpack,
    Build,
}

impl GuardKind {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Holdfast => "holdfast",
            Self::Clamonacc => "clamonacc",
        }
    }
}

/// A file system with a project and an archive on it.
struct Stage {
    temp: TempDir,
    top: PathBuf,
    holdfast: PathBuf,
    _mounted: Mounted,
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Processes that guard, ended with this value.
struct Guarding(Vec<Child>);

impl Drop for Guarding {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let pid = i32::try_from(child.id()).unwrap_or(0).to_string();
            let _ = Command::new("kill").arg(pid).status();
            let begun = Instant::now();
            while child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if begun.elapsed() > Duration::from_secs(10) {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Stage {
    fn new(holdfast: &Path, source: &Path) -> Result<Self> {
        let temp = TempDir::new()?;
        let (image, top) = (temp.path().join("image"), temp.path().join("top"));
        fs::create_dir(&top)?;
        File::create(&image)?.set_len(1 << 30)?;
        done(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&top))?;
        let mounted = Mounted(top.clone());
        done(
            Command::new("tar")
                .arg("-czf")
                .arg(temp.path().join("tree.tar.gz"))
                .arg("-C")
                .arg(source)
                .arg("."),
        )?;
        done(Command::new("cp").arg("-r").arg("/usr/include").arg(top.join("include")))?;
        let project = top.join("project");
        fs::create_dir(&project)?;
        write_project(&project)?;
        fs::write(top.join("known"), "a file that is opened again and again\n")?;
        fs::write(top.join("empty"), "")?;
        Ok(Self { temp, top, holdfast: holdfast.to_owned(), _mounted: mounted })
    }

    /// Starts a guard and waits until it denies.
    fn start(&self, guard: GuardKind) -> Result<Option<Guarding>> {
        let guarding = match guard {
            GuardKind::None => return Ok(Some(Guarding(Vec::new()))),
            GuardKind::Holdfast => {
                let config = self.temp.path().join("holdfast.toml");
                let socket = self.temp.path().join("socket");
                fs::write(
                    &config,
                    format!("[onaccess]\nprotect = [{:?}]\nsocket = {socket:?}\n", self.top),
                )?;
                let mut command = Command::new(&self.holdfast);
                command.args(["onaccess", "run", "--config"]).arg(config).stderr(Stdio::null());
                Guarding(vec![command.spawn()?])
            }
            GuardKind::Clamonacc => match self.clamonacc()? {
                Some(guarding) => guarding,
                None => return Ok(None),
            },
        };
        let infected = self.top.join("infected");
        fs::write(&infected, [EICAR_HEAD, EICAR_TAIL].concat())?;
        let begun = Instant::now();
        while File::open(&infected).is_ok() {
            if begun.elapsed() > Duration::from_secs(60) {
                bail!("{} does not guard", guard.name());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        fs::remove_file(infected)?;
        Ok(Some(guarding))
    }

    fn clamonacc(&self) -> Result<Option<Guarding>> {
        if Command::new("clamonacc").arg("--version").stdout(Stdio::null()).status().is_err() {
            return Ok(None);
        }
        let at = |name: &str| self.temp.path().join(name);
        fs::create_dir_all(at("databases"))?;
        let hex = EICAR_HEAD.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        fs::write(at("databases/eicar.ndb"), format!("Eicar:0:0:{hex}\n"))?;
        let conf = at("clamd.conf");
        fs::write(
            &conf,
            format!(
                "LocalSocket {}\nForeground yes\nDatabaseDirectory {}\nUser clamav\nOnAccessIncludePath {}\n\
                 OnAccessPrevention yes\nOnAccessExcludeUname clamav\n",
                "/tmp/holdfast-bench-clamd.sock",
                at("databases").display(),
                self.top.display()
            ),
        )?;
        done(Command::new("chmod").args(["-R", "a+rX"]).arg(self.temp.path()))?;
        let mut clamd = Command::new("clamd");
        clamd.arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guarding = Guarding(vec![clamd.spawn()?]);
        let mut guard = Command::new("clamonacc");
        guard.args(["--foreground", "--fdpass", "--wait", "-c"]).arg(&conf);
        guarding.0.insert(0, guard.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(Some(guarding))
    }

    /// Returns the time of one run.
    fn time(&self, work: Work) -> Result<Duration> {
        match work {
            Work::Unpack => self.unpack(),
            Work::Build => self.build(),
        }
    }

    fn unpack(&self) -> Result<Duration> {
        let into = self.top.join("unpacked");
        if into.exists() {
            fs::remove_dir_all(&into)?;
        }
        fs::create_dir(&into)?;
        let begun = Instant::now();
        done(
            Command::new("tar")
                .arg("-xzf")
                .arg(self.temp.path().join("tree.tar.gz"))
                .arg("-C")
                .arg(&into),
        )?;
        Ok(begun.elapsed())
    }

    fn build(&self) -> Result<Duration> {
        let make = |target: &str| {
            let mut make = Command::new("make");
            make.arg("-s").arg("-C").arg(self.top.join("project")).arg("-j2").arg(target);
            done(&mut make)
        };
        make("clean")?;
        let begun = Instant::now();
        make("all")?;
        Ok(begun.elapsed())
    }

    /// Opens files again and again.
    fn opens(&self, guard: GuardKind) -> Result<()> {
        for (name, what) in [("known", "a known file"), ("empty", "answered each time")] {
            let path = self.top.join(name);
            File::open(&path)?;
            std::thread::sleep(Duration::from_millis(50));
            let rounds = if guard != GuardKind::None && name == "empty" { 20_000 } else { 200_000 };
            let begun = Instant::now();
            for _ in 0..rounds {
                File::open(&path)?;
            }
            let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
            println!("{:<12} open, {what}: {each:.2} us", guard.name());
        }
        Ok(())
    }
}

/// A project of small files that include much.
fn write_project(folder: &Path) -> Result<()> {
    let mut objects = String::new();
    for number in 0..SOURCES {
        let mut file = File::create(folder.join(format!("part{number}.c")))?;
        for header in ["stdio", "stdlib", "string", "time", "math", "errno", "unistd", "sys/socket"]
        {
            writeln!(file, "#include <{header}.h>")?;
        }
        for function in 0..30 {
            writeln!(
                file,
                "int f{number}_{function}(int x, char *s) {{ for (int i = 0; i < x; i++) \
                 x += snprintf(s, 9, \"%d\", i * {function}); return x; }}"
            )?;
        }
        let _ = write!(objects, " part{number}.o");
    }
    fs::write(folder.join("main.c"), "int main(void) { return 0; }\n")?;
    fs::write(
        folder.join("Makefile"),
        format!(
            "CFLAGS = -O1 -I../include\nOBJECTS = main.o{objects}\nall: program\n\
             program: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\nclean:\n\trm -f program *.o\n"
        ),
    )?;
    Ok(())
}

fn done(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
}

const SOURCES: usize = 20;
const WARM_RUNS: usize = 3;
/// How often each guard is started for each work.
const STARTS: usize = 3;

/// The EICAR test string, in two pieces. Source: eicar.org, "Anti-Malware Testfile".
const EICAR_HEAD: &str = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STAN";
const EICAR_TAIL: &str = "DARD-ANTIVIRUS-TEST-FILE!$H+H*";
