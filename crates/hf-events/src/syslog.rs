//! Syslog over the local socket.
//!
//! Limits: a message is cut at 2 KiB in RFC 3164, at 8 KiB in RFC 5424; the daemon is waited for at most a second.
//! Leaves out: syslog over a network, which the local daemon forwards.
//! Sources: RFC 3164 §4.1; RFC 5424 §6 (structured data under the number that RFC 5612 keeps for such use).

use std::io;
use std::io::Write as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use crate::config::{SyslogConfig, SyslogFormat};
use crate::escape;
use crate::event::{Event, Kind};
use crate::events::Sink;
use crate::{ecs, moment};

/// Syslog.
#[derive(Debug)]
pub struct Syslog {
    config: SyslogConfig,
    host: String,
    socket: Option<Socket>,
}

#[derive(Debug)]
enum Socket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Syslog {
    /// Returns the syslog of a configuration.
    #[must_use]
    pub fn new(config: SyslogConfig) -> Self {
        Self { config, host: ecs::host_name(), socket: None }
    }

    fn connect(&self) -> io::Result<Socket> {
        let datagram = UnixDatagram::unbound()?;
        datagram.set_write_timeout(Some(WAIT))?;
        match datagram.connect(&self.config.socket) {
            Ok(()) => Ok(Socket::Datagram(datagram)),
            // Some daemons listen to streams.
            Err(error) if error.raw_os_error() == Some(PROTOTYPE) => {
                let stream = UnixStream::connect(&self.config.socket)?;
                stream.set_write_timeout(Some(WAIT))?;
                Ok(Socket::Stream(stream))
            }
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        match &socket {
            Socket::Datagram(socket) => socket.send(line.as_bytes()).map(|_| ())?,
            // Streams separate messages by NUL. Source: glibc, syslog(3).
            Socket::Stream(stream) => {
                (&*stream).write_all(&[line.as_bytes(), b"\0"].concat())?;
            }
        }
        self.socket = Some(socket);
        Ok(())
    }
}

impl Sink for Syslog {
    fn deliver(&mut self, event: &Event) -> io::Result<()> {
        let line = line(&self.config, &self.host, event);
        // The daemon may have been started anew.
        self.send(&line).or_else(|_| self.send(&line))
    }
}

/// Returns the line of an event.
#[must_use]
pub fn line(config: &SyslogConfig, host: &str, event: &Event) -> String {
    let priority = u32::from(config.facility) * 8 + event.priority() as u32;
    let pid = std::process::id();
    let message = event.message();
    match config.format {
        SyslogFormat::Rfc3164 => {
            let line =
                format!("<{priority}>{} holdfast[{pid}]: {message}", moment::local(event.time));
            cut(line, 2 << 10)
        }
        SyslogFormat::Rfc5424 => {
            let (time, data) = (moment::utc(event.time), structured(event));
            let word = event.word();
            let line =
                format!("<{priority}>1 {time} {host} holdfast {pid} {word} {data} {message}");
            cut(line, 8 << 10)
        }
    }
}

fn structured(event: &Event) -> String {
    let mut data =
        format!("[holdfast@32473 event=\"{}\" source=\"{}\"", event.word(), event.source);
    let mut put = |name: &str, value: &[u8]| {
        let value = escape::line(value, 1024);
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
        data.push_str(&format!(" {name}=\"{value}\""));
    };
    match &event.kind {
        Kind::Finding { path, name, sha256, .. } => {
            put("path", path);
            put("finding", name.as_bytes());
            sha256.iter().for_each(|digest| put("sha256", digest.as_bytes()));
        }
        Kind::Action { path, action, outcome, entry, .. } => {
            put("path", path);
            put("action", action.as_bytes());
            put("outcome", ecs::outcome(*outcome).as_bytes());
            entry.iter().for_each(|entry| put("entry", entry.as_bytes()));
        }
        _ => {}
    }
    data.push(']');
    data
}

fn cut(mut line: String, len_max: usize) -> String {
    if line.len() > len_max {
        let end = (0..=len_max).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
    }
    line
}

/// `EPROTOTYPE`: the socket is of another type.
const PROTOTYPE: i32 = rustix::io::Errno::PROTOTYPE.raw_os_error();
const WAIT: Duration = Duration::from_secs(1);
