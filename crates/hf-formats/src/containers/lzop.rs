//! lzop: files packed with LZO.
//!
//! Yields: one child per file; and what stands behind the last one.
//! Leaves out: checksums; filters (reported).
//! Limits: all through `Sink`; a block is at most 64 MiB.
//! Hostile input: what came out before damage is a child; a block that is damaged does not hide the next.
//! Sources: the format as lzop(1) writes it, by observation, and its manual.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink};

use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::lzo1x;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "lzop",
    types: &[FileType::Lzop],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`89 4c 5a 4f 00 0d 0a 1a 0a` at the start",
        yields: "one child per file; data behind the last",
        leaves_out: "checksums; filters (reported)",
        limits: "a block up to 64 MiB",
        sources: "lzop(1)",
    },
};

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
const BLOCK_LEN_MAX: usize = 64 << 20;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::new(object);
    let mut position = 0u32;
    while reader.rest().starts_with(MAGIC) {
        sink.poll()?;
        let header = Header::read(&mut reader)?;
        position = position.saturating_add(1);
        sink.member(&Member { name: header.name, position, ..Member::default() })?;
        if header.flags & 0x800 != 0 {
            sink.unscanned(header.name, Reason::UnknownMethod("lzop filter".into()));
        }
        let mut bytes = Vec::new();
        let ended = header.blocks(&mut reader, &mut bytes, sink)?;
        if bytes.is_empty() {
            if let Some(reason) = ended.reason(sink) {
                sink.unscanned(header.name, reason);
            }
        } else {
            hand_over(&Unpacked { bytes, ended }, header.name, ChildRole::Member, sink)?;
        }
    }
    if reader.left() > 0 {
        let off = u64::try_from(reader.off()).unwrap_or(u64::MAX);
        sink.defect(Defect::new(off, "data behind the end"));
        sink.child(Child { name: b"", data: reader.rest(), role: ChildRole::Member })?;
    }
    Ok(())
}

struct Header<'a> {
    name: &'a [u8],
    flags: u32,
}

impl<'a> Header<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Defect> {
        reader.skip(MAGIC.len())?;
        let version = reader.u16_be()?;
        let new = version >= 0x0940;
        // Version of the library; version that is needed.
        reader.skip(if new { 4 } else { 2 })?;
        // Method, level.
        reader.skip(if new { 2 } else { 1 })?;
        let flags = reader.u32_be()?;
        // Filter; mode; time in one or two words.
        reader.skip(if flags & 0x800 != 0 { 4 } else { 0 })?;
        reader.skip(if new { 12 } else { 8 })?;
        let name_len = usize::from(reader.u8()?);
        let name = reader.take(name_len)?;
        reader.skip(4)?;
        if flags & 0x40 != 0 {
            let extra_len = size(u64::from(reader.u32_be()?));
            reader.skip(extra_len.saturating_add(4))?;
        }
        Ok(Self { name, flags })
    }

    /// Unpacks the blocks of a file.
    fn blocks(
        &self,
        reader: &mut Reader<'a>,
        bytes: &mut Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<Ended, Halt> {
        let mut ended = Ended::Whole;
        loop {
            sink.poll()?;
            let Ok(unpacked_len) = reader.u32_be() else { return Ok(Ended::Truncated) };
            if unpacked_len == 0 {
                return Ok(ended);
            }
            let Ok(packed_len) = reader.u32_be() else { return Ok(Ended::Truncated) };
            let packed = packed_len < unpacked_len;
            let masks = if packed { 0x303 } else { 0x101 };
            let checks = (self.flags & masks).count_ones();
            reader.take_up_to(size(u64::from(checks)).saturating_mul(4));
            let (packed_len, unpacked_len) =
                (size(u64::from(packed_len)), size(u64::from(unpacked_len)));
            let data = reader.take_up_to(packed_len);
            let room = size(sink.child_cap()).saturating_sub(bytes.len());
            if unpacked_len > BLOCK_LEN_MAX || unpacked_len > room {
                ended = Ended::Capped;
                if unpacked_len > BLOCK_LEN_MAX {
                    return Ok(Ended::Damaged("lzop: block size".into()));
                }
                continue;
            }
            if !packed {
                bytes.extend_from_slice(data.get(..unpacked_len).unwrap_or(data));
            } else if let Err(error) = lzo1x(data, bytes, unpacked_len) {
                ended = Ended::of_error(&error);
            }
            if data.len() < packed_len {
                return Ok(Ended::Truncated);
            }
        }
    }
}
