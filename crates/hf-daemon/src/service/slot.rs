//! One worker process and the thread that keeps it busy.
//!
//! Promises: several small objects are with the worker at a time, but none that another worker could
//! begin at once; a new content's worker takes the place of the old one between two objects.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hf_core::{Limits, Report, ScanOptions};
use hf_worker::{Death, Job, ScanRequest, Worker};

use super::queue::Taken;
use super::{Generation, Inner, Ticket, answer, between};
use crate::scan::Priority;

/// What others see of a slot.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The worker of a new content.
    mail: Mutex<Option<Mail>>,
    process_id: AtomicU32,
    busy: AtomicUsize,
}

/// A worker that is to take over.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) generation: Arc<Generation>,
    pub(super) worker: Worker,
    /// Gets the old one.
    pub(super) done: Sender<Worker>,
}

impl Slot {
    pub(super) fn process_id(&self) -> Option<u32> {
        Some(self.process_id.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, mail: Mail) {
        *self.mail.lock().unwrap_or_else(PoisonError::into_inner) = Some(mail);
    }

    fn has_mail(&self) -> bool {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// An object that is with the worker.
struct Held {
    ticket: Ticket,
    began: Instant,
}

struct Run<'a> {
    service: &'a Inner,
    slot: &'a Slot,
    generation: Arc<Generation>,
    worker: Worker,
    held: HashMap<u64, Held>,
    /// Whose objects the worker has.
    of: (u64, Priority),
    next_id: u64,
}

/// Works until the queue is closed.
pub(super) fn run(service: &Inner, slot: &Slot, generation: Arc<Generation>, number: usize) {
    let worker = match Worker::spawn(Arc::clone(&generation.worker)) {
        Ok(worker) => {
            if number == 0 {
                service.ready(&worker);
            }
            worker
        }
        Err(error) => {
            service.not_ready(&error);
            // The next object tries again.
            Worker::unstarted(Arc::clone(&generation.worker))
        }
    };
    let (held, of) = (HashMap::new(), (0, Priority::Normal));
    let mut run = Run { service, slot, generation, worker, held, of, next_id: 0 };
    run.show();
    let mut calls = 0;
    while run.step(&mut calls) {}
    run.worker.end();
    slot.process_id.store(0, Ordering::Relaxed);
}

impl Run<'_> {
    /// Takes what there is, and gets one answer; false at the end.
    fn step(&mut self, calls: &mut u64) -> bool {
        if self.worker.is_idle() {
            self.take_over();
            match self.service.queue.wait(calls) {
                Taken::Ticket(ticket) => {
                    self.of = (ticket.client.0.peer, ticket.choice.priority);
                    self.begin(*ticket);
                    self.fill(false);
                }
                Taken::Nothing => return true,
                Taken::Closed => return false,
            }
        } else if !self.slot.has_mail() {
            self.fill(true);
        }
        if let Some(answered) = self.worker.answer() {
            self.finish(answered);
        }
        self.show();
        true
    }

    /// Takes as many more of the same peer as are this worker's share; with `alone` only while nobody
    /// else waits.
    fn fill(&mut self, alone: bool) {
        let workers = self.service.slots.len().max(1);
        let (peer, priority) = self.of;
        let mut left = self.service.queue.len_of(peer, priority);
        while self.worker.has_room() && left > 0 && self.held.len() <= left / workers {
            let Some((ticket, still)) = self.service.queue.take_of(peer, priority, alone) else {
                return;
            };
            left = still;
            self.begin(ticket);
        }
    }

    fn take_over(&mut self) {
        let mail = self.slot.mail.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Mail { generation, worker, done }) = mail else { return };
        self.generation = generation;
        let old = std::mem::replace(&mut self.worker, worker);
        // Who waits for it may be gone; then it ends here.
        if let Err(back) = done.send(old) {
            back.0.end();
        }
        self.show();
    }

    fn show(&self) {
        let id = self.worker.process_id().unwrap_or(0);
        self.slot.process_id.store(id, Ordering::Relaxed);
        self.slot.busy.store(self.held.len(), Ordering::Relaxed);
    }

    /// Gives an object to the worker, unless nobody waits for it any more.
    fn begin(&mut self, mut ticket: Ticket) {
        if ticket.tell.is_closed() {
            return;
        }
        let began = Instant::now();
        let file = match ticket.object.file.try_clone() {
            Ok(file) => file,
            Err(error) => {
                let report = Report::failed(format!("no descriptor left: {error}"));
                return self.tell(ticket, report, None, began);
            }
        };
        self.next_id = self.next_id.wrapping_add(1);
        let request = ScanRequest {
            id: self.next_id,
            name: std::mem::take(&mut ticket.object.name),
            limits: self.limits(&ticket, began),
            options: self.options(&ticket),
        };
        let size = ticket.object.size;
        self.held.insert(self.next_id, Held { ticket, began });
        self.worker.submit(Job { request, file, size });
    }

    /// Returns limits other than the usual ones.
    fn limits(&self, ticket: &Ticket, now: Instant) -> Option<Box<Limits>> {
        let usual = ticket.choice.limits.as_deref().unwrap_or(&self.generation.worker.limits);
        let left = ticket.choice.deadline.map(|all| {
            let left = all.saturating_sub(between(ticket.since, now)).max(LEAST_TIME);
            u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
        });
        match left.filter(|left| *left < usual.deadline_ms) {
            Some(deadline_ms) => Some(Box::new(Limits { deadline_ms, ..usual.clone() })),
            None => ticket.choice.limits.as_deref().cloned().map(Box::new),
        }
    }

    /// Returns options other than the usual ones.
    fn options(&self, ticket: &Ticket) -> Option<Box<ScanOptions>> {
        let usual = &self.generation.worker.options;
        let all_match = ticket.choice.all_match || usual.all_match;
        let full_tree = ticket.choice.full_tree || usual.full_tree;
        let other = all_match != usual.all_match || full_tree != usual.full_tree;
        other.then(|| Box::new(ScanOptions { all_match, full_tree, ..usual.clone() }))
    }

    fn finish(&mut self, answered: hf_worker::Answer) {
        let hf_worker::Answer { job, report, death } = answered;
        let Some(Held { mut ticket, began }) = self.held.remove(&job.request.id) else { return };
        ticket.object.name = job.request.name;
        if let (Some(death), Some(observer)) = (&death, &self.service.setup.observer) {
            observer.worker_died(&ticket.object.name, death);
        }
        if death.as_ref().is_some_and(Death::is_from_outside) && ticket.tries_left > 0 {
            // Somebody killed the worker, perhaps before it had the object at all.
            ticket.tries_left = ticket.tries_left.saturating_sub(1);
            return self.begin(ticket);
        }
        self.tell(ticket, report, death, began);
    }

    fn tell(&self, ticket: Ticket, report: Report, death: Option<Death>, began: Instant) {
        let report = Arc::new(report);
        if let Some(key) = self.service.key(&ticket.object, &ticket.choice, &self.generation)
            && death.is_none()
        {
            self.service.cache.keep(key, &report);
        }
        let identity = Arc::clone(&self.generation.identity);
        let mut answer = answer(report, ticket.choice.all_match, identity);
        answer.death = death;
        answer.size = ticket.object.size;
        answer.waited = between(ticket.since, began);
        answer.took = began.elapsed();
        // Who waited too long has been told so, and that is what counts.
        if !ticket.tell.is_closed() {
            self.service.tell_all(&ticket.client, &ticket.object.name, &answer);
        }
        answer.file = ticket.choice.keep_file.then_some(ticket.object.file);
        // The client may have gone.
        let _ = ticket.tell.send(answer);
    }
}

/// Ours: an object whose time is nearly over is still given this much.
const LEAST_TIME: Duration = Duration::from_millis(1);
