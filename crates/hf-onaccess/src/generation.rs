//! Content that is in use, and how new content takes its place.
//!
//! Workers with new content are started beside the old ones, which go on until each thread has changed
//! over between two files. Nothing that was found out with other content is believed afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use hf_worker::{SpawnError, Worker, WorkerConfig};

/// Where content comes from: the program's business.
pub trait Content: Send + Sync {
    /// Opens the content as it is now.
    ///
    /// # Errors
    /// It cannot be opened; the text is for people. The guard goes on with what it has.
    fn open(&self) -> Result<Loaded, String>;
}

/// Content that was opened.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// How a worker for it is started.
    pub worker: WorkerConfig,
    /// What tells it from other content.
    pub identity: String,
    /// Signatures in it.
    pub signatures: u64,
    /// Where it is from, for the record of a file that is taken.
    pub sources: Vec<hf_quarantine::Content>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Content in use.
#[derive(Debug)]
pub(crate) struct Current {
    /// Counts from 1.
    pub(crate) number: u64,
    pub(crate) config: Arc<WorkerConfig>,
    pub(crate) identity: String,
    pub(crate) signatures: u64,
    pub(crate) sources: Arc<[hf_quarantine::Content]>,
}

/// Content in use, and workers that are ready for it.
#[derive(Debug)]
pub(crate) struct Generations {
    current: RwLock<Arc<Current>>,
    ready: Mutex<HashMap<u64, Vec<Worker>>>,
}

impl Generations {
    /// Begins with this content; starts workers, the first of which has to start.
    pub(crate) fn new(loaded: Loaded, workers: usize) -> Result<Self, SpawnError> {
        let current = Arc::new(Current::new(1, loaded));
        let ready = start(&current.config, workers)?;
        Ok(Self { current: RwLock::new(current), ready: Mutex::new(HashMap::from([(1, ready)])) })
    }

    /// Returns what is in use. While the guard is held, nothing else comes into use.
    pub(crate) fn current(&self) -> RwLockReadGuard<'_, Arc<Current>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes new content into use; `forget` runs before anybody can remember something found with it.
    pub(crate) fn change(
        &self,
        loaded: Loaded,
        workers: usize,
        forget: impl FnOnce(),
    ) -> Result<u64, SpawnError> {
        let number = self.current().number.saturating_add(1);
        let next = Arc::new(Current::new(number, loaded));
        let ready = start(&next.config, workers)?;
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).insert(number, ready);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = next;
        forget();
        drop(current);
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let old: Vec<Worker> =
            all.extract_if(|of, _| *of != number).flat_map(|(_, workers)| workers).collect();
        drop(all);
        old.into_iter().for_each(Worker::end);
        Ok(number)
    }

    /// Returns a worker for the content in use, with that content.
    pub(crate) fn worker(&self) -> Result<(Arc<Current>, Worker), SpawnError> {
        let current = Arc::clone(&self.current());
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = ready.get_mut(&current.number).and_then(Vec::pop);
        drop(ready);
        match worker {
            Some(worker) => Ok((current, worker)),
            None => {
                let worker = Worker::spawn(Arc::clone(&current.config))?;
                Ok((current, worker))
            }
        }
    }
}

impl Current {
    fn new(number: u64, loaded: Loaded) -> Self {
        let Loaded { mut worker, identity, signatures, sources, .. } = loaded;
        // Somebody waits for each: it is answered as soon as it is scanned.
        worker.pipeline = 1;
        Self { number, config: Arc::new(worker), identity, signatures, sources: sources.into() }
    }
}

fn start(config: &Arc<WorkerConfig>, workers: usize) -> Result<Vec<Worker>, SpawnError> {
    let mut ready = vec![Worker::spawn(Arc::clone(config))?];
    while ready.len() < workers {
        match Worker::spawn(Arc::clone(config)) {
            Ok(worker) => ready.push(worker),
            // A thread without one tries again when it needs it.
            Err(_) => break,
        }
    }
    Ok(ready)
}
