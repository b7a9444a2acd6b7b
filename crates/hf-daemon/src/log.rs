//! Where the service says what happens: the program gives a function, so that it may be a file,
//! syslog, the journal or a test.
//!
//! Promises: cheap to clone; a line is one line (what strangers named is escaped before it is here).

use std::fmt;
use std::sync::Arc;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For somebody who looks for the reason of something.
    Detail,
    /// What happens.
    Info,
    /// Something an operator should look at.
    Warning,
    /// Something does not work.
    Error,
}

/// A place for lines.
#[derive(Clone)]
pub struct Log(Arc<Write>);

type Write = dyn Fn(Severity, &str) + Send + Sync;

impl Log {
    /// Makes one of a function, which is called from many threads and must not wait long.
    #[must_use]
    pub fn new(write: impl Fn(Severity, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// A place where nothing is kept.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(|_, _| {})
    }

    /// Writes a line. Control characters are escaped, so that no name can forge another line.
    pub fn line(&self, severity: Severity, text: &str) {
        if text.chars().any(char::is_control) {
            (self.0)(severity, &one_line(text));
        } else {
            (self.0)(severity, text);
        }
    }

    /// Writes what happens.
    pub fn info(&self, text: &str) {
        self.line(Severity::Info, text);
    }

    /// Writes something that an operator should look at.
    pub fn warning(&self, text: &str) {
        self.line(Severity::Warning, text);
    }

    /// Writes that something does not work.
    pub fn error(&self, text: &str) {
        self.line(Severity::Error, text);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Log")
    }
}

/// Returns a text whose control characters are escaped (`\n` becomes `\\n`).
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    line
}

/// Returns bytes that strangers chose as one line of text.
#[must_use]
pub fn name_line(name: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_forge_no_lines() {
        assert_eq!(name_line(b"a\nb\x1b[0m"), "a\\nb\\u{1b}[0m");
        assert_eq!(name_line("grün".as_bytes()), "grün");
    }
}
