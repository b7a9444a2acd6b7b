//! ALZ archives of ALZip.
//!
//! Yields: one child per file: stored, deflate, and bzip2 in ALZip's framing; encrypted ones with the
//! passwords of the content.
//! Leaves out: folders; other methods and what is in other volumes, which are reported.
//! Limits: through `Sink`.
//! Hostile input: wrong checksums are defects; behind damage the next header's signature is looked for; what
//! was unpacked before an error is a child.
//! Sources: descriptions after unalz 0.65 (zlib licence); PKWARE's APPNOTE for the cipher; clamscan 1.4.6 as
//! an oracle.

use hf_core::{ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use crate::bounded::{Ended, Unpacked, hand_over, unpack, unpack_into};
use crate::codec::{Bunzip2, Inflate};
use crate::containers::zip::Traditional;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "alz",
    types: &[FileType::Alz],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`ALZ 01` at the start",
        yields: "one child per file: stored, deflate, ALZip's bzip2; encrypted ones with the passwords of \
                 the content",
        leaves_out: "folders; other methods and other volumes (reported)",
        limits: "none of its own",
        sources: "descriptions after unalz 0.65",
    },
};

const FILE: &[u8] = b"BLZ\x01";
const DIRECTORY: &[u8] = b"CLZ\x01";
const END: &[u8] = b"CLZ\x02";
const VOLUME_END: &[u8] = b"CLZ\x03";
/// Ours: members of one archive that gave nothing, behind which no bzip2 is tried: each costs some MiB.
const FAILURES_MAX: u32 = 1000;
/// Bytes of an encryption header.
const CRYPT_LEN: usize = 12;

struct Header<'a> {
    attributes: u8,
    time: u32,
    descriptor: u8,
    method: u8,
    crc32: u32,
    packed_len: u64,
    unpacked_len: u64,
    name: &'a [u8],
    end: usize,
}

impl<'a> Header<'a> {
    /// Reads what is behind the signature.
    fn read(object: &'a [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off.checked_add(FILE.len())?);
        let name_len = usize::from(reader.u16_le().ok()?);
        let attributes = reader.u8().ok()?;
        let time = reader.u32_le().ok()?;
        let descriptor = reader.u8().ok()?;
        reader.skip(1).ok()?;
        let width = usize::from(descriptor >> 4);
        let mut header = Self {
            attributes,
            time,
            descriptor,
            method: 0,
            crc32: 0,
            packed_len: 0,
            unpacked_len: 0,
            name: b"",
            end: 0,
        };
        if width > 0 {
            header.method = reader.u8().ok()?;
            reader.skip(1).ok()?;
            header.crc32 = reader.u32_le().ok()?;
            let mut number = || {
                let bytes = reader.take(width).ok()?;
                let bytes = bytes.get(..8).unwrap_or(bytes);
                Some(bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
            };
            header.packed_len = number()?;
            header.unpacked_len = number()?;
        }
        header.name = reader.take(name_len).ok()?;
        header.end = reader.off();
        Some(header)
    }

    fn encrypted(&self) -> bool {
        self.descriptor & 1 != 0
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 8usize;
    let mut position = 0u32;
    let mut damaged = false;
    let mut failures = FAILURES_MAX;
    while off < object.len() {
        sink.poll()?;
        let rest = object.get(off..).unwrap_or_default();
        if rest.starts_with(END) {
            break;
        }
        if rest.starts_with(VOLUME_END) {
            sink.unscanned(b"", Reason::OtherVolume);
            break;
        }
        if rest.starts_with(DIRECTORY) {
            off = off.saturating_add(12);
            continue;
        }
        let header = rest.starts_with(FILE).then(|| Header::read(object, off)).flatten();
        let Some(header) = header else {
            if !std::mem::replace(&mut damaged, true) {
                sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "header"));
                sink.unscanned(b"", Reason::Damaged("header".into()));
            }
            let Some(found) = find(object, off.saturating_add(1)) else { break };
            off = found;
            continue;
        };
        position = position.saturating_add(1);
        let crypt_len = if header.encrypted() { CRYPT_LEN } else { 0 };
        let end = header.end.saturating_add(crypt_len).saturating_add(size(header.packed_len));
        let next = if end <= object.len() {
            end
        } else {
            find(object, header.end).unwrap_or(object.len())
        };
        let part = object.get(..next).unwrap_or(object);
        if header.method == 1 && failures == 0 {
            sink.unscanned(header.name, Reason::FormatLimit("damaged members".into()));
        } else if !open(part, off, &header, position, sink)? {
            failures = failures.saturating_sub(1);
        }
        off = next;
    }
    Ok(())
}

fn find(object: &[u8], from: usize) -> Option<usize> {
    from.checked_add(memmem::find(object.get(from..)?, FILE)?)
}

/// Opens a member; false when nothing came out.
fn open(
    object: &[u8],
    off: usize,
    header: &Header<'_>,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<bool, Stop> {
    let name = header.name;
    sink.member(&Member {
        name,
        packed_len: header.packed_len,
        unpacked_len: header.unpacked_len,
        encrypted: header.encrypted(),
        crc32: Some(header.crc32),
        position,
    })?;
    if header.attributes & 0x10 != 0 && header.packed_len == 0 {
        return Ok(true);
    }
    let mut reader = Reader::at(object, header.end);
    let crypt = if header.encrypted() { reader.take_up_to(CRYPT_LEN) } else { &[] };
    let data = reader.take_up_to(size(header.packed_len));
    let short = data.len() < size(header.packed_len);
    if header.method > 2 {
        sink.unscanned(name, Reason::UnknownMethod(header.method.to_string().into()));
        return Ok(true);
    }
    let unpacked = if header.encrypted() {
        decrypt(header, crypt, data, sink)?
    } else {
        Some(unpack_by(header, data, sink)?)
    };
    let Some(mut unpacked) = unpacked else {
        sink.unscanned(name, Reason::Encrypted);
        return Ok(true);
    };
    if short && unpacked.ended == Ended::Whole {
        unpacked.ended = Ended::Truncated;
    }
    if unpacked.ended == Ended::Whole && crc32fast::hash(&unpacked.bytes) != header.crc32 {
        sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "CRC-32 of a member"));
    }
    if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole {
        return Ok(true);
    }
    hand_over(&unpacked, name, ChildRole::Member, sink)?;
    Ok(!unpacked.bytes.is_empty())
}

fn unpack_by(header: &Header<'_>, data: &[u8], sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    match header.method {
        0 => unpack(data, header.unpacked_len, sink),
        1 => bunzip2(data, sink),
        _ => unpack(Inflate::raw(data), header.unpacked_len, sink),
    }
}

fn decrypt(
    header: &Header<'_>,
    crypt: &[u8],
    data: &[u8],
    sink: &mut dyn Sink,
) -> Result<Option<Unpacked>, Stop> {
    let [_, time_byte, ..] = header.time.to_le_bytes();
    let [.., crc_byte] = header.crc32.to_le_bytes();
    let room = size(sink.child_cap()).saturating_mul(2).saturating_add(1 << 16);
    let data = data.get(..room).unwrap_or(data);
    for password in sink.passwords(FileType::Alz) {
        sink.poll()?;
        let checks = [time_byte, crc_byte];
        let Some(mut cipher) = Traditional::with_password(&password, crypt, &checks) else {
            continue;
        };
        let mut plain = data.to_vec();
        cipher.decrypt_all(&mut plain);
        let unpacked = unpack_by(header, &plain, sink)?;
        if crc32fast::hash(&unpacked.bytes) == header.crc32 {
            return Ok(Some(unpacked));
        }
    }
    Ok(None)
}

const BLOCK: u32 = 0x444c_5a01;
const STREAM_END: u32 = 0x444c_5a02;

/// Unpacks ALZip's bzip2: blocks without checksums behind signatures of their own. Each is made a stream of
/// its own, whose checksum cannot be right: the decoder finds that out when it has given all of it.
///
/// A stream in the usual framing is read as such: clamscan and others open those.
fn bunzip2(data: &[u8], sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    if data.starts_with(b"BZh") {
        return unpack(Bunzip2::new(data), 0, sink);
    }
    let (starts, ended) = block_starts(data);
    let mut bytes = Vec::new();
    for (idx, start) in starts.iter().enumerate() {
        let next = starts.get(idx.saturating_add(1)).copied();
        let last = ended.unwrap_or(data.len().saturating_mul(8));
        let end = next.map_or(last, |next| next.saturating_sub(32));
        let stream = rebuilt(data, *start, end);
        let before = bytes.len();
        match unpack_into(Bunzip2::new(stream.as_slice()), &mut bytes, sink)? {
            Ended::Capped => return Ok(Unpacked { bytes, ended: Ended::Capped }),
            stopped if bytes.len() == before => {
                let ended = match stopped {
                    Ended::Whole => Ended::Damaged("bzip2".into()),
                    other => other,
                };
                return Ok(Unpacked { bytes, ended });
            }
            _ => {}
        }
    }
    let ended = if ended.is_some() { Ended::Whole } else { Ended::Truncated };
    Ok(Unpacked { bytes, ended })
}

/// Returns the bits at which blocks start behind their signatures, and the bit of the end's signature.
fn block_starts(data: &[u8]) -> (Vec<usize>, Option<usize>) {
    let mut starts = Vec::new();
    let mut window = 0u64;
    for (at, byte) in data.iter().enumerate() {
        window = window << 8 | u64::from(*byte);
        if at < 3 {
            continue;
        }
        for shift in (0..8u32).rev() {
            let word = u32::try_from(window >> shift & 0xffff_ffff).unwrap_or(0);
            if word != BLOCK && word != STREAM_END || at == 3 && shift > 0 {
                continue;
            }
            let end = at.saturating_mul(8).saturating_add(8 - usize::try_from(shift).unwrap_or(0));
            if word == STREAM_END {
                return (starts, end.checked_sub(32));
            }
            starts.push(end);
        }
    }
    (starts, None)
}

/// Makes a bzip2 stream of one block's bits.
fn rebuilt(data: &[u8], start: usize, end: usize) -> Vec<u8> {
    let mut out = Bits { bytes: b"BZh9".to_vec(), acc: 0, have: 0 };
    for word in [0x314159u32, 0x265359] {
        out.push(word, 24);
    }
    out.push(0, 32);
    out.push(0, 1);
    let mut at = start;
    while at < end {
        let count = (8 - at % 8).min(end.saturating_sub(at));
        let byte = u32::from(data.get(at / 8).copied().unwrap_or(0));
        let below = 8usize.saturating_sub(at % 8).saturating_sub(count);
        out.push(byte >> below & ((1 << count) - 1), u32::try_from(count).unwrap_or(0));
        at = at.saturating_add(count);
    }
    for word in [0x177245u32, 0x385090] {
        out.push(word, 24);
    }
    out.push(0, 32);
    out.push(0, 7);
    out.bytes
}

/// Writes bits, the highest of a byte first.
struct Bits {
    bytes: Vec<u8>,
    acc: u64,
    have: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        self.acc = self.acc << count | u64::from(value);
        self.have += count;
        while self.have >= 8 {
            self.have -= 8;
            self.bytes.push(u8::try_from(self.acc >> self.have & 0xff).unwrap_or(0));
        }
        self.acc &= (1 << self.have) - 1;
    }
}
