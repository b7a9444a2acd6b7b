//! Connections: from the owner's address, through the owner's proxy, by TLS where the address says so.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::{ClientConnection, StreamOwned};

use super::head;
use super::tls::Tls;
use super::{FetchErrorKind, FetchOptions, Proxy, Url};

/// A connection on which one request is sent.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    absolute: bool,
    login: Option<String>,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    pub(super) fn open(
        url: &Url,
        options: &FetchOptions,
        tls: &Tls,
    ) -> Result<Self, FetchErrorKind> {
        let (host, port) = match &options.proxy {
            Some(proxy) => (proxy.host.as_str(), proxy.port),
            None => (url.host.as_str(), url.port),
        };
        let stream = dial(host, port, options)?;
        let mut connection = Self { wire: Wire::Plain(stream), absolute: false, login: None };
        if let Some(proxy) = &options.proxy {
            match url.https {
                true => connection.tunnel(url, proxy, options)?,
                false => {
                    connection.absolute = true;
                    connection.login = proxy.login.as_ref().map(login);
                }
            }
        }
        if !url.https {
            return Ok(connection);
        }
        let Wire::Plain(stream) = connection.wire else { return Ok(connection) };
        let session = tls.connection(&url.host).map_err(FetchErrorKind::Tls)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|err| match err.kind() {
                io::ErrorKind::InvalidData => FetchErrorKind::Tls(err.to_string()),
                _ => FetchErrorKind::of(err),
            })?;
        }
        Ok(Self { wire: Wire::Tls(Box::new(stream)), absolute: false, login: None })
    }

    /// True when the request must name the whole address, since a proxy reads it.
    pub(super) fn absolute(&self) -> Option<Option<&str>> {
        self.absolute.then_some(self.login.as_deref())
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(bytes),
            Wire::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Asks the proxy for a way to the server.
    fn tunnel(
        &mut self,
        url: &Url,
        proxy: &Proxy,
        options: &FetchOptions,
    ) -> Result<(), FetchErrorKind> {
        let host =
            if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let login = proxy.login.as_ref().map(login);
        let login =
            login.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
        let port = url.port;
        let text = format!(
            "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {}\r\n{login}\r\n",
            options.user_agent
        );
        self.send(text.as_bytes()).map_err(FetchErrorKind::of)?;
        let (status, _, rest) = head::read(self)?;
        match status {
            200..=299 if rest.is_empty() => Ok(()),
            200..=299 => Err(FetchErrorKind::Malformed("the proxy talks before the server")),
            _ => Err(FetchErrorKind::Proxy(status)),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = match &mut self.wire {
                Wire::Plain(stream) => stream.read(out),
                Wire::Tls(stream) => stream.read(out),
            };
            match got {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// Returns the value of `Proxy-Authorization` (RFC 7617).
fn login((user, password): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Most addresses of one name that are tried; ours.
const ADDRESSES_MAX: usize = 8;

fn dial(host: &str, port: u16, options: &FetchOptions) -> Result<TcpStream, FetchErrorKind> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|_| FetchErrorKind::Name(host.to_owned()))?.filter(
            |address| options.local_address.is_none_or(|own| own.is_ipv4() == address.is_ipv4()),
        );
    let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.take(ADDRESSES_MAX) {
        let stream = match options.local_address {
            None => TcpStream::connect_timeout(&address, options.connect_timeout),
            Some(own) => connect_from(own, address, options.connect_timeout),
        };
        match stream.and_then(|stream| with_timeouts(stream, options)) {
            Ok(stream) => return Ok(stream),
            Err(err) => why = err,
        }
    }
    Err(FetchErrorKind::Connect(format!("{host}:{port}"), why))
}

fn with_timeouts(stream: TcpStream, options: &FetchOptions) -> io::Result<TcpStream> {
    let some = |time: Duration| Some(time).filter(|time| !time.is_zero());
    stream.set_read_timeout(some(options.receive_timeout))?;
    stream.set_write_timeout(some(options.receive_timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects from an address of ours, which the standard library cannot.
fn connect_from(own: IpAddr, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(own, 0))?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => {
            let until = Instant::now().checked_add(timeout);
            loop {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let left = left.and_then(|left| Timespec::try_from(left).ok());
                let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)];
                match poll(&mut fds, left.as_ref()) {
                    Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                    Ok(_) => break,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            rustix::net::sockopt::socket_error(&socket)?.map_err(io::Error::from)?;
        }
        Err(errno) => return Err(errno.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
