//! What parent and worker say to each other.
//!
//! The parent says [`ToWorker::Setup`] once, the worker answers [`FromWorker::Ready`] or
//! [`FromWorker::Refused`]. Then every request of every [`ToWorker::Scan`] gets one
//! [`FromWorker::Report`], in order. Closing the channel ends the worker.

use std::path::PathBuf;

use hf_core::{Limits, Report, ScanOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A value that travels in one frame.
pub trait Message: Serialize + DeserializeOwned {
    /// Stands in the frame's header, so that the two directions cannot be mixed up.
    const KIND: u8;
    /// Longest payload in bytes.
    const MAX_PAYLOAD_BYTES: usize;
    /// Most descriptors with one frame.
    const MAX_DESCRIPTORS: usize;

    /// Returns what is wrong with a value that could be decoded.
    ///
    /// # Errors
    /// Text for people.
    fn check(&self, descriptors: usize) -> Result<(), &'static str>;
}

/// From parent to worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First message; one descriptor for each pack, in order.
    Setup(Box<Setup>),
    /// At most [`ToWorker::BATCH_MAX`] requests, one descriptor for each, in order.
    Scan(Vec<ScanRequest>),
    /// Try something that must not succeed (self-test).
    Probe(Probe),
    /// End in order.
    Quit,
}

impl ToWorker {
    /// Requests in one message.
    pub const BATCH_MAX: usize = 16;
}

/// Everything that a worker needs to know before it meets an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Limits of every scan, unless a request says otherwise.
    pub limits: Limits,
    /// Options of every scan, unless a request says otherwise.
    pub options: ScanOptions,
    /// The packs, whose descriptors come with this message.
    pub packs: Vec<Pack>,
    /// Bytes of memory that the worker may use beyond what it needs before its first object.
    pub memory_bytes: u64,
    /// How it confines itself.
    pub confinement: Confinement,
    /// Anything more that parent and scanner have agreed on; not interpreted here.
    pub extra: Vec<u8>,
}

/// A compiled content file whose descriptor is passed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pack {
    /// What messages call it.
    pub label: String,
}

/// What a worker does about a mechanism that the kernel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Confinement {
    /// Without the system-call filter it refuses to work.
    #[default]
    Required,
    /// It takes what it gets, and says so.
    Offered,
    /// It gives up only what it gives up at its start (identity, namespaces), and neither filters
    /// calls nor bounds memory: for a debugger, and to prove that the self-test can fail.
    Off,
}

/// One object to scan; its descriptor comes with the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Chosen by the parent, repeated in the answer.
    pub id: u64,
    /// What the object is called, for reports only: raw bytes, may be empty.
    pub name: Vec<u8>,
    /// Replaces [`Setup::limits`].
    pub limits: Option<Box<Limits>>,
    /// Replaces [`Setup::options`].
    pub options: Option<Box<ScanOptions>>,
}

/// Something that a worker must not be able to do, or must not survive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// Open an internet socket.
    OpenSocket,
    /// Open this file.
    OpenFile(PathBuf),
    /// Create this file.
    CreateFile(PathBuf),
    /// Become this program, which ends with a code of its own.
    StartProgram(PathBuf),
    /// Make a copy of itself.
    Fork,
    /// Trace the parent.
    TraceParent,
    /// Signal the parent.
    SignalParent,
    /// Make memory that can be written and run.
    MapExecutable,
    /// Make an io_uring.
    MakeRing,
    /// Use more memory than allowed: this many bytes.
    Memory(u64),
    /// Run for ever.
    Loop,
    /// Panic.
    Panic,
    /// Abort.
    Abort,
    /// Recurse without end.
    OverflowStack,
    /// Read through a null pointer.
    ReadNull,
}

/// From worker to parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// Confined and waiting for objects.
    Ready {
        /// The mechanisms of confinement.
        protections: Vec<Protection>,
        /// What was left out of the content; text for people, not to be believed.
        warnings: Vec<String>,
    },
    /// It cannot work; text for people.
    Refused(String),
    /// The answer to one request.
    Report {
        /// [`ScanRequest::id`].
        id: u64,
        /// What was found.
        report: Box<Report>,
    },
    /// A probe returned: `Ok` means that what must not succeed succeeded.
    Probed(Result<(), String>),
}

impl FromWorker {
    /// Most warnings in one [`FromWorker::Ready`].
    pub const WARNINGS_MAX: usize = 101;
}

/// One mechanism of confinement and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// What it is called.
    pub name: String,
    /// In force.
    pub active: bool,
    /// Its level, or why it is not active; for people.
    pub detail: String,
}

impl Message for ToWorker {
    const KIND: u8 = 1;
    const MAX_PAYLOAD_BYTES: usize = 4 << 20;
    const MAX_DESCRIPTORS: usize = 128;

    fn check(&self, descriptors: usize) -> Result<(), &'static str> {
        let wanted = match self {
            Self::Setup(setup) => setup.packs.len(),
            Self::Scan(requests) if requests.len() > Self::BATCH_MAX => return Err("batch length"),
            Self::Scan(requests) => requests.len(),
            Self::Probe(_) | Self::Quit => 0,
        };
        if wanted == descriptors { Ok(()) } else { Err("number of descriptors") }
    }
}

impl Message for FromWorker {
    const KIND: u8 = 2;
    const MAX_PAYLOAD_BYTES: usize = 32 << 20;
    const MAX_DESCRIPTORS: usize = 0;

    fn check(&self, _descriptors: usize) -> Result<(), &'static str> {
        match self {
            Self::Report { report, .. } => check_report(report),
            Self::Ready { protections, .. } if protections.len() > 64 => {
                Err("number of protections")
            }
            Self::Ready { warnings, .. } if warnings.len() > FromWorker::WARNINGS_MAX => {
                Err("number of warnings")
            }
            _ => Ok(()),
        }
    }
}

/// Parents come before children, and every index is one of an object.
fn check_report(report: &Report) -> Result<(), &'static str> {
    let objects = report.objects.len();
    if objects > Report::OBJECTS_MAX {
        return Err("number of objects");
    }
    let before = |parent: Option<u32>, at: usize| match parent {
        None => at == 0,
        Some(parent) => usize::try_from(parent).is_ok_and(|parent| parent < at),
    };
    if !report.objects.iter().enumerate().all(|(at, node)| before(node.parent, at)) {
        return Err("order of objects");
    }
    // A scan that failed at once has no tree; then 0 stands for the file itself.
    let known =
        |object: u32| object == 0 || usize::try_from(object).is_ok_and(|object| object < objects);
    if !report.hits.iter().all(|hit| known(hit.object)) {
        return Err("object of a hit");
    }
    if !report.unscanned.iter().all(|part| known(part.object)) {
        return Err("object of an unscanned part");
    }
    Ok(())
}
