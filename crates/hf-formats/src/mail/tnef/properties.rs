//! Sets of MAPI properties.
//!
//! Promises: reads at most [`PROPERTIES_MAX`] properties; a broken one ends the set.
//! Sources: MS-OXTNEF §2.1.3.4; MS-OXCDATA §2.11.1.

use hf_core::Defect;

use crate::reader::{Reader, size};

/// One value of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Property<'a> {
    pub(super) id: u16,
    pub(super) kind: u16,
    pub(super) data: &'a [u8],
}

pub(super) const OBJECT: u16 = 0x000d;
const STRING8: u16 = 0x001e;
const UNICODE: u16 = 0x001f;
const BINARY: u16 = 0x0102;
const MULTIPLE: u16 = 0x1000;
const PROPERTIES_MAX: u32 = 4096;

/// Reads the values of variable length; others are passed over.
pub(super) fn read(bytes: &[u8]) -> Vec<Property<'_>> {
    let mut all = Vec::new();
    let mut reader = Reader::new(bytes);
    let count = reader.u32_le().unwrap_or(0).min(PROPERTIES_MAX);
    for _ in 0..count {
        if one(&mut reader, &mut all).is_err() {
            break;
        }
    }
    all
}

fn one<'a>(reader: &mut Reader<'a>, all: &mut Vec<Property<'a>>) -> Result<(), Defect> {
    let raw_kind = reader.u16_le()?;
    let id = reader.u16_le()?;
    if id >= 0x8000 {
        reader.skip(16)?;
        if reader.u32_le()? == 0 {
            reader.skip(4)?;
        } else {
            let len = size(u64::from(reader.u32_le()?));
            skip_padded(reader, len)?;
        }
    }
    let kind = raw_kind & !MULTIPLE;
    let is_variable = matches!(kind, STRING8 | UNICODE | BINARY | OBJECT);
    let count = if is_variable || raw_kind & MULTIPLE != 0 { reader.u32_le()? } else { 1 };
    for _ in 0..count.min(PROPERTIES_MAX) {
        if is_variable {
            let len = size(u64::from(reader.u32_le()?));
            let data = reader.take_up_to(len);
            all.push(Property { id, kind, data });
            let _ = reader.skip(padding(len));
        } else {
            reader.skip(fixed_len(kind).ok_or_else(|| Defect::new(0, "property type"))?)?;
        }
    }
    Ok(())
}

/// Bytes up to the next multiple of four.
fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

fn skip_padded(reader: &mut Reader<'_>, len: usize) -> Result<(), Defect> {
    reader.skip(len)?;
    reader.skip(padding(len))
}

fn fixed_len(kind: u16) -> Option<usize> {
    Some(match kind {
        0x0001 => 0,
        0x0002..=0x0004 | 0x000a | 0x000b => 4,
        0x0005..=0x0007 | 0x0014 | 0x0040 => 8,
        0x0048 => 16,
        _ => return None,
    })
}

/// Returns text without its zero at the end; UTF-16 of Latin letters becomes one byte a letter.
pub(super) fn narrow(text: &[u8]) -> Vec<u8> {
    let wide = text.len() >= 4 && matches!(text, [1..=0xff, 0, 1..=0xff, 0, ..]);
    let mut out = if wide {
        let units: Vec<u16> =
            text.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        String::from_utf16_lossy(&units).into_bytes()
    } else {
        text.to_vec()
    };
    while out.last() == Some(&0) {
        out.pop();
    }
    out
}
