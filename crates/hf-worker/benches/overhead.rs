//! What a worker costs besides scanning: its start, and each small object.
//!
//! `cargo bench -p hf-worker`. Processor time is that of both sides together.
#![expect(clippy::unwrap_used, reason = "a benchmark that fails here has failed")]

use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_core::Report;
use hf_sys::Usage;
use hf_worker::{
    Answer, Confinement, Job, ScanRequest, Scanner, Worker, WorkerConfig, WorkerPool, is_worker,
    run_worker,
};

struct Counts;

impl Scanner for Counts {
    fn scan(&mut self, object: &[u8], _: &ScanRequest) -> Report {
        let scanned_bytes = u64::try_from(object.len()).unwrap();
        Report { scanned_bytes, object_count: 1, ..Report::default() }
    }
}

fn main() -> ExitCode {
    if is_worker() {
        return run_worker(|_, _| Ok(Box::new(Counts)));
    }
    // `cargo test --benches` only wants to see it run.
    let short = !std::env::args().any(|arg| arg == "--bench");
    let (starts, objects) = if short { (2, 100) } else { (200, 44_000) };

    for confinement in [Confinement::Required, Confinement::Off] {
        start(&WorkerConfig { confinement, ..WorkerConfig::default() }, starts);
    }
    let temp = tempfile::tempdir().unwrap();
    for number in 0..objects {
        std::fs::write(temp.path().join(number.to_string()), [b'x'; 1000]).unwrap();
    }
    let open = |number: u64| {
        let file = File::open(temp.path().join(number.to_string())).unwrap();
        let request = ScanRequest { id: number, name: vec![b'n'; 40], ..ScanRequest::default() };
        Job { request, file, size: 1000 }
    };
    let opening = cost(objects, || (0..objects).for_each(|number| drop(open(number))));
    println!("open and close only:         {opening}");
    for pipeline in [1, 8, 32, 64] {
        let config = WorkerConfig { pipeline, ..WorkerConfig::default() };
        let cost = cost(objects, || one_worker(config, objects, open));
        println!("one worker,  pipeline {pipeline:>2}:    {cost}");
    }
    for workers in [1, 2] {
        let cost = cost(objects, || pool(workers, objects, open));
        println!("pool of {workers},   pipeline 32:    {cost}");
    }
    ExitCode::SUCCESS
}

fn start(config: &WorkerConfig, times: u32) {
    let config = Arc::new(config.clone());
    let mut best = Duration::MAX;
    let mut total = Duration::ZERO;
    let used = processor();
    for _ in 0..times {
        let begun = Instant::now();
        let worker = Worker::spawn(Arc::clone(&config)).unwrap();
        let took = begun.elapsed();
        worker.end();
        total += took;
        best = best.min(took);
    }
    let used = processor().saturating_sub(used) / times;
    println!(
        "start to ready, {:?}: mean {:?}, best {best:?}, processor with end {used:?}",
        config.confinement,
        total / times
    );
}

fn one_worker(config: WorkerConfig, objects: u64, open: impl Fn(u64) -> Job) {
    let mut worker = Worker::spawn(Arc::new(config)).unwrap();
    let (mut next, mut done) = (0, 0);
    while done < objects {
        while next < objects && worker.has_room() {
            worker.submit(open(next));
            next += 1;
        }
        let answer = worker.answer().unwrap();
        assert_eq!((answer.job.request.id, answer.report.scanned_bytes), (done, 1000));
        done += 1;
    }
    worker.end();
}

fn pool(workers: usize, objects: u64, open: impl Fn(u64) -> Job) {
    let (said, heard) = std::sync::mpsc::channel();
    let on_answer = move |answer: Answer| said.send(answer.report.scanned_bytes).unwrap();
    let pool = WorkerPool::start(&Arc::new(WorkerConfig::default()), workers, on_answer).unwrap();
    (0..objects).for_each(|number| pool.submit(open(number)).unwrap());
    pool.finish();
    assert_eq!(heard.iter().sum::<u64>(), objects * 1000);
}

fn processor() -> Duration {
    Usage::of_this_process().processor() + Usage::of_ended_children().processor()
}

fn cost(objects: u64, run: impl FnOnce()) -> String {
    let (used, begun) = (processor(), Instant::now());
    run();
    let used = processor().saturating_sub(used).as_secs_f64();
    let took = begun.elapsed().as_secs_f64();
    let each = 1e6 / f64::from(u32::try_from(objects).unwrap());
    format!("{:6.2} us of processor, {:6.2} us of time an object", used * each, took * each)
}
