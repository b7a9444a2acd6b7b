//! CMS (PKCS #7) messages: signed, compressed and encrypted content, as S/MIME and `.p7m` files have it.
//!
//! Yields: the content of signed and compressed messages, as a message when it has headers.
//! Leaves out: signatures and certificates; encrypted content, which is reported.
//! Limits: 16 levels of nesting. Hostile input: lengths that claim too much take what is there; BER with
//! indefinite lengths and content in pieces is read; a content type that lies is tried as what it holds.
//! Sources: RFC 5652 (CMS), RFC 3274 (compressed data), RFC 8551 (S/MIME), X.690 §8.1 (BER).

use hf_core::{Child, ChildRole, FileType, Halt, Reason, Sink, Stop};

use super::lines::starts_with_word;
use crate::bounded::{hand_over, unpack};
use crate::codec::Inflate;
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "cms",
    types: &[FileType::Cms],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_mail,
    extract,
    doc: FormatDoc {
        recognised_by: "a sequence that starts with an object identifier of PKCS #7 or of compressed data",
        yields: "the content of signed and compressed messages",
        leaves_out: "signatures and certificates; encrypted content (reported)",
        limits: "16 levels of nesting",
        sources: "RFC 5652, RFC 3274, RFC 8551, X.690",
    },
};

const DEPTH_MAX: u32 = 16;
/// `1.2.840.113549.1.7`, without its last number.
const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
/// `1.2.840.113549.1.9.16.1.9`.
const COMPRESSED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x09];

const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;

/// One element: its tag, its content, and what is behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    /// The first byte.
    pub(crate) tag: u8,
    /// What is in it, as far as it is there.
    pub(crate) content: &'a [u8],
    /// What follows.
    pub(crate) behind: &'a [u8],
    /// Its length claims more.
    pub(crate) is_cut: bool,
}

/// Reads an element; one without a length has everything up to its end mark.
pub(crate) fn element(bytes: &[u8], depth: u32) -> Option<Element<'_>> {
    let (tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f || depth > DEPTH_MAX {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let count = usize::from(first & 0x7f);
    if *first == 0x80 {
        let mut at = rest;
        while !at.is_empty() && !at.starts_with(&[0, 0]) {
            match element(at, depth.saturating_add(1)) {
                Some(inner) => at = inner.behind,
                None => at = &[],
            }
        }
        let len = rest.len().saturating_sub(at.len());
        let behind = at.get(2..).unwrap_or_default();
        return Some(Element { tag: *tag, content: rest.get(..len)?, behind, is_cut: false });
    }
    let (len, rest) = if *first < 0x80 {
        (count, rest)
    } else {
        let (digits, rest) = rest.split_at_checked(count)?;
        let len = digits.iter().fold(0u64, |len, digit| {
            len.checked_mul(256).map_or(u64::MAX, |len| len.saturating_add(u64::from(*digit)))
        });
        (size(len), rest)
    };
    let (content, behind) = rest.split_at_checked(len.min(rest.len()))?;
    Some(Element { tag: *tag, content, behind, is_cut: content.len() < len })
}

/// Appends the bytes of a string that may be in pieces.
fn octets(string: Element<'_>, depth: u32, out: &mut Vec<u8>) {
    if string.tag & CONSTRUCTED == 0 {
        out.extend_from_slice(string.content);
        return;
    }
    let mut at = string.content;
    while let Some(piece) = element(at, depth).filter(|_| depth <= DEPTH_MAX) {
        octets(piece, depth.saturating_add(1), out);
        at = piece.behind;
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let Some((kind, content)) = content_info(object) else {
        sink.unscanned(b"", Reason::Damaged("CMS content".into()));
        return Ok(());
    };
    // RFC 5652: 1 data, 2 signed, 3 enveloped, 4 both, 5 digested, 6 encrypted; RFC 5083: 23 authenticated.
    let number = kind.strip_prefix(PKCS7).and_then(<[u8]>::first);
    match number {
        _ if kind == COMPRESSED => Ok(inner(content, true, sink)?),
        Some(1) => Ok(give(content, sink)?),
        Some(2 | 5) => Ok(inner(content, false, sink)?),
        _ => {
            sink.unscanned(b"", Reason::Encrypted);
            Ok(())
        }
    }
}

/// Returns the type and the content of a `ContentInfo`.
fn content_info(object: &[u8]) -> Option<(&[u8], Element<'_>)> {
    let outer = element(object, 0)?;
    let kind = element(outer.content, 1).filter(|kind| kind.tag == OBJECT_ID)?;
    let explicit = element(kind.behind, 1)?;
    Some((kind.content, element(explicit.content, 2)?))
}

/// Hands over the `encapContentInfo` of signed or compressed data: the sequence that starts with a type.
fn inner(content: Element<'_>, compressed: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
    const FIELDS_MAX: usize = 8;
    let mut at = content.content;
    for _ in 0..FIELDS_MAX {
        let Some(field) = element(at, 3) else { break };
        at = field.behind;
        let kind = element(field.content, 4).filter(|kind| kind.tag == OBJECT_ID);
        let Some(kind) = kind.filter(|_| field.tag == 0x30) else { continue };
        let explicit = element(kind.behind, 4).filter(|explicit| explicit.tag & 0xc0 == 0x80);
        let Some(string) = explicit.and_then(|explicit| element(explicit.content, 5)) else {
            continue;
        };
        if !compressed {
            return give(string, sink);
        }
        let mut packed = Vec::new();
        octets(string, 6, &mut packed);
        let unpacked = unpack(Inflate::zlib(packed.as_slice()), 0, sink)?;
        return hand_over(&unpacked, b"content", role(&unpacked.bytes), sink);
    }
    Ok(())
}

fn give(string: Element<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut data = Vec::new();
    // What is no string is the content itself.
    if string.tag & 0x1f == OCTETS || string.tag & 0xc0 == 0x80 {
        octets(string, 6, &mut data);
    } else {
        data.extend_from_slice(string.content);
    }
    if data.is_empty() {
        return Ok(());
    }
    sink.child(Child { name: b"content", data: &data, role: role(&data) })
}

/// Content that starts with headers of a body is a message.
fn role(data: &[u8]) -> ChildRole {
    let words = [b"content-".as_slice(), b"mime-version:"];
    let is_message = words.iter().any(|word| starts_with_word(data.trim_ascii_start(), word));
    if is_message { ChildRole::Typed(FileType::Mail) } else { ChildRole::Member }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Event, Recorder};

    fn run(object: &[u8]) -> Vec<Event> {
        let mut recorder = Recorder::default();
        recorder.run(&FORMAT, object).expect("no limit");
        recorder.events
    }

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let len = u16::try_from(content.len()).expect("short");
        [&[tag, 0x82][..], &len.to_be_bytes(), &content].concat()
    }

    fn id(last: u8) -> Vec<u8> {
        [&[OBJECT_ID, 9][..], PKCS7, &[last]].concat()
    }

    fn signed(text: &[u8]) -> Vec<u8> {
        let content = der(0x30, &[&id(1), &der(0xa0, &[&der(OCTETS, &[text])])]);
        let data = der(0x30, &[&[2, 1, 1], &der(0x31, &[]), &content, &der(0x31, &[])]);
        der(0x30, &[&id(2), &der(0xa0, &[&data])])
    }

    #[test]
    fn signed_content() {
        let text = b"Content-Type: text/plain\r\n\r\nhello";
        let want =
            Event::Child(b"content".to_vec(), text.to_vec(), ChildRole::Typed(FileType::Mail));
        assert_eq!(run(&signed(text)), std::slice::from_ref(&want));
        // The same without lengths, and in pieces.
        let pieces = [&der(OCTETS, &[&text[..9]])[..], &der(OCTETS, &[&text[9..]])].concat();
        let open = |tag: u8, parts: &[&[u8]]| [&[tag, 0x80][..], &parts.concat(), &[0, 0]].concat();
        let content =
            open(0x30, &[&id(1), &open(0xa0, &[&open(OCTETS | CONSTRUCTED, &[&pieces])])]);
        let data = open(0x30, &[&[2, 1, 1], &open(0x31, &[]), &content]);
        assert_eq!(run(&open(0x30, &[&id(2), &open(0xa0, &[&data])])), [want]);
        let cut = signed(text);
        let events = run(&cut[..cut.len() - 20]);
        assert!(matches!(&events[..], [Event::Child(..)]), "{events:?}");
    }

    #[test]
    fn encrypted_content_is_told() {
        let object = der(0x30, &[&id(3), &der(0xa0, &[&der(0x30, &[&[2, 1, 0]])])]);
        assert_eq!(run(&object), [Event::Unscanned(Vec::new(), Reason::Encrypted)]);
    }

    #[test]
    fn hostile_nesting_ends() {
        let _ = run(&[0x30, 0x80].repeat(100_000));
        let _ =
            run(&[&[0x30, 0x80][..], &id(2), &[0xa0, 0x80, 0x24, 0x80].repeat(50_000)].concat());
    }
}
