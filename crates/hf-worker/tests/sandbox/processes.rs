//! Starting and ending workers.

use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_worker::{Death, SpawnError, Worker, WorkerConfig};

use crate::toy::{config, job};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("workers_that_do_not_start", workers_that_do_not_start),
    ("the_parents_death_ends_the_worker", the_parents_death_ends_the_worker),
    ("nothing_is_inherited", nothing_is_inherited),
];

fn workers_that_do_not_start() {
    let start = |config| Worker::spawn(Arc::new(config)).map(|_| ()).unwrap_err();
    let refuses = WorkerConfig { extra: b"refuse".to_vec(), ..config() };
    assert!(matches!(start(refuses), SpawnError::Refused(why) if why == "no content"));
    let crashes = WorkerConfig { extra: b"crash".to_vec(), ..config() };
    assert!(matches!(start(crashes), SpawnError::Died(Death::Signal(6))));
    let missing = WorkerConfig { program: "/does/not/exist".into(), ..config() };
    assert!(matches!(start(missing), SpawnError::System(_)));
    let another = WorkerConfig { program: "/bin/true".into(), ..config() };
    assert!(matches!(start(another), SpawnError::Died(Death::Code(0))));
    let silent = WorkerConfig {
        program: "/bin/sleep".into(),
        args: vec!["100".into()],
        start_ms: 100,
        ..config()
    };
    assert!(matches!(start(silent), SpawnError::Died(Death::Deadline { .. })));
}
/// A parent that is killed takes a worker that loops with it.
fn the_parents_death_ends_the_worker() {
    let mut parent = std::process::Command::new("/proc/self/exe")
        .arg("--parent")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = parent.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    wait_until(|| processor_ticks(worker) > 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until(|| !alive(worker));
}

pub(crate) fn parent() -> ExitCode {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    println!("{}", worker.process_id().unwrap());
    worker.scan(job(0, b"loop"));
    ExitCode::SUCCESS
}

/// A descriptor that this process passes on to every child does not reach the worker.
fn nothing_is_inherited() {
    let leaky = File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let config = WorkerConfig { extra: b"descriptors".to_vec(), ..config() };
    let Err(SpawnError::Refused(told)) = Worker::spawn(Arc::new(config)) else {
        panic!("it tells by refusing");
    };
    let kinds: Vec<&str> = told.split(' ').filter_map(|one| one.split(['=', ':']).nth(1)).collect();
    // The channel (with its copy), the two pipes, and the folder that was read to find out.
    assert_eq!(kinds.iter().filter(|kind| **kind == "socket").count(), 2, "{told}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "pipe").count(), 2, "{told}");
    assert_eq!(kinds.len(), 5, "{told}");
}

// ---- What /proc says ----

pub(crate) fn kill(process_id: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process_id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Looks again and again, without sleeping longer than it must.
#[track_caller]
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come to that");
        std::thread::yield_now();
    }
}

pub(crate) fn stat(process_id: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Clock ticks spent computing: more than a few mean that it is at work.
pub(crate) fn processor_ticks(process_id: u32) -> u64 {
    stat(process_id).and_then(|fields| fields.get(11)?.parse().ok()).unwrap_or(0)
}

pub(crate) fn alive(process_id: u32) -> bool {
    stat(process_id).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}
