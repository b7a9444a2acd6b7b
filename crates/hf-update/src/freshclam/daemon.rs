//! The daemon: a round now and then, woken and ended by signals.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::journal::Journal;
use super::{Program, Settings, privileges, round};
use crate::clamav::{Code, Level, VERSION, Voice as _};

/// Says that this process is the one in the background.
const MARK: &str = "HOLDFAST_FRESHCLAM_BACKGROUND";

pub(super) fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the program again without a terminal, and ends.
pub(super) fn to_background(arguments: &[OsString], journal: &mut Journal<'_>) -> u8 {
    let started = Command::new("/proc/self/exe")
        .arg0("freshclam")
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    match started {
        Ok(_) => 0,
        Err(err) => {
            journal.say(Level::Error, &format!("daemonize() failed: {err}"));
            Code::Init.number()
        }
    }
}

/// Runs rounds until a signal ends it.
pub(super) fn run(settings: &Settings, program: Program<'_>, journal: &mut Journal<'_>) -> u8 {
    let checks = settings.number("Checks");
    if !(1..=50).contains(&checks) {
        journal.say(Level::Error, "Number of checks must be between 1 and 50.");
        return Code::Configuration.number();
    }
    if !rustix::process::geteuid().is_root()
        && std::env::var_os("HOLDFAST_FRESHCLAM_USER").is_none()
    {
        privileges::write_pid(settings, journal);
    }
    let _ = rustix::process::setsid();
    let (sender, signals) = mpsc::channel();
    let mut wanted = match Signals::new([SIGALRM, SIGUSR1, SIGHUP, SIGTERM, SIGINT]) {
        Ok(wanted) => wanted,
        Err(err) => {
            journal.say(Level::Error, &format!("signals: {err}"));
            return Code::Init.number();
        }
    };
    std::thread::spawn(move || wanted.forever().try_for_each(|signal| sender.send(signal)));
    journal.rule();
    let arch = std::env::consts::ARCH;
    journal.say(
        Level::Info,
        &format!("freshclam daemon {VERSION} (OS: Linux, ARCH: {arch}, CPU: {arch})"),
    );
    let pause = Duration::from_secs(86_400u64.checked_div(checks).unwrap_or(7200));
    let code = loop {
        let ended = round::run(settings, program, journal);
        if let Some(code) = ended.wanted {
            break code;
        }
        if let Some(code @ (Code::Forbidden | Code::Configuration)) = ended.error {
            journal.say(Level::Error, "This is fatal. Retrying later won't help. Exiting now.");
            break code.number();
        }
        let folder = settings.text("DatabaseDirectory").unwrap_or_default();
        if !round::has_any(Path::new(folder)) {
            journal.say(Level::Verbose, "There is no database yet.");
        }
        journal.rule();
        if wait(&signals, pause, journal) {
            break 0;
        }
    };
    journal.say(Level::Info, "Update process terminated");
    if let Some(path) = settings.text("PidFile") {
        // In a folder of root's it stays, as a user cannot remove it.
        let _ = fs::remove_file(path);
    }
    code
}

/// Waits for the next round; true when there shall be none.
fn wait(signals: &mpsc::Receiver<i32>, pause: Duration, journal: &mut Journal<'_>) -> bool {
    let until = std::time::Instant::now().checked_add(pause);
    loop {
        let left =
            until.map_or(pause, |until| until.saturating_duration_since(std::time::Instant::now()));
        match signals.recv_timeout(left) {
            Ok(SIGHUP) => {
                if let Err(why) = journal.reopen() {
                    journal.say(Level::Error, &why);
                }
            }
            Ok(SIGALRM | SIGUSR1) => {
                journal.say(Level::Info, "Received signal: wake up");
                return false;
            }
            Ok(_) => {
                journal.say(Level::Info, "Received signal: terminating");
                return true;
            }
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}
