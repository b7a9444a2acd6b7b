//! The worker's side: set up, confine, serve.
//!
//! Standard input is the channel, standard output the parent's end of life (nothing is ever read
//! from it or written to it), standard error where last words go.
//! Promises: the scanner is built before the confinement and sees no object before it is complete.
//! A panic is the end of the process: what the panic left half-done meets no further object.

mod object;
mod probes;
mod shrink;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use hf_core::Report;
use hf_ipc::{
    Channel, Confinement, FromWorker, IpcError, Protection, ScanRequest, Setup, ToWorker,
};
use hf_sys::Bounds;

use object::ObjectBuffer;

/// What a worker does with an object.
pub trait Scanner {
    /// Scans one object. The bytes may belong to a file that changes meanwhile.
    fn scan(&mut self, object: &[u8], request: &ScanRequest) -> Report;

    /// Returns what was left out of the content when the scanner was made, for people.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// True when this process was started to be a worker.
#[must_use]
pub fn is_worker() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|arg| arg == WORKER_ARG) && args.next().is_none()
}

/// Is the worker until the parent wants no more. `make` builds the scanner from the packs' files; it
/// runs while the process may still map files, make memory executable and start threads.
pub fn run_worker(
    make: impl FnOnce(Setup, Vec<File>) -> Result<Box<dyn Scanner>, String>,
) -> ExitCode {
    match serve(make) {
        Ok(()) | Err(IpcError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "worker: {error}");
            ExitCode::from(USAGE)
        }
    }
}

type ParentChannel = Channel<FromWorker, ToWorker>;

fn serve(
    make: impl FnOnce(Setup, Vec<File>) -> Result<Box<dyn Scanner>, String>,
) -> Result<(), IpcError> {
    die_at_panic();
    hf_sys::forbidden::note_parent();
    let mut protections = hf_sys::enter(std::io::stdout().as_fd());
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let mut channel = ParentChannel::new(socket.map_err(|_| IpcError::Closed)?);
    let (ToWorker::Setup(setup), packs) = channel.receive(None)? else {
        return Err(IpcError::Malformed("first message"));
    };
    let (confinement, memory_bytes) = (setup.confinement, setup.memory_bytes);
    let scanner = make(*setup, packs.into_iter().map(File::from).collect());
    let mut scanner = match scanner {
        Ok(scanner) => scanner,
        Err(why) => return channel.send(&FromWorker::Refused(why), &[], None),
    };
    if confinement != Confinement::Off {
        let socket = channel.as_fd().as_raw_fd();
        let diagnostics = std::io::stderr().as_fd().as_raw_fd();
        protections.extend(hf_sys::seal(&bounds(memory_bytes), socket, diagnostics));
    }
    if let Some(why) = refusal(confinement, &protections) {
        return channel.send(&FromWorker::Refused(why), &[], None);
    }
    let protections = protections.into_iter().map(told).collect();
    let warnings = bounded(scanner.warnings());
    channel.send(&FromWorker::Ready { protections, warnings }, &[], None)?;
    answer_all(&mut channel, scanner.as_mut())
}

/// Returns as many warnings, each as long, as a message may hold.
fn bounded(mut warnings: Vec<String>) -> Vec<String> {
    let more = warnings.len().saturating_sub(WARNINGS_KEPT);
    warnings.truncate(WARNINGS_KEPT);
    for warning in &mut warnings {
        if let Some((end, _)) = warning.char_indices().nth(WARNING_CHARS) {
            warning.truncate(end);
        }
    }
    if more > 0 {
        warnings.push(format!("and {more} more warnings"));
    }
    warnings
}

fn answer_all(channel: &mut ParentChannel, scanner: &mut dyn Scanner) -> Result<(), IpcError> {
    let mut buffer = ObjectBuffer::default();
    loop {
        let (message, descriptors) = channel.receive(None)?;
        match message {
            ToWorker::Scan(requests) => {
                for (request, descriptor) in requests.iter().zip(descriptors) {
                    let report = scan_one(scanner, &mut buffer, request, descriptor);
                    answer(channel, request.id, report)?;
                }
            }
            ToWorker::Probe(probe) => {
                let result = probes::attempt(&probe).map_err(|error| error.to_string());
                channel.send(&FromWorker::Probed(result), &[], None)?;
            }
            ToWorker::Quit => return Ok(()),
            ToWorker::Setup(_) => return Err(IpcError::Malformed("second set-up")),
        }
    }
}

fn scan_one(
    scanner: &mut dyn Scanner,
    buffer: &mut ObjectBuffer,
    request: &ScanRequest,
    descriptor: OwnedFd,
) -> Report {
    match buffer.read(File::from(descriptor)) {
        Ok(object) => scanner.scan(&object, request),
        Err(why) => Report::failed(why),
    }
}

/// Sends a report; one that is too long loses detail before it loses a hit.
fn answer(channel: &mut ParentChannel, id: u64, report: Report) -> Result<(), IpcError> {
    let mut message = FromWorker::Report { id, report: Box::new(report) };
    for shrink in shrink::STEPS {
        match channel.send(&message, &[], None) {
            Err(IpcError::TooLong) => {}
            other => return other,
        }
        if let FromWorker::Report { report, .. } = &mut message {
            shrink(report);
        }
    }
    channel.send(&message, &[], None)
}

/// Returns why the worker must not work, if it must not.
fn refusal(confinement: Confinement, got: &[hf_sys::Protection]) -> Option<String> {
    if confinement != Confinement::Required {
        return None;
    }
    let missing = got.iter().find(|one| !one.active && REQUIRED.contains(&one.name))?;
    Some(format!("{} is not available: {}", missing.name, missing.detail))
}

fn told(protection: hf_sys::Protection) -> Protection {
    let hf_sys::Protection { name, active, detail } = protection;
    Protection { name: name.to_owned(), active, detail }
}

fn bounds(memory_bytes: u64) -> Bounds {
    Bounds {
        memory_bytes,
        address_bytes: memory_bytes.saturating_add(ADDRESS_BYTES),
        descriptors: DESCRIPTORS,
        cpu_seconds: None,
    }
}

/// Writes one line that the parent understands, and ends the process.
fn die_at_panic() {
    std::panic::set_hook(Box::new(|info| {
        let line = info.to_string().replace('\n', " ");
        let _ = writeln!(std::io::stderr(), "{line}");
        std::process::abort();
    }));
}

/// The argument by which a program knows that it is to be a worker.
pub(crate) const WORKER_ARG: &str = "--worker";

/// Exit code after a broken channel.
const USAGE: u8 = 64;

/// Ours: nobody reads more; one line is added that tells how many were left out.
const WARNINGS_KEPT: usize = FromWorker::WARNINGS_MAX - 1;
const WARNING_CHARS: usize = 2000;

/// Without these a worker is not confined.
const REQUIRED: &[&str] = &[hf_sys::confine::SECCOMP, hf_sys::confine::BOUNDS];

/// Ours: room for maps of large files and for what engines reserve without using it.
const ADDRESS_BYTES: u64 = 1 << 40;

/// Ours: two batches of objects, and what a scanner may have left open.
const DESCRIPTORS: u64 = 256;
