//! KWAJ: single files that later versions of DOS `COMPRESS` packed.
//!
//! Yields: one child, with the name that the header has.
//! Leaves out: text in the header.
//! Limits: all through `Sink`.
//! Hostile input: the length in the header is not believed where the data has an end of its own; a header that
//! is cut or an offset that lies leaves the bytes behind the fixed header as they are.
//! Sources: the libmspack project's "SZDD and KWAJ file formats".

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink, Stop};

use super::szdd::{QBASIC_START, grow, tell_length};
use crate::bounded::{Ended, Unpacked, hand_over};
use crate::codec::{KwajLzh, Lzss, MSZIP_BLOCK_LEN, Mszip};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "kwaj",
    types: &[FileType::Kwaj],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "`KWAJ 88 f0 27 d1` at the start",
        yields: "one child; stored, inverted, LZSS, LZH, MSZIP",
        leaves_out: "text in the header",
        limits: "output up to the size of one object",
        sources: "libmspack's description of SZDD and KWAJ",
    },
};

const FIXED_LEN: usize = 14;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut reader = Reader::at(object, 8);
    let method = reader.u16_le()?;
    let data_off = usize::from(reader.u16_le()?);
    let flags = reader.u16_le()?;
    let mut claimed = None;
    let mut name = Vec::new();
    if optional(&mut reader, flags, &mut claimed, &mut name).is_err() {
        sink.defect(Defect::new(12, "header"));
    }
    let data = object.get(data_off..).unwrap_or_default();
    if data.is_empty() {
        sink.unscanned(&name, Reason::Damaged("offset of the data".into()));
        let data = object.get(FIXED_LEN..).unwrap_or_default();
        sink.child(Child { name: &name, data, role: ChildRole::Member })?;
        return Ok(());
    }
    let cap = size(sink.child_cap());
    let unpacked = match method {
        0 | 1 => {
            let mask = if method == 1 { 0xff } else { 0 };
            let ended = if data.len() > cap { Ended::Capped } else { Ended::Whole };
            Unpacked { bytes: data.iter().take(cap).map(|byte| byte ^ mask).collect(), ended }
        }
        2 => grow(Lzss::new(data, QBASIC_START), None, sink)?,
        // Its last byte may give symbols that are not there.
        3 => grow(KwajLzh::new(data), claimed.map(u64::from), sink)?,
        4 => mszip(data, cap, sink)?,
        method => {
            sink.unscanned(&name, Reason::UnknownMethod(method.to_string().into()));
            return Ok(());
        }
    };
    if let Some(claimed) = claimed {
        tell_length(&unpacked, claimed, sink);
    }
    hand_over(&unpacked, &name, ChildRole::Member, sink)?;
    Ok(())
}

/// Reads the parts of the header that the flags say are there.
fn optional(
    reader: &mut Reader<'_>,
    flags: u16,
    claimed: &mut Option<u32>,
    name: &mut Vec<u8>,
) -> Result<(), Defect> {
    if flags & 1 != 0 {
        *claimed = Some(reader.u32_le()?);
    }
    if flags & 2 != 0 {
        reader.skip(2)?;
    }
    if flags & 4 != 0 {
        let len = usize::from(reader.u16_le()?);
        reader.skip(len)?;
    }
    for (flag, len_max) in [(8, 9), (16, 4)] {
        if flags & flag == 0 {
            continue;
        }
        if flag == 16 {
            name.push(b'.');
        }
        for _ in 0..len_max {
            match reader.u8()? {
                0 => break,
                letter => name.push(letter),
            }
        }
    }
    Ok(())
}

fn mszip(data: &[u8], cap: usize, sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    let mut reader = Reader::new(data);
    let mut decoder = Mszip::new();
    let mut bytes = Vec::new();
    let mut ended = Ended::Whole;
    while let Ok(len @ 1..) = reader.u16_le() {
        sink.poll()?;
        if bytes.len() >= cap {
            ended = Ended::Capped;
            break;
        }
        let block = reader.take_up_to(usize::from(len));
        if let Err(error) = decoder.block(block, MSZIP_BLOCK_LEN, &mut bytes) {
            ended = Ended::of_error(&error);
            break;
        }
        if block.len() < usize::from(len) {
            ended = Ended::Truncated;
        }
    }
    bytes.truncate(cap);
    Ok(Unpacked { bytes, ended })
}
