//! Sub-signatures that are not patterns: regular expressions, byte comparisons and images.
//!
//! Macros are left out: `clamscan` 1.4.6 crashes on many of them.

use std::fmt::Write as _;

use crate::corpus::{Corpus, Piece};
use crate::rng::Rng;
use crate::signatures::hex;
use crate::signatures::hexsig::place;

/// Returns a regular expression cut from a buffer.
pub(super) fn pcre(rng: &mut Rng, piece: &Piece, idx: usize) -> String {
    let len = rng.range(4, 12).min(piece.bytes.len());
    // In a run of one byte, repetitions reach the limits on work that clamscan sets its expressions.
    let start = place(rng, &piece.bytes, 0, piece.bytes.len() - len);
    let mut text = String::new();
    let mut at = start;
    while at < start + len {
        at += atom(rng, &piece.bytes, at, start + len, &mut text);
    }
    if rng.percent(10) {
        text.push_str("QZX");
    }
    let mut flags = String::new();
    for flag in "gresmiA".chars() {
        if rng.percent(12) {
            flags.push(flag);
        }
    }
    let trigger = match rng.below(4) {
        0 => format!("{}=0", rng.below(idx)),
        1 if idx > 1 => "0|1".to_owned(),
        _ => rng.below(idx).to_string(),
    };
    let from = start.saturating_sub(rng.below(9));
    let offset = match rng.below(6) {
        0 => format!("{start}:"),
        1 => format!("{from},{}:", rng.below(20)),
        2 => format!("EOF-{}:", piece.bytes.len() - start),
        _ => String::new(),
    };
    format!("{offset}{trigger}/{text}/{flags}")
}

/// Writes something that matches at `at`; returns how many bytes it took.
fn atom(rng: &mut Rng, bytes: &[u8], at: usize, end: usize, text: &mut String) -> usize {
    let byte = bytes[at];
    match rng.below(12) {
        0 => text.push('.'),
        1 if byte.is_ascii_digit() => text.push_str("\\d"),
        // With look-ahead it may reach our limit on steps, which is one for the whole object.
        2 if byte.is_ascii_alphanumeric() && !text.contains("(?=") => text.push_str("\\w+?"),
        3 => {
            let _ = write!(text, "[\\x{:02x}-\\x{byte:02x}]", byte.saturating_sub(3));
        }
        4 => {
            let _ = write!(text, "(\\x{byte:02x}|zz)");
        }
        5 => {
            let _ = write!(text, "\\x{byte:02x}{{1,3}}");
        }
        6 if end - at > 3 => {
            let _ = write!(text, ".{{0,3}}\\x{:02x}", bytes[at + 2]);
            return 3;
        }
        7 => {
            let _ = write!(text, "[^\\x{:02x}]", byte ^ 0x15);
        }
        8 => {
            let _ = write!(text, "(?:\\x{byte:02x})+");
        }
        9 if !text.contains("+?") => {
            let _ = write!(text, "(?=\\x{byte:02x}).");
        }
        _ if byte.is_ascii_alphanumeric() || byte == b' ' => text.push(char::from(byte)),
        _ => {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    1
}

/// Returns a byte comparison with the first sub-signature, which is always a pattern: from another comparison
/// clamscan counts as from the object's start.
pub(super) fn byte_compare(rng: &mut Rng, piece: &Piece) -> String {
    let offset = match rng.below(4) {
        0 => format!("<<{}", rng.below(30)),
        1 => format!(">>0x{:x}", rng.below(30)),
        _ => format!(">>{}", rng.below(30)),
    };
    let (opts, compare) = match rng.below(5) {
        0..=2 => {
            let len = *rng.pick(&[1usize, 2, 4, 8]);
            let order = *rng.pick(&["l", "b"]);
            let value = i64::from(*rng.pick(&piece.bytes));
            let op = *rng.pick(&["<", ">", "="]);
            let second = if rng.percent(25) { ",>-5" } else { "" };
            (format!("i{order}{len}"), format!("{op}{value}{second}"))
        }
        3 => (format!("d{}", rng.range(1, 6)), format!(">{}", rng.below(9))),
        _ => {
            let exact = if rng.percent(40) { "e" } else { "" };
            (
                format!("h{}{exact}{}", rng.pick(&["l", "b"]), 2 * rng.range(1, 3)),
                format!("<{}", rng.below(400)),
            )
        }
    };
    format!("0({offset}#{opts}#{compare})")
}

/// Returns the perceptual hash of an image of the corpus.
pub(super) fn image(rng: &mut Rng, corpus: &Corpus) -> Vec<String> {
    let images: Vec<_> = corpus.pieces.iter().filter(|piece| piece.target == 5).collect();
    let mut hash = rng.next().to_le_bytes();
    if !images.is_empty() && rng.percent(85) {
        let image = rng.pick(&images);
        let kind = match image.bytes.first() {
            Some(0x89) => hf_core::FileType::Png,
            Some(b'G') => hf_core::FileType::Gif,
            _ => hf_core::FileType::Jpeg,
        };
        hash = hf_formats::image_hash(&image.bytes, kind).unwrap_or(hash);
    }
    vec![format!("fuzzy_img#{}{}", hex(&hash), rng.pick(&["", "#0"]))]
}
