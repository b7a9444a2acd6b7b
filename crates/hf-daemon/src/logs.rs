//! Where lines go: a file with a bound, syslog, the journal, standard output.
//!
//! Promises: one line is one record, whatever a stranger named an object; a place that does not work
//! is said on standard error, once, and costs no request.
//! Sources: clamd.conf(5); RFC 3164; systemd's "Native Journal Protocol".

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clamd_conf::FACILITIES;
use crate::config::LogConfig;
use crate::log::{Log, Severity};
use crate::words::ctime;

/// The places that a configuration names.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Places>);

#[derive(Debug)]
struct Places {
    config: LogConfig,
    file: Mutex<Option<LogFile>>,
    syslog: Option<Datagrams>,
    journal: Option<Datagrams>,
    /// Standard output, while in the foreground.
    console: bool,
}

#[derive(Debug)]
struct LogFile {
    file: File,
    size: u64,
    /// It was full and may not be begun anew.
    full: bool,
}

#[derive(Debug)]
struct Datagrams {
    socket: UnixDatagram,
    path: &'static str,
}

/// A log file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("Can't open {} in append mode (check permissions!): {error}", path.display())]
pub struct LogError {
    path: PathBuf,
    error: io::Error,
}

impl Logs {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// The file cannot be opened. Syslog and journal may come later.
    pub fn open(config: &LogConfig, console: bool) -> Result<Self, LogError> {
        let file = match &config.file {
            Some(path) => Some(LogFile::open(path, config.unlock)?),
            None => None,
        };
        let datagrams = |wanted: bool, path| {
            wanted.then(|| UnixDatagram::unbound().ok().map(|socket| Datagrams { socket, path }))
        };
        Ok(Self(Arc::new(Places {
            file: Mutex::new(file),
            syslog: datagrams(config.syslog, "/dev/log").flatten(),
            journal: datagrams(config.journal, "/run/systemd/journal/socket").flatten(),
            console,
            config: config.clone(),
        })))
    }

    /// Opens the file anew, after something else has renamed it.
    pub fn reopen(&self) {
        let Some(path) = &self.0.config.file else { return };
        match LogFile::open(path, self.0.config.unlock) {
            Ok(file) => *self.0.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file),
            Err(error) => self.0.write(Severity::Error, &error.to_string()),
        }
    }

    /// Returns what writes to all places.
    #[must_use]
    pub fn log(&self) -> Log {
        let places = Arc::clone(&self.0);
        Log::new(move |severity, text| places.write(severity, text))
    }

    /// Gives the file to the user that the service becomes.
    pub fn give_to(&self, uid: u32, gid: u32) {
        if let Some(file) = &*self.0.file.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = std::os::unix::fs::fchown(&file.file, Some(uid), Some(gid));
        }
    }
}

impl Places {
    fn write(&self, severity: Severity, text: &str) {
        if severity == Severity::Detail && !self.config.verbose {
            return;
        }
        let text = marked(severity, text);
        let text = text.as_str();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let line = if self.config.time {
            format!("{} -> {text}\n", ctime(now))
        } else {
            format!("{text}\n")
        };
        if let Some(file) = &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner) {
            file.write(&line, now, &self.config);
        }
        if self.console {
            let to_error = matches!(severity, Severity::Warning | Severity::Error);
            // Nobody may be reading.
            let _ = if to_error {
                io::stderr().lock().write_all(line.as_bytes())
            } else {
                io::stdout().lock().write_all(line.as_bytes())
            };
        }
        if let Some(syslog) = &self.syslog {
            syslog.send(syslog_record(severity, &self.config.facility, text).as_bytes());
        }
        if let Some(journal) = &self.journal {
            let level = level(severity);
            let record = format!("PRIORITY={level}\nSYSLOG_IDENTIFIER=clamd\nMESSAGE={text}\n");
            journal.send(record.as_bytes());
        }
    }
}

/// Returns a text with the word for its severity, where it has none yet.
fn marked(severity: Severity, text: &str) -> String {
    let word = match severity {
        Severity::Warning if text.contains("WARNING: ") || !text.contains(' ') => "",
        Severity::Error if !text.starts_with("ERROR: ") => "ERROR: ",
        _ => "",
    };
    format!("{word}{text}")
}

fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Info => 6,
        Severity::Detail => 7,
    }
}

fn syslog_record(severity: Severity, facility: &str, text: &str) -> String {
    let facility = FACILITIES.iter().position(|name| *name == facility).unwrap_or(22);
    let priority = facility.saturating_mul(8).saturating_add(usize::from(level(severity)));
    let text: String = text.chars().take(SYSLOG_CHARS).collect();
    format!("<{priority}>clamd[{}]: {text}", std::process::id())
}

impl Datagrams {
    /// Sends without waiting: a log that is not read must not hold up a scan.
    fn send(&self, record: &[u8]) {
        let Ok(address) = rustix::net::SocketAddrUnix::new(self.path) else { return };
        let flags = rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL;
        let _ = rustix::net::sendto(&self.socket, record, flags, &address);
    }
}

impl LogFile {
    fn open(path: &Path, unlocked: bool) -> Result<Self, LogError> {
        let failed = |error| LogError { path: path.to_owned(), error };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
            .open(path)
            .map_err(failed)?;
        if !unlocked {
            let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
            rustix::fs::flock(&file, lock).map_err(|error| failed(error.into()))?;
        }
        let size = file.metadata().map_err(failed)?.len();
        Ok(Self { file, size, full: false })
    }

    fn write(&mut self, line: &str, now: u64, config: &LogConfig) {
        let max = config.file_max_bytes;
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if max > 0 && self.size.saturating_add(len) > max && !self.full {
            let rotated = config.rotate && self.rotate(now, config);
            if !rotated {
                self.full = true;
                let _ = writeln!(self.file, "LOGGING DISABLED (Maximal log file size exceeded).");
            }
        }
        if !self.full && self.file.write_all(line.as_bytes()).is_ok() {
            self.size = self.size.saturating_add(len);
        }
    }

    /// Renames the file and begins a new one.
    fn rotate(&mut self, now: u64, config: &LogConfig) -> bool {
        let Some(path) = &config.file else { return false };
        let time = hf_sys::local_time(i64::try_from(now).unwrap_or(0));
        let mut to = path.as_os_str().to_owned();
        to.push(format!(
            "-{:04}{:02}{:02}_{:02}{:02}{:02}",
            time.year, time.month, time.day, time.hour, time.minute, time.second
        ));
        if std::fs::rename(path, &to).is_err() {
            return false;
        }
        // The old file's lock is its own.
        match Self::open(path, config.unlock) {
            Ok(new) => {
                *self = new;
                true
            }
            Err(_) => false,
        }
    }
}

/// Ours: syslog cuts longer records itself.
const SYSLOG_CHARS: usize = 900;

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(config: LogConfig) -> Logs {
        Logs::open(&config, false).unwrap()
    }

    #[test]
    fn a_full_file_is_rotated_or_given_up() {
        for rotate in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            let file = Some(temp.path().join("log"));
            let config = LogConfig { file, file_max_bytes: 40, rotate, ..LogConfig::default() };
            let log = logs(config).log();
            for _ in 0..3 {
                log.info("twenty bytes of text");
            }
            let files = std::fs::read_dir(temp.path()).unwrap().count();
            assert_eq!(files, if rotate { 2 } else { 1 });
            let text = std::fs::read_to_string(temp.path().join("log")).unwrap();
            assert_eq!(text.contains("LOGGING DISABLED"), !rotate, "{text}");
        }
    }

    #[test]
    fn one_line_is_one_record() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("log");
        let config = LogConfig { file: Some(file.clone()), time: true, ..LogConfig::default() };
        logs(config).log().error("a\nforged");
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with(" -> ERROR: a\\nforged\n"), "{text}");
    }

    #[test]
    fn syslog_records() {
        let record = syslog_record(Severity::Info, "LOG_LOCAL6", "x");
        assert!(record.starts_with("<182>clamd["), "{record}");
    }
}
