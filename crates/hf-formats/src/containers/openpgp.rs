//! OpenPGP messages: signed and compressed data, literal data.
//!
//! Yields: the content of literal data packets, under the name that they have; messages inside of compressed data.
//! Leaves out: signatures, keys and certificates; encrypted data, which is told.
//! Limits: through `Sink`; [`PACKETS_MAX`] packets.
//! Hostile input: a packet that is cut gives what is there; partial lengths are joined.
//! Sources: RFC 9580 (RFC 4880).

use std::borrow::Cow;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::unpack_child;
use crate::codec::{Bunzip2, Inflate};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "openpgp",
    types: &[FileType::OpenPgp],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "a first packet of compressed, literal, encrypted or signed data; armoured messages in texts",
        yields: "literal data, messages in compressed data",
        leaves_out: "signatures, keys; encrypted data (reported)",
        limits: "65,536 packets",
        sources: "RFC 9580",
    },
};

/// Ours.
const PACKETS_MAX: u32 = 1 << 16;

/// A packet: its kind and its content.
struct Packet<'a> {
    tag: u8,
    body: Cow<'a, [u8]>,
    /// Why it is not all there.
    missing: Option<Reason>,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(object);
    let mut position = 0u32;
    while reader.left() > 0 {
        sink.poll()?;
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        let Some(packet) = packet(&mut reader, sink) else {
            sink.defect(Defect::new(off, "packet"));
            break;
        };
        position = position.saturating_add(1);
        if position > PACKETS_MAX {
            sink.unscanned(b"", Reason::FormatLimit("OpenPGP packets".into()));
            break;
        }
        if let Some(reason) = packet.missing {
            sink.unscanned(b"", reason);
        }
        match packet.tag {
            8 => compressed(&packet.body, sink)?,
            11 => literal(&packet.body, position, sink)?,
            9 | 18 | 20 => sink.unscanned(b"", Reason::Encrypted),
            _ => {}
        }
    }
    Ok(())
}

/// Reads a packet; none when there is no header.
fn packet<'a>(reader: &mut Reader<'a>, sink: &dyn Sink) -> Option<Packet<'a>> {
    let head = reader.u8().ok()?;
    if head & 0x80 == 0 {
        return None;
    }
    if head & 0x40 == 0 {
        let tag = (head >> 2) & 15;
        let len = match head & 3 {
            0 => u64::from(reader.u8().ok()?),
            1 => u64::from(reader.u16_be().ok()?),
            2 => u64::from(reader.u32_be().ok()?),
            _ => u64::try_from(reader.left()).unwrap_or(u64::MAX),
        };
        let body = reader.take_up_to(size(len));
        let missing = (body.len() < size(len)).then_some(Reason::Truncated);
        return Some(Packet { tag, body: body.into(), missing });
    }
    let cap = size(sink.child_cap());
    let mut packet = Packet { tag: head & 0x3f, body: Cow::default(), missing: None };
    loop {
        let first = reader.u8().ok()?;
        let (len, is_last) = match first {
            0..=191 => (u64::from(first), true),
            192..=223 => {
                let second = reader.u8().ok()?;
                let high = u64::from(first.saturating_sub(192)) << 8;
                (high.saturating_add(u64::from(second)).saturating_add(192), true)
            }
            224..=254 => (1u64 << (first & 0x1f), false),
            255 => (u64::from(reader.u32_be().ok()?), true),
        };
        let part = reader.take_up_to(size(len));
        let is_cut = part.len() < size(len);
        if is_cut {
            packet.missing = Some(Reason::Truncated);
        }
        if is_last && packet.body.is_empty() {
            packet.body = part.into();
        } else if packet.body.len().saturating_add(part.len()) > cap {
            // The rest is still read over, to find the next packet.
            packet.missing = Some(sink.cap_reason());
        } else {
            packet.body.to_mut().extend_from_slice(part);
        }
        if is_last || is_cut {
            return Some(packet);
        }
    }
}

fn compressed(body: &[u8], sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some((method, data)) = body.split_first() else { return Ok(()) };
    let role = ChildRole::Typed(FileType::OpenPgp);
    let name = b"compressed";
    match method {
        0 => return sink.child(Child { name, data, role }),
        1 => unpack_child(Inflate::raw(data), 0, name, role, sink)?,
        2 => unpack_child(Inflate::zlib(data), 0, name, role, sink)?,
        3 => unpack_child(Bunzip2::new(data), 0, name, role, sink)?,
        method => {
            let reason = Reason::UnknownMethod(format!("OpenPGP {method}").into());
            sink.unscanned(name, reason);
            return Ok(());
        }
    };
    Ok(())
}

/// A format, a name, a date, and the data.
fn literal(body: &[u8], position: u32, sink: &mut dyn Sink) -> Result<(), Stop> {
    let name_len = body.get(1).map_or(0, |len| usize::from(*len));
    let mut reader = Reader::at(body, 2);
    let name = reader.take_up_to(name_len);
    reader.take_up_to(4);
    let data = reader.rest();
    let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
    sink.member(&Member {
        name,
        packed_len: len,
        unpacked_len: len,
        position,
        ..Member::default()
    })?;
    sink.child(Child { name, data, role: ChildRole::Member })
}

/// True when an object begins with a packet that only messages have, and whose first fields are possible.
pub(crate) fn is_message(head: &[u8]) -> bool {
    let Some(first) = head.first().filter(|first| **first & 0x80 != 0) else { return false };
    let is_new = first & 0x40 != 0;
    let tag = if is_new { first & 0x3f } else { (first >> 2) & 15 };
    let len_len = match (is_new, first & 3, head.get(1)) {
        (true, _, Some(192..=223)) | (false, 1, _) => 2usize,
        (true, _, Some(255)) => 5,
        (true, ..) | (false, 0, _) => 1,
        (false, 2, _) => 4,
        (false, ..) => 0,
    };
    let body = head.get(len_len.saturating_add(1)..).unwrap_or_default();
    match (tag, body) {
        // Compressed: what bzip2, zlib or deflate begin with.
        (8, [2, 0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] | [3, b'B', b'Z', b'h', ..]) => true,
        (8, [1, deflate @ ..]) => begins_packet(deflate),
        (11, [b'b' | b't' | b'u' | b'm', name_len, rest @ ..]) => {
            rest.len() > usize::from(*name_len).saturating_add(4)
        }
        // Keys of a session: version, algorithm.
        (1, [3, ..]) => !is_new && matches!(first & 3, 0 | 1) && body.len() > 12,
        (3, [4, 1..=13, 0 | 1 | 3, 1..=14, ..]) => true,
        // A signature to come: version, kind, digest, algorithm.
        (4, [3, 0 | 1, 1..=14, 1..=28, ..]) => true,
        _ => false,
    }
}

/// True when deflate decodes to the start of a packet.
fn begins_packet(deflate: &[u8]) -> bool {
    let mut first = [0u8; 16];
    let made = Inflate::raw(deflate).fill(&mut first).unwrap_or(0);
    made >= 8 && matches!(first, [0xac..=0xaf | 0xcb | 0x90 | 0x91 | 0xc4, ..])
}
