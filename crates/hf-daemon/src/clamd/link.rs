//! A connection: bytes, and on local sockets the descriptors that come with them.
//!
//! Promises: nothing here waits without a bound; descriptors that nobody asked for are closed.
//! Sources: unix(7), recvmsg(2).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A connection.
#[derive(Debug)]
pub(super) enum Link {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Link {
    /// Waits for bytes; 0 when the other side is done. Descriptors that come along are added.
    pub(super) async fn receive(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        loop {
            let got = match self {
                Self::Unix(stream) => {
                    stream.readable().await?;
                    stream
                        .try_io(Interest::READABLE, || receive_message(stream, buffer, descriptors))
                }
                Self::Tcp(stream) => {
                    stream.readable().await?;
                    stream.try_read(buffer)
                }
            };
            match got {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Sends everything; each step of it may take as long as `patience`.
    pub(super) async fn send(&self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = match self {
                Self::Unix(stream) => stream.try_write(bytes),
                Self::Tcp(stream) => stream.try_write(bytes),
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let writable = async {
                        match self {
                            Self::Unix(stream) => stream.writable().await,
                            Self::Tcp(stream) => stream.writable().await,
                        }
                    };
                    timeout(patience, writable)
                        .await
                        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will come, and takes in what is still under way, so that the other side
    /// sees the last reply and not a reset.
    pub(super) async fn finish(&self, drain: bool) {
        let how = rustix::net::Shutdown::Write;
        let shut = match self {
            Self::Unix(stream) => rustix::net::shutdown(stream, how),
            Self::Tcp(stream) => rustix::net::shutdown(stream, how),
        };
        if shut.is_err() || !drain {
            return;
        }
        let _ = timeout(LINGER, async {
            let mut rest = vec![0; 16 << 10];
            let mut left = LINGER_BYTES;
            while let Ok(got @ 1..) = self.receive(&mut rest, &mut Vec::new()).await {
                left = left.saturating_sub(got);
                if left == 0 {
                    break;
                }
            }
        })
        .await;
    }
}

fn receive_message(
    stream: &UnixStream,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = rustix::net::recvmsg(stream, &mut parts, &mut ancillary, flags)?;
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(several) = part {
            let room = DESCRIPTORS_MAX.saturating_sub(descriptors.len());
            descriptors.extend(several.take(room));
        }
    }
    Ok(message.bytes)
}

/// Ours: descriptors that one message may bring; the kernel closes those beyond. One is used.
const DESCRIPTORS_MAX: usize = 4;

/// Ours: how long, and for how much, a client may go on sending after its reply.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 32 << 20;
