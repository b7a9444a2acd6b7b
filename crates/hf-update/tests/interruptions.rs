//! Updates that are killed before each system call that writes, or find the disk full there: what is in use afterwards
//! is a whole set, and the next update goes through.
//!
//! Needs `strace`, which kills a process at the N-th call of a kind. Without it the test is passed over, but not in CI.
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
    let (killed, full) = (all("signal=KILL"), all("error=ENOSPC"));
    println!("test result: ok. 1 passed; 0 failed; {killed} kills and {full} failing writes");
    assert!(killed >= 500, "{killed} kills only");
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

/// Injects a fault at every call of every kind; returns how often.
fn all(fault: &str) -> usize {
    let jobs: Mutex<Vec<&str>> = Mutex::new(CALLS.to_vec());
    let count = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let next = || jobs.lock().expect("no thread panics with it").pop();
                while let Some(call) = next() {
                    count.fetch_add(every(call, fault), Ordering::Relaxed);
                }
            });
        }
    });
    count.load(Ordering::Relaxed)
}

/// Injects a fault at every call of one kind; a full disk at every fifth, which is the same in other files.
fn every(call: &str, fault: &str) -> usize {
    let count = calls_of(call);
    let step = if fault.starts_with("signal") { 1 } else { 5 };
    let mut injected = 0;
    for n in (1..=count).step_by(step) {
        injected += 1;
        let dir = tempfile::tempdir().expect("a folder");
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
    let dir = tempfile::tempdir().expect("a folder");
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
