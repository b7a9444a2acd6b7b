//! Compressed streams that stand one behind the other and make one child.
//!
//! Promises: everything that came out is handed over, whatever the end was; a broken stream does not
//! hide the next one when its magic can be found; what stands behind the last stream is a child too.

use std::io::Read;

use hf_core::{Child, ChildRole, Defect, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, hand_over, unpack_into};
use crate::codec::Counted;
use crate::reader::size;

/// What one stream gave.
pub(super) struct Stream {
    /// How it ended.
    pub(super) ended: Ended,
    /// Bytes of the object that it used.
    pub(super) used: usize,
}

/// Unpacks streams into one child until one is not there; `one` gets the rest of the object and its offset.
pub(super) fn join<'a>(
    object: &'a [u8],
    name: &[u8],
    magic: &[u8],
    sink: &mut dyn Sink,
    mut one: impl FnMut(&'a [u8], u64, &mut Vec<u8>, &mut dyn Sink) -> Result<Option<Stream>, Stop>,
) -> Result<(), Stop> {
    let mut bytes = Vec::new();
    let mut broken = None;
    let mut off = 0usize;
    let mut behind = None;
    loop {
        let rest = object.get(off..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let at = u64::try_from(off).unwrap_or(u64::MAX);
        let Some(stream) = one(rest, at, &mut bytes, sink)? else {
            behind = (off > 0).then_some(off);
            break;
        };
        let used = stream.used.max(1);
        match stream.ended {
            Ended::Whole => {
                off = off.saturating_add(used);
                let padding = object.get(off..).unwrap_or_default();
                off = off.saturating_add(padding.iter().take_while(|byte| **byte == 0).count());
            }
            Ended::Capped => {
                broken = Some(Ended::Capped);
                break;
            }
            ended => {
                broken.get_or_insert(ended);
                let from = used.max(magic.len());
                let next = rest.get(from..).and_then(|rest| memmem::find(rest, magic));
                let Some(gap) = next.filter(|_| !magic.is_empty()) else { break };
                off = off.saturating_add(from).saturating_add(gap);
            }
        }
    }
    let ended = broken.unwrap_or(Ended::Whole);
    if bytes.is_empty() {
        if let Some(reason) = ended.reason(sink) {
            sink.unscanned(name, reason);
        }
    } else {
        hand_over(&Unpacked { bytes, ended }, name, ChildRole::Member, sink)?;
    }
    match behind.and_then(|off| Some((off, object.get(off..)?))) {
        Some((off, data)) => {
            sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "data behind the end"));
            sink.child(Child { name: b"", data, role: ChildRole::Member })?;
            // Another stream behind junk: a file of its own, since the programs that join them end before it.
            let own: &[u8] = object.get(..object.len().min(3)).unwrap_or_default();
            match memmem::find(data, own) {
                Some(gap) if gap > 0 => {
                    let data = data.get(gap..).unwrap_or_default();
                    sink.child(Child { name: b"next", data, role: ChildRole::Member })
                }
                _ => Ok(()),
            }
        }
        None => Ok(()),
    }
}

/// Unpacks one stream with a decoder made by `open`, which counts what it uses.
pub(super) fn unpack_one<'a, R: Read>(
    input: &'a [u8],
    bytes: &mut Vec<u8>,
    sink: &mut dyn Sink,
    open: impl FnOnce(Counted<&'a [u8]>) -> std::io::Result<R>,
    used: impl FnOnce(&R) -> u64,
) -> Result<Stream, Stop> {
    match open(Counted::new(input)) {
        Ok(mut decoder) => {
            let ended = unpack_into(&mut decoder, bytes, sink)?;
            Ok(Stream { ended, used: size(used(&decoder)) })
        }
        Err(error) => Ok(Stream { ended: Ended::of_error(&error), used: 0 }),
    }
}
