//! What the guard tells: lines of the log, and findings with their file.
//!
//! Promises: telling never holds up whoever asks; when too much is told, lines are lost and counted.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use hf_quarantine::Identity;

use crate::metrics::Metrics;

/// An infected file that somebody opened, or tried to.
#[derive(Debug)]
pub struct Finding {
    /// Where it is, as the kernel names it.
    pub path: PathBuf,
    /// The file, open for reading: the one that was scanned. Reading it asks nobody.
    pub file: File,
    /// What it was when it was opened, before the scan.
    pub identity: Identity,
    /// Name of what was found.
    pub name: String,
    /// All that was found.
    pub findings: Vec<hf_quarantine::Finding>,
    /// What found it.
    pub content: Arc<[hf_quarantine::Content]>,
    /// The open was denied.
    pub denied: bool,
    /// The process that opened it; 0 when it lives in a namespace that we do not see.
    pub pid: i32,
    /// The program that it ran.
    pub program: Option<PathBuf>,
    /// The user by whose rights it ran.
    pub user: Option<u32>,
    /// The file has no name any more, so that there is nothing to act on.
    pub removed: bool,
}

/// Something else that happened to the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It guards from now on, or no longer.
    Guarding {
        /// It does.
        on: bool,
        /// Why.
        reason: String,
    },
    /// Other content is in use.
    ContentLoaded {
        /// Signatures in it.
        signatures: u64,
    },
    /// Content was refused.
    ContentRefused {
        /// Why.
        reason: String,
    },
    /// A file could not be scanned, or not wholly, and nothing was found in it.
    NotScanned {
        /// Where it is.
        path: PathBuf,
        /// Bytes.
        size: u64,
        /// It could not be scanned at all.
        failed: bool,
        /// Why.
        reason: String,
    },
    /// A worker died over a file.
    WorkerDied {
        /// Where it is.
        path: PathBuf,
        /// How.
        reason: String,
    },
}

/// What is done with what the guard tells: the program's business. One thread calls it.
pub trait Findings: Send {
    /// Takes a finding.
    fn found(&mut self, finding: Finding);
    /// Takes something else that happened.
    fn happened(&mut self, happening: Happening);
    /// Takes a line for people.
    fn line(&mut self, text: &str);
    /// Waits, two seconds at most, until all is told: the guard ends.
    fn finish(&mut self);
}

enum Entry {
    Line(String),
    Found(Box<Finding>),
    Happened(Box<Happening>),
    Flush(SyncSender<()>),
}

/// The guard's end of the log.
#[derive(Clone)]
pub(crate) struct Journal {
    entries: SyncSender<Entry>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Starts the thread that tells. It ends when the last journal is dropped.
    pub(crate) fn start(
        metrics: Arc<Metrics>,
        mut findings: Box<dyn Findings>,
    ) -> std::io::Result<Self> {
        let (entries, told): (_, Receiver<Entry>) = sync_channel(ENTRIES_MAX);
        let tell = move || {
            for entry in told {
                match entry {
                    Entry::Line(text) => findings.line(&text),
                    Entry::Found(finding) => findings.found(*finding),
                    Entry::Happened(happening) => findings.happened(*happening),
                    Entry::Flush(done) => {
                        findings.finish();
                        let _ = done.try_send(());
                    }
                }
            }
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(tell)?;
        Ok(Self { entries, metrics })
    }

    pub(crate) fn line(&self, text: impl Into<String>) {
        self.tell(Entry::Line(text.into()));
    }

    pub(crate) fn found(&self, finding: Finding) {
        self.tell(Entry::Found(Box::new(finding)));
    }

    pub(crate) fn happened(&self, happening: Happening) {
        self.tell(Entry::Happened(Box::new(happening)));
    }

    /// Waits until what was told so far is written, or three seconds are over. Nothing is told afterwards.
    pub(crate) fn flush(&self) {
        let (done, heard) = sync_channel(1);
        self.tell(Entry::Flush(done));
        let _ = heard.recv_timeout(FLUSH_TIME);
    }

    fn tell(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.metrics.lines_lost.add();
        }
    }
}

/// Ours.
const FLUSH_TIME: Duration = Duration::from_secs(3);

/// Ours: a finding holds a descriptor.
const ENTRIES_MAX: usize = 1024;
