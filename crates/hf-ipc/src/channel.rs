//! Frames over a pair of stream sockets.
//!
//! A frame is a header of 12 bytes, little endian, and a payload:
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..4 | `magic` | `HFW` and the version of this protocol |
//! | 4 | `kind` | [`Message::KIND`] |
//! | 5 | `zero` | 0 |
//! | 6..8 | `descriptors` | how many descriptors belong to the frame |
//! | 8..12 | `payload_len` | bytes of payload: one value in postcard's encoding, nothing behind it |
//!
//! Descriptors travel with the first byte of their frame (the kernel keeps that order).
//! Streams rather than `SOCK_SEQPACKET`, whose messages cannot be longer than the send buffer.
//! Promises: while it waits to send, it receives, so two full buffers cannot block each other.
//! Sources: unix(7) `SCM_RIGHTS`, <https://postcard.jamesmunns.com/wire-format>.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::Message;

/// One end of a channel that sends `S` and receives `R`. After an error it is of no more use,
/// except after [`IpcError::Deadline`] of `receive` and [`IpcError::InFlight`].
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: OwnedFd,
    scratch: Box<[u8]>,
    inbox: Vec<u8>,
    /// Bytes of `inbox` that are done with.
    read: usize,
    descriptors: VecDeque<OwnedFd>,
    outbox: Vec<u8>,
    talk: PhantomData<fn(S) -> R>,
}

/// Why a message did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpcError {
    /// The other side is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// Time is up.
    #[error("no answer within the deadline")]
    Deadline,
    /// The other side broke the rules.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// The message to send is longer than allowed.
    #[error("message too long")]
    TooLong,
    /// Too many descriptors of this user are on their way; nothing was sent.
    #[error("too many descriptors on their way")]
    InFlight,
    /// The kernel refused.
    #[error("channel: {0}")]
    System(Errno),
}

/// Returns two connected sockets.
///
/// # Errors
/// No descriptors are left.
pub fn pair() -> Result<(OwnedFd, OwnedFd), IpcError> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(IpcError::System)
}

impl<S: Message, R: Message> Channel<S, R> {
    /// Takes one end.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            inbox: Vec::new(),
            read: 0,
            descriptors: VecDeque::new(),
            outbox: Vec::new(),
            talk: PhantomData,
        }
    }

    /// Sends a message, with descriptors, which the other side gets copies of.
    ///
    /// # Errors
    /// See [`IpcError`].
    pub fn send(
        &mut self,
        message: &S,
        descriptors: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), IpcError> {
        let mut frame = std::mem::take(&mut self.outbox);
        frame.clear();
        frame.extend([0; HEADER_LEN]);
        let frame =
            Frame { bytes: frame, len_max: HEADER_LEN.saturating_add(S::MAX_PAYLOAD_BYTES) };
        let mut frame =
            postcard::serialize_with_flavor(message, frame).map_err(|_| IpcError::TooLong)?;
        let payload_len = frame.len().saturating_sub(HEADER_LEN);
        if descriptors.len() > S::MAX_DESCRIPTORS {
            return Err(IpcError::TooLong);
        }
        let header = Header {
            kind: S::KIND,
            descriptors: u16::try_from(descriptors.len()).map_err(|_| IpcError::TooLong)?,
            payload_len: u32::try_from(payload_len).map_err(|_| IpcError::TooLong)?,
        };
        frame[..HEADER_LEN].copy_from_slice(&header.bytes());
        let result = self.send_all(&frame, descriptors, deadline);
        frame.truncate(KEEP_BYTES);
        frame.shrink_to(KEEP_BYTES);
        self.outbox = frame;
        result
    }

    fn send_all(
        &mut self,
        mut bytes: &[u8],
        mut descriptors: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), IpcError> {
        while !bytes.is_empty() {
            match send_some(self.socket.as_fd(), bytes, descriptors) {
                Ok(sent) => {
                    bytes = bytes.get(sent..).unwrap_or_default();
                    descriptors = &[];
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let room = self.inbox.len() < INBOX_BYTES;
                    let read = if room { PollFlags::IN } else { PollFlags::empty() };
                    let events = self.wait(PollFlags::OUT | read, deadline)?;
                    if room && events.contains(PollFlags::IN) {
                        self.fill(RecvFlags::DONTWAIT)?;
                    }
                }
                Err(Errno::TOOMANYREFS) => return Err(IpcError::InFlight),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    return Err(IpcError::Closed);
                }
                Err(errno) => return Err(IpcError::System(errno)),
            }
        }
        Ok(())
    }

    /// Returns the next message with its descriptors; waits for it.
    ///
    /// # Errors
    /// See [`IpcError`].
    pub fn receive(&mut self, deadline: Option<Instant>) -> Result<(R, Vec<OwnedFd>), IpcError> {
        loop {
            if let Some(message) = self.decode()? {
                return Ok(message);
            }
            if deadline.is_none() {
                self.fill(RecvFlags::empty())?;
            } else if !self.fill(RecvFlags::DONTWAIT)? {
                self.wait(PollFlags::IN, deadline)?;
            }
        }
    }

    /// Returns the next message if it is there already.
    ///
    /// # Errors
    /// See [`IpcError`].
    pub fn try_receive(&mut self) -> Result<Option<(R, Vec<OwnedFd>)>, IpcError> {
        loop {
            if let Some(message) = self.decode()? {
                return Ok(Some(message));
            }
            if !self.fill(RecvFlags::DONTWAIT)? {
                return Ok(None);
            }
        }
    }

    /// Takes one frame out of the inbox when it is there as a whole.
    fn decode(&mut self) -> Result<Option<(R, Vec<OwnedFd>)>, IpcError> {
        let bytes = self.inbox.get(self.read..).unwrap_or_default();
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let header = Header::parse::<R>(header)?;
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        let Some(payload) = rest.get(..payload_len) else { return Ok(None) };
        let (message, rest) =
            postcard::take_from_bytes::<R>(payload).map_err(|_| IpcError::Malformed("payload"))?;
        if !rest.is_empty() {
            return Err(IpcError::Malformed("bytes behind the payload"));
        }
        let count = usize::from(header.descriptors);
        message.check(count).map_err(IpcError::Malformed)?;
        if self.descriptors.len() < count {
            return Err(IpcError::Malformed("descriptors are missing"));
        }
        self.read = self.read.saturating_add(HEADER_LEN).saturating_add(payload_len);
        if self.read >= self.inbox.len() {
            self.read = 0;
            self.inbox.clear();
            self.inbox.shrink_to(KEEP_BYTES);
            if self.descriptors.len() > count {
                return Err(IpcError::Malformed("descriptors without a message"));
            }
        }
        Ok(Some((message, self.descriptors.drain(..count).collect())))
    }

    /// Receives once; returns whether anything came. Without `DONTWAIT` it waits.
    fn fill(&mut self, flags: RecvFlags) -> Result<bool, IpcError> {
        if self.read > 0 {
            self.inbox.drain(..self.read);
            self.read = 0;
        }
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let space = if R::MAX_DESCRIPTORS == 0 { &mut [][..] } else { &mut space[..] };
        let mut control = RecvAncillaryBuffer::new(space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let mut buffers = [IoSliceMut::new(&mut self.scratch)];
        let got = match rustix::net::recvmsg(&self.socket, &mut buffers, &mut control, flags) {
            Ok(got) => got,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::CONNRESET) => return Err(IpcError::Closed),
            Err(errno) => return Err(IpcError::System(errno)),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(IpcError::Malformed("descriptors that do not fit"));
        }
        if self.descriptors.len() > R::MAX_DESCRIPTORS.saturating_mul(2) {
            return Err(IpcError::Malformed("too many descriptors"));
        }
        if got.bytes == 0 {
            return Err(IpcError::Closed);
        }
        self.inbox.extend_from_slice(self.scratch.get(..got.bytes).unwrap_or_default());
        Ok(true)
    }

    fn wait(&self, events: PollFlags, deadline: Option<Instant>) -> Result<PollFlags, IpcError> {
        loop {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let timeout = left.map(Timespec::try_from).transpose();
            // A deadline beyond what the kernel can count is none.
            let timeout = timeout.unwrap_or(None);
            let mut polled = [PollFd::new(&self.socket, events)];
            match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Ok(0) => return Err(IpcError::Deadline),
                Ok(_) => return Ok(polled[0].revents()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(IpcError::System(errno)),
            }
        }
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn send_some(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "the buffer is as large as the largest number that `send` lets pass");
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}

/// Bytes that are written, and how many there may be.
struct Frame {
    bytes: Vec<u8>,
    len_max: usize,
}

impl postcard::ser_flavors::Flavor for Frame {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.len_max.saturating_sub(self.bytes.len()) < bytes.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

struct Header {
    kind: u8,
    descriptors: u16,
    payload_len: u32,
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_LEN] {
        let [a, b] = self.descriptors.to_le_bytes();
        let [c, d, e, f] = self.payload_len.to_le_bytes();
        let [m, n, o, p] = MAGIC;
        [m, n, o, p, self.kind, 0, a, b, c, d, e, f]
    }

    fn parse<R: Message>(bytes: &[u8; HEADER_LEN]) -> Result<Self, IpcError> {
        let [m, n, o, p, kind, zero, a, b, c, d, e, f] = *bytes;
        let header = Self {
            kind,
            descriptors: u16::from_le_bytes([a, b]),
            payload_len: u32::from_le_bytes([c, d, e, f]),
        };
        let within = |value: usize, bound| if value <= bound { Ok(()) } else { Err(()) };
        if [m, n, o, p] != MAGIC {
            return Err(IpcError::Malformed("magic"));
        }
        if header.kind != R::KIND || zero != 0 {
            return Err(IpcError::Malformed("kind"));
        }
        within(usize::from(header.descriptors), R::MAX_DESCRIPTORS)
            .map_err(|()| IpcError::Malformed("descriptors"))?;
        within(usize::try_from(header.payload_len).unwrap_or(usize::MAX), R::MAX_PAYLOAD_BYTES)
            .map_err(|()| IpcError::Malformed("payload_len"))?;
        Ok(header)
    }
}

const HEADER_LEN: usize = 12;

/// The last byte is the version of the protocol.
const MAGIC: [u8; 4] = *b"HFW1";

/// Ours: received at once.
const SCRATCH_BYTES: usize = 64 << 10;

/// Ours: while sending, received bytes are kept up to here.
const INBOX_BYTES: usize = 64 << 20;

/// Ours: memory that a buffer keeps between messages.
const KEEP_BYTES: usize = 64 << 10;

/// Room for the most descriptors of any message.
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(128));

#[cfg(test)]
mod tests;
