//! Transfer encodings: quoted-printable, and finding out which encoding a word means.
//!
//! Promises: any input decodes to something, at most as long as the input.
//! Sources: RFC 2045 §6.

use std::borrow::Cow;

use super::lines::Lines;
use crate::text::base64;

/// A transfer encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary.
    Identity,
    QuotedPrintable,
    Base64,
    Uuencode,
    Yenc,
    Binhex,
    /// Not known: every guess is tried.
    Unknown,
}

impl Encoding {
    /// Returns the encoding that a word means, misspelt ones included.
    pub(super) fn of(word: &[u8]) -> Self {
        let known = NAMES.iter().find(|(name, _)| *name == word);
        let similar = || {
            NAMES
                .iter()
                .filter(|(name, _)| likeness(name, word) >= 50)
                .max_by_key(|(name, _)| likeness(name, word))
        };
        known.or_else(similar).map_or(Self::Unknown, |(_, encoding)| *encoding)
    }
}

const NAMES: &[(&[u8], Encoding)] = &[
    (b"7bit", Encoding::Identity),
    (b"8bit", Encoding::Identity),
    (b"binary", Encoding::Identity),
    (b"none", Encoding::Identity),
    (b"quoted-printable", Encoding::QuotedPrintable),
    (b"base64", Encoding::Base64),
    (b"x-uuencode", Encoding::Uuencode),
    (b"uuencode", Encoding::Uuencode),
    (b"x-uue", Encoding::Uuencode),
    (b"uue", Encoding::Uuencode),
    (b"x-yencode", Encoding::Yenc),
    (b"yenc", Encoding::Yenc),
    (b"x-binhex", Encoding::Binhex),
    (b"binhex", Encoding::Binhex),
    (b"mac-binhex40", Encoding::Binhex),
];

/// Percent of places in which two words are the same, from the front or from the end.
fn likeness(name: &[u8], word: &[u8]) -> usize {
    let longer = name.len().max(word.len()).max(1);
    let front = name.iter().zip(word).filter(|(left, right)| left == right).count();
    let back =
        name.iter().rev().zip(word.iter().rev()).filter(|(left, right)| left == right).count();
    front.max(back).saturating_mul(100).checked_div(longer).unwrap_or(0)
}

/// Returns the byte that two hexadecimal digits at the start mean.
pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    u8::try_from((digit(0)? << 4) | digit(1)?).ok()
}

/// Returns a text as mail programs read it: without zero bytes, each line with one line feed behind it.
pub(super) fn plain_lines(text: &[u8]) -> Cow<'_, [u8]> {
    if text.last() == Some(&b'\n') && memchr::memchr2(0, b'\r', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len().saturating_add(1));
    if memchr::memchr(b'\r', text).is_none() {
        let (chunks, tail) = text.as_chunks::<16>();
        for chunk in chunks {
            if chunk.iter().fold(0, |any, byte| any | u8::from(*byte == 0)) == 0 {
                out.extend_from_slice(chunk);
            } else {
                out.extend(chunk.iter().filter(|byte| **byte != 0));
            }
        }
        out.extend(tail.iter().filter(|byte| **byte != 0));
        if text.last().is_some_and(|byte| *byte != b'\n') {
            out.push(b'\n');
        }
        return Cow::Owned(out);
    }
    for line in Lines::new(text) {
        let mut rest = line.text;
        while let Some(at) = memchr::memchr(0, rest) {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            out.extend_from_slice(before);
            rest = behind.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        out.push(b'\n');
    }
    Cow::Owned(out)
}

/// Decodes quoted-printable. A `=` that starts nothing is kept, and white space at the end of a line, as ClamAV does.
pub(super) fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let after = behind.get(1..).unwrap_or_default();
        rest = match (hex_pair(after), soft_break(after)) {
            (Some(byte), _) => {
                out.push(byte);
                after.get(2..).unwrap_or_default()
            }
            (None, Some(len)) => after.get(len..).unwrap_or_default(),
            _ => {
                out.push(b'=');
                after
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

/// Returns the length of white space and a line end behind a `=`.
fn soft_break(after: &[u8]) -> Option<usize> {
    let spaces = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match after.get(spaces..)? {
        [b'\r', b'\n', ..] => Some(spaces.saturating_add(2)),
        [b'\n' | b'\r', ..] => Some(spaces.saturating_add(1)),
        [] => Some(spaces),
        _ => None,
    }
}

/// How much of a text could be base64, in percent of what is no line end.
pub(super) fn base64_share(text: &[u8]) -> usize {
    let sample = text.get(..text.len().min(64 * 1024)).unwrap_or(text);
    let (mut digits, mut all) = (0_usize, 0_usize);
    for byte in sample.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        all = all.saturating_add(1);
        digits = digits.saturating_add(usize::from(is_base64(*byte)));
    }
    digits.saturating_mul(100).checked_div(all).unwrap_or(0)
}

/// Returns the text from the first line on that has at least sixteen characters, of which at most one in `among` is
/// not base64.
pub(super) fn base64_lines(text: &[u8], among: usize) -> Option<&[u8]> {
    let first = Lines::new(text).take(BASE64_LINES_MAX).find(|line| {
        let text = line.text.trim_ascii_end();
        let len = text.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at.saturating_add(1));
        let digits = text.get(..len).unwrap_or_default();
        let others = digits.iter().filter(|byte| base64::digit(**byte).is_none());
        let most = digits.len().checked_div(among).unwrap_or(0);
        digits.len() >= 16 && others.take(most.saturating_add(1)).count() <= most
    })?;
    text.get(first.off..)
}

/// True when there are several `=41` in a text.
pub(super) fn has_quoted(text: &[u8]) -> bool {
    memchr::memchr_iter(b'=', text)
        .filter(|at| text.get(at.saturating_add(1)..).and_then(hex_pair).is_some())
        .nth(2)
        .is_some()
}

const BASE64_LINES_MAX: usize = 1000;

fn is_base64(byte: u8) -> bool {
    byte == b'=' || base64::digit(byte).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_is_decoded() {
        for (text, want) in [
            ("a=41b", "aAb"),
            ("a=\r\nb=\nc", "abc"),
            ("a= \t\r\nb", "ab"),
            ("a=zz=", "a=zz"),
            ("a \t\r\nb", "a \t\r\nb"),
            ("=e9=E9", "\u{e9}\u{e9}"),
            ("x=4", "x=4"),
            ("x=20 \n", "x  \n"),
        ] {
            let want: Vec<u8> = want.chars().map(|c| u8::try_from(c).expect("Latin-1")).collect();
            assert_eq!(quoted_printable(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn lines_are_clamscans() {
        for (text, want) in [
            (
                "abc def\r\nghi  \r\n\r\n\r\nxyz\0uv\rw\n\rq\r\n\r\n",
                "abc def\nghi  \n\n\nxyzuv\nw\nq\n\n",
            ),
            ("MZ\0\0abc\r\n\rdef\r\r\nx", "MZabc\n\ndef\n\nx\n"),
            ("a\nb\n", "a\nb\n"),
            ("a", "a\n"),
            ("", ""),
        ] {
            let got = plain_lines(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&got), want, "{text:?}");
        }
    }

    #[test]
    fn encodings_are_guessed() {
        for (word, want) in [
            ("base64", Encoding::Base64),
            ("base-64", Encoding::Base64),
            ("base64b", Encoding::Base64),
            ("quoted/printable", Encoding::QuotedPrintable),
            ("x-uue", Encoding::Uuencode),
            ("8bits", Encoding::Identity),
            ("zzzzzzzz", Encoding::Unknown),
        ] {
            assert_eq!(Encoding::of(word.as_bytes()), want, "{word}");
        }
    }
}
