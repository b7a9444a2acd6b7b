//! `SCAN`, `CONTSCAN`, `MULTISCAN` and `ALLMATCHSCAN`: from a path to its lines.
//!
//! Several files are scanned at once. Their lines are told in the order of the walk, except for
//! `MULTISCAN`, which tells them as they are done.

use std::collections::VecDeque;
use std::sync::Arc;

use hf_core::Verdict;
use hf_sys::users::Identity;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::frame::PathScan;
use super::session::{Framed, Line};
use super::verdict::texts;
use super::walk::{self, Named, Step};
use crate::scan::{Answer, Object};

impl Line {
    /// Scans what is at a path and tells of it.
    pub(super) async fn scan_path(
        self: &Arc<Self>,
        scan: PathScan,
        path: Vec<u8>,
        rights: Option<Identity>,
        framed: Framed,
    ) {
        if scan == PathScan::AllMatches && !self.shared.config.all_match_command {
            let text = "ALLMATCHSCAN command disabled by clamd configuration. ERROR";
            return self.tell(framed, &path, text).await;
        }
        let (steps, walked) = mpsc::channel(STEPS_MAX);
        let started = walk::start(path.clone(), Arc::clone(&self.shared.walk), rights, steps);
        if let Err(error) = started {
            self.shared.log.error(&format!("a walk cannot be started: {error}"));
            return self.tell(framed, &path, "Unspecified error ERROR").await;
        }
        let mut run = Run {
            line: Arc::clone(self),
            scan,
            framed,
            flying: VecDeque::new(),
            parallel: JoinSet::new(),
            found: false,
            failed: false,
            files: 0,
        };
        run.follow(walked, &path).await;
    }

    /// Tells a line about a path.
    pub(super) async fn tell(&self, framed: Framed, path: &[u8], text: &str) {
        let line = [path, b": ", text.as_bytes()].concat();
        self.reply_bytes(framed, std::iter::once(line.as_slice())).await;
    }
}

type Scanned = (Vec<u8>, Answer);

struct Run {
    line: Arc<Line>,
    scan: PathScan,
    framed: Framed,
    /// Files that are being scanned, in the order of the walk.
    flying: VecDeque<JoinHandle<Scanned>>,
    /// For those that are told as they are done.
    parallel: JoinSet<Scanned>,
    found: bool,
    failed: bool,
    files: u64,
}

impl Run {
    async fn follow(&mut self, mut walked: mpsc::Receiver<Step>, path: &[u8]) {
        let mut named = Named::Nothing;
        while let Some(step) = walked.recv().await {
            match step {
                Step::File { path, file, size } => {
                    if self.in_flight() >= FLYING_MAX && !self.land().await {
                        return self.give_up();
                    }
                    self.files = self.files.saturating_add(1);
                    if size == 0 {
                        // Nothing to look at; those of /proc say so too, and may never end.
                        continue;
                    }
                    self.fly(path, Object::sized(file, size));
                }
                // As clamd, which says so only of what is named itself.
                Step::Told { text, path: other, .. }
                    if self.scan == PathScan::Parallel
                        && text.starts_with("Excluded")
                        && other != walk::trimmed(path) => {}
                Step::Told { path, text, log } => {
                    if self.scan != PathScan::Parallel && !self.land_all().await {
                        return self.give_up();
                    }
                    if let Some(log) = log {
                        self.line.shared.log.warning(&log);
                    }
                    self.line.tell(self.framed, &path, &text).await;
                }
                Step::Log(text) => self.line.shared.log.warning(&text),
                Step::End(what) => named = what,
            }
        }
        if !self.land_all().await {
            return self.give_up();
        }
        let ok = match named {
            Named::Nothing => false,
            Named::File => !self.failed,
            // With nothing scanned, MULTISCAN says nothing about folders.
            Named::Folder => self.scan != PathScan::Parallel || self.files > 0,
            Named::Other => true,
        };
        if ok && !self.found {
            self.line.tell(self.framed, walk::trimmed(path), "OK").await;
        }
    }

    fn in_flight(&self) -> usize {
        self.flying.len().saturating_add(self.parallel.len())
    }

    fn fly(&mut self, path: Vec<u8>, mut object: Object) {
        let line = Arc::clone(&self.line);
        let mut choice = line.choice();
        choice.all_match = self.scan == PathScan::AllMatches;
        choice.keep_file = false;
        object.name.clone_from(&path);
        let work = async move {
            let answer = line.shared.service.scan(&line.client, object, choice).await;
            (path, answer)
        };
        if self.scan == PathScan::Parallel {
            self.parallel.spawn(work);
        } else {
            self.flying.push_back(tokio::spawn(work));
        }
    }

    /// Waits for one file and tells of it; false when the walk is to end.
    async fn land(&mut self) -> bool {
        let scanned = match self.flying.pop_front() {
            Some(flying) => Some(flying.await),
            None => self.parallel.join_next().await,
        };
        match scanned {
            Some(Ok(scanned)) => self.tell(scanned).await,
            // A panic has been reported where it happened.
            Some(Err(_)) | None => true,
        }
    }

    async fn land_all(&mut self) -> bool {
        while self.in_flight() > 0 {
            if !self.land().await {
                return false;
            }
        }
        true
    }

    /// Takes back what is still waiting.
    fn give_up(&mut self) {
        self.flying.drain(..).for_each(|flying| flying.abort());
        self.parallel.abort_all();
    }

    /// Tells of a file; false when that is enough.
    async fn tell(&mut self, (path, answer): Scanned) -> bool {
        let line = Arc::clone(&self.line);
        line.shared.told(&answer, |_| path.clone());
        let detected = answer.verdict == Verdict::Detected;
        self.found |= detected;
        self.failed |= answer.verdict == Verdict::Error;
        if matches!(answer.verdict, Verdict::Detected | Verdict::Error) {
            for text in texts(&answer) {
                line.tell(self.framed, &path, &text).await;
            }
        }
        let enough = matches!(self.scan, PathScan::First | PathScan::AllMatches);
        !(detected && enough) && line.is_alive().await
    }
}

/// Ours: steps that a walk is ahead.
const STEPS_MAX: usize = 64;

/// Ours: files of one command that are being scanned.
const FLYING_MAX: usize = 64;
