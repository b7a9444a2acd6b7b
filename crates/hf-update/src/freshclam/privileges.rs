//! As root: makes the folder of databases, gives it to its owner, and goes on as that user.
//!
//! Going on is starting the same program again in the same process (`exec`), with the user's identity and no further
//! groups: nothing that root opened stays open.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::Settings;
use super::journal::Journal;
use crate::clamav::{Code, Level, Voice as _};

/// Says that privileges were given up already.
const MARK: &str = "HOLDFAST_FRESHCLAM_USER";

/// True for the program that goes on as the user.
pub(super) fn are_given_up() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Gives up what is not needed; returns when there is nothing to give up.
///
/// # Errors
/// The exit code.
pub(super) fn give_up(
    arguments: &[OsString],
    settings: &Settings,
    journal: &mut Journal<'_>,
) -> Result<(), u8> {
    let root = rustix::process::geteuid().is_root();
    let folder = Path::new(settings.text("DatabaseDirectory").unwrap_or_default());
    if !root || are_given_up() {
        return usable(folder, journal);
    }
    if settings.on("daemon") {
        write_pid(settings, journal);
    }
    let owner = settings.text("DatabaseOwner").unwrap_or_default();
    let Some((uid, gid)) = user(owner) else {
        journal.say(Level::Warning, &format!("Can't get information about user {owner}."));
        journal.say(Level::Error, &format!("Can't get information about user {owner}."));
        journal.say(Level::Error, &format!("Failed to switch to {owner} user."));
        journal.say(Level::Error, "Initialization error!");
        return Err(Code::Init.number());
    };
    if !folder.exists() {
        journal.say(
            Level::Info,
            &format!("Creating missing database directory: {}", folder.display()),
        );
        if let Err(err) = fs::create_dir_all(folder) {
            journal.say(Level::Error, &format!("Can't create {}: {err}", folder.display()));
            return Err(Code::Folder.number());
        }
        if chown(folder, Some(uid), Some(gid)).is_ok() {
            journal.say(
                Level::Info,
                &format!("Assigned ownership of database directory to user \"{owner}\"."),
            );
        }
    }
    // What this run as root has made must be writable by whom it goes on as.
    if let Some(log) = settings.text("UpdateLogFile")
        && fs::metadata(log).is_ok_and(|meta| meta.is_file() && meta.uid() == 0)
    {
        let _ = chown(log, Some(uid), None);
    }
    if uid == 0 {
        return usable(folder, journal);
    }
    let err = Command::new("/proc/self/exe")
        .arg0("freshclam")
        .args(arguments)
        .env(MARK, owner)
        .uid(uid)
        .gid(gid)
        .exec();
    journal.say(Level::Error, &format!("Failed to switch to {owner} user: {err}"));
    Err(Code::Init.number())
}

fn usable(folder: &Path, journal: &mut Journal<'_>) -> Result<(), u8> {
    let access =
        rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::READ_OK);
    match access {
        Ok(()) if folder.is_dir() && folder.is_absolute() => Ok(()),
        Ok(()) => {
            journal.say(
                Level::Error,
                &format!(
                    "Database directory must be an absolute path to a folder: {}",
                    folder.display()
                ),
            );
            Err(Code::Folder.number())
        }
        Err(errno) => {
            journal.say(
                Level::Error,
                &format!("Can't access database directory {}: {errno}", folder.display()),
            );
            Err(Code::Access.number())
        }
    }
}

/// Writes the daemon's number into its file.
pub(super) fn write_pid(settings: &Settings, journal: &mut Journal<'_>) {
    let Some(path) = settings.text("PidFile") else { return };
    if let Err(err) = fs::write(path, format!("{}\n", std::process::id())) {
        journal.say(Level::Warning, &format!("Can't save PID in file {path}: {err}"));
    }
}

/// Returns a user's number and group: from the system's file, else from whatever the system asks (`getent`).
fn user(name: &str) -> Option<(u32, u32)> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let known = fs::read_to_string("/etc/passwd").ok();
    let known = known.and_then(|text| text.lines().find_map(of_line));
    known.or_else(|| {
        let plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte));
        let asked = Command::new("getent").args(["passwd", "--", name]).output();
        let output = asked.ok().filter(|output| plain && output.status.success())?;
        String::from_utf8_lossy(&output.stdout).lines().find_map(of_line)
    })
}
