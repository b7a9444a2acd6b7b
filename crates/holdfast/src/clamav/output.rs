//! Where the lines of a program under one of ClamAV's names go.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::parse::Parsed;

/// Where lines go: standard output, standard error and a log file.
///
/// With `--quiet` standard output is for nobody; the log still gets everything.
#[derive(Debug)]
pub(crate) struct Output {
    log: Option<File>,
    to_stdout: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn open(parsed: &Parsed) -> Result<Self, String> {
        let log = match parsed.text("log") {
            None => None,
            Some(path) => {
                let opened = File::options().append(true).create(true).open(path);
                Some(opened.map_err(|error| {
                    let why = error.to_string();
                    let why = why.split(" (os error").next().unwrap_or_default();
                    format!("ERROR: Failed to open log file {}: {why}", path.display())
                })?)
            }
        };
        Ok(Self { log, to_stdout: parsed.on("stdout"), quiet: parsed.on("quiet") })
    }

    /// Standard output without a log.
    pub(crate) fn plain() -> Self {
        Self { log: None, to_stdout: false, quiet: false }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if !self.quiet {
            // A reader that went away ends the program's purpose, not the scan of what follows.
            let _ = io::stdout().lock().write_all(bytes);
        }
    }

    pub(crate) fn raw_and_log(&mut self, bytes: &[u8]) {
        self.raw(bytes);
        self.log(bytes);
    }

    /// Only for the log.
    pub(crate) fn log(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            let _ = log.write_all(bytes);
        }
    }

    pub(crate) fn line(&mut self, line: &[u8]) {
        self.raw_and_log(&[line, b"\n"].concat());
    }

    /// Clean files are not in the log.
    pub(crate) fn clean(&mut self, path: &Path) {
        self.raw(&[path.as_os_str().as_bytes(), b": OK\n"].concat());
    }

    pub(crate) fn about(&mut self, path: &Path, text: &str) {
        self.line(&[path.as_os_str().as_bytes(), b": ", text.as_bytes()].concat());
    }

    pub(crate) fn warn(&mut self, line: &str) {
        if self.quiet {
            if let Some(log) = &mut self.log {
                let _ = writeln!(log, "{line}");
            }
        } else {
            self.error(line);
        }
    }

    /// Errors are told even with `--quiet`.
    pub(crate) fn error(&mut self, line: &str) {
        if self.to_stdout {
            let _ = writeln!(io::stdout().lock(), "{line}");
        } else {
            errln!("{line}");
        }
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{line}");
        }
    }
}
