//! `STATS`: what clamdtop shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Shared;

/// Commands that are being answered.
#[derive(Debug, Default)]
pub(super) struct Running {
    commands: Mutex<BTreeMap<u64, Begun>>,
    next: AtomicU64,
}

/// Its name, when it began, and the path that it names.
type Begun = (&'static str, Instant, Vec<u8>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry<'a>(&'a Running, u64);

impl Running {
    pub(super) fn enter(&self, command: &'static str, path: &[u8]) -> Entry<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let path = path.iter().copied().take(PATH_SHOWN).collect();
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.insert(id, (command, Instant::now(), path));
        Entry(self, id)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut commands = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.remove(&self.1);
    }
}

/// Returns the reply without its end.
pub(super) fn stats(shared: &Shared) -> String {
    let status = shared.service.status();
    let commands = shared.running.commands.lock().unwrap_or_else(PoisonError::into_inner);
    let live = commands.len().max(1);
    let (max, idle) = (shared.config.max_threads.max(live), shared.config.idle_seconds);
    let mut text = format!(
        "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live {live}  idle 0 max {max} idle-timeout \
         {idle}\nQUEUE: {} items\n",
        status.queued
    );
    for (command, since, path) in commands.values().take(COMMANDS_SHOWN) {
        let seconds = since.elapsed().as_secs_f64();
        let path = crate::log::name_line(path);
        let _ = writeln!(text, "\t{command} {seconds:.6} {path}");
    }
    let bytes = status.content.bytes;
    let (whole, part) = (bytes >> 20, (bytes & 0xf_ffff).saturating_mul(1000) >> 20);
    let _ = write!(
        text,
        "\nMEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used \
         {whole}.{part:03}M pools_total {whole}.{part:03}M\nEND"
    );
    text
}

/// Ours: bytes of a path that are shown.
const PATH_SHOWN: usize = 256;

/// Ours: as many as a screen has lines.
const COMMANDS_SHOWN: usize = 256;
