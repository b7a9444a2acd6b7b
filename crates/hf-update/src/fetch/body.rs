//! Bodies of answers: of a known length, in chunks, or up to the end of the connection.
//!
//! Promises: no more is read than was announced, and less is an error; what comes more slowly than the slowest rate is
//! given up; no more is taken in a second than the owner allows.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::connect::Connection;
use super::head::Headers;
use super::{FetchErrorKind, FetchOptions};

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    connection: Connection,
    /// Read with the header.
    ahead: io::Cursor<Vec<u8>>,
    framing: Framing,
    pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// So many bytes of this chunk are left; none before its length was read.
    Chunks(Option<u64>),
    ToTheEnd,
    Done,
}

impl Body {
    /// Finds out how the body ends (RFC 9112 §6.3).
    pub(super) fn new(
        connection: Connection,
        ahead: Vec<u8>,
        status: u16,
        headers: &Headers,
        options: &FetchOptions,
    ) -> Result<Self, FetchErrorKind> {
        let framing = framing(status, headers).map_err(FetchErrorKind::Malformed)?;
        Ok(Self { connection, ahead: io::Cursor::new(ahead), framing, pace: Pace::new(options) })
    }

    /// Returns its length as far as it was announced.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(len) => Some(len),
            Framing::Done => Some(0),
            Framing::Chunks(_) | Framing::ToTheEnd => None,
        }
    }

    fn raw(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = match self.ahead.read(out)? {
            0 => self.connection.read(out)?,
            len => len,
        };
        self.pace.took(len)?;
        Ok(len)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match self.raw(&mut byte)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    /// Reads a line of a chunked body.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while line.len() < CHUNK_LINE_MAX {
            match self.byte()? {
                b'\n' => return Ok(line),
                b'\r' => {}
                byte => line.push(byte),
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk's length is too long"))
    }

    fn next_chunk(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let text = String::from_utf8_lossy(&line);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "a chunk has no length");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u64::from_str_radix(digits, 16).map_err(|_| bad())
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let left = match self.framing {
                Framing::Done | Framing::Length(0) => return Ok(0),
                Framing::ToTheEnd => return self.raw(out),
                Framing::Length(left) | Framing::Chunks(Some(left @ 1..)) => left,
                Framing::Chunks(Some(0)) => {
                    // The end of the line behind a chunk's bytes.
                    self.line()?;
                    self.framing = Framing::Chunks(None);
                    continue;
                }
                Framing::Chunks(None) => {
                    let len = self.next_chunk()?;
                    self.framing =
                        if len == 0 { Framing::Done } else { Framing::Chunks(Some(len)) };
                    continue;
                }
            };
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
            let part = out.get_mut(..want).unwrap_or_default();
            let len = self.raw(part)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = left.saturating_sub(u64::try_from(len).unwrap_or(0));
            self.framing = match self.framing {
                Framing::Chunks(_) => Framing::Chunks(Some(left)),
                _ => Framing::Length(left),
            };
            return Ok(len);
        }
    }
}

fn framing(status: u16, headers: &Headers) -> Result<Framing, &'static str> {
    if matches!(status, 204 | 304) {
        return Ok(Framing::Done);
    }
    if let Some(coding) = headers.get("transfer-encoding") {
        return match coding.eq_ignore_ascii_case("chunked") {
            true => Ok(Framing::Chunks(None)),
            false => Err("the transfer has a coding that was not asked for"),
        };
    }
    let mut lengths = headers.all("content-length");
    match lengths.next() {
        None => Ok(Framing::ToTheEnd),
        Some(text) if lengths.all(|other| other == text) => {
            Ok(Framing::Length(text.parse().map_err(|_| "the length is not a number")?))
        }
        Some(_) => Err("there are several lengths"),
    }
}

/// How fast it goes.
#[derive(Debug)]
struct Pace {
    window: Duration,
    slowest: u64,
    fastest: Option<u64>,
    /// The window that is measured now.
    since: Instant,
    bytes: u64,
    begun: Instant,
    total: u64,
}

impl Pace {
    fn new(options: &FetchOptions) -> Self {
        let now = Instant::now();
        Self {
            window: options.receive_timeout,
            slowest: options.slowest,
            fastest: options.bytes_per_second.filter(|rate| *rate > 0),
            since: now,
            bytes: 0,
            begun: now,
            total: 0,
        }
    }

    fn took(&mut self, len: usize) -> io::Result<()> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(len);
        self.total = self.total.saturating_add(len);
        if let Some(rate) = self.fastest {
            let due_ms = self.total.saturating_mul(1000).checked_div(rate).unwrap_or(0);
            let due = Duration::from_millis(due_ms);
            let ahead = due.saturating_sub(self.begun.elapsed());
            // In small steps, so that the connection does not look dead to either side.
            std::thread::sleep(ahead.min(Duration::from_secs(5)));
            // Who is held back by us is not slow.
            if !ahead.is_zero() {
                self.since = Instant::now();
                self.bytes = 0;
            }
        }
        let elapsed = self.since.elapsed();
        if self.window.is_zero() || elapsed < self.window {
            return Ok(());
        }
        let want = self.slowest.saturating_mul(elapsed.as_secs());
        if self.bytes < want {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.since = Instant::now();
        self.bytes = 0;
        Ok(())
    }
}

/// Longest line between chunks in bytes; ours.
const CHUNK_LINE_MAX: usize = 4096;
