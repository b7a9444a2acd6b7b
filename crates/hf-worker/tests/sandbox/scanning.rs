//! Objects in, reports out, whatever happens to the worker.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use hf_worker::{Answer, Death, Job, Pack, Worker, WorkerConfig, WorkerPool};

use crate::processes::{alive, kill, processor_ticks, wait_until};
use crate::toy::{check, config, job, said};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("reports_come_back_in_order", reports_come_back_in_order),
    ("a_death_costs_one_object", a_death_costs_one_object),
    ("a_kill_from_outside_costs_one_object", a_kill_from_outside_costs_one_object),
    ("objects_that_are_no_files", objects_that_are_no_files),
    ("large_objects_are_mapped", large_objects_are_mapped),
    ("a_file_that_shrinks", a_file_that_shrinks),
    ("reports_that_are_too_long", reports_that_are_too_long),
    ("workers_are_replaced", workers_are_replaced),
    ("packs_arrive", packs_arrive),
    ("the_pool_answers_everything", the_pool_answers_everything),
];

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

fn workers_are_replaced() {
    let config = WorkerConfig { objects_max: Some(5), ..config() };
    let mut worker = Worker::spawn(Arc::new(config)).unwrap();
    for id in 0..23 {
        worker.submit(job(id, if id == 7 { b"abort" } else { b"ok:Yes" }));
    }
    let mut processes = Vec::new();
    while let Some(answer) = worker.answer() {
        assert_eq!(said(&answer) == "Yes", answer.job.request.id != 7);
        processes.extend(worker.process_id());
    }
    assert_eq!(processes.len(), 22, "the one that died has none");
    processes.dedup();
    // 0 to 4; 5 to 7, of which 7 is the last; then 8 to 12, 13 to 17, 18 to 22.
    assert_eq!(processes.len(), 5);
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
