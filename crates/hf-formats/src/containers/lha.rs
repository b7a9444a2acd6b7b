//! LHA archives (`.lzh`), with headers of levels 0 to 3, and those of LArc and PMarc.
//!
//! Yields: one child per file: `-lh0-`, `-lh1-`, `-lh4-` to `-lh7-`, `-lhx-`, `-lzs-`, `-lz4-`, `-lz5-`,
//! `-pm0-`, `-pm1-`, `-pm2-`; comments in extended headers.
//! Leaves out: directories; `-lh2-`, `-lh3-` and other methods, which are reported.
//! Limits: through `Sink`; 2^16 extended headers.
//! Hostile input: wrong checksums are defects; behind a damaged header, and behind the end, the next
//! header with a right checksum is looked for; what was unpacked before an error is a child.
//! Sources: "LHA Notes" and LHa for UNIX's header description; the crate `delharc` (MIT/Apache-2.0) for
//! the older methods; libarchive's reader (BSD).

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::crc16::crc16;
use crate::codec::lzh::{Lzh, Older, unlzh, unlzh_older};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lha",
    types: &[FileType::LhaLzh],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`-lh?-`, `-lz?-` or `-pm?-` at offset 2",
        yields: "one child per file of methods lh0, lh1, lh4 to lh7, lhx, lzs, lz4, lz5, pm0 to pm2",
        leaves_out: "directories; lh2, lh3 and unknown methods (reported)",
        limits: "2^16 extended headers",
        sources: "LHA header notes; delharc; libarchive",
    },
};

/// Ours: extended headers of one archive.
const EXTENDED_MAX: u32 = 1 << 16;
/// Ours: bytes of a header whose checksum is computed.
const HEADER_MAX: usize = 1 << 16;
/// Ours: bytes read to find headers behind damage.
const SEARCH_MAX: usize = 64 << 20;

/// A member's header.
#[derive(Debug)]
struct Header {
    method: [u8; 5],
    packed_len: u64,
    unpacked_len: u64,
    crc: Option<u16>,
    name: Vec<u8>,
    folder: Vec<u8>,
    comment: Vec<u8>,
    data_off: usize,
    sum_right: bool,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut off = 0usize;
    let mut position = 0u32;
    let mut extended = 0u32;
    let mut searched = 0usize;
    let mut damaged = false;
    while off < object.len() {
        sink.poll()?;
        let header = Header::read(object, off, &mut extended);
        let Some(header) = header.filter(|header| header.sum_right || !damaged) else {
            if object.get(off) != Some(&0) && !std::mem::replace(&mut damaged, true) {
                sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "header"));
                sink.unscanned(b"", Reason::Damaged("header".into()));
            }
            match search(object, off.saturating_add(1), &mut extended, &mut searched) {
                Some(found) => off = found,
                None => break,
            }
            continue;
        };
        if extended > EXTENDED_MAX {
            sink.unscanned(b"", Reason::FormatLimit("extended headers".into()));
            break;
        }
        if !header.sum_right {
            sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "header checksum"));
        }
        position = position.saturating_add(1);
        let end = header.data_off.saturating_add(size(header.packed_len));
        let next = if end <= object.len() {
            end
        } else {
            let from = header.data_off;
            search(object, from, &mut extended, &mut searched).unwrap_or(object.len())
        };
        open(object.get(..next).unwrap_or(object), off, &header, position, sink)?;
        damaged = !header.sum_right;
        off = next;
    }
    Ok(())
}

/// Finds the next header with a right checksum.
fn search(object: &[u8], from: usize, extended: &mut u32, searched: &mut usize) -> Option<usize> {
    let mut at = from.checked_add(2)?;
    loop {
        at = at.checked_add(memchr::memchr(b'-', object.get(at..)?)?)?;
        let off = at.checked_sub(2)?;
        if object.get(at.checked_add(4)?) == Some(&b'-') {
            if *searched > SEARCH_MAX || *extended > EXTENDED_MAX {
                return None;
            }
            if let Some(header) = Header::read(object, off, extended) {
                *searched = searched.saturating_add(header.data_off.saturating_sub(off));
                if header.sum_right {
                    return Some(off);
                }
            }
        }
        at = at.checked_add(1)?;
    }
}

impl Header {
    fn read(object: &[u8], off: usize, extended: &mut u32) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        let first = reader.u16_le().ok()?;
        let method = *reader.take(5).ok()?.first_chunk::<5>()?;
        let known = matches!(&method, [b'-', b'l', b'h' | b'z', _, b'-'])
            || matches!(&method, [b'-', b'p', b'm', _, b'-']);
        if !known {
            return None;
        }
        let packed_len = u64::from(reader.u32_le().ok()?);
        let unpacked_len = u64::from(reader.u32_le().ok()?);
        reader.skip(5).ok()?;
        let level = reader.u8().ok()?;
        let mut header = Self {
            method,
            packed_len,
            unpacked_len,
            crc: None,
            name: Vec::new(),
            folder: Vec::new(),
            comment: Vec::new(),
            data_off: 0,
            sum_right: true,
        };
        match level {
            0 | 1 => header.read_old(object, off, level, &mut reader, extended)?,
            2 => {
                header.crc = Some(reader.u16_le().ok()?);
                reader.skip(1).ok()?;
                header.data_off = off.checked_add(usize::from(first))?;
                header.read_extended(object, off, reader, 2, extended)?;
            }
            3 => {
                header.crc = Some(reader.u16_le().ok()?);
                reader.skip(1).ok()?;
                let len = reader.u32_le().ok()?;
                header.data_off = off.checked_add(size(u64::from(len)))?;
                header.read_extended(object, off, reader, 4, extended)?;
            }
            _ => return None,
        }
        if !header.folder.is_empty() {
            header.name = [header.folder.as_slice(), &header.name].concat();
        }
        header.name.iter_mut().filter(|byte| **byte == 0xff).for_each(|byte| *byte = b'/');
        (header.data_off <= object.len()).then_some(header)
    }

    /// Reads the rest of a header of level 0 or 1.
    fn read_old(
        &mut self,
        object: &[u8],
        off: usize,
        level: u8,
        reader: &mut Reader<'_>,
        extended: &mut u32,
    ) -> Option<()> {
        let len = usize::from(*object.get(off)?);
        let sum = *object.get(off.checked_add(1)?)?;
        let end = off.checked_add(2)?.checked_add(len)?;
        let summed = object.get(off.checked_add(2)?..end)?;
        self.sum_right = sum == summed.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let name_len = usize::from(reader.u8().ok()?);
        self.name = reader.take(name_len).ok()?.to_vec();
        // LArc leaves the checksum of the data out.
        self.crc = (reader.off().checked_add(2)? <= end).then(|| reader.u16_le().ok()).flatten();
        self.data_off = end;
        if level == 1 {
            let next_off = end.checked_sub(2)?;
            let before = self.packed_len;
            self.read_extended(object, off, Reader::at(object, next_off), 2, extended)?;
            let used = u64::try_from(self.data_off.checked_sub(end)?).ok()?;
            if self.packed_len == before {
                self.packed_len = before.checked_sub(used)?;
            }
        }
        Some(())
    }

    /// Reads extended headers: size of the next, kind, content.
    fn read_extended(
        &mut self,
        object: &[u8],
        off: usize,
        mut reader: Reader<'_>,
        size_len: usize,
        extended: &mut u32,
    ) -> Option<()> {
        let mut crc: Option<(usize, u16)> = None;
        loop {
            let len = match size_len {
                2 => usize::from(reader.u16_le().ok()?),
                _ => size(u64::from(reader.u32_le().ok()?)),
            };
            if len == 0 {
                break;
            }
            *extended = extended.saturating_add(1);
            if *extended > EXTENDED_MAX {
                return None;
            }
            let start = reader.off();
            let mut body = Reader::new(reader.take(len.checked_sub(size_len)?).ok()?);
            match body.u8().unwrap_or(0xff) {
                0 => crc = body.u16_le().ok().map(|value| (start.saturating_add(1), value)),
                1 => self.name = body.rest().to_vec(),
                2 => self.folder = body.rest().to_vec(),
                0x3f => self.comment = body.rest().to_vec(),
                0x42 => {
                    self.packed_len = body.u64_le().unwrap_or(self.packed_len);
                    self.unpacked_len = body.u64_le().unwrap_or(self.unpacked_len);
                }
                _ => {}
            }
        }
        // A header of level 2 may have a byte behind its end.
        self.data_off = self.data_off.max(reader.off());
        if self.data_off > object.len() {
            self.data_off = reader.off();
            self.sum_right = false;
        }
        if let Some((crc_off, value)) = crc {
            let header = object.get(off..self.data_off)?;
            if header.len() > HEADER_MAX {
                self.sum_right = false;
                return Some(());
            }
            let mut header = header.to_vec();
            let at = crc_off.checked_sub(off)?;
            header.get_mut(at..at.checked_add(2)?)?.fill(0);
            self.sum_right &= crc16(&header) == value;
        }
        Some(())
    }
}

fn open(
    object: &[u8],
    off: usize,
    header: &Header,
    position: u32,
    sink: &mut dyn Sink,
) -> Result<(), Stop> {
    let name = header.name.as_slice();
    sink.member(&Member {
        name,
        packed_len: header.packed_len,
        unpacked_len: header.unpacked_len,
        position,
        ..Member::default()
    })?;
    if !header.comment.is_empty() {
        sink.child(Child { name, data: &header.comment, role: ChildRole::Member })?;
    }
    let mut data = Reader::at(object, header.data_off);
    let data = data.take_up_to(size(header.packed_len));
    if &header.method == b"-lhd-" && data.is_empty() {
        return Ok(());
    }
    let len = header.unpacked_len;
    let unpacked = match &header.method {
        b"-lh0-" | b"-lz4-" | b"-pm0-" | b"-lhd-" => {
            if data.len() < size(header.packed_len) {
                sink.unscanned(name, Reason::Truncated);
            }
            check(off, header, data, sink);
            return sink.child(Child { name, data, role: ChildRole::Member });
        }
        b"-lh4-" | b"-lh5-" => unlzh(data, Lzh::SMALL, len, sink)?,
        b"-lh6-" | b"-lh7-" | b"-lhx-" => unlzh(data, Lzh::LARGE, len, sink)?,
        b"-lh1-" => unlzh_older(data, Older::Lh1, len, sink)?,
        b"-lzs-" => unlzh_older(data, Older::Lzs, len, sink)?,
        b"-lz5-" => unlzh_older(data, Older::Lz5, len, sink)?,
        b"-pm1-" => unlzh_older(data, Older::Pm1, len, sink)?,
        b"-pm2-" => unlzh_older(data, Older::Pm2, len, sink)?,
        method => {
            let method = String::from_utf8_lossy(method).into_owned();
            sink.unscanned(name, Reason::UnknownMethod(method.into()));
            return Ok(());
        }
    };
    give(off, header, &unpacked, sink)
}

fn give(off: usize, header: &Header, unpacked: &Unpacked, sink: &mut dyn Sink) -> Result<(), Stop> {
    if unpacked.ended == Ended::Whole {
        check(off, header, &unpacked.bytes, sink);
    }
    if unpacked.bytes.is_empty() && unpacked.ended == Ended::Whole {
        return Ok(());
    }
    hand_over(unpacked, &header.name, ChildRole::Member, sink)
}

fn check(off: usize, header: &Header, data: &[u8], sink: &mut dyn Sink) {
    if header.crc.is_some_and(|crc| crc != crc16(data)) {
        sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "CRC-16 of a member"));
    }
}
