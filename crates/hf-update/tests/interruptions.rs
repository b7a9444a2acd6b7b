//! Updates that are killed before each system call that writes, find the disk full there, or the disk broken, or get
//! less than a file holds: what is in use afterwards is a whole set, and the next update goes through.
//!
//! Needs `strace`, which kills a process at the N-th call of a kind. Without it the test is passed over, but not in CI.
//! A fault is injected at every fourth call, or so; with `HOLDFAST_INTERRUPTIONS=all` at every one, which takes minutes.
//! The work is done by this program, started again with `work FOLDER`.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hf_update::store::verify_set;
use hf_update::{ActiveSet, Judge, Offer, Provenance, Refusal, SealedSet, SetStore};

/// System calls by which something is written.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "copy_file_range",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "fsync",
    "fdatasync",
    "ftruncate",
    "chmod",
    "fchmod",
    "fchmodat",
    "flock",
];

/// System calls by which something is read.
const READS: &[&str] = &["read", "pread64", "openat", "readlink", "getdents64", "statx", "fstat"];

/// What is injected.
struct Fault {
    /// As `strace` calls it.
    what: &'static str,
    /// At calls of these kinds.
    calls: &'static [&'static [&'static str]],
    /// At every how many of them, in short and in whole.
    steps: [usize; 2],
}

const FAULTS: &[Fault] = &[
    Fault { what: "signal=KILL", calls: &[CALLS], steps: [8, 1] },
    Fault { what: "error=ENOSPC", calls: &[CALLS], steps: [40, 3] },
    Fault { what: "error=EIO", calls: &[CALLS, READS], steps: [40, 2] },
    // The call says that the file is at its end, although it is not.
    Fault { what: "retval=0", calls: &[&["read", "pread64"]], steps: [12, 1] },
];

struct Anything;

impl Judge for Anything {
    fn judge(&self, _: &SealedSet, _: Option<&ActiveSet>) -> Result<Vec<String>, Refusal> {
        Ok(Vec::new())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "work") {
        return match work(Path::new(&arguments[2])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(7),
        };
    }
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "strace is missing");
        println!("skipped: strace is missing");
        return ExitCode::SUCCESS;
    }
    let whole = std::env::var_os("HOLDFAST_INTERRUPTIONS").is_some_and(|word| word == "all");
    let mut sum = 0;
    for Fault { what: fault, calls, steps } in FAULTS {
        let step = steps[usize::from(whole)];
        let count = all(fault, &calls.concat(), step);
        println!("{fault}: {count} times");
        sum += count;
    }
    let least = if whole { 1000 } else { 120 };
    assert!(sum >= least, "{sum} interruptions only");
    println!("test result: ok. 1 passed; 0 failed; {sum} interruptions");
    ExitCode::SUCCESS
}

/// Three updates, a roll-back, and the removal of old sets.
fn work(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let store = SetStore::open(root)?;
    for round in 0..3u64 {
        let staging = store.staging("new")?;
        let mut offers = Vec::new();
        for n in 0..15u64 {
            let name = format!("{n}.ndb");
            let path = staging.join(&name);
            // Most stay the same from one round to the next.
            let text =
                format!("Sig{n}:0:*:{:016x}\n", if n % 6 == 0 { n + round * 100 } else { n });
            fs::write(&path, text)?;
            offers.push(Offer { name, path, provenance: Provenance::default() });
        }
        let mut draft = store.draft()?;
        draft.replace("a", &offers)?;
        let set = store.seal(draft)?;
        store.activate(&set, &Anything, round + 1, "test")?;
        store.prune(2, &[])?;
    }
    // After an interruption there may be nothing to go back to.
    let _ = store.roll_back("test", 9);
    Ok(())
}

/// Injects a fault at each `step`-th call of these kinds; returns how often.
fn all(fault: &str, calls: &[&str], step: usize) -> usize {
    let jobs: Mutex<Vec<&str>> = Mutex::new(calls.to_vec());
    let count = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let next = || jobs.lock().expect("no thread panics with it").pop();
                while let Some(call) = next() {
                    count.fetch_add(every(call, fault, step), Ordering::Relaxed);
                }
            });
        }
    });
    count.load(Ordering::Relaxed)
}

/// Injects a fault at each `step`-th call of one kind.
fn every(call: &str, fault: &str, step: usize) -> usize {
    let count = calls_of(call);
    let mut injected = 0;
    for n in (1..=count).step_by(step) {
        injected += 1;
        let dir = folder();
        let root = dir.path().join("content");
        // Something was in use before, now and then.
        if n % 4 == 0 {
            work(&root).expect("nothing stands against it");
        }
        let before = digest_in_use(&root);
        strace(&["-o", "/dev/null", "-e", &format!("inject={call}:{fault}:when={n}")], call, &root);
        check(&root, before.is_some(), &format!("{call} {n} {fault}"));
    }
    injected
}

/// Returns an empty folder, in memory where there is room: what is put on a disk thousands of times takes minutes.
fn folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Runs the work under strace, which may kill it.
fn strace(more: &[&str], call: &str, root: &Path) {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", &format!("trace={call}")])
        .args(more)
        .arg(std::env::current_exe().expect("this program"))
        .arg("work")
        .arg(root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("strace runs");
}

/// Returns how often the work makes a call, on an empty folder.
fn calls_of(call: &str) -> usize {
    let dir = folder();
    let log = dir.path().join("log");
    strace(&["-o", log.to_str().expect("a plain path")], call, &dir.path().join("content"));
    let text = fs::read_to_string(&log).unwrap_or_default();
    text.lines().filter(|line| line.contains(&format!("{call}("))).count()
}

fn digest_in_use(root: &Path) -> Option<String> {
    root.exists()
        .then(|| SetStore::active(root).expect("it is whole").map(|set| set.digest))
        .flatten()
}

/// What is in use is whole; it is there if there was something; and all goes on.
fn check(root: &Path, was_there: bool, place: &str) {
    if !root.exists() {
        return assert!(!was_there, "{place}");
    }
    let active = SetStore::active(root).unwrap_or_else(|err| panic!("{place}: {err}"));
    assert!(active.is_some() || !was_there, "{place}: nothing is in use any more");
    if let Some(active) = active {
        assert_eq!(active.instead_of, None, "{place}");
        verify_set(root, &active.digest).unwrap_or_else(|err| panic!("{place}: {err}"));
    }
    work(root).unwrap_or_else(|err| panic!("{place}: the next update fails: {err}"));
    let after = SetStore::active(root).expect("it is whole").expect("there is one");
    verify_set(root, &after.digest).unwrap_or_else(|err| panic!("{place}: {err}"));
}
