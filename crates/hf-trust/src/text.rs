//! Bytes as text: lower-case hexadecimal and standard Base 64, both strict.
//!
//! Promises: one text for the same bytes; what does not write back as it was read is refused (but for
//! the case of hexadecimal digits), so that nobody can give one value two spellings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads hexadecimal digits, of either case, without separators.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// Reads a 32-byte digest from hexadecimal digits.
#[must_use]
pub fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    from_hex(text)?.try_into().ok()
}

/// Writes bytes in standard Base 64 with padding (RFC 4648 §4).
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard Base 64 with padding; no white space, no stray bits.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Reads a decimal number without sign or leading zeroes.
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if plain && canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal() {
        assert_eq!(to_hex(&[0, 0x9f, 255]), "009fff");
        assert_eq!(from_hex("009FfF"), Some(vec![0, 0x9f, 255]));
        for bad in ["0", "0g", "+1", " 1", "é"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(from_base64("aGk="), Some(b"hi".to_vec()));
        for bad in ["aGk", "aGl=", "aGk =", "a_k="] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", "18446744073709551616", "1 ", "١"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
