//! One worker as its parent sees it: objects in, reports out, a fresh process whenever one died.
//!
//! A worker belongs to one thread, which calls [`Worker::submit`] while there is
//! [`Worker::has_room`], and [`Worker::answer`] for what comes back. Answers come in the order of
//! submission.
//! Promises: every job gets exactly one answer. A death costs the job that was being scanned; the
//! jobs behind it go to a fresh worker. No call waits longer than the deadline of one object, a
//! start, and two seconds.

mod running;

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_core::Report;
use hf_ipc::{FromWorker, IpcError, Probe, Protection, ScanRequest, ToWorker};

use crate::{Death, SpawnError, WorkerConfig};

pub(crate) use running::Running;

/// An object to scan.
#[derive(Debug)]
pub struct Job {
    /// What the worker is told.
    pub request: ScanRequest,
    /// The object, open for reading. Its offset is neither used nor moved.
    pub file: File,
    /// Its size in bytes as far as known, so that nothing queues behind a large one.
    pub size: u64,
}

/// What became of a job.
#[derive(Debug)]
pub struct Answer {
    /// The job, with its descriptor.
    pub job: Job,
    /// The report; [`Report::failed`] when the worker died over it.
    pub report: Report,
    /// Set when the worker died over it.
    pub death: Option<Death>,
}

/// A worker process and the jobs that are with it.
#[derive(Debug)]
pub struct Worker {
    config: Arc<WorkerConfig>,
    running: Option<Running>,
    /// Not sent yet.
    waiting: VecDeque<Job>,
    /// Sent, oldest first; the worker is busy with the first.
    sent: VecDeque<Job>,
    /// Bytes of the objects in `waiting` and `sent`.
    bytes: u64,
    /// When the first of `sent` began, as far as can be known.
    since: Instant,
    pace: Pace,
    answers: VecDeque<Answer>,
    protections: Vec<Protection>,
    warnings: Vec<String>,
    /// Objects that the worker that runs now may still be sent.
    objects_left: u64,
    /// Deaths one after the other without any job to blame.
    idle_deaths: u32,
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn spawn(config: Arc<WorkerConfig>) -> Result<Self, SpawnError> {
        let running = Running::start(&config)?;
        let mut worker = Self::unstarted(config);
        worker.protections.clone_from(&running.protections);
        worker.warnings.clone_from(&running.warnings);
        worker.running = Some(running);
        Ok(worker)
    }

    /// Returns a worker that is started when its first job is to be answered; if it then cannot be
    /// started, the job's report says why.
    #[must_use]
    pub fn unstarted(config: Arc<WorkerConfig>) -> Self {
        Self {
            protections: Vec::new(),
            warnings: Vec::new(),
            running: None,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            bytes: 0,
            since: Instant::now(),
            pace: Pace { begun: Instant::now(), answers: 0, each: Duration::ZERO },
            answers: VecDeque::new(),
            objects_left: config.objects_max.unwrap_or(u64::MAX),
            idle_deaths: 0,
            config,
        }
    }

    /// Returns the mechanisms of confinement, and whether each is in force.
    #[must_use]
    pub fn protections(&self) -> &[Protection] {
        &self.protections
    }

    /// Returns what the first process left out of the content: a stranger's text, to be escaped.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the process id of the worker that runs now.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.running.as_ref().map(Running::process_id)
    }

    /// True when another job would keep the worker busy rather than wait too long.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let jobs = self.waiting.len().saturating_add(self.sent.len());
        jobs == 0 || (jobs < self.config.pipeline && self.bytes < self.config.pipeline_bytes)
    }

    /// True when no job is with the worker.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty() && self.answers.is_empty()
    }

    /// Adds a job. It is sent, together with others, by [`Worker::answer`].
    pub fn submit(&mut self, job: Job) {
        self.bytes = self.bytes.saturating_add(job.size);
        self.waiting.push_back(job);
    }

    /// Waits for the next answer; none when no job is with the worker.
    pub fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Some(answer);
            }
            if self.is_idle() {
                return None;
            }
            self.advance();
        }
    }

    /// Scans one object and waits for its answer.
    ///
    /// # Panics
    /// When earlier jobs have not been answered.
    pub fn scan(&mut self, job: Job) -> Answer {
        assert!(self.is_idle(), "earlier jobs are answered first");
        self.submit(job);
        self.answer().expect("a submitted job is answered")
    }

    /// Does one step: start, send or receive.
    fn advance(&mut self) {
        let Some(mut running) = self.running.take() else {
            match start_patiently(&self.config) {
                Ok(running) => {
                    self.protections.clone_from(&running.protections);
                    self.objects_left = self.config.objects_max.unwrap_or(u64::MAX).max(1);
                    self.running = Some(running);
                }
                Err(error) => self.fail_all(&chain(&error)),
            }
            return;
        };
        if self.objects_left == 0 && self.sent.is_empty() {
            // The next step starts another one.
            return running.quit();
        }
        match self.converse(&mut running) {
            Ok(()) => self.running = Some(running),
            Err(error) => self.bury(running, &error),
        }
    }

    fn converse(&mut self, running: &mut Running) -> Result<(), IpcError> {
        // Enough is there to keep the worker busy until the rest comes as one message.
        let refill = self.sent.len() <= self.config.pipeline / 2;
        if refill && !self.waiting.is_empty() && self.objects_left > 0 {
            match self.send(running) {
                // What is on its way has to arrive first.
                Err(IpcError::InFlight) if !self.sent.is_empty() => {}
                Err(IpcError::InFlight) => std::thread::sleep(Duration::from_millis(1)),
                other => return other,
            }
        }
        match self.sent.front() {
            Some(_) => self.receive(running),
            None => Ok(()),
        }
    }

    fn send(&mut self, running: &mut Running) -> Result<(), IpcError> {
        let left = usize::try_from(self.objects_left).unwrap_or(usize::MAX);
        let count = self.waiting.len().min(ToWorker::BATCH_MAX).min(left);
        let batch: Vec<Job> = self.waiting.drain(..count).collect();
        let message = ToWorker::Scan(batch.iter().map(|job| job.request.clone()).collect());
        let result = running.send(&message, batch.iter().map(|job| &job.file));
        if result.is_ok() {
            if self.sent.is_empty() {
                self.since = Instant::now();
            }
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.objects_left = self.objects_left.saturating_sub(count);
            self.sent.extend(batch);
        } else {
            batch.into_iter().rev().for_each(|job| self.waiting.push_front(job));
        }
        result
    }

    fn receive(&mut self, running: &mut Running) -> Result<(), IpcError> {
        let allowed = self.allowed();
        let deadline = allowed.and_then(|allowed| self.since.checked_add(allowed));
        let spare = self.sent.len().saturating_sub(self.config.pipeline / 2);
        let answer = running.receive(self.pace.pause(spare), deadline)?;
        self.take_in(answer)
    }

    /// Believes an answer when it is the one that is due.
    fn take_in(&mut self, answer: FromWorker) -> Result<(), IpcError> {
        let FromWorker::Report { id, report } = answer else {
            return Err(IpcError::Malformed("an answer to no question"));
        };
        if self.sent.front().is_none_or(|job| job.request.id != id) {
            return Err(IpcError::Malformed("an answer out of turn"));
        }
        self.since = Instant::now();
        self.pace.answered(self.since);
        self.idle_deaths = 0;
        self.finish(*report, None);
        Ok(())
    }

    /// Returns the time that the first of the sent jobs may take, with grace; none for no bound.
    fn allowed(&self) -> Option<Duration> {
        let limits = self.sent.front().and_then(|job| job.request.limits.as_deref());
        let deadline_ms = limits.unwrap_or(&self.config.limits).deadline_ms;
        deadline_ms.checked_add(self.config.grace_ms).map(Duration::from_millis)
    }

    /// Answers the first of the sent jobs.
    fn finish(&mut self, report: Report, death: Option<Death>) {
        if let Some(job) = self.sent.pop_front() {
            self.bytes = self.bytes.saturating_sub(job.size);
            self.answers.push_back(Answer { job, report, death });
        }
    }

    /// Ends a worker that cannot go on, blames the first job, and takes the others back.
    fn bury(&mut self, mut running: Running, error: &IpcError) {
        // It may have answered before it died, while we were sending.
        while let Ok(Some(answer)) = running.try_receive() {
            if self.take_in(answer).is_err() {
                break;
            }
        }
        let after = self.since.elapsed();
        let death = running.end(error, after);
        let blameless = self.sent.is_empty() && self.idle_deaths < DEATHS_MAX;
        if blameless {
            self.idle_deaths = self.idle_deaths.saturating_add(1);
            return;
        }
        self.idle_deaths = 0;
        if self.sent.is_empty() {
            // It died again and again while it was told of this one.
            self.sent.extend(self.waiting.pop_front());
        }
        self.finish(Report::failed(death.to_string()), Some(death));
        while let Some(job) = self.sent.pop_back() {
            self.waiting.push_front(job);
        }
        self.since = Instant::now();
    }

    fn fail_all(&mut self, why: &str) {
        while let Some(job) = self.sent.pop_back() {
            self.waiting.push_front(job);
        }
        while let Some(job) = self.waiting.pop_front() {
            self.bytes = self.bytes.saturating_sub(job.size);
            self.answers.push_back(Answer { job, report: Report::failed(why), death: None });
        }
    }

    /// Ends in order when the worker is idle, else at once.
    pub fn end(mut self) {
        if let Some(mut running) = self.running.take()
            && self.sent.is_empty()
        {
            running.quit();
        }
    }
}

/// How long jobs take. While a worker has enough to do, it is not asked for each answer as soon as that is
/// there: to be woken for each costs both sides about as much as a small object.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    answers: u32,
    /// Time between two of the last answers.
    each: Duration,
}

impl Pace {
    fn answered(&mut self, now: Instant) {
        self.answers = self.answers.saturating_add(1);
        if self.answers == PACE_ANSWERS {
            self.each = now.saturating_duration_since(self.begun) / PACE_ANSWERS;
            (self.begun, self.answers) = (now, 0);
        }
    }

    /// Returns how long the worker may be left alone that has so many jobs to spare.
    fn pause(&self, jobs_to_spare: usize) -> Duration {
        let jobs = u32::try_from(jobs_to_spare / 2).unwrap_or(0);
        let pause = self.each.saturating_mul(jobs).min(PAUSE_MAX);
        if pause < PAUSE_MIN { Duration::ZERO } else { pause }
    }
}

/// Asks a fresh worker to do what it must not, and returns what came of it.
pub(crate) fn probe(
    config: &WorkerConfig,
    probe: Probe,
    allowed: Duration,
) -> Result<Result<Result<(), String>, Death>, SpawnError> {
    let mut running = Running::start(config)?;
    let since = Instant::now();
    let deadline = since.checked_add(allowed);
    let answer = running
        .send(&ToWorker::Probe(probe), std::iter::empty())
        .and_then(|()| running.receive(Duration::ZERO, deadline));
    Ok(match answer {
        Ok(FromWorker::Probed(result)) => Ok(result),
        Ok(_) => Err(running.end(&IpcError::Malformed("another answer"), since.elapsed())),
        Err(error) => Err(running.end(&error, since.elapsed())),
    })
}

/// Starts a worker; a system that is short of something for a moment gets another chance.
fn start_patiently(config: &WorkerConfig) -> Result<Running, SpawnError> {
    let mut left = DEATHS_MAX;
    loop {
        match Running::start(config) {
            Err(SpawnError::Died(death)) if left == 0 => return Err(SpawnError::Loop(death)),
            Err(SpawnError::System(_) | SpawnError::Died(_)) if left > 0 => {
                left = left.saturating_sub(1);
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

fn chain(error: &SpawnError) -> String {
    match error {
        SpawnError::System(source) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Ours: answers over which the time for each is taken.
const PACE_ANSWERS: u32 = 32;

/// Ours: shorter pauses cost more than they spare.
const PAUSE_MIN: Duration = Duration::from_micros(200);

/// Ours: nobody waits for a finding noticeably longer.
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// Ours: deaths without anything done before a worker is given up.
const DEATHS_MAX: u32 = 3;
