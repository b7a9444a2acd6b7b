//! Unpacking with a bound: reads a decoder to its end, to the sink's cap, or to its first error.

use std::io::{self, BufRead, Read};

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

use crate::codec::Inflate;

/// How unpacking ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The stream's own end.
    Whole,
    /// The cap of the sink; there was more.
    Capped,
    /// The input ended before the stream did.
    Truncated,
    /// The decoder needs more memory than it may have.
    Memory,
    /// An error of the decoder; the text is its message.
    Damaged(String),
}

impl Ended {
    /// Returns how a decoder ended that gave this error.
    pub(crate) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::OutOfMemory => Self::Memory,
            _ => Self::Damaged(error.to_string()),
        }
    }
}

impl Ended {
    /// Returns why something is missing; none when nothing is.
    pub(crate) fn reason(&self, sink: &dyn Sink) -> Option<Reason> {
        match self {
            Self::Whole => None,
            Self::Capped => Some(sink.cap_reason()),
            Self::Truncated => Some(Reason::Truncated),
            Self::Memory => Some(Reason::Memory),
            Self::Damaged(why) => Some(Reason::Damaged(why.clone().into())),
        }
    }
}

/// Bytes unpacked, and how it ended.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// What came out; also what came before an error.
    pub(crate) bytes: Vec<u8>,
    /// How it ended.
    pub(crate) ended: Ended,
}

const CHUNK_LEN: usize = 256 * 1024;
const FIRST_LEN_MAX: u64 = 1 << 20;

/// Reads a decoder until it ends; `claimed_len` is only a hint for the first allocation.
///
/// # Errors
/// The scan ends here (the deadline passed while unpacking).
pub(crate) fn unpack(
    decoder: impl Read,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let first = claimed_len.min(sink.child_cap()).min(FIRST_LEN_MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(first).unwrap_or(0));
    let ended = unpack_into(decoder, &mut bytes, sink)?;
    Ok(Unpacked { bytes, ended })
}

/// Appends what a decoder gives until it ends or all the bytes together reach the cap.
///
/// # Errors
/// The scan ends here (the deadline passed while unpacking).
pub(crate) fn unpack_into(
    mut decoder: impl Read,
    bytes: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<Ended, Stop> {
    let cap = sink.child_cap();
    loop {
        sink.poll()?;
        let had = bytes.len();
        let room = cap.saturating_sub(u64::try_from(had).unwrap_or(u64::MAX));
        if room == 0 {
            let mut probe = [0u8; 1];
            return Ok(match decoder.read(&mut probe) {
                Ok(0) => Ended::Whole,
                Ok(_) => Ended::Capped,
                Err(error) => Ended::of_error(&error),
            });
        }
        let want = room.min(u64::try_from(CHUNK_LEN).unwrap_or(u64::MAX));
        match (&mut decoder).take(want).read_to_end(bytes) {
            Ok(0) => return Ok(Ended::Whole),
            Ok(_) => {}
            Err(error) => return Ok(Ended::of_error(&error)),
        }
    }
}

/// As [`unpack_into`], straight into memory that fits `expected_len` bytes, which is only a hint.
///
/// # Errors
/// The scan ends here (the deadline passed while unpacking).
pub(crate) fn inflate_into(
    mut decoder: Inflate<impl BufRead>,
    expected_len: u64,
    bytes: &mut Vec<u8>,
    sink: &mut dyn Sink,
) -> Result<Ended, Stop> {
    let cap = usize::try_from(sink.child_cap()).unwrap_or(usize::MAX);
    let expected = usize::try_from(expected_len.min(FIRST_LEN_MAX)).unwrap_or(0);
    let mut want = expected.saturating_add(SLACK_LEN);
    let ended = loop {
        sink.poll()?;
        let had = bytes.len();
        if had > cap {
            break Ended::Capped;
        }
        bytes.resize(had.saturating_add(want), 0);
        let filled = decoder.fill(bytes.get_mut(had..).unwrap_or_default());
        let made = *filled.as_ref().unwrap_or(&0);
        bytes.truncate(had.saturating_add(made));
        if filled.is_ok() && made == want {
            want = CHUNK_LEN;
            continue;
        }
        break match filled.and_then(|_| decoder.fill(&mut [])) {
            _ if bytes.len() > cap => Ended::Capped,
            Ok(_) => Ended::Whole,
            Err(error) => Ended::of_error(&error),
        };
    };
    bytes.truncate(cap);
    Ok(ended)
}

/// Ours: the decoder is fast only with so much room.
const SLACK_LEN: usize = 512;

/// Unpacks a stream and hands it over as a child, saying what is missing from it.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unpack_child(
    decoder: impl Read,
    claimed_len: u64,
    name: &[u8],
    role: ChildRole,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let unpacked = unpack(decoder, claimed_len, sink)?;
    hand_over(&unpacked, name, role, sink)?;
    Ok(unpacked)
}

/// Hands unpacked bytes over as a child, saying what is missing from it.
///
/// # Errors
/// The scan ends here.
pub(crate) fn hand_over(
    unpacked: &Unpacked,
    name: &[u8],
    role: ChildRole,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    if let Some(reason) = unpacked.ended.reason(sink) {
        sink.unscanned(name, reason);
    }
    sink.child(Child { name, data: &unpacked.bytes, role })
}
