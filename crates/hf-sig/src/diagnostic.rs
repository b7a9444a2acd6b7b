//! What is wrong with a line, said so that its author finds the place: a stable code, the line, a caret.
//!
//! Promises: a code never changes its meaning; the rendered text is pinned by golden files.
//! `docs/diagnostics.md` lists every code of [`codes::ALL`].

use std::{fmt::Write as _, ops::Range};

pub mod codes;

pub use codes::Code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The line, and with it its file, is refused.
    Error,
    /// The line is used, or left out as ClamAV would leave it out.
    Warning,
}

/// A complaint about a place in a database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code.
    pub code: &'static Code,
    /// How bad it is.
    pub severity: Severity,
    /// File as named by the caller.
    pub file: String,
    /// Line from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column of the caret in bytes, from 1; 0 when the whole file is meant.
    pub column: u32,
    /// What is wrong, in one sentence without a full stop.
    pub reason: String,
    /// The line's text around the caret, cut to a screen's width.
    pub line_text: String,
    /// Place of the caret in `line_text`, in characters.
    pub caret: Range<usize>,
}

/// What a grammar says about a line: which rule it breaks and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static Code,
    pub(crate) at: Range<usize>,
    pub(crate) reason: String,
}

impl Diagnostic {
    /// Makes a complaint about a place in a line.
    pub(crate) fn at_line(
        severity: Severity,
        fault: Fault,
        file: &str,
        line: u32,
        text: &[u8],
    ) -> Box<Self> {
        let (line_text, caret) = window(text, &fault.at);
        Box::new(Self {
            code: fault.code,
            severity,
            file: file.to_owned(),
            line,
            column: u32::try_from(fault.at.start.saturating_add(1)).unwrap_or(u32::MAX),
            reason: fault.reason,
            line_text,
            caret,
        })
    }

    /// Makes a complaint about a whole file.
    pub(crate) fn at_file(
        severity: Severity,
        code: &'static Code,
        file: &str,
        reason: impl Into<String>,
    ) -> Box<Self> {
        Box::new(Self {
            code,
            severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            reason: reason.into(),
            line_text: String::new(),
            caret: 0..0,
        })
    }

    /// Returns the complaint as text for a terminal, ending in a line feed.
    #[must_use]
    pub fn render(&self) -> String {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut text = format!("{word}[{}]: {}\n", self.code.id, self.reason);
        if self.line == 0 {
            let _ = writeln!(text, " --> {}", self.file);
        } else {
            let number = self.line.to_string();
            let pad = " ".repeat(number.len());
            let before = " ".repeat(self.caret.start);
            let carets = "^".repeat(self.caret.len().max(1));
            let _ = writeln!(text, "{pad}--> {}:{}:{}", self.file, self.line, self.column);
            let _ = writeln!(text, "{pad} |");
            let _ = writeln!(text, "{number} | {}", self.line_text);
            let _ = writeln!(text, "{pad} | {before}{carets}");
        }
        let _ = writeln!(text, " = help: {}", self.code.help);
        text
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {} [{}]", self.file, self.reason, self.code.id)
        } else {
            let Self { file, line, column, reason, code, .. } = self;
            write!(f, "{file}:{line}:{column}: {reason} [{}]", code.id)
        }
    }
}

/// Characters of a line that are shown around a caret; ours, a terminal's width less the margin.
const SHOWN_BEFORE: usize = 40;
const SHOWN: usize = 88;

/// Returns the bytes around a place as printable text, and the place in it.
fn window(text: &[u8], at: &Range<usize>) -> (String, Range<usize>) {
    let start = if text.len() <= SHOWN { 0 } else { at.start.saturating_sub(SHOWN_BEFORE) };
    let start = start.min(text.len());
    let end = start.saturating_add(SHOWN).min(text.len());
    let mut shown = String::new();
    if start > 0 {
        shown.push_str("...");
    }
    let lead = shown.chars().count();
    shown.extend(text[start..end].iter().map(|b| printable(*b)));
    if end < text.len() {
        shown.push_str("...");
    }
    let from = at.start.clamp(start, end) - start + lead;
    let to = at.end.clamp(start, end) - start + lead;
    (shown, from..to.max(from))
}

fn printable(byte: u8) -> char {
    if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], at: Range<usize>, want: (&str, Range<usize>)) {
        let (shown, caret) = window(text, &at);
        assert_eq!((shown.as_str(), caret), want);
    }

    #[test]
    fn windows() {
        check(b"abc", 1..2, ("abc", 1..2));
        check(b"a\x1b[m", 9..12, ("a.[m", 4..4));
        let long = [b'x'; 200];
        let (shown, caret) = window(&long, &(100..103));
        assert_eq!(shown.len(), SHOWN + 6);
        assert_eq!(caret, 43..46);
    }
}
