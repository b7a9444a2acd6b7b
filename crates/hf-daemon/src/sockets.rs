//! Listening sockets: made as configured, or passed by the service manager.
//!
//! Promises: a socket file that somebody listens to is never removed; the file has its mode and group
//! before anybody can connect with more rights than meant.
//! Sources: unix(7), sd_listen_fds(3).

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};

/// A socket that is listened to.
#[derive(Debug)]
pub enum Listener {
    /// Local.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

/// A socket cannot be made. The text is for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SocketError(String);

/// How a local socket is made.
#[derive(Debug, Clone)]
pub struct LocalSocket<'a> {
    /// Its file.
    pub path: &'a Path,
    /// Group of the file, by name.
    pub group: Option<&'a str>,
    /// Mode of the file, in octal; else everybody may connect, as with clamd.
    pub mode: Option<&'a str>,
    /// Replace a file that nobody listens to.
    pub fix_stale: bool,
    /// Connections that the kernel keeps before they are accepted.
    pub queue: u32,
    /// Becomes the file's owner, when it is not who makes it.
    pub owner: Option<(u32, u32)>,
}

/// Makes a local socket.
///
/// # Errors
/// See the text.
pub fn local(wanted: &LocalSocket<'_>) -> Result<UnixListener, SocketError> {
    let path = wanted.path;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        SocketError(format!("LOCAL: {what} {}: {error}", path.display()))
    };
    let mode = match wanted.mode {
        None => 0o666,
        Some(text) => u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| SocketError(format!("Invalid LocalSocketMode {text}")))?,
    };
    let group = match wanted.group {
        None => None,
        Some(name) => Some(
            hf_sys::users::group(name.as_ref())
                .ok()
                .flatten()
                .ok_or_else(|| SocketError(format!("Unknown group {name}")))?,
        ),
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.exists()
    {
        std::fs::create_dir_all(folder).map_err(|error| failed("cannot make folder of", &error))?;
        if let Some((uid, gid)) = wanted.owner {
            let _ = std::os::unix::fs::chown(folder, Some(uid), Some(gid));
        }
    }
    remove_stale(path, wanted.fix_stale)?;
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
        None,
    )
    .map_err(|error| failed("cannot make socket", &error))?;
    let address =
        rustix::net::SocketAddrUnix::new(path).map_err(|error| failed("bad path", &error))?;
    rustix::net::bind(&socket, &address).map_err(|error| failed("cannot bind", &error))?;
    // Nobody can connect before it is listened to, so that this is in time.
    let owner = wanted.owner.map(|(uid, _)| uid);
    let gid = group.or(wanted.owner.map(|(_, gid)| gid));
    std::os::unix::fs::chown(path, owner, gid)
        .map_err(|error| failed("cannot give away", &error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| failed("cannot set mode of", &error))?;
    let queue = i32::try_from(wanted.queue.max(1)).unwrap_or(i32::MAX);
    rustix::net::listen(&socket, queue).map_err(|error| failed("cannot listen on", &error))?;
    Ok(UnixListener::from(socket))
}

/// Removes a socket file that nobody listens to.
fn remove_stale(path: &Path, fix: bool) -> Result<(), SocketError> {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let shown = path.display();
    if !meta.file_type().is_socket() {
        return Err(SocketError(format!("LOCAL: {shown} is there and no socket")));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            Err(SocketError(format!("LOCAL: Socket file {shown} is in use by another process.")))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(SocketError(format!("LOCAL: Socket file {shown} is another user's.")))
        }
        Err(_) if !fix => Err(SocketError(format!(
            "LOCAL: Socket file {shown} exists. Either remove it, or configure a different one."
        ))),
        Err(_) => std::fs::remove_file(path)
            .map_err(|error| SocketError(format!("LOCAL: Socket file {shown}: {error}"))),
    }
}

/// Makes TCP sockets for all addresses; without any, for every address of this machine.
///
/// # Errors
/// See the text.
pub fn tcp(addresses: &[String], port: u16, queue: u32) -> Result<Vec<TcpListener>, SocketError> {
    let mut made = Vec::new();
    if addresses.is_empty() {
        match tcp_one(SocketAddr::from(([0u16; 8], port)), queue) {
            Ok(listener) => return Ok(vec![listener]),
            // A system without IPv6.
            Err(_) => made.push(tcp_one(SocketAddr::from(([0, 0, 0, 0], port)), queue)?),
        }
    }
    for address in addresses {
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        let found = (bare, port)
            .to_socket_addrs()
            .map_err(|error| SocketError(format!("TCP: cannot resolve '{address}': {error}")))?;
        for one in found {
            made.push(tcp_one(one, queue)?);
        }
    }
    Ok(made)
}

fn tcp_one(address: SocketAddr, queue: u32) -> Result<TcpListener, SocketError> {
    let failed = |error: rustix::io::Errno| {
        let why = io::Error::from(error);
        SocketError(format!("TCP: Cannot bind to [{}]:{}: {why}", address.ip(), address.port()))
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    let kind = SocketType::STREAM;
    let socket =
        rustix::net::socket_with(family, kind, flags, Some(ipproto::TCP)).map_err(failed)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    if let SocketAddr::V6(address) = address {
        // One socket for both families only where no address was asked for.
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified()).map_err(failed)?;
    }
    rustix::net::bind(&socket, &address).map_err(failed)?;
    let queue = i32::try_from(queue.max(1)).unwrap_or(i32::MAX);
    rustix::net::listen(&socket, queue).map_err(failed)?;
    Ok(TcpListener::from(socket))
}

/// Returns the listening sockets among passed descriptors, with their names; others are closed.
#[must_use]
pub fn passed() -> Vec<(Listener, String)> {
    let listening = |descriptor: &OwnedFd| {
        sockopt::socket_acceptconn(descriptor).unwrap_or(false)
            && sockopt::socket_type(descriptor).is_ok_and(|kind| kind == SocketType::STREAM)
    };
    let mut found = Vec::new();
    for (descriptor, name) in hf_sys::passed::take_passed() {
        if !listening(&descriptor) {
            continue;
        }
        let _ = rustix::io::ioctl_fionbio(&descriptor, true);
        match sockopt::socket_domain(&descriptor) {
            Ok(AddressFamily::UNIX) => {
                found.push((Listener::Unix(UnixListener::from(descriptor)), name));
            }
            Ok(AddressFamily::INET | AddressFamily::INET6) => {
                found.push((Listener::Tcp(TcpListener::from(descriptor)), name));
            }
            _ => {}
        }
    }
    found
}

/// A socket file that is removed at the end, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl SocketFile {
    /// Remembers the file of a socket that was just made.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inode: inode(path) }
    }

    /// Removes it; false when it is not ours any more, or may not be removed.
    #[must_use]
    pub fn remove(&self) -> bool {
        self.inode.is_some()
            && inode(&self.path) == self.inode
            && std::fs::remove_file(&self.path).is_ok()
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(path: &'a Path, mode: Option<&'a str>, fix_stale: bool) -> LocalSocket<'a> {
        LocalSocket { path, group: None, mode, fix_stale, queue: 5, owner: None }
    }

    #[test]
    fn stale_files_are_replaced_and_used_ones_are_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run/s");
        let listener = local(&wanted(&path, Some("660"), true)).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let error = local(&wanted(&path, None, true)).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(listener);
        let error = local(&wanted(&path, None, false)).unwrap_err().to_string();
        assert!(error.contains("Either remove it"), "{error}");
        let _again = local(&wanted(&path, None, true)).unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(local(&wanted(&file, None, true)).is_err());
        assert!(file.exists());
    }

    #[test]
    fn wrong_modes_and_groups() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s");
        let error = local(&wanted(&path, Some("999"), true)).unwrap_err().to_string();
        assert_eq!(error, "Invalid LocalSocketMode 999");
        let nobody = LocalSocket { group: Some("no such group"), ..wanted(&path, None, true) };
        assert_eq!(local(&nobody).unwrap_err().to_string(), "Unknown group no such group");
    }

    #[test]
    fn tcp_on_one_address_and_on_all() {
        let one = tcp(&["127.0.0.1".to_owned()], 0, 5).unwrap();
        assert_eq!(one.len(), 1);
        assert!(one[0].local_addr().unwrap().ip().is_loopback());
        assert_eq!(tcp(&[], 0, 5).unwrap().len(), 1);
        assert!(tcp(&["no such host.".to_owned()], 0, 5).is_err());
    }
}
