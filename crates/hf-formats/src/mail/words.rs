//! Encoded words in headers.
//!
//! Promises: what is not an encoded word stays; bytes are not converted between character sets.
//! Sources: RFC 2047; RFC 2231 §4.

use super::decode;
use crate::text::base64;

/// Decodes every `=?charset?B?…?=` and `=?charset?Q?…?=`.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at_checked(start).unwrap_or((rest, &[]));
        let Some((decoded, behind)) = one(word) else {
            out.extend_from_slice(before);
            out.extend_from_slice(b"=?");
            rest = word.get(2..).unwrap_or_default();
            continue;
        };
        // White space between two encoded words is not part of the text.
        if out.is_empty() || !before.iter().all(u8::is_ascii_whitespace) {
            out.extend_from_slice(before);
        }
        out.extend(decoded);
        rest = behind;
    }
    out.extend_from_slice(rest);
    out
}

/// Decodes the encoded word at the start; also returns what is behind it.
fn one(word: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let inner = word.strip_prefix(b"=?")?;
    let charset_len = memchr::memchr(b'?', inner).filter(|len| *len <= 64)?;
    let behind = inner.get(charset_len.checked_add(1)?..)?;
    let (kind, text) = match behind {
        [kind, b'?', text @ ..] => (kind.to_ascii_lowercase(), text),
        _ => return None,
    };
    let len = memchr::memmem::find(text, b"?=")?;
    let (text, behind) = (text.get(..len)?, text.get(len.checked_add(2)?..)?);
    let decoded = match kind {
        b'b' => base64::decode(text),
        b'q' => {
            let spaced: Vec<u8> =
                text.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            decode::quoted_printable(&spaced)
        }
        _ => return None,
    };
    Some((decoded, behind))
}

/// Decodes `%41`.
pub(super) fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        match decode::hex_pair(behind).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn words() {
        for (text, want) in [
            ("plain", "plain"),
            ("=?utf-8?B?YWI=?= =?utf-8?B?Yw==?= d", "abc d"),
            ("x=?iso-8859-1?Q?a_b=21?=y", "xa b!y"),
            ("=?broken", "=?broken"),
            ("=?a?X?b?=", "=?a?X?b?="),
        ] {
            assert_eq!(super::decode(text.as_bytes()), want.as_bytes(), "{text}");
        }
    }
}
