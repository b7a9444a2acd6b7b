//! What a scan of one file says: the tree of objects, hits, defects, and what was not looked at.

use serde::{Deserialize, Serialize};

use crate::{Defect, FileType, Reason};

/// The decision about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything was looked at and nothing was found.
    Clean,
    /// Nothing was found in what was looked at, but something was not looked at.
    Incomplete,
    /// The scan failed.
    Error,
    /// Something was found.
    Detected,
}

/// How much a hit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// Malicious.
    Strong,
    /// Potentially unwanted or heuristic (`PUA.`, `Heuristics.`, `BC.Heuristics.`).
    PotentiallyUnwanted,
    /// For the record only (`Weak.`).
    Weak,
}

impl Strength {
    /// Returns the strength that a signature's name stands for.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        if name.starts_with("Weak.") {
            Self::Weak
        } else if ["PUA.", "Heuristics.", "BC.Heuristics."].iter().any(|p| name.starts_with(p)) {
            Self::PotentiallyUnwanted
        } else {
            Self::Strong
        }
    }
}

/// The language a hit's signature was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HitKind {
    /// Whole-object hash.
    FileHash,
    /// PE section hash.
    SectionHash,
    /// PE import hash.
    ImportHash,
    /// Extended or basic body signature.
    Body,
    /// Logical signature.
    Logical,
    /// Container metadata.
    Container,
    /// YARA rule.
    Yara,
    /// Heuristic.
    Heuristic,
    /// URL list.
    Phishing,
    /// Rule on a certificate.
    Certificate,
}

/// Where a part of a signature matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchSpan {
    /// Number of the sub-signature (0 for body signatures) or name of the YARA pattern.
    pub part: String,
    /// Offset in the object, in bytes.
    pub off: u64,
    /// Length in bytes.
    pub len: u64,
    /// The first bytes that matched (at most 64).
    pub bytes: Vec<u8>,
}

/// One signature that matched one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Index of the object in [`Report::objects`].
    pub object: u32,
    /// Reported name, with `.UNOFFICIAL` where that applies.
    pub name: String,
    /// Language.
    pub kind: HitKind,
    /// Strength.
    pub strength: Strength,
    /// Database file and line, when known (`main.ldb:17`).
    pub origin: String,
    /// Where it matched; filled for [`crate::ScanOptions::explain`], else at most the first place.
    pub spans: Vec<MatchSpan>,
}

/// Digests of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// MD5.
    pub md5: [u8; 16],
    /// SHA-1.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// One object of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectNode {
    /// Index of the object around it; none for the file itself. Parents come before children.
    pub parent: Option<u32>,
    /// Raw bytes of its name; empty for the file itself.
    pub name: Vec<u8>,
    /// Type.
    pub file_type: FileType,
    /// Another form of its parent's content rather than an object of its own.
    pub normalised: bool,
    /// Offset in the parent for embedded objects.
    pub embedded_off: Option<u64>,
    /// Bytes.
    pub size: u64,
    /// Digests, with [`crate::ScanOptions::full_tree`].
    pub digests: Option<Digests>,
    /// Facts, with [`crate::ScanOptions::full_tree`].
    pub facts: Vec<(String, String)>,
    /// Broken structures.
    pub defects: Vec<Defect>,
}

/// A part that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscanned {
    /// Index of the object in which it is.
    pub object: u32,
    /// Raw bytes of the name of the part; empty for the object itself.
    pub name: Vec<u8>,
    /// Why.
    pub reason: Reason,
}

/// The report on one file. Without `full_tree` only notable objects and their ancestors are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The tree; the file itself is first.
    pub objects: Vec<ObjectNode>,
    /// Hits in the order in which they were found.
    pub hits: Vec<Hit>,
    /// Parts that were not looked at (at most [`Report::UNSCANNED_MAX`], then `unscanned_more`).
    pub unscanned: Vec<Unscanned>,
    /// How many more parts were not looked at.
    pub unscanned_more: u64,
    /// Objects scanned, the file itself included.
    pub object_count: u64,
    /// Bytes of all objects together.
    pub scanned_bytes: u64,
    /// Trusted by a false-positive list.
    pub trusted: bool,
    /// Set when the scan failed; the text is for people.
    pub error: Option<String>,
}

impl Report {
    /// Entries kept in [`Report::unscanned`].
    pub const UNSCANNED_MAX: usize = 256;
    /// Defects kept for one object.
    pub const DEFECTS_MAX: usize = 64;
    /// Objects kept in the tree.
    pub const OBJECTS_MAX: usize = 65_536;

    /// Returns a report that says only that the scan failed.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// Returns the names on the way to an object, outermost first, the file itself left out.
    #[must_use]
    pub fn path(&self, object: u32) -> Vec<&[u8]> {
        let mut names = Vec::new();
        let mut at = usize::try_from(object).ok().and_then(|idx| self.objects.get(idx));
        while let Some(node) = at {
            let Some(parent) = node.parent else { break };
            if names.len() > 1024 {
                break;
            }
            names.push(node.name.as_slice());
            at = usize::try_from(parent).ok().and_then(|idx| self.objects.get(idx));
        }
        names.reverse();
        names
    }
}
