//! Files in BinHex 4.0, on their own or anywhere in a text.
//!
//! Yields: data fork and resource fork.
//! Leaves out: checksums, type and creator.
//! Limits: all through `Sink`; run lengths expand at most to the sink's cap.
//! Hostile input: forks are cut where the data ends.
//! Sources: RFC 1741.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink, Stop};
use memchr::memmem;

use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "binhex",
    types: &[FileType::Binhex],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive || options.scan_mail,
    extract,
    doc: FormatDoc {
        recognised_by: "(This file must be converted with BinHex 4.0) at the start",
        yields: "data fork and resource fork",
        leaves_out: "checksums, type, creator",
        limits: "those of the scan",
        sources: "RFC 1741",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    if !give(object, sink)? {
        return Err(Defect::new(0, "start of data").into());
    }
    Ok(())
}

pub(super) const MARK: &[u8] = b"(This file must be converted with BinHex";

/// Gives the forks of the first file in a text; false when there is none.
///
/// # Errors
/// The scan ends here.
pub(super) fn give(text: &[u8], sink: &mut dyn Sink) -> Result<bool, Stop> {
    let Some(digits) = memmem::find(text, MARK).and_then(|at| digits(text.get(at..)?)) else {
        return Ok(false);
    };
    let cap = size(sink.child_cap());
    let bytes = expand(&eight_bits(digits), cap);
    if bytes.len() >= cap {
        let reason = sink.cap_reason();
        sink.unscanned(b"", reason);
    }
    let Some((name, data, resource)) = forks(&bytes) else {
        sink.unscanned(b"", Reason::Truncated);
        sink.child(Child { name: b"binhex", data: &bytes, role: ChildRole::Member })?;
        return Ok(true);
    };
    sink.child(Child { name, data, role: ChildRole::Member })?;
    if !resource.is_empty() {
        let name = [name, b".rsrc"].concat();
        sink.child(Child { name: &name, data: resource, role: ChildRole::Member })?;
    }
    Ok(true)
}

/// Returns the text between the two colons.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let line = memchr::memchr2(b'\n', b'\r', text)?;
    let rest = text.get(line..)?;
    let start = memchr::memchr(b':', rest)?.checked_add(1)?;
    let rest = rest.get(start..)?;
    rest.get(..memchr::memchr(b':', rest).unwrap_or(rest.len()))
}

const ALPHABET: &[u8; 64] = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";

/// Four digits are three bytes; what is no digit is passed over.
fn eight_bits(digits: &[u8]) -> Vec<u8> {
    let mut values = [None; 256];
    for (value, byte) in (0_u32..).zip(ALPHABET) {
        if let Some(slot) = values.get_mut(usize::from(*byte)) {
            *slot = Some(value);
        }
    }
    let mut out = Vec::with_capacity(digits.len());
    let (mut bits, mut bit_count) = (0_u32, 0_u32);
    for byte in digits {
        let Some(value) = values.get(usize::from(*byte)).copied().flatten() else { continue };
        bits = (bits << 6) | value;
        bit_count = bit_count.saturating_add(6);
        if bit_count >= 8 {
            bit_count = bit_count.saturating_sub(8);
            let [.., low] = (bits >> bit_count).to_be_bytes();
            out.push(low);
            bits &= 0xff;
        }
    }
    out
}

/// Undoes run lengths: `90 n` repeats the byte before, `90 00` is a byte of its own.
fn expand(packed: &[u8], max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = packed.iter();
    while let Some(byte) = bytes.next() {
        if out.len() >= max {
            break;
        }
        if *byte != 0x90 {
            out.push(*byte);
            continue;
        }
        match (bytes.next(), out.last().copied()) {
            (Some(0), _) => out.push(0x90),
            (Some(count), Some(last)) => {
                let len = out.len().saturating_add(usize::from(count.saturating_sub(1)));
                out.resize(len.min(max), last);
            }
            _ => {}
        }
    }
    out
}

/// Returns name, data fork and resource fork.
fn forks(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut reader = Reader::new(bytes);
    let name_len = reader.u8().ok()?;
    let name = reader.take(usize::from(name_len)).ok()?;
    // Version, type, creator, flags.
    reader.skip(1 + 4 + 4 + 2).ok()?;
    let data_len = size(u64::from(reader.u32_be().ok()?));
    let resource_len = size(u64::from(reader.u32_be().ok()?));
    reader.skip(2).ok()?;
    let data = reader.take_up_to(data_len);
    let _ = reader.skip(2);
    Some((name, data, reader.take_up_to(resource_len)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    /// The encoder, without run lengths.
    pub(in crate::mail) fn encode(name: &[u8], data: &[u8], resource: &[u8]) -> Vec<u8> {
        let be = |len: usize| u32::try_from(len).expect("small").to_be_bytes();
        let mut bytes = vec![u8::try_from(name.len()).expect("short")];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(b"\0TEXTttxt\0\0");
        bytes.extend_from_slice(&be(data.len()));
        bytes.extend_from_slice(&be(resource.len()));
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(resource);
        bytes.extend_from_slice(&[0, 0]);
        let escaped: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| if *byte == 0x90 { vec![0x90, 0] } else { vec![*byte] })
            .collect();
        let mut out = b"(This file must be converted with BinHex 4.0)\r\n\r\n:".to_vec();
        for group in escaped.chunks(3) {
            let bits = (0..3)
                .fold(0_u32, |bits, at| (bits << 8) | u32::from(*group.get(at).unwrap_or(&0)));
            for shift in [18, 12, 6, 0].iter().take(group.len() + 1) {
                out.push(ALPHABET[usize::try_from((bits >> shift) & 63).expect("small")]);
            }
        }
        out.push(b':');
        out
    }

    #[test]
    fn forks_are_given() {
        let mut recorder = Recorder::default();
        let text = encode(b"a.bin", b"data \x90 fork", b"resources");
        recorder.run(&FORMAT, &text).expect("it is whole");
        let want =
            [(b"a.bin".as_slice(), b"data \x90 fork".as_slice()), (b"a.bin.rsrc", b"resources")];
        assert_eq!(recorder.children(), want);
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, &text[..60]).expect("what is there is given");
        assert!(matches!(recorder.events[..], [Event::Unscanned(..), Event::Child(..)]));
    }

    #[test]
    fn run_lengths() {
        assert_eq!(expand(&[1, 0x90, 4, 2, 0x90, 0, 0x90], 100), [1, 1, 1, 1, 2, 0x90]);
        assert_eq!(expand(&[1, 0x90, 255], 10).len(), 10);
    }
}
