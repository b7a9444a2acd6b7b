//! `VirusEvent`: a command for each finding.
//!
//! Promises: the object's name reaches the command in its environment only, never its text; of the
//! signature's name only harmless characters take the place of `%v`. One command runs at a time,
//! and a few wait; more are left out, and that is said.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, SyncSender};

use crate::log::Log;

/// What waits to be told.
#[derive(Debug)]
pub(super) struct Events {
    queue: SyncSender<(Vec<u8>, String)>,
    log: Log,
}

impl Events {
    pub(super) fn start(command: String, log: Log) -> Self {
        let (queue, findings) = mpsc::sync_channel::<(Vec<u8>, String)>(WAITING_MAX);
        if command.contains("%f") {
            let why = "names of files are not put into commands; use $CLAM_VIRUSEVENT_FILENAME";
            log.warning(&format!("VirusEvent: %f is not replaced: {why}"));
        }
        let told = log.clone();
        let work = move || {
            for (path, name) in findings {
                run(&command, path, &name, &told);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("events".to_owned()).spawn(work) {
            log.error(&format!("VirusEvent: cannot start a thread: {error}"));
        }
        Self { queue, log }
    }

    pub(super) fn found(&self, path: &[u8], name: &str) {
        if self.queue.try_send((path.to_vec(), name.to_owned())).is_err() {
            self.log
                .warning("VirusEvent: too many findings at once, the command is not run for one");
        }
    }
}

fn run(command: &str, path: Vec<u8>, name: &str, log: &Log) {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let safe: String = name.chars().map(harmless).collect();
    let result = Command::new("/bin/sh")
        .arg("-c")
        .arg(command.replace("%v", &safe))
        .env("CLAM_VIRUSEVENT_FILENAME", OsString::from_vec(path))
        .env("CLAM_VIRUSEVENT_VIRUSNAME", name)
        .stdin(Stdio::null())
        .status();
    match result {
        Ok(status) if status.success() => {}
        Ok(status) => log.warning(&format!("VirusEvent: the command ended with {status}")),
        Err(error) => log.error(&format!("VirusEvent: cannot run the command: {error}")),
    }
}

/// Ours.
const WAITING_MAX: usize = 256;
