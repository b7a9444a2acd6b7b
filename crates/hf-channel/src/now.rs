//! What is current in a channel, in one file: the timestamp, and which root is the newest.
//!
//! TUF begins every update with two questions: for the next root, which is usually not there, and for
//! `timestamp.json`. `metadata/now.json` answers both at once, so that a machine for which nothing is
//! new asks one question. It is not signed and need not be: the timestamp in it is, and a mirror that
//! hides a root here could as well not have the file. Whoever reads it believes the timestamp as TUF
//! says, and asks as if it were not there when it leads to anything but the trusted.
//!
//! JSON: `{"format": "holdfast-now/1", "root": 3, "timestamp": "the bytes of timestamp.json"}`.

use serde::{Deserialize, Serialize};

/// What is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Now {
    format: String,
    /// Version of the newest root.
    pub root: u64,
    /// `timestamp.json` as it is.
    pub timestamp: String,
}

/// Most bytes of the file: those of a timestamp as JSON text, and some.
pub const NOW_LEN_MAX: u64 = 40_000;

const FORMAT: &str = "holdfast-now/1";

impl Now {
    /// Says what is current; none when the timestamp is no text.
    #[must_use]
    pub fn new(root: u64, timestamp: &[u8]) -> Option<Self> {
        let timestamp = std::str::from_utf8(timestamp).ok()?.to_owned();
        Some(Self { format: FORMAT.to_owned(), root, timestamp })
    }

    /// Reads the file; none when it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let now: Self = serde_json::from_slice(bytes).ok()?;
        (now.format == FORMAT && now.root > 0).then_some(now)
    }

    /// Returns the file's bytes.
    ///
    /// # Errors
    /// It would be longer than [`NOW_LEN_MAX`], and nobody would read it.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() as u64 > NOW_LEN_MAX {
            return Err(std::io::Error::other("the timestamp is too long"));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let now = Now::new(7, b"{\n \"signed\": 1\n}").unwrap();
        assert_eq!(Now::parse(&now.to_bytes().unwrap()).unwrap(), now);
        assert!(Now::new(1, b"\xff").is_none());
        let long = Now::new(1, &[b'"'; 30_000]).unwrap();
        assert!(long.to_bytes().is_err(), "it has to be escaped");
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"format":"holdfast-now/2","root":1,"timestamp":""}"#,
            r#"{"format":"holdfast-now/1","root":0,"timestamp":""}"#,
            r#"{"format":"holdfast-now/1","root":1,"timestamp":"","more":1}"#,
        ] {
            assert!(Now::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
