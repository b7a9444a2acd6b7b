//! Sockets on which doors wait, and who is at the other end.
//!
//! Promises: a socket file that another process still listens on is never taken away; connections beyond
//! a door's limit wait (see [`crate::room`]); when the service ends, what is being answered has a moment to finish.
//! Sources: unix(7).

use std::fmt;
use std::fs;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::room::{Place, Room};
use crate::scan::Peer;
use crate::service::Service;

/// Where a door waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The path of a socket file.
    Unix(PathBuf),
    /// An address and a port.
    Tcp(SocketAddr),
}

impl Address {
    /// True when only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => address.ip().is_loopback(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
            Self::Tcp(address) => write!(out, "{address}"),
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    /// Reads `unix:/path`, `/path`, `127.0.0.1:1344`, `[::1]:1344`, and, as mail servers write it,
    /// `local:/path`, `inet:port@address` and `inet6:port@address`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected unix:/path, address:port or inet:port@address";
        let path = text.strip_prefix("unix:").or_else(|| text.strip_prefix("local:"));
        let path = path.unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let Some(port) = text.strip_prefix("inet:").or_else(|| text.strip_prefix("inet6:")) else {
            return text.parse().map(Self::Tcp).map_err(|_| expected);
        };
        let (port, host) = port.split_once('@').unwrap_or((port, "127.0.0.1"));
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        let host: IpAddr = host.trim_matches(['[', ']']).parse().map_err(|_| expected)?;
        Ok(Self::Tcp(SocketAddr::new(host, port.parse().map_err(|_| expected)?)))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Who may open a socket file.
#[derive(Debug, Clone, Copy)]
pub struct SocketAccess<'a> {
    /// Permission bits in octal digits, such as `660`.
    pub mode: &'a str,
    /// Group by name or number; none for the owner's.
    pub group: Option<&'a str>,
    /// User and group that it is to belong to; none for the process's.
    pub owner: Option<(u32, u32)>,
}

/// A socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {why}")]
pub struct ListenError {
    /// Where.
    pub address: Address,
    /// Why, for people.
    pub why: String,
}

/// An open socket.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

impl Listener {
    /// Opens a socket. Needs no runtime, so that it can be done before rights are given up.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn open(address: &Address, access: SocketAccess<'_>) -> Result<Self, ListenError> {
        let failed = |why: String| ListenError { address: address.clone(), why };
        let socket = match address {
            Address::Tcp(address) => std::net::TcpListener::bind(address)
                .and_then(|socket| {
                    // Again: the library's queue is short, and who finds it full tries again after a second.
                    rustix::net::listen(&socket, QUEUE)?;
                    socket.set_nonblocking(true).map(|()| Socket::Tcp(socket))
                })
                .map_err(|error| failed(error.to_string()))?,
            Address::Unix(path) => Socket::Unix(open_unix(path, access).map_err(failed)?),
        };
        let address = match &socket {
            // The port may have been left to the system.
            Socket::Tcp(socket) => {
                socket.local_addr().map_or_else(|_| address.clone(), Address::Tcp)
            }
            Socket::Unix(_) => address.clone(),
        };
        Ok(Self { address, socket })
    }

    /// Opens the sockets of a door.
    ///
    /// # Errors
    /// See [`ListenError`]; then none is open.
    pub fn open_all(
        addresses: &[Address],
        access: SocketAccess<'_>,
    ) -> Result<Vec<Self>, ListenError> {
        addresses.iter().map(|address| Self::open(address, access)).collect()
    }

    /// Accepts on all sockets of a door until the service ends; see [`Listener::serve`].
    ///
    /// # Errors
    /// A socket cannot be used.
    pub async fn serve_all<F>(
        listeners: Vec<Self>,
        service: Service,
        room: Arc<Room>,
        serve: impl Fn(Box<dyn Stream>, Arrival) -> F + Clone + Send + Sync + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        let mut tasks = JoinSet::new();
        for listener in listeners {
            let (service, room, serve) = (service.clone(), Arc::clone(&room), serve.clone());
            tasks.spawn(async move { listener.serve(service, room, serve).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }

    /// Returns where it waits.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts until the service ends; `serve` gets each connection once `room` has a place for it.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub async fn serve<F>(
        self,
        service: Service,
        room: Arc<Room>,
        serve: impl Fn(Box<dyn Stream>, Arrival) -> F + Clone + Send + Sync + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        let socket = match self.socket {
            Socket::Unix(socket) => AsyncSocket::Unix(tokio::net::UnixListener::from_std(socket)?),
            Socket::Tcp(socket) => AsyncSocket::Tcp(tokio::net::TcpListener::from_std(socket)?),
        };
        let mut tasks = JoinSet::new();
        loop {
            let permit = tokio::select! {
                permit = room.wait() => permit,
                () = service.stopping() => break,
            };
            let Some(permit) = permit else { break };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = service.stopping() => break,
            };
            match accepted {
                Ok((stream, peer, name)) => {
                    let Some(place) = room.enter(&peer, permit) else {
                        if let Some(count) = room.closed.count() {
                            let at = &self.address;
                            let line =
                                format!("{at}: too many connections of {name}: {count} closed");
                            service.log().warning(&line);
                        }
                        continue;
                    };
                    let (serve, stopping) = (serve.clone(), service.clone());
                    tasks.spawn(async move {
                        let place = Arc::new(place);
                        let taken = tokio::select! {
                            taken = place.take() => taken,
                            () = stopping.stopping() => None,
                        };
                        if let Some(taken) = taken {
                            serve(stream, Arrival { peer, name, place }).await;
                            drop(taken);
                        }
                    });
                    while tasks.try_join_next().is_some() {}
                }
                // No descriptor is left, or the client is gone already.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        drop(socket);
        let finish = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH, finish).await;
        if let Address::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

enum AsyncSocket {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

impl AsyncSocket {
    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Peer, String)> {
        match self {
            Self::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Box::new(stream), Peer::User(uid), format!("uid {uid}")))
            }
            Self::Tcp(socket) => {
                let (stream, from) = socket.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Peer::Address(from.ip().to_canonical()), from.to_string()))
            }
        }
    }
}

/// Returns a time of the configuration; longer ones than a year are as good as that, and do not
/// overflow.
pub(crate) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number.min(366 * 24 * 3600))
}

/// Who came, and the place that he has.
#[derive(Debug)]
pub struct Arrival {
    /// Who it is.
    pub peer: Peer,
    /// What logs call him.
    pub name: String,
    /// His place.
    pub place: Arc<Place>,
}

/// Ours: connections that the kernel keeps until they are accepted; it may bound them further.
const QUEUE: i32 = 4096;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn open_unix(
    path: &Path,
    access: SocketAccess<'_>,
) -> Result<std::os::unix::net::UnixListener, String> {
    let mode = u32::from_str_radix(access.mode, 8).ok().filter(|mode| *mode <= 0o777);
    let mode = mode.ok_or_else(|| format!("bad socket-mode '{}'", access.mode))?;
    let group = access.group.map(group_id).transpose()?;
    let told = |error: io::Error| error.to_string();
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err("there is a file of that name, and it is no socket".to_owned());
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err("another process listens on it".to_owned());
        }
        fs::remove_file(path).map_err(told)?;
    }
    let socket = std::os::unix::net::UnixListener::bind(path).map_err(told)?;
    let user = access.owner.map(|(user, _)| user);
    let group = group.or(access.owner.map(|(_, group)| group));
    if user.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, user, group).map_err(told)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(told)?;
    socket.set_nonblocking(true).map_err(told)?;
    Ok(socket)
}

/// Returns the number of a group that `/etc/group` names.
fn group_id(group: &str) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let all = fs::read_to_string("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
    let number = all.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(group);
        fields.nth(1).filter(|_| found)?.parse().ok()
    });
    number.ok_or_else(|| format!("there is no group '{group}'"))
}

/// Ours: while the system is short of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ours: what is being answered when the service ends has this long.
const FINISH: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |text: &str| Ok(Address::Tcp(text.parse().expect("an address")));
        assert_eq!("unix:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("local:/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("/run/x".parse(), Ok(Address::Unix("/run/x".into())));
        assert_eq!("127.0.0.1:1344".parse(), tcp("127.0.0.1:1344"));
        assert_eq!("inet:7357@localhost".parse(), tcp("127.0.0.1:7357"));
        assert_eq!("inet6:7357@[::1]".parse(), tcp("[::1]:7357"));
        for text in ["", "x", "unix:x", "127.0.0.1", "inet:x@127.0.0.1", "inet:1@host"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_socket_in_use_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = Address::Unix(folder.path().join("s"));
        let access = SocketAccess { mode: "600", group: None, owner: None };
        let first = Listener::open(&address, access).expect("a socket");
        let second = Listener::open(&address, access).expect_err("it is in use");
        assert!(second.to_string().ends_with("another process listens on it"), "{second}");
        drop(first);
        Listener::open(&address, access).expect("a stale socket is replaced");
        let mode = fs::metadata(folder.path().join("s")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(folder.path().join("f"), b"").expect("written");
        let file = Address::Unix(folder.path().join("f"));
        assert!(Listener::open(&file, access).is_err());
    }
}
