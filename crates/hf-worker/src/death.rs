//! How a worker ended, in words that a report can carry.
//!
//! What a worker wrote before it died is a stranger's text: it is cut and stripped before it is shown.

use std::fmt;

use hf_sys::Exit;

/// Why a worker is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Death {
    /// The parent killed it because time was up.
    Deadline {
        /// Milliseconds that the object had had.
        after_ms: u64,
    },
    /// It wanted more memory than it was given.
    OutOfMemory,
    /// It recursed too deep.
    StackOverflow,
    /// A panic, with its place and message.
    Panic(String),
    /// It tried something that it may not do.
    Forbidden,
    /// The file became shorter while it was read.
    Cut,
    /// Another signal.
    Signal(i32),
    /// It ended by itself.
    Code(i32),
    /// It broke the rules of the channel, and the parent killed it.
    Protocol(String),
    /// Nobody knows.
    Unknown,
}

impl Death {
    /// Concludes from the way a process ended, and from the last that it wrote.
    pub(crate) fn of(exit: Exit, last_words: &[u8]) -> Self {
        let words = String::from_utf8_lossy(last_words);
        match exit {
            Exit::Signal(SIGSYS) => Self::Forbidden,
            Exit::Signal(SIGBUS) => Self::Cut,
            Exit::Signal(SIGABRT) if words.contains("memory allocation of") => Self::OutOfMemory,
            Exit::Signal(SIGABRT) if words.contains("overflowed its stack") => Self::StackOverflow,
            Exit::Signal(SIGABRT) if words.contains(PANIC) => Self::Panic(panic_line(&words)),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Code(code) => Self::Code(code),
            Exit::Unknown => Self::Unknown,
        }
    }
}

impl Death {
    /// Returns whether somebody else ended the worker, perhaps before it had the object at all. Whoever submits the
    /// object again gives it up after some tries: an object that brings this about must not go on for ever.
    #[must_use]
    pub fn is_from_outside(&self) -> bool {
        matches!(self, Self::Signal(SIGKILL | SIGTERM) | Self::Unknown)
    }
}

impl fmt::Display for Death {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { after_ms } => {
                write!(out, "worker killed: deadline passed ({after_ms} ms)")
            }
            Self::OutOfMemory => out.write_str("worker died: out of memory"),
            Self::StackOverflow => out.write_str("worker died: stack overflow"),
            Self::Panic(message) => write!(out, "worker died: {message}"),
            Self::Forbidden => {
                out.write_str("worker killed: forbidden system call (signal 31, SIGSYS)")
            }
            Self::Cut => out.write_str("worker died: the file became shorter (signal 7, SIGBUS)"),
            Self::Signal(signal) => match name(*signal) {
                Some(name) => write!(out, "worker killed by signal {signal} ({name})"),
                None => write!(out, "worker killed by signal {signal}"),
            },
            Self::Code(code) => write!(out, "worker ended with code {code}"),
            Self::Protocol(what) => write!(out, "worker killed: {what}"),
            Self::Unknown => out.write_str("worker is gone"),
        }
    }
}

/// Returns the line that tells of a panic, fit for a terminal and at most 300 characters long.
fn panic_line(words: &str) -> String {
    let line = words.lines().find(|line| line.contains(PANIC)).unwrap_or(PANIC);
    let line = line.find(PANIC).and_then(|at| line.get(at..)).unwrap_or(line);
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        SIGABRT => "SIGABRT",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        11 => "SIGSEGV",
        SIGTERM => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

/// Begins what the worker writes when it panics.
pub(crate) const PANIC: &str = "panicked at";

// The numbers of these signals are the same on x86-64 and aarch64.
const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGSYS: i32 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conclusions() {
        let cases: &[(Exit, &str, &str)] = &[
            (Exit::Signal(9), "", "worker killed by signal 9 (SIGKILL)"),
            (Exit::Signal(34), "", "worker killed by signal 34"),
            (Exit::Signal(6), "memory allocation of 9 bytes failed", "worker died: out of memory"),
            (
                Exit::Signal(6),
                "x\npanicked at a.rs:1:2: a\u{1b}[31mb\nmore",
                "worker died: panicked at a.rs:1:2: a [31mb",
            ),
            (Exit::Signal(6), "", "worker killed by signal 6 (SIGABRT)"),
            (Exit::Code(3), "panicked at", "worker ended with code 3"),
        ];
        for (exit, words, want) in cases {
            assert_eq!(Death::of(*exit, words.as_bytes()).to_string(), *want);
        }
    }
}
