//! Reload: new content takes the place of the old one between two objects.
//!
//! One new worker is started beside the old ones at a time and handed to a slot, which gives the old
//! one back when it has answered what it had; so one more worker lives during a reload, and packs are
//! mapped, not copied.
//! Promises: what cannot be opened, or lets no worker start, leaves everything as it was and is told.

use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use hf_worker::{SpawnError, Worker};

use super::slot::Mail;
use super::{Generation, Inner, Service};

/// New content is not used; the last good one is.
#[derive(Debug, Clone, thiserror::Error)]
#[error("content is not reloaded, the last good one stays in use: {0}")]
pub struct ReloadError(pub String);

impl Service {
    /// Opens content anew and changes to it; true when it differs from what was in use. One reload
    /// runs at a time, another waits for it.
    ///
    /// # Errors
    /// The new content cannot be used; the last good one stays.
    pub async fn reload(&self) -> Result<bool, ReloadError> {
        let _turn = self.0.reloading.lock().await;
        let service = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || service.reload()).await;
        done.unwrap_or_else(|error| Err(ReloadError(error.to_string())))
    }

    /// True when there is other content than what was last opened, as far as can be seen without
    /// reading it. Blocks for as long as asking for the state of the files takes.
    #[must_use]
    pub fn content_changed(&self) -> bool {
        let stamp = self.0.setup.source.stamp();
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).stamp != stamp
    }
}

impl Inner {
    fn reload(&self) -> Result<bool, ReloadError> {
        let result = self.change();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(changed) => {
                state.reload_error = None;
                state.content_checked = SystemTime::now();
                if *changed {
                    self.counters.reloaded(true);
                }
            }
            Err(error) => {
                state.reload_error = Some(error.0.clone());
                self.counters.reloaded(false);
                drop(state);
                self.setup.log.error(&error.to_string());
                if let Some(observer) = &self.setup.observer {
                    observer.content_refused(&error.0);
                }
            }
        }
        result
    }

    fn change(&self) -> Result<bool, ReloadError> {
        let stamp = self.setup.source.stamp();
        // Also when it fails: the same bad files are not tried again by every self-check.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stamp = stamp;
        let content = self.setup.source.open().map_err(ReloadError)?;
        let old = self.current();
        if content.identity.digest == old.identity.digest {
            return Ok(false);
        }
        content.warnings.iter().for_each(|text| self.setup.log.warning(text));
        let number = old.number.saturating_add(1);
        let new = Arc::new(Generation::new(number, content, &self.setup.worker));
        let mut first = Some(self.worker(&new)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        if let Some(observer) = &self.setup.observer {
            observer.content_loaded(&new.identity);
        }
        let mut late = Vec::new();
        for slot in &self.slots {
            let worker = match first.take() {
                Some(worker) => worker,
                // The first could be started: the system is short of something for a moment.
                None => {
                    self.worker(&new).unwrap_or_else(|_| Worker::unstarted(Arc::clone(&new.worker)))
                }
            };
            let (done, old) = mpsc::channel();
            slot.send(Mail { generation: Arc::clone(&new), worker, done });
            self.queue.wake_all();
            match old.recv_timeout(PATIENCE) {
                Ok(old) => old.end(),
                Err(_) => late.push(old),
            }
        }
        // Those that are busy with something large change when they are done with it, and nobody
        // waits for them: the receiver's end is dropped, and the slot ends the old worker.
        drop(late);
        self.cache.clear();
        Ok(true)
    }

    fn worker(&self, generation: &Generation) -> Result<Worker, ReloadError> {
        match Worker::spawn(Arc::clone(&generation.worker)) {
            Ok(worker) => {
                self.ready(&worker);
                Ok(worker)
            }
            Err(error) => {
                self.not_ready(&error);
                Err(ReloadError(chain(&error)))
            }
        }
    }

    /// Notes what a worker says of itself.
    pub(super) fn ready(&self, worker: &Worker) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.protections.is_empty();
        state.protections = worker.protections().to_vec();
        state.worker_error = None;
        drop(state);
        if fresh {
            for missing in worker.protections().iter().filter(|one| !one.active) {
                let (name, detail) = (&missing.name, &missing.detail);
                self.setup.log.warning(&format!("workers are without {name}: {detail}"));
            }
        }
        worker.warnings().iter().for_each(|text| self.setup.log.warning(text));
    }

    pub(super) fn not_ready(&self, error: &SpawnError) {
        let text = chain(error);
        self.setup.log.error(&text);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.worker_error = Some(text);
    }
}

fn chain(error: &SpawnError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Ours: after so long a reload goes on to the next worker and leaves the busy one alone.
const PATIENCE: Duration = Duration::from_secs(2);
