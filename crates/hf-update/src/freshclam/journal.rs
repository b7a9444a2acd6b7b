//! Where lines go: standard output, standard error, a file, the system's log; each in ClamAV's form.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::Settings;
use crate::clamav::{Level, Voice};
use crate::store::time;

/// Where lines go.
pub(super) struct Journal<'a> {
    ctime: &'a dyn Fn(u64) -> String,
    file: Option<File>,
    path: Option<PathBuf>,
    max_bytes: u64,
    rotate: bool,
    syslog: Option<(UnixDatagram, u32)>,
    times: bool,
    verbose: bool,
    quiet: bool,
    warnings: bool,
    all_to_stdout: bool,
    /// A process in the background has no terminal to talk to.
    pub(super) to_terminal: bool,
}

impl<'a> Journal<'a> {
    pub(super) fn open(
        settings: &Settings,
        ctime: &'a dyn Fn(u64) -> String,
    ) -> Result<Self, String> {
        let mut journal = Self {
            ctime,
            file: None,
            path: settings.text("UpdateLogFile").map(PathBuf::from),
            max_bytes: settings.number("LogFileMaxSize"),
            rotate: settings.on("LogRotate"),
            syslog: None,
            times: settings.on("LogTime"),
            verbose: settings.on("LogVerbose") || settings.on("Debug"),
            quiet: settings.on("quiet"),
            warnings: !settings.on("no-warnings"),
            all_to_stdout: settings.on("stdout"),
            to_terminal: !super::daemon::is_background(),
        };
        journal.reopen()?;
        if settings.on("LogSyslog") {
            let facility = facility(settings.text("LogFacility").unwrap_or_default())?;
            let socket = UnixDatagram::unbound().and_then(|socket| {
                socket.connect("/dev/log")?;
                Ok(socket)
            });
            // A machine without a system's log is told, and served all the same.
            match socket {
                Ok(socket) => journal.syslog = Some((socket, facility)),
                Err(err) => journal.say(Level::Warning, &format!("LogSyslog: /dev/log: {err}")),
            }
        }
        Ok(journal)
    }

    /// Opens the log file anew, as after a rotation.
    pub(super) fn reopen(&mut self) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
        self.file = Some(
            opened.map_err(|err| format!("Can't open {} in append mode: {err}", path.display()))?,
        );
        Ok(())
    }

    /// Draws the line between two runs, which is only in the file.
    pub(super) fn rule(&mut self) {
        self.write_to_file("--------------------------------------");
    }

    fn write_to_file(&mut self, text: &str) {
        let Some(path) = self.path.clone() else { return };
        let Some(file) = &self.file else { return };
        let full =
            self.max_bytes > 0 && file.metadata().is_ok_and(|meta| meta.len() > self.max_bytes);
        if full && self.rotate {
            let mut aside = path.clone().into_os_string();
            aside.push(format!("-{}", time::to_iso(time::now()).replace([':', '-'], "")));
            if fs::rename(&path, aside).is_ok() {
                let _ = self.reopen();
            }
        } else if full {
            // As documented: what is over the size is not logged any more.
            eprintln!("LOGGING DISABLED (Maximal log file size exceeded).");
            self.file = None;
            return;
        }
        let stamp = self.stamp();
        if let Some(file) = &mut self.file {
            let _ = writeln!(file, "{stamp}{text}");
        }
    }

    fn stamp(&self) -> String {
        match self.times {
            true => format!("{} -> ", (self.ctime)(time::now())),
            false => String::new(),
        }
    }
}

impl Voice for Journal<'_> {
    fn say(&mut self, level: Level, text: &str) {
        // What comes from a peer must not forge lines or move the cursor.
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let (word, told) = match level {
            Level::Verbose => ("", self.verbose),
            Level::Info => ("", true),
            Level::Warning => ("WARNING: ", self.warnings),
            Level::Error => ("ERROR: ", true),
        };
        if !told {
            return;
        }
        self.write_to_file(&format!("{word}{text}"));
        if let Some((socket, facility)) = &self.syslog {
            let severity = match level {
                Level::Error => 3,
                Level::Warning => 4,
                Level::Info | Level::Verbose => 6,
            };
            let line =
                format!("<{}>freshclam[{}]: {word}{text}", facility | severity, std::process::id());
            let _ = socket.send(line.as_bytes());
        }
        if !self.to_terminal || (self.quiet && level != Level::Error) {
            return;
        }
        let line = format!("{word}{}{text}\n", self.stamp());
        let _ = match level {
            Level::Warning | Level::Error if !self.all_to_stdout => {
                std::io::stderr().write_all(line.as_bytes())
            }
            _ => std::io::stdout().write_all(line.as_bytes()),
        };
    }
}

/// Returns the number of a facility. Source: syslog(3).
fn facility(name: &str) -> Result<u32, String> {
    let names = [
        ("LOG_USER", 1),
        ("LOG_MAIL", 2),
        ("LOG_DAEMON", 3),
        ("LOG_AUTH", 4),
        ("LOG_SYSLOG", 5),
        ("LOG_LPR", 6),
        ("LOG_NEWS", 7),
        ("LOG_UUCP", 8),
        ("LOG_CRON", 9),
        ("LOG_AUTHPRIV", 10),
        ("LOG_FTP", 11),
        ("LOG_LOCAL0", 16),
        ("LOG_LOCAL1", 17),
        ("LOG_LOCAL2", 18),
        ("LOG_LOCAL3", 19),
        ("LOG_LOCAL4", 20),
        ("LOG_LOCAL5", 21),
        ("LOG_LOCAL6", 22),
        ("LOG_LOCAL7", 23),
    ];
    let found = names.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, number)| number << 3)
        .ok_or_else(|| format!("LogFacility: {name}: No such facility."))
}
