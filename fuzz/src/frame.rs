//! Frames between parent and worker.

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hf_ipc::{Channel, FromWorker, Message, ToWorker};

/// Receives what the other side sent. Bits of the first byte: 0 the direction, 1 a frame is made around the
/// payload (its header is right), 2 to 4 how many descriptors come with it.
pub fn ipc_frame(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let rest = rest.get(..rest.len().min(BYTES_MAX)).unwrap_or_default();
    let count = usize::from(first >> 2 & 7);
    if first & 1 == 0 {
        let frame = framed::<ToWorker>(first, rest, count);
        let messages = hear::<FromWorker, ToWorker>(&frame, count);
        messages.iter().for_each(again::<ToWorker, FromWorker>);
    } else {
        let frame = framed::<FromWorker>(first, rest, 0);
        for message in hear::<ToWorker, FromWorker>(&frame, 0) {
            let _ = format!("{message:?}").len();
        }
    }
}

fn framed<R: Message>(first: u8, rest: &[u8], count: usize) -> Vec<u8> {
    if first & 2 == 0 {
        return rest.to_vec();
    }
    let count = u16::try_from(count).unwrap_or(0).to_le_bytes();
    let len = u32::try_from(rest.len()).unwrap_or(0).to_le_bytes();
    let header = [b'H', b'F', b'W', b'1', R::KIND, 0, count[0], count[1]];
    [&header[..], &len, rest].concat()
}

/// Returns what a channel makes of bytes that come with some descriptors.
fn hear<S: Message, R: Message>(bytes: &[u8], count: usize) -> Vec<R> {
    let (ours, theirs) = hf_ipc::pair().expect("a pair of sockets");
    send_raw(ours, bytes, count);
    let mut channel = Channel::<S, R>::new(theirs);
    let mut messages = Vec::new();
    while let Ok(Some((message, _))) = channel.try_receive() {
        messages.push(message);
    }
    messages
}

fn send_raw(socket: OwnedFd, bytes: &[u8], count: usize) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let mut stream = UnixStream::from(socket);
    let spare: Vec<UnixStream> =
        (0..count).map(|_| UnixStream::pair().expect("a pair of sockets").0).collect();
    let descriptors: Vec<_> = spare.iter().map(|stream| stream.as_fd()).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let (head, tail) = bytes.split_at(bytes.len().min(1));
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    if !head.is_empty() {
        let head = [std::io::IoSlice::new(head)];
        let _ = rustix::net::sendmsg(&stream, &head, &mut control, SendFlags::NOSIGNAL);
    }
    stream.set_nonblocking(true).expect("a socket can be made not to wait");
    let _ = stream.write(tail);
}

/// Sends a message that was received; what arrives must be the same.
fn again<S: Message + PartialEq + std::fmt::Debug, R: Message>(message: &S) {
    let (ours, theirs) = hf_ipc::pair().expect("a pair of sockets");
    let mut sender = Channel::<S, R>::new(ours);
    let mut receiver = Channel::<R, S>::new(theirs);
    let deadline = Some(Instant::now() + Duration::from_secs(5));
    let spare: Vec<UnixStream> =
        (0..8).map(|_| UnixStream::pair().expect("a pair of sockets").0).collect();
    let wanted = (0..=8).find(|count| message.check(*count).is_ok()).unwrap_or(0);
    let descriptors: Vec<_> = spare.iter().take(wanted).map(|stream| stream.as_fd()).collect();
    sender.send(message, &descriptors, deadline).expect("what arrived can be sent");
    let (arrived, _) = receiver.receive(deadline).expect("what was sent arrives");
    assert_eq!(&arrived, message);
}

/// What fits the buffer of a socket.
const BYTES_MAX: usize = 64 << 10;
