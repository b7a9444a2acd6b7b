//! Handing events to sinks without ever waiting for one.
//!
//! Each sink has its thread and its bounded queue. A full queue loses the event; how many were lost is told to the sink
//! when it takes again, and to the caller at the end.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{ConfigError, EventsConfig};
use crate::desktop::Desktop;
use crate::event::{Event, Kind};
use crate::hook::Hook;
use crate::journal::Journal;
use crate::json_lines::JsonLines;
use crate::syslog::Syslog;

/// Takes events, in its own thread, at its own pace.
pub trait Sink: Send {
    /// Takes one.
    ///
    /// # Errors
    /// It could not be told; it is not told again.
    fn deliver(&mut self, event: &Event) -> io::Result<()>;

    /// Returns whether it takes this event.
    fn wants(&self, event: &Event) -> bool {
        let _ = event;
        true
    }
}

/// All sinks. Dropping it leaves them to end on their own; [`Events::finish`] waits for them.
#[derive(Debug)]
pub struct Events {
    feeds: Vec<Feed>,
    ended: Mutex<Receiver<usize>>,
}

#[derive(Debug)]
struct Feed {
    name: String,
    sender: SyncSender<Arc<Event>>,
    counts: Arc<Counts>,
    threads: usize,
}

#[derive(Debug, Default)]
struct Counts {
    /// Lost since the sink was last told.
    untold: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// What a sink did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The sink.
    pub sink: String,
    /// Events lost because its queue was full.
    pub lost: u64,
    /// Events that it could not tell.
    pub failed: u64,
    /// Why, the last time; for people.
    pub last_error: Option<String>,
    /// It was still at work when the patience of the caller ended.
    pub unfinished: bool,
}

type MakeSink = Box<dyn Fn() -> Box<dyn Sink>>;

impl Events {
    /// Starts the sinks that a configuration asks for.
    ///
    /// # Errors
    /// The configuration cannot be done, or there is no thread left.
    pub fn start(config: &EventsConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let mut sinks: Vec<(String, usize, MakeSink)> = Vec::new();
        if config.journal {
            sinks.push(("journal".to_owned(), 1, Box::new(|| Box::new(Journal::default()))));
        }
        if let Some(syslog) = config.syslog.clone() {
            let make = move || Box::new(Syslog::new(syslog.clone())) as Box<dyn Sink>;
            sinks.push(("syslog".to_owned(), 1, Box::new(make)));
        }
        if let Some(path) = config.json.clone() {
            let make = move || Box::new(JsonLines::new(&path)) as Box<dyn Sink>;
            sinks.push(("json".to_owned(), 1, Box::new(make)));
        }
        if config.desktop {
            sinks.push(("desktop".to_owned(), 1, Box::new(|| Box::new(Desktop::default()))));
        }
        for hook in &config.hook {
            let name = format!("hook {}", hook.command.first().map_or("", String::as_str));
            let (hook, threads) = (hook.clone(), hook.concurrency);
            let make = move || Box::new(Hook::new(hook.clone())) as Box<dyn Sink>;
            sinks.push((name, threads, Box::new(make)));
        }
        Self::of(config.queue, sinks)
            .map_err(|error| ConfigError { key: "threads".to_owned(), why: error.to_string() })
    }

    /// Starts sinks of the caller's, for programs that have their own and for tests.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn with_sinks(queue: usize, sinks: Vec<(String, Box<dyn Sink>)>) -> io::Result<Self> {
        let (ends, ended) = mpsc::channel();
        let mut feeds = Vec::new();
        for (number, (name, sink)) in sinks.into_iter().enumerate() {
            feeds.push(Feed::start(name, queue, vec![sink], (number, ends.clone()))?);
        }
        Ok(Self { feeds, ended: Mutex::new(ended) })
    }

    fn of(queue: usize, sinks: Vec<(String, usize, MakeSink)>) -> io::Result<Self> {
        let (ends, ended) = mpsc::channel();
        let mut feeds = Vec::new();
        for (number, (name, threads, make)) in sinks.into_iter().enumerate() {
            let sinks = (0..threads).map(|_| make()).collect();
            feeds.push(Feed::start(name, queue, sinks, (number, ends.clone()))?);
        }
        Ok(Self { feeds, ended: Mutex::new(ended) })
    }

    /// Tells an event; never waits.
    pub fn tell(&self, event: Event) {
        let event = Arc::new(event);
        self.feeds.iter().for_each(|feed| feed.send(&event));
    }

    /// Waits until everything is told, at most so long, and says what was not.
    #[must_use]
    pub fn finish(self, patience: Duration) -> Vec<Trouble> {
        let end = Instant::now().checked_add(patience);
        let mut left: Vec<usize> = self.feeds.iter().map(|feed| feed.threads).collect();
        let feeds: Vec<(String, Arc<Counts>)> =
            self.feeds.into_iter().map(|feed| (feed.name, feed.counts)).collect();
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        while left.iter().any(|threads| *threads > 0) {
            let wait = end.map_or(patience, |end| end.saturating_duration_since(Instant::now()));
            match ended.recv_timeout(wait) {
                Ok(number) => {
                    if let Some(threads) = left.get_mut(number) {
                        *threads = threads.saturating_sub(1);
                    }
                }
                Err(_) => break,
            }
        }
        let troubles = feeds.into_iter().zip(left).map(|((sink, counts), threads)| Trouble {
            sink,
            lost: counts.lost.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            last_error: counts.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            unfinished: threads > 0,
        });
        troubles.filter(|at| at.lost > 0 || at.failed > 0 || at.unfinished).collect()
    }
}

impl Feed {
    fn start(
        name: String,
        queue: usize,
        sinks: Vec<Box<dyn Sink>>,
        (number, ends): (usize, mpsc::Sender<usize>),
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let counts = Arc::new(Counts::default());
        let threads = sinks.len();
        for sink in sinks {
            let (receiver, counts, ends) =
                (Arc::clone(&receiver), Arc::clone(&counts), ends.clone());
            std::thread::Builder::new().name("events".to_owned()).spawn(move || {
                run(sink, &receiver, &counts);
                // Nobody may be waiting any more.
                let _ = ends.send(number);
            })?;
        }
        Ok(Self { name, sender, counts, threads })
    }

    fn send(&self, event: &Arc<Event>) {
        match self.sender.try_send(Arc::clone(event)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.counts.untold.fetch_add(1, Ordering::Relaxed);
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn run(mut sink: Box<dyn Sink>, receiver: &Mutex<Receiver<Arc<Event>>>, counts: &Counts) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(event) = next else { return };
        let untold = counts.untold.swap(0, Ordering::Relaxed);
        if untold > 0 {
            let lost = Event::now(event.source, Kind::Dropped { count: untold });
            deliver(sink.as_mut(), &lost, counts);
        }
        deliver(sink.as_mut(), &event, counts);
    }
}

fn deliver(sink: &mut dyn Sink, event: &Event, counts: &Counts) {
    if !sink.wants(event) {
        return;
    }
    if let Err(error) = sink.deliver(event) {
        counts.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = counts.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_string());
    }
}
