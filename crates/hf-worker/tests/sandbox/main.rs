//! Workers that crash, stall, lie and go on, seen from their parent.
//!
//! This executable is the worker too: without the standard harness, `main` decides.
//! An object's bytes are the toy scanner's command.
#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_core::{Hit, HitKind, Report, Strength};
use hf_worker::{
    Answer, Confinement, Death, Job, Pack, ScanRequest, Scanner, SpawnError, Worker, WorkerConfig,
    WorkerPool, is_worker, run_worker, selftest,
};

const TESTS: &[(&str, fn())] = &[
    ("reports_come_back_in_order", reports_come_back_in_order),
    ("a_death_costs_one_object", a_death_costs_one_object),
    ("a_kill_from_outside_costs_one_object", a_kill_from_outside_costs_one_object),
    ("objects_that_are_no_files", objects_that_are_no_files),
    ("large_objects_are_mapped", large_objects_are_mapped),
    ("a_file_that_shrinks", a_file_that_shrinks),
    ("reports_that_are_too_long", reports_that_are_too_long),
    ("malicious_workers", malicious_workers),
    ("workers_that_do_not_start", workers_that_do_not_start),
    ("packs_arrive", packs_arrive),
    ("the_pool_answers_everything", the_pool_answers_everything),
    ("the_parents_death_ends_the_worker", the_parents_death_ends_the_worker),
    ("every_protection_is_named", every_protection_is_named),
    ("the_self_test_holds", the_self_test_holds),
    ("the_self_test_can_fail", the_self_test_can_fail),
];

fn main() -> ExitCode {
    if is_worker() {
        return run_worker(make);
    }
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("--evil") => return evil(&args.next().unwrap()),
        Some("--parent") => return short_lived_parent(),
        Some("--list") => {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part)) {
            let begun = Instant::now();
            test();
            println!("test {name} ... ok ({} ms)", begun.elapsed().as_millis());
        }
    }
    ExitCode::SUCCESS
}

// ---- The worker ----

struct Toy {
    packs: Vec<Vec<u8>>,
}

fn make(setup: hf_worker::Setup, packs: Vec<File>) -> Result<Box<dyn Scanner>, String> {
    match setup.extra.as_slice() {
        b"refuse" => return Err("no content".to_owned()),
        b"crash" => std::process::abort(),
        _ => {}
    }
    let read = |file: File| {
        hf_sys::Map::of(&file).map(|map| map.to_vec()).map_err(|error| error.to_string())
    };
    Ok(Box::new(Toy { packs: packs.into_iter().map(read).collect::<Result<_, _>>()? }))
}

impl Scanner for Toy {
    fn scan(&mut self, object: &[u8], request: &ScanRequest) -> Report {
        let command = object.get(..object.len().min(64)).unwrap_or_default();
        let command = String::from_utf8_lossy(command).into_owned();
        match command.trim_end_matches('\0').split_once(':').unwrap_or((command.trim(), "")) {
            ("ok", name) => hit(name),
            ("abort", _) => std::process::abort(),
            ("panic", _) => panic!("toy \u{1b}[31mpanic"),
            ("loop", _) => loop {
                std::hint::spin_loop();
            },
            ("oom", _) => {
                let mut all: Vec<Vec<u8>> = Vec::new();
                loop {
                    all.push(vec![1; 1 << 20]);
                }
            }
            ("overflow", _) => {
                std::hint::black_box(hf_sys::forbidden::overflow_stack(0));
                Report::default()
            }
            ("open", _) => {
                drop(File::open("/etc/passwd"));
                Report::default()
            }
            ("talk", _) => {
                // More than a pipe holds.
                let line = [b'x'; 1000];
                (0..60).for_each(|_| drop(std::io::stderr().write_all(&line)));
                Report::default()
            }
            ("sum", _) => Report {
                scanned_bytes: object.iter().map(|byte| u64::from(*byte)).sum(),
                ..Report::default()
            },
            ("pack", idx) => {
                hit(&String::from_utf8_lossy(&self.packs[idx.parse::<usize>().unwrap()]))
            }
            ("name", _) => hit(&String::from_utf8_lossy(&request.name)),
            ("many", count) => {
                let count = count.parse().unwrap();
                let mut report = hit("Many");
                let node = hf_core::ObjectNode {
                    parent: Some(0),
                    name: vec![b'n'; 8000],
                    ..report.objects[0].clone()
                };
                report.objects.extend(std::iter::repeat_n(node, count));
                report
            }
            _ => Report { object_count: 1, ..Report::default() },
        }
    }
}

fn hit(name: &str) -> Report {
    let node = hf_core::ObjectNode {
        parent: None,
        name: Vec::new(),
        file_type: hf_core::FileType::BinaryData,
        normalised: false,
        embedded_off: None,
        size: 0,
        digests: None,
        facts: Vec::new(),
        defects: Vec::new(),
    };
    let hit = Hit {
        object: 0,
        name: name.to_owned(),
        kind: HitKind::Body,
        strength: Strength::Strong,
        origin: String::new(),
        spans: Vec::new(),
    };
    Report { objects: vec![node], hits: vec![hit], ..Report::default() }
}

// ---- The parent ----

fn config() -> WorkerConfig {
    let mut config =
        WorkerConfig { memory_bytes: 64 << 20, grace_ms: 0, ..WorkerConfig::default() };
    config.limits.deadline_ms = 10_000;
    config
}

fn job(id: u64, bytes: &[u8]) -> Job {
    let file = hf_sys::sealed_memory("object", bytes).unwrap();
    let request = ScanRequest { id, name: format!("name {id}").into_bytes(), ..Default::default() };
    Job { request, file, size: u64::try_from(bytes.len()).unwrap() }
}

fn said(answer: &Answer) -> String {
    match (&answer.report.error, answer.report.hits.first()) {
        (Some(error), _) => error.clone(),
        (None, Some(hit)) => hit.name.clone(),
        (None, None) => "clean".to_owned(),
    }
}

/// Scans objects with one worker and compares what is said of each.
#[track_caller]
fn check(config: WorkerConfig, cases: &[(&str, &str)]) {
    let mut worker = Worker::spawn(Arc::new(config)).unwrap();
    for (id, (object, _)) in (0..).zip(cases) {
        worker.submit(job(id, object.as_bytes()));
    }
    for (id, (object, want)) in (0..).zip(cases) {
        let answer = worker.answer().unwrap();
        assert_eq!(answer.job.request.id, id);
        assert!(said(&answer).starts_with(want), "{object}: {}", said(&answer));
        assert_eq!(answer.death.is_some(), want.starts_with("worker"), "{object}");
    }
    assert!(worker.answer().is_none());
    worker.end();
}

fn reports_come_back_in_order() {
    let names: Vec<String> = (0..200).map(|number| format!("ok:Name-{number}")).collect();
    let cases: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], &name[3..])).collect();
    check(config(), &cases);
    check(WorkerConfig { pipeline: 1, ..config() }, &cases);
    check(config(), &[("", "clean"), ("name", "name 1"), ("talk", "clean"), ("talk", "clean")]);
}

fn a_death_costs_one_object() {
    let mut config = config();
    config.limits.deadline_ms = 200;
    let deaths = [
        ("abort", "worker killed by signal 6 (SIGABRT)"),
        ("panic", "worker died: panicked at "),
        ("oom", "worker died: out of memory"),
        ("overflow", "worker died: stack overflow"),
        ("open", "worker killed: forbidden system call"),
        ("loop", "worker killed: deadline passed (2"),
    ];
    let mut cases = Vec::new();
    for death in deaths {
        cases.extend([("ok:Before", "Before"), death, ("ok:After", "After")]);
    }
    cases.extend(deaths);
    check(config, &cases);
}

fn a_kill_from_outside_costs_one_object() {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    let first = worker.process_id().unwrap();
    // Idle: nobody is blamed.
    kill(first);
    wait_until(|| !alive(first));
    for id in 0..3 {
        worker.submit(job(id, b"ok:Fine"));
    }
    assert_eq!(said(&worker.answer().unwrap()), "Fine");
    assert_ne!(worker.process_id(), Some(first));
    while worker.answer().is_some() {}
    // Busy: the first is blamed, the others are done by the next worker.
    let victim = worker.process_id().unwrap();
    worker.submit(job(3, b"loop"));
    (4..9).for_each(|id| worker.submit(job(id, b"ok:Fine")));
    let killer = std::thread::spawn(move || {
        wait_until(|| processor_ticks(victim) > 2);
        kill(victim);
    });
    let answer = worker.answer().unwrap();
    assert_eq!(said(&answer), "worker killed by signal 9 (SIGKILL)");
    assert_eq!(answer.death, Some(Death::Signal(9)));
    killer.join().unwrap();
    for id in 4..9 {
        let answer = worker.answer().unwrap();
        assert_eq!((answer.job.request.id, said(&answer).as_str()), (id, "Fine"));
    }
}

fn objects_that_are_no_files() {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    let folder = File::open("/").unwrap();
    let null = File::open("/dev/null").unwrap();
    let (pipe, _end) = hf_sys::lifeline::pair().unwrap();
    for file in [folder, null, File::from(pipe)] {
        let answer = worker.scan(Job { file, ..job(0, b"") });
        assert_eq!(said(&answer), "not a regular file");
        assert!(answer.death.is_none());
    }
    let temp = tempfile::tempdir().unwrap();
    let file = File::create(temp.path().join("write-only")).unwrap();
    (&file).write_all(b"x").unwrap();
    let answer = worker.scan(Job { file, ..job(0, b"") });
    assert!(said(&answer).starts_with("cannot read"), "{}", said(&answer));
    let procfs = File::open("/proc/self/status").unwrap();
    let answer = worker.scan(Job { file: procfs, ..job(0, b"") });
    assert_eq!(answer.report.object_count, 1);
}

fn large_objects_are_mapped() {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("large");
    std::fs::write(&path, b"sum:").unwrap();
    // Far more than the worker's memory; sparse.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(200 << 20).unwrap();
    let sum = b"sum:".iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let answer = worker.scan(Job { file: File::open(&path).unwrap(), ..job(0, b"") });
    assert_eq!(answer.report.scanned_bytes, sum, "{}", said(&answer));
    for len in [16 << 20, (16 << 20) + 1] {
        file.set_len(len).unwrap();
        let answer = worker.scan(Job { file: File::open(&path).unwrap(), ..job(0, b"") });
        assert_eq!(answer.report.scanned_bytes, sum, "{}", said(&answer));
    }
}

fn a_file_that_shrinks() {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("shrinks");
    // Touching every byte of so many takes far longer than cutting the file.
    std::fs::write(&path, b"sum:").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(8 << 30).unwrap();
    let victim = worker.process_id().unwrap();
    let cutter = std::thread::spawn(move || {
        wait_until(|| processor_ticks(victim) > 2);
        file.set_len(10).unwrap();
    });
    let answer = worker.scan(Job { file: File::open(&path).unwrap(), ..job(0, b"") });
    cutter.join().unwrap();
    assert_eq!(answer.death, Some(Death::Cut), "{}", said(&answer));
    assert_eq!(said(&worker.scan(job(1, b"ok:Fine"))), "Fine");
}

fn reports_that_are_too_long() {
    let config = WorkerConfig { memory_bytes: 256 << 20, ..config() };
    let mut worker = Worker::spawn(Arc::new(config)).unwrap();
    for count in [10, 3000] {
        let answer = worker.scan(job(0, format!("many:{count}").as_bytes()));
        assert_eq!(said(&answer), "Many");
        assert_eq!(answer.report.objects.len(), count + 1);
    }
    // 9000 names of 8000 bytes are more than a message, and still when cut to 4096.
    let answer = worker.scan(job(0, b"many:9000"));
    assert_eq!((said(&answer).as_str(), answer.report.objects.len()), ("Many", 1));
}

fn packs_arrive() {
    let pack = |bytes: &[u8]| {
        let pack = Pack { label: "test".to_owned() };
        (pack, Arc::new(hf_sys::sealed_memory("pack", bytes).unwrap()))
    };
    let config = WorkerConfig { packs: vec![pack(b"First"), pack(b"Second")], ..config() };
    // The second of these runs in a worker that was started again.
    check(config, &[("pack:1", "Second"), ("abort", "worker killed"), ("pack:1", "Second")]);
}

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

/// Workers in an enemy's hand: garbage costs them their life and one object an error.
fn malicious_workers() {
    for how in ["garbage", "huge", "wrong-id", "twice-ready", "descriptors", "index", "silent"] {
        let args = vec!["--evil".into(), how.into()];
        let mut config = WorkerConfig { args, ..config() };
        config.limits.deadline_ms = 300;
        let mut worker = Worker::spawn(Arc::new(config)).unwrap();
        (0..2).for_each(|id| worker.submit(job(id, b"ok:Fine")));
        for _ in 0..2 {
            let answer = worker.answer().unwrap();
            let said = said(&answer);
            let want = if how == "silent" { "deadline" } else { "worker killed: malformed" };
            assert!(said.contains(want), "{how}: {said}");
        }
    }
}

/// Speaks the protocol up to the first request and then breaks it.
fn evil(how: &str) -> ExitCode {
    use std::os::fd::AsFd as _;

    use hf_ipc::{Channel, FromWorker, ToWorker};

    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut raw = std::os::unix::net::UnixStream::from(socket.try_clone().unwrap());
    let mut channel = Channel::<FromWorker, ToWorker>::new(socket);
    channel.receive(None).unwrap();
    channel.send(&FromWorker::Ready(Vec::new()), &[], None).unwrap();
    let (ToWorker::Scan(requests), _files) = channel.receive(None).unwrap() else {
        return ExitCode::FAILURE;
    };
    let answer = |id, report| FromWorker::Report { id, report: Box::new(report) };
    match how {
        "garbage" => raw.write_all(&[0x5a; 4096]).unwrap(),
        "huge" => raw.write_all(b"HFW1\x02\0\0\0\xff\xff\xff\xff").unwrap(),
        "wrong-id" => channel.send(&answer(77, Report::default()), &[], None).unwrap(),
        "twice-ready" => channel.send(&FromWorker::Ready(Vec::new()), &[], None).unwrap(),
        "descriptors" => {
            use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
            let mut space = [std::mem::MaybeUninit::uninit(); 64];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptor = [raw.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&descriptor));
            let bytes = [std::io::IoSlice::new(b"HFW1")];
            rustix::net::sendmsg(&raw, &bytes, &mut control, SendFlags::empty()).unwrap();
        }
        "index" => {
            let mut report = hit("Bad");
            report.hits[0].object = 9;
            channel.send(&answer(requests[0].id, report), &[], None).unwrap();
        }
        _ => {}
    }
    // Waits to be killed.
    let _ = raw.read(&mut [0; 1]);
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::SUCCESS
}

fn the_pool_answers_everything() {
    let (answered, answers) = std::sync::mpsc::channel();
    let pool = WorkerPool::start(&Arc::new(config()), 3, move |answer: Answer| {
        answered.send((answer.job.request.id, said(&answer))).unwrap();
    });
    let pool = pool.unwrap();
    assert!(!pool.protections().is_empty());
    for id in 0..500 {
        let object = if id % 50 == 7 { "abort".to_owned() } else { format!("ok:N{id}") };
        pool.submit(job(id, object.as_bytes())).unwrap();
    }
    pool.finish();
    let mut all: Vec<(u64, String)> = answers.iter().collect();
    all.sort();
    assert_eq!(all.len(), 500);
    for (want, (id, said)) in (0..).zip(&all) {
        let name = if want % 50 == 7 {
            "worker killed by signal 6 (SIGABRT)".to_owned()
        } else {
            format!("N{want}")
        };
        assert_eq!((*id, said), (want, &name));
    }
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

fn short_lived_parent() -> ExitCode {
    let mut worker = Worker::spawn(Arc::new(config())).unwrap();
    println!("{}", worker.process_id().unwrap());
    worker.scan(job(0, b"loop"));
    ExitCode::SUCCESS
}

fn every_protection_is_named() {
    let worker = Worker::spawn(Arc::new(config())).unwrap();
    let names: Vec<&str> = worker.protections().iter().map(|one| one.name.as_str()).collect();
    for one in worker.protections() {
        println!(
            "  {}: {} ({})",
            one.name,
            if one.active { "active" } else { "MISSING" },
            one.detail
        );
    }
    for name in ["seccomp", "Landlock", "bounds", "lifeline", "namespaces", "no new privileges"] {
        assert!(names.contains(&name), "{name}");
    }
    let seccomp = worker.protections().iter().find(|one| one.name == "seccomp").unwrap();
    assert!(seccomp.active);
}

fn the_self_test_holds() {
    for row in selftest(&config()).unwrap() {
        println!("  {}: {}", row.asked, row.parent_reported);
        assert!(row.stopped, "{row:?}");
    }
}

/// Without confinement the same attempts succeed, so a row that says *stopped* means something.
fn the_self_test_can_fail() {
    let config = WorkerConfig { confinement: Confinement::Off, ..config() };
    let rows = selftest(&config).unwrap();
    for asked in [
        "open a network socket",
        "open a file",
        "create a file",
        "start a program",
        "fork",
        "make memory executable",
        "use more memory than allowed",
    ] {
        let row = rows.iter().find(|row| row.asked == asked).unwrap();
        assert!(!row.stopped, "{row:?}");
    }
}

// ---- Processes ----

fn kill(process_id: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process_id).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Looks again and again, without sleeping longer than it must.
#[track_caller]
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not come to that");
        std::thread::yield_now();
    }
}

fn stat(process_id: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

/// Clock ticks spent computing: more than a few mean that it is at work.
fn processor_ticks(process_id: u32) -> u64 {
    stat(process_id).and_then(|fields| fields.get(11)?.parse().ok()).unwrap_or(0)
}

fn alive(process_id: u32) -> bool {
    stat(process_id).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}
