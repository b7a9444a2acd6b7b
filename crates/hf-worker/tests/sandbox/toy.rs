//! The toy scanner, whose objects are commands, and what tests say to it.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use hf_core::{Hit, HitKind, Report, Strength};
use hf_worker::{Answer, Job, ScanRequest, Scanner, Worker, WorkerConfig};

struct Toy {
    packs: Vec<Vec<u8>>,
}

pub(crate) fn make(setup: hf_worker::Setup, packs: Vec<File>) -> Result<Box<dyn Scanner>, String> {
    match setup.extra.as_slice() {
        b"refuse" => return Err("no content".to_owned()),
        b"crash" => std::process::abort(),
        b"descriptors" => return Err(open_descriptors()),
        // As engines do that keep time in a thread.
        b"thread" => drop(std::thread::spawn(|| {
            loop {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        })),
        _ => {}
    }
    let read = |file: File| {
        hf_sys::Map::of(&file).map(|map| map.to_vec()).map_err(|error| error.to_string())
    };
    Ok(Box::new(Toy { packs: packs.into_iter().map(read).collect::<Result<_, _>>()? }))
}

/// Returns what the worker's descriptors are.
fn open_descriptors() -> String {
    let mut all: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), std::fs::read_link(entry.path()).unwrap_or_default()))
        .map(|(number, what)| format!("{}={}", number.display(), what.display()))
        .collect();
    all.sort();
    all.join(" ")
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

pub(crate) fn hit(name: &str) -> Report {
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

pub(crate) fn config() -> WorkerConfig {
    let mut config =
        WorkerConfig { memory_bytes: 64 << 20, grace_ms: 0, ..WorkerConfig::default() };
    config.limits.deadline_ms = 10_000;
    config
}

pub(crate) fn job(id: u64, bytes: &[u8]) -> Job {
    let file = hf_sys::sealed_memory("object", bytes).unwrap();
    let request = ScanRequest { id, name: format!("name {id}").into_bytes(), ..Default::default() };
    Job { request, file, size: u64::try_from(bytes.len()).unwrap() }
}

pub(crate) fn said(answer: &Answer) -> String {
    match (&answer.report.error, answer.report.hits.first()) {
        (Some(error), _) => error.clone(),
        (None, Some(hit)) => hit.name.clone(),
        (None, None) => "clean".to_owned(),
    }
}

/// Scans objects with one worker and compares what is said of each.
#[track_caller]
pub(crate) fn check(config: WorkerConfig, cases: &[(&str, &str)]) {
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
