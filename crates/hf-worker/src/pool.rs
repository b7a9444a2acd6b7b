//! Several workers with one thread each, and one queue before them.
//!
//! Promises: every job that was submitted is answered exactly once, by a call of the function given;
//! [`WorkerPool::submit`] waits when the queue is full, so that memory and descriptors are bounded.
//! Leaves out: any order between the answers of different workers.

use std::fmt;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use hf_ipc::Protection;

use crate::{Answer, Job, SpawnError, Worker, WorkerConfig};

/// Workers behind one queue.
pub struct WorkerPool {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    protections: Vec<Protection>,
}

impl WorkerPool {
    /// Starts workers, all at once, and waits until every one is ready. Raises the number of
    /// descriptors that this process may open to what its administrator allows.
    ///
    /// # Errors
    /// The first worker that could not be started says why; the others are ended.
    pub fn start(
        config: &Arc<WorkerConfig>,
        workers: usize,
        on_answer: impl Fn(Answer) + Send + Sync + 'static,
    ) -> Result<Self, SpawnError> {
        let workers = workers.max(1);
        // Every job that waits holds a descriptor. Where no more are allowed, opening fails and
        // is told by whoever opens.
        let _ = hf_sys::bounds::more_descriptors();
        let (queue, jobs) = mpsc::sync_channel(workers.saturating_mul(config.pipeline).max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        let on_answer: Arc<dyn Fn(Answer) + Send + Sync> = Arc::new(on_answer);
        let (started, starts) = mpsc::channel();
        let mut pool = Self { queue: Some(queue), threads: Vec::new(), protections: Vec::new() };
        for number in 0..workers {
            let (config, jobs) = (Arc::clone(config), Arc::clone(&jobs));
            let (on_answer, started) = (Arc::clone(&on_answer), started.clone());
            let thread = thread::Builder::new().name(format!("worker {number}"));
            let work = move || match Worker::spawn(config) {
                Ok(worker) => {
                    let _ = started.send(Ok(worker.protections().to_vec()));
                    drop(started);
                    serve(worker, &jobs, &*on_answer);
                }
                Err(error) => drop(started.send(Err(error))),
            };
            pool.threads.push(thread.spawn(work).map_err(SpawnError::System)?);
        }
        drop(started);
        for start in starts {
            // An error drops the pool, which closes the queue and joins the others.
            pool.protections = start?;
        }
        Ok(pool)
    }

    /// Returns the mechanisms of confinement of a worker, and whether each is in force.
    #[must_use]
    pub fn protections(&self) -> &[Protection] {
        &self.protections
    }

    /// Adds a job; waits while the queue is full.
    ///
    /// # Errors
    /// Gives the job back when no worker's thread is left, which only a panic in the answering
    /// function can bring about.
    pub fn submit(&self, job: Job) -> Result<(), Box<Job>> {
        match &self.queue {
            Some(queue) => queue.send(job).map_err(|back| Box::new(back.0)),
            None => Err(Box::new(job)),
        }
    }

    /// Waits until every job is answered, and ends the workers.
    pub fn finish(mut self) {
        self.close();
    }

    fn close(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic of the answering function has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WorkerPool").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Takes jobs until the queue is closed, and answers them.
fn serve(mut worker: Worker, jobs: &Mutex<Receiver<Job>>, on_answer: &dyn Fn(Answer)) {
    loop {
        if worker.is_idle() {
            // An idle worker waits with the queue in its hand; busy ones do not wait for it.
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { break };
            worker.submit(job);
        }
        while worker.has_room() {
            let Ok(jobs) = jobs.try_lock() else { break };
            match jobs.try_recv() {
                Ok(job) => worker.submit(job),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        if let Some(answer) = worker.answer() {
            on_answer(answer);
        }
    }
    worker.end();
}
