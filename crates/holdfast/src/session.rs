//! Workers for a run, and what the commands share around them.

use std::fs::File;
use std::io;
use std::sync::Arc;

use hf_core::{Limits, ScanOptions};
use hf_worker::{SpawnError, Worker, WorkerConfig};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use crate::content::Content;

/// Returns how a worker is started for this content.
///
/// # Errors
/// The system has no descriptor or memory left.
pub(crate) fn worker_config(
    content: &Content,
    limits: &Limits,
    options: &ScanOptions,
) -> io::Result<WorkerConfig> {
    Ok(WorkerConfig {
        limits: limits.clone(),
        options: options.clone(),
        packs: content.packs_for_workers()?,
        ..WorkerConfig::default()
    })
}

/// Starts workers.
///
/// # Errors
/// One could not be started; the text is for people.
pub(crate) fn workers(config: WorkerConfig, count: usize) -> Result<Vec<Worker>, SpawnError> {
    let config = Arc::new(config);
    let first = Worker::spawn(Arc::clone(&config))?;
    let mut workers = vec![first];
    while workers.len() < count.max(1) {
        workers.push(Worker::spawn(Arc::clone(&config))?);
    }
    Ok(workers)
}

/// Returns how many workers are used when the user does not say.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns standard input as a file that can be passed to a worker.
///
/// # Errors
/// It cannot be read, or there is no memory for it.
pub(crate) fn standard_input() -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("stdin", flags)?);
    io::copy(&mut io::stdin().lock(), &mut file)?;
    Ok(file)
}

/// Compiles an extended regular expression over the bytes of a path.
///
/// # Errors
/// It is not one; the text names it.
pub(crate) fn path_regex(text: &str) -> Result<Regex, String> {
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    Regex::builder()
        .syntax(syntax)
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(REGEX_BYTES)))
        .build(text)
        .map_err(|error| {
            let why = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
            format!("ERROR: bad regular expression '{text}': {why}")
        })
}

/// Bytes that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;
