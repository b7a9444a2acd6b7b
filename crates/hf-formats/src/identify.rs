//! Types of objects, decided from their content and never from their name.
//!
//! Promises: the type that ClamAV gives (a table in the tests is compared with clamscan), types of ours only where
//! ClamAV knows none; bounded work on the first [`HEAD_LEN`] bytes, but for the directory of a zip.
//! Leaves out: types inside partitions.
//! Sources: ClamAV's published signature documentation ("file types", "file type magic"); clamscan 1.4.6
//! as an oracle.

mod disk;
mod embedded;
mod filesystem;
mod magic;
mod ooxml;
mod pattern;
mod rules;
mod text_kind;

use hf_core::FileType;
use hf_core::signature::MagicSig;

pub use disk::disk_forms;
pub use embedded::embedded;

/// Returns the type of an object. Loaded magics replace the built-in ones, the newest first.
#[must_use]
pub fn identify(bytes: &[u8], magics: Option<&[MagicSig]>) -> FileType {
    let head = bytes.get(..HEAD_LEN).unwrap_or(bytes);
    let by_magic = match magics {
        Some(magics) => rules::at_offset(head, magics),
        None => magic::at_offset(head),
    };
    match by_magic {
        Some(FileType::Zip) => ooxml::refine(bytes).unwrap_or(FileType::Zip),
        Some(kind) if kind != FileType::BinaryData => kind,
        Some(_) => by_text(head, FileType::BinaryData, magics),
        None => by_text(head, text_kind::kind(head), magics),
    }
}

/// Bytes that decide.
const HEAD_LEN: usize = 1024;

fn by_text(head: &[u8], kind: FileType, magics: Option<&[MagicSig]>) -> FileType {
    if is_old_tar(head) {
        return FileType::OldTar;
    }
    let by_pattern = |head: &[u8]| match magics {
        Some(magics) => rules::pattern(head, kind, magics),
        None => pattern::best(head),
    };
    if let Some(found) = by_pattern(head) {
        return found;
    }
    let wide = matches!(kind, FileType::TextUtf16Le | FileType::TextUtf16Be);
    if wide && by_pattern(&narrow(head)) == Some(FileType::Html) {
        return FileType::HtmlUtf16;
    }
    if by_mark(head).is_some_and(|text| by_pattern(&text) == Some(FileType::Html)) {
        return FileType::Html;
    }
    if kind == FileType::BinaryData || wide {
        return magic::ours(head).unwrap_or(kind);
    }
    magic::ours_in_text(head).unwrap_or(kind)
}

/// Little-endian pairs as one byte each, in the way of ClamAV: `(high << 4) + low`.
fn narrow(wide: &[u8]) -> Vec<u8> {
    wide.chunks_exact(2)
        .map(|pair| match pair {
            [low, high] => (high << 4).wrapping_add(*low),
            _ => 0,
        })
        .collect()
}

/// The text behind a byte-order mark, in UTF-8.
fn by_mark(head: &[u8]) -> Option<Vec<u8>> {
    let units = |rest: &[u8], be: bool| {
        let units: Vec<u16> = rest
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| if be { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) })
            .collect();
        String::from_utf16_lossy(&units).into_bytes()
    };
    let wide = |rest: &[u8], be: bool| {
        let chars = rest.as_chunks::<4>().0.iter().map(|quad| {
            let code = if be { u32::from_be_bytes(*quad) } else { u32::from_le_bytes(*quad) };
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        chars.collect::<String>().into_bytes()
    };
    match head {
        [0, 0, 0xfe, 0xff, rest @ ..] => Some(wide(rest, true)),
        [0xff, 0xfe, 0, 0, rest @ ..] => Some(wide(rest, false)),
        [0xef, 0xbb, 0xbf, rest @ ..] => Some(rest.to_vec()),
        [0xff, 0xfe, rest @ ..] => Some(units(rest, false)),
        [0xfe, 0xff, rest @ ..] => Some(units(rest, true)),
        _ => None,
    }
}

/// A tar header without a magic: its checksum fits.
fn is_old_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let field = header.get(148..156).unwrap_or_default();
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .collect();
    if digits.is_empty() || header.first() == Some(&0) {
        return false;
    }
    let want = digits.iter().fold(0_u32, |sum, digit| {
        sum.wrapping_mul(8).wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    });
    let byte_at = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) { b' ' } else { *byte }
    };
    let unsigned: u32 = header.iter().enumerate().map(|pair| u32::from(byte_at(pair))).sum();
    want == unsigned
}

#[cfg(test)]
mod tests;
