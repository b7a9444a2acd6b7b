//! Unpacking with a bound: reads a decoder to its end, to the sink's cap, or to its first error.

use std::io::Read;

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

/// How unpacking ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The stream's own end.
    Whole,
    /// The cap of the sink; there was more.
    Capped,
    /// An error of the decoder; the text is its message.
    Damaged(String),
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
    mut decoder: impl Read,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let cap = sink.child_cap();
    let first = claimed_len.min(cap).min(FIRST_LEN_MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(first).unwrap_or(0));
    loop {
        sink.poll()?;
        let had = bytes.len();
        let room = cap.saturating_sub(u64::try_from(had).unwrap_or(u64::MAX));
        if room == 0 {
            let mut probe = [0u8; 1];
            let ended = match decoder.read(&mut probe) {
                Ok(0) => Ended::Whole,
                Ok(_) => Ended::Capped,
                Err(error) => Ended::Damaged(error.to_string()),
            };
            return Ok(Unpacked { bytes, ended });
        }
        let want = room.min(u64::try_from(CHUNK_LEN).unwrap_or(u64::MAX));
        match (&mut decoder).take(want).read_to_end(&mut bytes) {
            Ok(0) => return Ok(Unpacked { bytes, ended: Ended::Whole }),
            Ok(_) => {}
            Err(error) => return Ok(Unpacked { bytes, ended: Ended::Damaged(error.to_string()) }),
        }
    }
}

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
    match &unpacked.ended {
        Ended::Whole => {}
        Ended::Capped => {
            let reason = sink.cap_reason();
            sink.unscanned(name, reason);
        }
        Ended::Damaged(why) => sink.unscanned(name, Reason::Damaged(why.clone().into())),
    }
    sink.child(Child { name, data: &unpacked.bytes, role })
}
