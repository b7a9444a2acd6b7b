//! A connection with a stranger: bytes in, bytes out, each within a time.
//!
//! Promises: what was read and not used is at most [`HELD_MAX`] bytes; no call waits beyond its deadline.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

/// A connection and what was read from it ahead.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    held: Vec<u8>,
    /// Bytes of `held` that are used up.
    used: usize,
    /// The longest that one write may take.
    write_timeout: Duration,
}

/// Why a conversation ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The other side closed it.
    #[error("closed")]
    Closed,
    /// The other side took too long.
    #[error("timed out")]
    TimedOut,
    /// More is held than any step needs.
    #[error("too much at once")]
    TooMuch,
    /// The system says so.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, write_timeout: Duration) -> Self {
        Self { stream, held: Vec::new(), used: 0, write_timeout }
    }

    /// Returns what was read and not used.
    pub(crate) fn held(&self) -> &[u8] {
        self.held.get(self.used..).unwrap_or_default()
    }

    /// Says that so many bytes are used up.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes).min(self.held.len());
        if self.used == self.held.len() {
            self.held.clear();
            self.used = 0;
        }
    }

    /// Reads at least one more byte.
    pub(crate) async fn fill(&mut self, deadline: Instant) -> Result<(), WireError> {
        if self.used > 0 {
            self.held.drain(..self.used);
            self.used = 0;
        }
        if self.held.len() >= HELD_MAX {
            return Err(WireError::TooMuch);
        }
        self.held.reserve(READ);
        let read = timeout_at(deadline, self.stream.read_buf(&mut self.held)).await;
        match read.map_err(|_| WireError::TimedOut)?? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Writes everything.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        for part in bytes.chunks(WRITE) {
            let write = timeout(self.write_timeout, self.stream.write_all(part)).await;
            write.map_err(|_| WireError::TimedOut)??;
        }
        Ok(timeout(self.write_timeout, self.stream.flush())
            .await
            .map_err(|_| WireError::TimedOut)??)
    }

    /// Ends the connection so that the other side gets to read the last answer though it has not
    /// stopped sending: what still comes is thrown away for a moment.
    pub(crate) async fn linger(mut self) {
        let end = Instant::now() + LINGER;
        if timeout_at(end, self.stream.shutdown()).await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        let mut waste = vec![0; READ];
        while left > 0 {
            match timeout_at(end, self.stream.read(&mut waste)).await {
                Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
    }
}

/// Ours: bytes that one read asks for.
const READ: usize = 64 << 10;

/// Ours: bytes for which one write has its time.
const WRITE: usize = 256 << 10;

/// More than any message's head or packet may be long.
pub(crate) const HELD_MAX: usize = 2 << 20;

/// Ours: long enough for what is on its way.
const LINGER: Duration = Duration::from_secs(2);

/// Ours.
const LINGER_BYTES: usize = 8 << 20;
