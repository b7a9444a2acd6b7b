//! Base64 as mail programs and browsers read it: tolerant of everything.
//!
//! Promises: the output is at most as long as the input; any input decodes to something.
//! Leaves out: line structure. Characters that are no digits are passed over, `=` ends a group and the next
//! digits start a new one, and digits left over at the end give what they can.
//! Sources: RFC 4648 §4, §5; RFC 2045 §6.8.

/// Decodes.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    decode_with(text, digit, true)
}

/// Decodes a text in which `=` stands between digits, as if it were not there; none when there is no such place.
pub(crate) fn decode_over(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'=', text)?;
    let behind = text.get(first..)?;
    behind.iter().any(|byte| digit(*byte).is_some()).then(|| decode_with(text, digit, false))
}

/// Decodes a text up to its first `=`, when digits follow that are no further group; none when there is no such place.
pub(crate) fn decode_first(text: &[u8]) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'=', text)?;
    let (front, behind) = text.split_at_checked(first)?;
    behind.iter().any(|byte| digit(*byte).is_some()).then(|| decode(front))
}

/// Decodes the alphabet for URLs, in which `-` and `_` are digits too; none when the text has neither.
pub(crate) fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr2(b'-', b'_', text)?;
    let digit_of = |byte| match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => digit(byte),
    };
    Some(decode_with(text, digit_of, true))
}

/// `stops`: `=` ends a group of four.
fn decode_with(text: &[u8], digit: impl Fn(u8) -> Option<u32>, stops: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3));
    let mut group = 0_u32;
    let mut digit_count = 0_u32;
    for byte in text {
        let Some(digit) = digit(*byte) else {
            if *byte == b'=' && stops {
                flush(&mut out, &mut group, &mut digit_count);
            }
            continue;
        };
        group = (group << 6) | digit;
        digit_count = digit_count.wrapping_add(1);
        if digit_count == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (group, digit_count) = (0, 0);
        }
    }
    flush(&mut out, &mut group, &mut digit_count);
    out
}

/// Gives the whole bytes of an unfinished group.
fn flush(out: &mut Vec<u8>, group: &mut u32, digit_count: &mut u32) {
    let missing = 4_u32.saturating_sub(*digit_count);
    let [_, a, b, _] = (*group << missing.saturating_mul(6).min(24)).to_be_bytes();
    match *digit_count {
        2 => out.push(a),
        3 => out.extend_from_slice(&[a, b]),
        _ => {}
    }
    (*group, *digit_count) = (0, 0);
}

/// Returns the value of a digit.
pub(crate) fn digit(byte: u8) -> Option<u32> {
    let value = TABLE.get(usize::from(byte)).copied().unwrap_or(NONE);
    (value != NONE).then_some(u32::from(value))
}

const NONE: u8 = 0xff;

static TABLE: [u8; 256] = table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler; the index is below 256")]
const fn table() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0_u8;
    while value < 64 {
        let byte = match value {
            0..=25 => b'A' + value,
            26..=51 => b'a' + (value - 26),
            52..=61 => b'0' + (value - 52),
            62 => b'+',
            _ => b'/',
        };
        table[byte as usize] = value;
        value += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_over, decode_url};

    #[test]
    fn decodes_everything() {
        for (text, want) in [
            ("SGVsbG8gV29ybGQ=", "Hello World"),
            ("SGVs\r\nbG8g V29y\tbGQ", "Hello World"),
            ("SGVsbG8=IFdvcmxk", "Hello World"),
            ("SG!Vs*bG8=", "Hello"),
            ("S", ""),
            ("SG", "H"),
            ("====", ""),
            ("", ""),
        ] {
            assert_eq!(decode(text.as_bytes()), want.as_bytes(), "{text}");
        }
        assert_eq!(decode_url(b"-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decode_url(b"YWJj"), None);
        assert_eq!(decode(b"Y-W_Jj"), b"abc");
        assert_eq!(decode_over(b"Y=WJj"), Some(b"abc".to_vec()));
        assert_eq!(decode_over(b"YWI="), None);
    }
}
