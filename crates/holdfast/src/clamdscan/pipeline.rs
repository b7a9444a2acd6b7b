//! A session in which many files are scanned at the same time: `IDSESSION`.
//!
//! Promises: at most [`IN_FLIGHT`] files have no answer yet; every file that was handed over is answered
//! for, also when the daemon goes away.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::connection::Connection;
use super::reply;

/// A session.
#[derive(Debug)]
pub(crate) struct Pipeline {
    connection: Connection,
    /// The number of the last command.
    last: u32,
    pending: BTreeMap<u32, Sent>,
}

/// A file without an answer.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) path: PathBuf,
    /// The file that is scanned.
    pub(crate) file: File,
}

/// How bytes reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hand {
    /// By an open file.
    Descriptor,
    /// Through the connection.
    Stream,
}

impl Pipeline {
    /// Begins a session.
    ///
    /// # Errors
    /// The daemon is gone.
    pub(crate) fn begin(mut connection: Connection) -> io::Result<Self> {
        connection.command(b"IDSESSION")?;
        Ok(Self { connection, last: 0, pending: BTreeMap::new() })
    }

    /// True when an answer has to come before the next file.
    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= IN_FLIGHT
    }

    /// True when every file is answered for.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Hands a file over.
    ///
    /// # Errors
    /// The daemon is gone, or the file cannot be read; the file counts as handed over.
    pub(crate) fn submit(&mut self, sent: Sent, hand: Hand) -> io::Result<()> {
        self.last = self.last.saturating_add(1);
        let file = &self.pending.entry(self.last).or_insert(sent).file;
        match hand {
            Hand::Descriptor => {
                self.connection.command(b"FILDES")?;
                self.connection.pass(file)
            }
            Hand::Stream => {
                self.connection.command(b"INSTREAM")?;
                self.connection.stream(file)
            }
        }
    }

    /// Returns the next answer and what it is about.
    ///
    /// # Errors
    /// The daemon is gone, or answers what was not asked.
    pub(crate) fn receive(&mut self) -> io::Result<(Sent, Vec<u8>)> {
        let line = self.connection.reply()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let odd = || io::Error::other(format!("odd answer: {}", String::from_utf8_lossy(&line)));
        let (number, text) = reply::numbered(&line).ok_or_else(odd)?;
        let sent = self.pending.remove(&number).ok_or_else(odd)?;
        Ok((sent, text.to_vec()))
    }

    /// Ends the session; returns what has no answer.
    pub(crate) fn end(mut self) -> Vec<Sent> {
        // The daemon ends it too when the connection closes.
        let _ = self.connection.command(b"END");
        self.pending.into_values().collect()
    }
}

/// Files without an answer: enough for many workers, and their answers always fit into the socket, so
/// that the daemon never waits for this program while this program waits for it. clamd queues 100.
const IN_FLIGHT: usize = 64;
