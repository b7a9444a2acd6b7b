//! Is it text, and in which encoding: asked of the first bytes when no magic fits.
//!
//! Promises: the same answers as ClamAV on the first [`super::HEAD_LEN`] bytes.
//! Leaves out: encodings proper. "UTF-16" is anything whose 16-bit units avoid some control characters,
//! so that much binary data counts as big-endian text.
//! Sources: clamscan 1.4.6 as an oracle.

use hf_core::FileType;

/// Returns the type of text, or binary data.
pub(super) fn kind(head: &[u8]) -> FileType {
    if head.iter().all(|byte| !is_control(*byte)) {
        return FileType::TextAscii;
    }
    match head {
        [0xff, 0xfe, ..] => FileType::TextUtf16Le,
        [0xfe, 0xff, ..] => FileType::TextUtf16Be,
        // The first unit is passed over, mark or not.
        _ if head.chunks_exact(2).skip(1).all(fits_utf16_be) => FileType::TextUtf16Be,
        _ => FileType::BinaryData,
    }
}

/// Control characters that no text has.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=6 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

fn fits_utf16_be(pair: &[u8]) -> bool {
    match pair {
        [0, low] => *low >= 0x80 || !is_control(*low),
        _ => true,
    }
}
