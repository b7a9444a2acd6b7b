//! Texts that are one file as a whole, in digits: base64 (both alphabets), base32, hexadecimal, ascii85.

use super::dump::unhex;
use crate::text::base64;

/// A first line that is shorter says too little.
const LINE_MIN: usize = 60;

/// Decodes a text of digits.
pub(super) fn decode(text: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let text = text.trim_ascii();
    if let Some(digits) = text.strip_prefix(b"<~") {
        return Some(("ascii85", ascii85(digits)));
    }
    let first = text.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    if first.len() < LINE_MIN || !first.iter().all(|byte| is_digit(*byte)) {
        return None;
    }
    // All lines but the last are as long as the first.
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut digits = Vec::with_capacity(text.len());
    let mut last_len = first.len();
    for line in lines {
        if last_len != first.len() || line.len() > first.len() || !line.iter().all(|b| is_digit(*b))
        {
            return None;
        }
        last_len = line.len();
        digits.extend_from_slice(line);
    }
    let padded = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    let plain = digits.get(..digits.len().saturating_sub(padded))?;
    if plain.contains(&b'=') {
        return None;
    }
    if plain.iter().all(u8::is_ascii_hexdigit) {
        return unhex(plain).map(|data| ("hex", data));
    }
    if plain.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) {
        return Some(("base32", base32(plain)));
    }
    let data = base64::decode_url(plain).unwrap_or_else(|| base64::decode(plain));
    Some(("base64", data))
}

/// Decodes the lines of base64 with which a script ends.
pub(super) fn tail(text: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    const LINES_MIN: usize = 4;
    if !text.starts_with(b"#!") {
        return None;
    }
    let text = text.trim_ascii_end();
    let mut start = text.len();
    let mut lines = 0usize;
    let mut len = None;
    for line in text.rsplit(|byte| *byte == b'\n') {
        let digits = line.trim_ascii_end();
        let fits = !digits.is_empty() && digits.iter().all(|byte| is_digit(*byte));
        // The last line is shorter, all others are alike.
        if !fits
            || lines > 0
                && (digits.len() < LINE_MIN || *len.get_or_insert(digits.len()) != digits.len())
        {
            break;
        }
        start = start.saturating_sub(line.len().saturating_add(usize::from(lines > 0)));
        lines = lines.saturating_add(1);
    }
    (lines >= LINES_MIN).then(|| ("base64", base64::decode(text.get(start..).unwrap_or_default())))
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

fn base32(digits: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len());
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in digits {
        let value = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            _ => byte.wrapping_sub(b'2').wrapping_add(26),
        };
        bits = (bits & 0x7ff) << 5 | u32::from(value & 31);
        count = count.saturating_add(5);
        if let Some(left) = count.checked_sub(8) {
            count = left;
            out.push(bits.wrapping_shr(count).to_le_bytes()[0]);
        }
    }
    out
}

fn ascii85(digits: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len());
    let mut group: Vec<u8> = Vec::with_capacity(5);
    let flush = |group: &mut Vec<u8>, out: &mut Vec<u8>| {
        let had = group.len();
        if had > 1 {
            group.resize(5, 84);
            let value = group
                .iter()
                .fold(0u32, |sum, digit| sum.wrapping_mul(85).wrapping_add(u32::from(*digit)));
            let bytes = value.to_be_bytes();
            out.extend_from_slice(bytes.get(..had.saturating_sub(1)).unwrap_or(&bytes));
        }
        group.clear();
    };
    for byte in digits {
        match byte {
            b'~' => break,
            b'z' if group.is_empty() => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => {
                group.push(byte.wrapping_sub(b'!'));
                if group.len() == 5 {
                    flush(&mut group, &mut out);
                }
            }
            _ => {}
        }
    }
    flush(&mut group, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::{ascii85, base32, decode};

    #[test]
    fn digits_of_each_kind() {
        assert_eq!(base32(b"NBSWY3DP"), b"hello");
        assert_eq!(ascii85(b"BOu!rDZ~>"), b"hello");
        assert_eq!(ascii85(b"z!!~>"), b"\0\0\0\0\0");
        let line = "YWJj".repeat(16);
        let (name, data) = decode(format!("{line}\n{line}\nYWI=\n").as_bytes()).unwrap();
        assert_eq!((name, data.len()), ("base64", 98));
        assert_eq!(decode(b"a line of words\n"), None);
        assert_eq!(decode(format!("{line}\nshort\n{line}\n").as_bytes()), None);
    }
}
