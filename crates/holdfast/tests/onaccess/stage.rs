//! A file system of our own with a guard over it, and nothing else of the machine.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

/// `EPERM`, with which an open is denied.
pub(crate) const DENIED: Option<i32> = Some(1);

/// The EICAR test string.
pub(crate) fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STAN", "DARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat().into()
}

/// A private file system, and guards over it. All ends with it, whatever happened.
pub(crate) struct Stage {
    pub(crate) temp: TempDir,
    /// Where the file system is.
    pub(crate) top: PathBuf,
    guards: Vec<Child>,
    over: Arc<AtomicBool>,
}

impl Stage {
    /// Mounts a file system; none, with a word, where that cannot be done.
    pub(crate) fn set() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: guarding files takes root");
            return None;
        }
        let temp = TempDir::new().unwrap();
        let top = temp.path().join("top");
        fs::create_dir(&top).unwrap();
        if !mount(&["-t", "tmpfs", "tmpfs"], &top) {
            eprintln!("skipped: nothing can be mounted here");
            return None;
        }
        let over = Arc::new(AtomicBool::new(false));
        Some(Self { temp, top, guards: Vec::new(), over })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.temp.path().join("holdfast.toml")
    }

    /// Writes the section, with what every test needs.
    pub(crate) fn configure(&self, more: &str) {
        let protect = if more.contains("protect =") {
            String::new()
        } else {
            format!("protect = [{:?}]\n", self.top)
        };
        let text = format!(
            "[onaccess]\n{protect}socket = {:?}\ncontent-check-s = 0\nworkers = 2\n{more}\n",
            self.temp.path().join("socket")
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Starts a guard with this section, and waits until it guards.
    pub(crate) fn guard(&mut self, more: &str) {
        self.guard_without_wait(more);
        self.wait("it guards", |stage| stage.log().contains("guards, with"));
    }

    /// Starts a guard with this section.
    pub(crate) fn guard_without_wait(&mut self, more: &str) {
        self.configure(more);
        let log = File::create(self.log_path()).unwrap();
        let child = Command::new(HOLDFAST)
            .args(["onaccess", "run", "--config"])
            .arg(self.config())
            .env("HOLDFAST_CACHE", self.temp.path().join("cache"))
            .stderr(log)
            .spawn()
            .unwrap();
        self.adopt(child);
    }

    /// Ends a guard when the test is over, or after a time in which every test is over.
    pub(crate) fn adopt(&mut self, child: Child) {
        let (over, pid) = (Arc::clone(&self.over), child.id());
        self.guards.push(child);
        std::thread::spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < TEST_MAX {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            eprintln!("the test takes too long: its guard is killed");
            kill_family(pid);
        });
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.temp.path().join("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits for something that will be so in a moment.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn ask(&self, word: &str) -> Output {
        Command::new(HOLDFAST)
            .args(["onaccess", word, "--config"])
            .arg(self.config())
            .args((word != "reload").then_some("--json"))
            .output()
            .unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.ask("status");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Returns a counter of the guard.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let status = self.status();
        status
            .pointer(&format!("/metrics/counts/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or(u64::MAX)
    }

    pub(crate) fn guard_pid(&self) -> u32 {
        u32::try_from(self.status()["pid"].as_u64().unwrap()).unwrap()
    }

    /// Sends a signal to all workers of the guard; returns how many there are.
    pub(crate) fn signal_workers(&self, guard: u32, signal: Signal) -> usize {
        let workers = children(guard);
        workers.iter().for_each(|pid| send(*pid, signal));
        workers.len()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes the EICAR test file.
    pub(crate) fn write_eicar(&self, name: &str) -> PathBuf {
        self.write(name, &eicar())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for guard in &mut self.guards {
            send(guard.id(), Signal::CONT);
            kill_family(guard.id());
            let _ = guard.wait();
        }
        // Whatever was mounted on it goes first.
        for _ in 0..3 {
            let _ = Command::new("umount")
                .args(["-R", "-l"])
                .arg(&self.top)
                .stderr(Stdio::null())
                .status();
        }
        if std::thread::panicking() {
            eprintln!("the guard said:\n{}", self.log());
        }
    }
}

pub(crate) fn mount(what: &[&str], at: &Path) -> bool {
    Command::new("mount").args(what).arg(at).status().is_ok_and(|status| status.success())
}

/// Opens and reads; the error is the number of the system's.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, Option<i32>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|error| error.raw_os_error())?;
    file.read_to_end(&mut bytes).map_err(|error| error.raw_os_error())?;
    Ok(bytes)
}

#[track_caller]
pub(crate) fn assert_denied(path: impl AsRef<Path>) {
    assert_eq!(read(path), Err(DENIED));
}

#[track_caller]
pub(crate) fn assert_allowed(path: impl AsRef<Path>) {
    assert!(read(path).is_ok());
}

pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Returns the processes that a process started.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map(|(_, after)| after).unwrap_or_default();
        after.split_ascii_whitespace().nth(1) == Some(&of.to_string())
    })
    .collect()
}

/// Kills a supervisor and its guard; workers end with that.
fn kill_family(pid: u32) {
    let guards = children(pid);
    send(pid, Signal::KILL);
    guards.into_iter().for_each(|guard| send(guard, Signal::KILL));
}

/// Longer than any test takes; then nobody may wait for a guard any more.
const TEST_MAX: Duration = Duration::from_secs(100);

/// Longer than a slow machine takes for a step.
const PATIENCE: Duration = Duration::from_secs(40);
