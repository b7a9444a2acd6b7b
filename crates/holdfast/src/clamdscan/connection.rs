//! One connection to the daemon: commands, descriptors and streams out, answers in.
//!
//! Sources: clamd(8); answers of clamd 1.4.6 as seen on the wire.
//! Limits: an answer is at most [`REPLY_MAX`] bytes; a daemon that takes nothing for [`SEND_MAX`] has failed.
//! A scan may take any time, so an answer is waited for without end.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::config::Config;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    /// What was received and not handed out.
    received: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Connection {
    /// Connects to the local socket, else to the first address that answers.
    ///
    /// # Errors
    /// One line for each place that did not answer.
    pub(crate) fn open(config: &Config) -> Result<Self, Vec<String>> {
        let mut failed = Vec::new();
        if let Some(path) = &config.local_socket {
            match UnixStream::connect(path) {
                Ok(stream) => return Ok(Self::of(Stream::Unix(stream))),
                Err(error) => failed.push(format!(
                    "ERROR: Could not connect to clamd on LocalSocket {}: {}",
                    path.display(),
                    why(&error)
                )),
            }
        }
        for (host, port) in config.addresses() {
            match connect_tcp(&host, port) {
                Ok(stream) => return Ok(Self::of(Stream::Tcp(stream))),
                Err(error) => failed
                    .push(format!("ERROR: Could not connect to clamd on {host}: {}", why(&error))),
            }
        }
        Err(failed)
    }

    fn of(stream: Stream) -> Self {
        let bounded = match &stream {
            Stream::Unix(stream) => stream.set_write_timeout(Some(SEND_MAX)),
            Stream::Tcp(stream) => stream.set_write_timeout(Some(SEND_MAX)),
        };
        debug_assert!(bounded.is_ok(), "the time is not zero");
        Self { stream, received: Vec::new() }
    }

    /// Sends a command, framed by a zero byte.
    ///
    /// # Errors
    /// The daemon is gone.
    pub(crate) fn command(&mut self, words: &[u8]) -> io::Result<()> {
        self.send(&[b"z", words, b"\0"].concat())
    }

    /// Passes an open file, as `FILDES` wants it: with a byte of its own.
    ///
    /// # Errors
    /// The daemon is gone, or the connection is no local socket.
    pub(crate) fn pass(&mut self, file: &File) -> io::Result<()> {
        let Stream::Unix(stream) = &self.stream else {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        };
        let files = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        let byte = [IoSlice::new(b"\0")];
        rustix::net::sendmsg(stream, &byte, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Sends bytes as `INSTREAM` wants them.
    ///
    /// A daemon that has heard enough answers and reads no more: that is not an error here, since the
    /// answer tells.
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub(crate) fn stream(&mut self, mut from: impl Read) -> io::Result<()> {
        let mut chunk = vec![0u8; LEN_BYTES + CHUNK_BYTES];
        loop {
            let len = read_some(&mut from, chunk.get_mut(LEN_BYTES..).unwrap_or_default())?;
            let prefix = u32::try_from(len).unwrap_or(0).to_be_bytes();
            if let Some(place) = chunk.get_mut(..LEN_BYTES) {
                place.copy_from_slice(&prefix);
            }
            let sent = self.send(chunk.get(..LEN_BYTES.saturating_add(len)).unwrap_or_default());
            if sent.is_err() || len == 0 {
                return Ok(());
            }
        }
    }

    /// Returns the next answer without its end; `None` when there is no more.
    ///
    /// # Errors
    /// The connection broke, within an answer perhaps, or the answer is longer than any can be.
    pub(crate) fn reply(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == 0) {
                let rest = self.received.split_off(end.saturating_add(1));
                let mut line = std::mem::replace(&mut self.received, rest);
                line.truncate(end);
                return Ok(Some(line));
            }
            if self.received.len() > REPLY_MAX {
                return Err(io::Error::other("an answer without an end"));
            }
            let mut buffer = [0u8; 8192];
            let len = match &mut self.stream {
                Stream::Unix(stream) => read_some(stream, &mut buffer)?,
                Stream::Tcp(stream) => read_some(stream, &mut buffer)?,
            };
            if len == 0 {
                let whole = self.received.is_empty();
                return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            self.received.extend_from_slice(buffer.get(..len).unwrap_or_default());
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(bytes),
            Stream::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

/// True when every address of the configuration is one of another machine: paths mean nothing there.
pub(crate) fn is_remote(config: &Config) -> bool {
    if config.local_socket.is_some() {
        return false;
    }
    config.addresses().iter().any(|(host, port)| {
        let addresses = (host.as_str(), *port).to_socket_addrs();
        addresses.into_iter().flatten().any(|address| !is_ours(address.ip()))
    })
}

/// An address is this machine's if a socket can be bound to it.
fn is_ours(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Returns the system's words alone.
pub(crate) fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The longest answer: a path and a name.
const REPLY_MAX: usize = 64 << 10;
/// Bytes in one chunk of a stream.
const CHUNK_BYTES: usize = 64 << 10;
/// The length in front of a chunk.
const LEN_BYTES: usize = 4;
/// How long a daemon may take nothing.
const SEND_MAX: Duration = Duration::from_secs(300);
/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(30);
