//! Bytes as text: lower-case hexadecimal and standard Base 64, both strict.
//!
//! Promises: one text for the same bytes; what does not write back as it was read is refused (but for
//! the case of hexadecimal digits), so that nobody can give one value two spellings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use hf_core::hex::{from_hex, to_hex};

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
