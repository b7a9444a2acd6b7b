//! Whether an infected file is really denied, right now: by trying.
//!
//! For each place that the guard says it protects, a nameless file is made there with the EICAR test string,
//! and opened as any program would. Nothing stays behind.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags};
use serde_json::{Value, json};

use super::super::exit;
use crate::display::safe_path;

/// What was found out.
#[derive(Debug)]
pub(crate) struct Told {
    /// Why no guard was asked.
    pub(crate) no_guard: Option<String>,
    /// Infected files are denied, by the guard's word.
    pub(crate) prevention: bool,
    /// Places and what happened there.
    pub(crate) places: Vec<(PathBuf, Outcome)>,
}

/// What happened at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The test file was denied.
    Blocking,
    /// It was opened.
    NotBlocking,
    /// Nobody answered in time.
    NoAnswer,
    /// The guard says that it could not protect it.
    NotGuarded(String),
    /// No test file could be made there.
    NotTried(String),
}

impl Told {
    /// Returns the exit code.
    pub(crate) fn exit(&self) -> u8 {
        let any = |outcome: fn(&Outcome) -> bool| self.places.iter().any(|(_, one)| outcome(one));
        let bad = |one: &Outcome| {
            matches!(one, Outcome::NotBlocking | Outcome::NoAnswer | Outcome::NotGuarded(_))
        };
        if self.no_guard.is_some() || any(bad) {
            exit::ERROR
        } else if any(|one| *one == Outcome::Blocking) {
            exit::CLEAN
        } else {
            exit::INCOMPLETE
        }
    }

    /// Returns all as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let places: Vec<Value> = self
            .places
            .iter()
            .map(|(path, outcome)| {
                let (word, detail) = outcome.words();
                json!({"path": path.to_string_lossy(), "outcome": word, "detail": detail})
            })
            .collect();
        json!({
            "type": "onaccess", "running": self.no_guard.is_none(), "why": self.no_guard,
            "prevention": self.prevention, "places": places,
        })
    }
}

impl Outcome {
    fn words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Blocking => ("blocking", None),
            Self::NotBlocking => ("NOT BLOCKING", None),
            Self::NoAnswer => ("NO ANSWER", None),
            Self::NotGuarded(why) => ("NOT GUARDED", Some(why)),
            Self::NotTried(why) => ("not tried", Some(why)),
        }
    }
}

/// Asks the guard what it protects, and tries.
pub(crate) fn check(socket: &Path) -> Told {
    let mut told = Told { no_guard: None, prevention: false, places: Vec::new() };
    let answer = match hf_onaccess::ask(socket, "status") {
        Ok(answer) => answer,
        Err(error) => {
            told.no_guard = Some(format!("nobody answers on {}: {error}", safe_path(socket)));
            return told;
        }
    };
    if let Some(why) = answer.get("error").and_then(Value::as_str) {
        told.no_guard = Some(why.to_owned());
        return told;
    }
    told.prevention = answer.get("prevention").and_then(Value::as_bool).unwrap_or(false);
    let deadline_ms = answer.get("deadline_ms").and_then(Value::as_u64).unwrap_or(10_000);
    let patience = Duration::from_millis(deadline_ms.saturating_add(5_000));
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut paths: Vec<PathBuf> = Vec::new();
    for mount in list("mounts") {
        let path = mount.get("path").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default();
        match mount.get("error").and_then(Value::as_str) {
            Some(why) => told.places.push((path, Outcome::NotGuarded(why.to_owned()))),
            None => paths.push(path),
        }
    }
    // Where only folders are protected, the rest of their mounts is not.
    let below = list("below");
    if !below.is_empty() {
        paths = below.iter().filter_map(Value::as_str).map(PathBuf::from).collect();
    }
    told.places.extend(paths.into_iter().map(|path| {
        let outcome = attempt(&path, patience);
        (path, outcome)
    }));
    told
}

/// Tries one place.
fn attempt(place: &Path, patience: Duration) -> Outcome {
    let file = match test_file(place) {
        Ok(file) => file,
        Err(error) => return Outcome::NotTried(error.to_string()),
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let (done, result) = mpsc::channel();
    let open = move || drop(done.send(File::open(path)));
    if let Err(error) = std::thread::Builder::new().spawn(open) {
        return Outcome::NotTried(error.to_string());
    }
    match result.recv_timeout(patience) {
        Ok(Err(error)) if error.raw_os_error() == Some(DENIED) => Outcome::Blocking,
        Ok(Ok(_)) => Outcome::NotBlocking,
        Ok(Err(error)) => Outcome::NotTried(error.to_string()),
        Err(_) => {
            // The thread still needs the file.
            std::mem::forget(file);
            Outcome::NoAnswer
        }
    }
}

/// Makes a file without a name.
fn test_file(place: &Path) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let folder = rustix::fs::open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, mode)?;
    let mut file = match rustix::fs::openat(&folder, ".", flags | OFlags::TMPFILE, mode) {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            let name = format!(".holdfast-check-{}", std::process::id());
            let fd =
                rustix::fs::openat(&folder, &name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
            rustix::fs::unlinkat(&folder, &name, AtFlags::empty())?;
            File::from(fd)
        }
        Err(errno) => return Err(errno.into()),
    };
    file.write_all([EICAR_HEAD, EICAR_TAIL].concat().as_bytes())?;
    Ok(file)
}

/// Prints what was found out.
pub(crate) fn print(told: &Told, json: bool) {
    if json {
        outln!("{}", told.to_json());
        return;
    }
    if let Some(why) = &told.no_guard {
        outln!("on-access             NOT RUNNING: {}", crate::display::safe_lines(why));
        return;
    }
    if !told.prevention {
        outln!("on-access             infected files are told, not denied (prevention = false)");
    }
    if told.places.is_empty() {
        outln!("on-access             nothing is protected");
    }
    for (path, outcome) in &told.places {
        let (word, detail) = outcome.words();
        let detail = detail.map(|detail| format!(": {}", crate::display::safe_lines(detail)));
        outln!(
            "on-access             {word:<12} {}{}",
            safe_path(path),
            detail.unwrap_or_default()
        );
    }
}

/// `EPERM`, with which an open is denied.
const DENIED: i32 = 1;

/// The EICAR test string, in two pieces, so that this program is not taken for it.
/// Source: eicar.org, "Anti-Malware Testfile".
const EICAR_HEAD: &str = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STAN";
const EICAR_TAIL: &str = "DARD-ANTIVIRUS-TEST-FILE!$H+H*";
