//! Bytes that are mostly text, as JSON: names and values of files.
//!
//! Text stays text; what is not UTF-8, and text that begins with `hex:`, is written as `hex:` and digits. So a
//! record can be read by people and gives back every byte.

use hf_core::hex::{from_hex, to_hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Raw(pub Vec<u8>);

const HEX: &str = "hex:";

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.starts_with(HEX) => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("{HEX}{}", to_hex(&self.0))),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(HEX) {
            None => Ok(Self(text.into_bytes())),
            Some(digits) => {
                from_hex(digits).map(Self).ok_or_else(|| de::Error::custom("bad digits"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b"plain"[..], b"", "größe\n".as_bytes(), b"hex:61", b"\xff\0", &all] {
            let text = serde_json::to_string(&Raw(bytes.to_vec())).unwrap();
            assert_eq!(serde_json::from_str::<Raw>(&text).unwrap().0, bytes, "{text}");
        }
        assert!(serde_json::from_str::<Raw>("\"hex:6\"").is_err());
        assert!(serde_json::from_str::<Raw>("\"hex:+1\"").is_err());
    }
}
