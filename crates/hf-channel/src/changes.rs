//! What changed from one release to the next: signatures that came and went, one JSON line each.
//!
//! A signature that went carries the reason, and its own text, so that an owner who does not agree can
//! keep it.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Id of the source.
    pub source: String,
    /// Database file that it is in.
    pub file: String,
    /// Name of the signature.
    pub name: String,
    /// Why it went; empty for what came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Its line, for one that went.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub line: String,
}

/// What happened to a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is no longer there.
    Removed,
    /// It has the same name and another text.
    Changed,
}

/// The list of changes of one release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// In the order of the sources.
    pub list: Vec<Change>,
}

/// A list of changes was refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// It cannot be read.
    #[error("list of changes")]
    Io(#[from] std::io::Error),
    /// A line is not readable.
    #[error("list of changes, line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

/// Ours: most bytes of a line.
const LINE_MAX: u64 = 1 << 20;
/// Ours: most changes that one release lists.
pub(crate) const CHANGES_MAX: usize = 4_000_000;

impl Changes {
    /// Reads a list.
    ///
    /// # Errors
    /// A line is too long or not readable, or there are too many.
    pub fn read(mut reader: impl BufRead) -> Result<Self, ChangesError> {
        let mut changes = Self::default();
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            let len = std::io::Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut bytes)?;
            if len == 0 {
                break;
            }
            let bad = |why: String| ChangesError::Line { line, why };
            if len as u64 == LINE_MAX || line > CHANGES_MAX {
                return Err(bad("too long".to_owned()));
            }
            let change = serde_json::from_slice(&bytes).map_err(|err| bad(err.to_string()))?;
            changes.list.push(change);
        }
        Ok(changes)
    }

    /// Writes a list.
    ///
    /// # Errors
    /// The writer fails.
    pub fn write(&self, mut out: impl Write) -> std::io::Result<()> {
        for change in &self.list {
            serde_json::to_writer(&mut out, change)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let change = Change {
            kind: ChangeKind::Removed,
            source: "own".to_owned(),
            file: "a.ndb".to_owned(),
            name: "X".to_owned(),
            reason: "false alarm".to_owned(),
            line: "X:0:*:6162".to_owned(),
        };
        let list = vec![change.clone(), Change { kind: ChangeKind::Added, ..change }];
        let mut bytes = Vec::new();
        Changes { list: list.clone() }.write(&mut bytes).unwrap();
        assert_eq!(Changes::read(&bytes[..]).unwrap().list, list);
        assert!(Changes::read(&b"{}\n"[..]).is_err());
    }
}
