//! Data that images carry and viewers do not show: packed texts and chunks of one's own in PNG, comments in GIF.
//!
//! Promises: at most [`PIECES_MAX`] pieces, each up to the sink's cap; more are told; broken structure ends the walk.
//! Leaves out: colour profiles that are nothing else; segments of JPEG, which stand in the object as they are.
//! Sources: W3C, "Portable Network Graphics", §11.3; CompuServe, GIF89a.

use hf_core::{Child, ChildRole, Reason, Sink, Stop};

use crate::bounded::{hand_over, unpack};
use crate::codec::Inflate;
use crate::reader::{Reader, size};

/// Ours.
const PIECES_MAX: usize = 64;
/// Ours: shorter pieces carry no file.
const LEN_MIN: usize = 64;

/// Hands over what the chunks of a PNG hide.
///
/// # Errors
/// The scan ends here.
pub(super) fn png(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut reader = Reader::at(object, 8);
    let mut pieces = 0usize;
    while let (Ok(len), Ok(kind)) = (reader.u32_be(), reader.take(4)) {
        let data = reader.take_up_to(size(u64::from(len)));
        if reader.skip(4).is_err() || kind == b"IEND" {
            return Ok(());
        }
        let stream = match kind {
            // A keyword, and the method behind it.
            b"zTXt" | b"iCCP" => behind_zeros(data, 1).and_then(|rest| rest.get(1..)),
            // A keyword, whether it is packed, method, language, keyword in it.
            b"iTXt" => behind_zeros(data, 1)
                .filter(|rest| rest.first() == Some(&1))
                .and_then(|rest| behind_zeros(rest.get(2..)?, 2)),
            // Frames of an animation.
            b"fdAT" => None,
            // A chunk that is not public.
            [_, b'a'..=b'z', _, _] if data.len() >= LEN_MIN => {
                if pieces >= PIECES_MAX {
                    return too_many(sink);
                }
                pieces = pieces.saturating_add(1);
                sink.child(Child { name: kind, data, role: ChildRole::Member })?;
                None
            }
            _ => None,
        };
        if let Some(stream) = stream.filter(|stream| stream.len() >= LEN_MIN) {
            if pieces >= PIECES_MAX {
                return too_many(sink);
            }
            pieces = pieces.saturating_add(1);
            let unpacked = unpack(Inflate::zlib(stream), 0, sink)?;
            if !is_profile(kind, &unpacked.bytes) {
                hand_over(&unpacked, kind, ChildRole::Member, sink)?;
            }
        }
    }
    Ok(())
}

fn too_many(sink: &mut dyn Sink) -> Result<(), Stop> {
    sink.unscanned(b"", Reason::FormatLimit("pieces of data in an image".into()));
    Ok(())
}

/// True for a colour profile, as many images have it, and nothing behind it: its length, and `acsp`.
fn is_profile(kind: &[u8], bytes: &[u8]) -> bool {
    let len = Reader::new(bytes).u32_be().map_or(0, |len| size(u64::from(len)));
    kind == b"iCCP" && len == bytes.len() && bytes.get(36..40) == Some(b"acsp")
}

/// Returns what is behind so many zeros.
fn behind_zeros(data: &[u8], count: usize) -> Option<&[u8]> {
    (0..count).try_fold(data, |rest, _| {
        let zero = memchr::memchr(0, rest)?;
        rest.get(zero.saturating_add(1)..)
    })
}

/// Hands over the comments and the data of applications in a GIF.
///
/// # Errors
/// The scan ends here.
pub(super) fn gif(object: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let flags = object.get(10).copied().unwrap_or(0);
    let mut reader = Reader::at(object, 13usize.saturating_add(table_len(flags)));
    let mut pieces = 0usize;
    loop {
        match reader.u8() {
            Ok(0x21) => {
                let Ok(label) = reader.u8() else { return Ok(()) };
                let data = blocks(&mut reader);
                if matches!(label, 0xfe | 0xff) && data.len() >= LEN_MIN {
                    if pieces >= PIECES_MAX {
                        return too_many(sink);
                    }
                    pieces = pieces.saturating_add(1);
                    let role = ChildRole::Member;
                    sink.child(Child { name: b"comment", data: &data, role })?;
                }
            }
            Ok(0x2c) => {
                let Ok(image) = reader.take(9) else { return Ok(()) };
                let flags = image.last().copied().unwrap_or(0);
                reader.take_up_to(table_len(flags).saturating_add(1));
                while let Ok(len @ 1..) = reader.u8() {
                    reader.take_up_to(usize::from(len));
                }
            }
            _ => return Ok(()),
        }
        sink.poll()?;
    }
}

fn table_len(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 6usize << (flags & 7) }
}

/// Joins blocks up to an empty one.
fn blocks(reader: &mut Reader<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    while let Ok(len @ 1..) = reader.u8() {
        data.extend_from_slice(reader.take_up_to(usize::from(len)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    #[test]
    fn more_pieces_than_are_looked_at_are_told() {
        let chunk = |kind: &[u8]| [&64u32.to_be_bytes(), kind, &[7; 64], &[0; 4]].concat();
        let told = |kind: &[u8], count: usize| {
            let object = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(kind).repeat(count)].concat();
            let mut recorder = Recorder::default();
            png(&object, &mut recorder).expect("no limit");
            let is_limit = |event: &&Event| matches!(event, Event::Unscanned(..));
            recorder.events.iter().filter(is_limit).count()
        };
        assert_eq!(told(b"abCd", PIECES_MAX), 0);
        assert_eq!(told(b"abCd", PIECES_MAX + 1), 1);
        // Frames of an animation are no pieces.
        assert_eq!(told(b"fdAT", 4 * PIECES_MAX), 0);
    }
}
