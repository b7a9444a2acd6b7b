//! gzip (RFC 1952).
//!
//! Yields: one child, all members one behind the other, named by the first member's FNAME; and what
//! stands behind the last member.
//! Leaves out: FCOMMENT, FEXTRA; members behind a damaged one.
//! Limits: all through `Sink`.
//! Hostile input: what came out before damage is a child; a header whose optional fields lead nowhere
//! is read again without them; a wrong CRC32 or ISIZE is a defect.
//! Sources: RFC 1952; RFC 1951.

use hf_core::{Defect, FileType, Halt, Reason, Sink};
use memchr::memchr;

use super::streams::{Stream, join};
use crate::bounded::{Ended, inflate_into};
use crate::codec::{Counted, Inflate};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "gzip",
    types: &[FileType::Gz],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x4 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`1f 8b` at the start",
        yields: "one child, all members joined, named by the first FNAME; data behind the last member",
        leaves_out: "FCOMMENT and FEXTRA; members behind a damaged one",
        limits: "output up to the size of one object",
        sources: "RFC 1952, RFC 1951",
    },
};

const FIXED_LEN: usize = 10;
/// Deflate makes at most so many bytes of one. Source: zlib's technical details.
const DEFLATE_RATIO: u64 = 1032;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let first = Header::read(object);
    let name = first.as_ref().map(|header| header.name).unwrap_or_default();
    if first.is_none() {
        sink.defect(Defect::truncated(0));
        sink.unscanned(b"", Reason::Truncated);
    }
    join(object, name, b"", sink, |rest, off, bytes, sink| {
        let Some(header) = Header::read(rest) else { return Ok(None) };
        if header.method != 8 {
            sink.defect(Defect::new(off.saturating_add(2), "CM"));
        }
        let start = bytes.len();
        let mut stream = member(rest, header.len, start, bytes, off, sink)?;
        if bytes.len() == start && stream.ended != Ended::Whole && header.len != FIXED_LEN {
            stream = member(rest, FIXED_LEN, start, bytes, off, sink)?;
        }
        Ok(Some(stream))
    })?;
    Ok(())
}

/// Unpacks a member whose header has this length, and checks its trailer.
fn member(
    input: &[u8],
    header_len: usize,
    start: usize,
    bytes: &mut Vec<u8>,
    off: u64,
    sink: &mut dyn Sink,
) -> Result<Stream, hf_core::Stop> {
    let mut body = Counted::new(input.get(header_len..).unwrap_or_default());
    // What the last member says of its length, if it may be true.
    let said = input.last_chunk().map_or(0, |isize| u64::from(u32::from_le_bytes(*isize)));
    let most = u64::try_from(input.len()).unwrap_or(u64::MAX).saturating_mul(DEFLATE_RATIO);
    let ended = inflate_into(Inflate::raw(&mut body), said.min(most), bytes, sink)?;
    let mut reader = Reader::at(input, header_len.saturating_add(size(body.used())));
    if ended == Ended::Whole {
        let at = off.saturating_add(u64::try_from(reader.off()).unwrap_or(u64::MAX));
        match (reader.u32_le(), reader.u32_le()) {
            (Ok(crc), Ok(len)) => {
                let member = bytes.get(start..).unwrap_or_default();
                if crc32fast::hash(member) != crc {
                    sink.defect(Defect::new(at, "CRC32"));
                } else if u32::try_from(member.len() & 0xffff_ffff) != Ok(len) {
                    sink.defect(Defect::new(at.saturating_add(4), "ISIZE"));
                }
            }
            _ => {
                sink.defect(Defect::truncated(at));
                reader.seek(input.len());
            }
        }
    }
    Ok(Stream { ended, used: reader.off() })
}

struct Header<'a> {
    name: &'a [u8],
    method: u8,
    len: usize,
}

impl<'a> Header<'a> {
    /// Reads a member's header; none when there is not even its fixed part.
    fn read(input: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(input);
        let fixed = reader.take(FIXED_LEN).ok()?;
        let [0x1f, 0x8b, method, flags, ..] = *fixed else { return None };
        let mut header = Self { name: b"", method, len: FIXED_LEN };
        if header.optional_fields(&mut reader, flags).is_ok() {
            header.len = reader.off();
        }
        Some(header)
    }

    fn optional_fields(&mut self, reader: &mut Reader<'a>, flags: u8) -> Result<(), Defect> {
        if flags & 0x04 != 0 {
            let extra_len = reader.u16_le()?;
            reader.skip(usize::from(extra_len))?;
        }
        if flags & 0x08 != 0 {
            self.name = string(reader)?;
        }
        if flags & 0x10 != 0 {
            string(reader)?;
        }
        if flags & 0x02 != 0 {
            reader.skip(2)?;
        }
        Ok(())
    }
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Defect> {
    let len = memchr(0, reader.rest()).unwrap_or(usize::MAX);
    let text = reader.take(len)?;
    reader.skip(1)?;
    Ok(text)
}
