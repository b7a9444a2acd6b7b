//! Workers for a run, and what the commands share around them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use hf_core::{Limits, ScanOptions};
use hf_worker::{SpawnError, Worker, WorkerConfig};
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use rustix::fs::{Mode, OFlags};

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
        match Worker::spawn(Arc::clone(&config)) {
            Ok(worker) => workers.push(worker),
            // Fewer are slower, and do the same.
            Err(error) => {
                let (got, why) = (workers.len().saturating_sub(1).max(1), chain(&error));
                errln!("holdfast: warning: {got} workers instead of {count}: {why}");
                // What the last one holds is needed for files.
                workers.truncate(got);
                break;
            }
        }
    }
    Ok(workers)
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Tells what a worker left out of the content, which is YARA rules; without `keep_going` that is the end.
///
/// # Errors
/// The content is refused.
pub(crate) fn rules_or_refusal(workers: &[Worker], keep_going: bool) -> anyhow::Result<()> {
    let warnings = workers.first().map(Worker::warnings).unwrap_or_default();
    if !warnings.is_empty() && !keep_going {
        let told = warnings.join("\n");
        anyhow::bail!("{told}\nmalformed YARA rules: --keep-going leaves them out");
    }
    warnings.iter().for_each(|text| errln!("holdfast: warning: {text}"));
    Ok(())
}

/// Returns how many workers are used when the user does not say.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns standard input as a file that can be passed to a worker: what is short in memory, what is long
/// in a nameless file in the folder for temporary files. No more is read than one byte beyond the limit
/// for objects, by which the worker sees that something is missing.
///
/// # Errors
/// It cannot be read, or there is no room for it.
pub(crate) fn standard_input(max_object_bytes: u64) -> io::Result<File> {
    let mut input = io::stdin().lock().take(max_object_bytes.saturating_add(1));
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("stdin", flags)?);
    let short = io::copy(&mut input.by_ref().take(IN_MEMORY_MAX), &mut file)? < IN_MEMORY_MAX;
    if short {
        return Ok(file);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    // Without such a folder all stays in memory.
    if let Ok(spill) = rustix::fs::open(std::env::temp_dir(), flags, mode) {
        let mut spill = File::from(spill);
        file.rewind()?;
        io::copy(&mut file, &mut spill)?;
        file = spill;
    }
    io::copy(&mut input, &mut file)?;
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
            format!("bad regular expression '{text}': {why}")
        })
}

/// Ours: longer input is kept on disk.
const IN_MEMORY_MAX: u64 = 64 << 20;

/// Bytes that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 20;
