//! How workers are started, and why one could not be.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use hf_core::{Limits, ScanOptions};
use hf_ipc::{Confinement, Pack, Setup};

use crate::Death;

/// How a worker is started and treated.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The program; it must call [`crate::run_worker`] when [`crate::is_worker`] says so.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Limits of every scan, unless a job says otherwise.
    pub limits: Limits,
    /// Options of every scan, unless a job says otherwise.
    pub options: ScanOptions,
    /// Packs with their descriptors, which every worker maps.
    pub packs: Vec<(Pack, Arc<File>)>,
    /// Bytes of memory for scanning, beyond what packs and rules take.
    pub memory_bytes: u64,
    /// What happens when the kernel lacks a mechanism.
    pub confinement: Confinement,
    /// Handed to the scanner's maker as it is.
    pub extra: Vec<u8>,
    /// Milliseconds until a worker must be ready.
    pub start_ms: u64,
    /// Milliseconds beyond [`Limits::deadline_ms`] after which a worker is killed.
    pub grace_ms: u64,
    /// Objects after which a worker is replaced by a fresh one, which bounds for how long an object
    /// that took a worker over could lie about others; none for never. A start costs about a
    /// millisecond, and whatever the scanner needs to be built.
    pub objects_max: Option<u64>,
    /// Most objects that wait in one worker. 1 answers each as soon as possible; more keep the
    /// worker busy when objects are many and small.
    pub pipeline: usize,
    /// Bytes of objects that wait in one worker, so that nothing queues behind a large one.
    pub pipeline_bytes: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            args: vec![OsString::from(crate::child::WORKER_ARG)],
            limits: Limits::default(),
            options: ScanOptions::default(),
            packs: Vec::new(),
            memory_bytes: 2 << 30,
            confinement: Confinement::Required,
            extra: Vec::new(),
            start_ms: 120_000,
            grace_ms: 5_000,
            objects_max: None,
            pipeline: 32,
            pipeline_bytes: 1 << 20,
        }
    }
}

impl WorkerConfig {
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            limits: self.limits.clone(),
            options: self.options.clone(),
            packs: self.packs.iter().map(|(pack, _)| pack.clone()).collect(),
            memory_bytes: self.memory_bytes,
            confinement: self.confinement,
            extra: self.extra.clone(),
        }
    }
}

/// A worker could not be started. Never caused by an object.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The system has no process, descriptor or memory left, or does not find the program.
    #[error("cannot start a worker")]
    System(#[source] std::io::Error),
    /// The worker says why it cannot work.
    #[error("worker refused to start: {0}")]
    Refused(String),
    /// The worker ended before it was ready.
    #[error("worker died before it was ready: {0}")]
    Died(Death),
    /// Workers died again and again before they had done anything.
    #[error("workers die as soon as they are started: {0}")]
    Loop(Death),
}
