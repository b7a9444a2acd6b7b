//! What is known about a file in the vault: where it was, whose, what was found in it, and who took it.
//!
//! JSON with a version. A reader takes fields that it does not know for comments, and refuses a version that it does
//! not know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::identity::Time;
use crate::metadata::Metadata;
use crate::raw::Raw;

/// Names an entry: the second in which it was taken, then random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| digits).map(Self);
        id.ok_or("an entry is named by 16 hexadecimal digits")
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`Record::VERSION`].
    pub version: u32,
    /// Name of the entry.
    pub id: Id,
    /// Real path, raw bytes.
    pub path: Raw,
    /// Device and inode it had.
    pub dev: u64,
    /// Inode it had.
    pub ino: u64,
    /// What the file had besides bytes, among the fields of the record.
    #[serde(flatten)]
    pub metadata: Metadata,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, as digits.
    pub sha256: String,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What found it.
    pub content: Vec<Content>,
    /// When it was taken.
    pub taken: Time,
    /// Who took it.
    pub by: By,
}

impl Record {
    /// The version that is written.
    pub const VERSION: u32 = 1;
    /// Bytes of the longest record.
    pub const LEN_MAX: usize = 16 << 20;

    /// Reads a record.
    ///
    /// # Errors
    /// It is none, or of a version that is not known; the text says so.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let text = |error: serde_json::Error| error.to_string();
        let Versioned { version } = serde_json::from_slice(bytes).map_err(text)?;
        if version != Self::VERSION {
            return Err(format!("a record of version {version}; this program knows version 1"));
        }
        serde_json::from_slice(bytes).map_err(text)
    }
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the signature.
    pub name: String,
    /// Names on the way to the object inside the file; empty for the file itself.
    #[serde(default)]
    pub place: Vec<Raw>,
    /// Database and line.
    #[serde(default)]
    pub origin: String,
}

/// A source of content in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Name of the database.
    pub name: String,
    /// Its version, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Digest, as digits; may be empty.
    #[serde(default)]
    pub digest: String,
}

/// Who takes a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct By {
    /// The program or service.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// The user as whom it ran.
    pub uid: u32,
    /// The user who logged in, where the kernel knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
}

impl By {
    /// Returns the calling process.
    #[must_use]
    pub fn this_process(program: &str) -> Self {
        let login = std::fs::read_to_string("/proc/self/loginuid").ok();
        let login = login.and_then(|text| text.trim().parse::<u32>().ok());
        Self {
            program: program.to_owned(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            login_uid: login.filter(|uid| *uid != u32::MAX),
        }
    }
}
