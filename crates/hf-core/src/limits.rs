//! Limits of a scan, and the three kinds of "no further": a broken file, a stopped scan, a part not looked at.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Bounds of one scan. A value of `u64::MAX` (or `u32::MAX`) means unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of all objects of one scan together (`MaxScanSize`).
    pub max_scan_bytes: u64,
    /// Bytes of one object (`MaxFileSize`); a child that would be larger is cut or left out.
    pub max_object_bytes: u64,
    /// Depth of nesting; the file itself has depth 0 (`MaxRecursion`).
    pub max_depth: u32,
    /// Objects in one scan (`MaxFiles`).
    pub max_objects: u32,
    /// Milliseconds that one scan may take (`MaxScanTime`).
    pub deadline_ms: u64,
    /// Largest object in which embedded PE files are looked for.
    pub max_embedded_pe_bytes: u64,
    /// Largest HTML object that is normalised.
    pub max_html_normalise_bytes: u64,
    /// Largest HTML object of which a copy without tags is made.
    pub max_html_notags_bytes: u64,
    /// Largest text object that is normalised.
    pub max_script_normalise_bytes: u64,
    /// Largest zip in which other embedded types are looked for.
    pub max_zip_type_bytes: u64,
    /// Partitions of a disk image.
    pub max_partitions: u32,
    /// Icons of a PE.
    pub max_icons: u32,
    /// Recursion in HWP3.
    pub max_hwp3_depth: u32,
    /// Backtracking steps of one regular expression.
    pub pcre_match_limit: u64,
    /// Depth of backtracking of one regular expression.
    pub pcre_depth_limit: u64,
    /// Largest object on which regular expressions run.
    pub pcre_max_bytes: u64,
}

const MIB: u64 = 1 << 20;

impl Limits {
    /// ClamAV's defaults, for the drop-in names.
    #[must_use]
    pub fn clamav() -> Self {
        Self {
            max_scan_bytes: 400 * MIB,
            max_object_bytes: 100 * MIB,
            max_depth: 17,
            max_objects: 10_000,
            deadline_ms: 120_000,
            max_embedded_pe_bytes: 40 * MIB,
            max_html_normalise_bytes: 40 * MIB,
            max_html_notags_bytes: 8 * MIB,
            max_script_normalise_bytes: 20 * MIB,
            max_zip_type_bytes: MIB,
            max_partitions: 50,
            max_icons: 100,
            max_hwp3_depth: 16,
            pcre_match_limit: 100_000,
            pcre_depth_limit: 2_000,
            pcre_max_bytes: 100 * MIB,
        }
    }

    /// Our defaults: the file itself is mapped, so its size costs no memory; what is unpacked does.
    #[must_use]
    pub fn holdfast() -> Self {
        Self {
            max_scan_bytes: 8192 * MIB,
            max_object_bytes: 8192 * MIB,
            max_embedded_pe_bytes: 256 * MIB,
            max_zip_type_bytes: 64 * MIB,
            max_objects: 50_000,
            ..Self::clamav()
        }
    }

    /// Bytes that all unpacked children alive at one moment may take together in a worker.
    pub const MAX_LIVE_CHILD_BYTES: u64 = 512 * MIB;
}

impl Default for Limits {
    fn default() -> Self {
        Self::holdfast()
    }
}

/// Why a scan ends early. What was found before stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Stop {
    /// The deadline passed.
    #[error("time limit reached")]
    Deadline,
    /// The bytes of all objects together reached the limit.
    #[error("scan size limit reached")]
    ScanBytes,
    /// The number of objects reached the limit.
    #[error("object count limit reached")]
    Objects,
    /// A hit was found, and the caller wants only the first.
    #[error("found")]
    Found,
    /// This object is trusted by a false-positive list: nothing below it matters.
    #[error("trusted")]
    Trusted,
}

/// A broken structure in an object. Never an error of ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{what} at offset {off}")]
pub struct Defect {
    /// Offset in the object, in bytes.
    pub off: u64,
    /// What is wrong, in the specification's field names, without the offset.
    pub what: Cow<'static, str>,
}

impl Defect {
    /// Returns a defect with a fixed description.
    #[must_use]
    pub fn new(off: u64, what: &'static str) -> Self {
        Self { off, what: Cow::Borrowed(what) }
    }

    /// Returns the defect of an object that ends inside a structure.
    #[must_use]
    pub fn truncated(off: u64) -> Self {
        Self::new(off, "truncated")
    }
}

/// What ends an extractor early: a broken object or a stopped scan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The object is broken from here on.
    #[error(transparent)]
    Defect(#[from] Defect),
    /// The scan ends.
    #[error(transparent)]
    Stop(#[from] Stop),
}

/// Why a part of an object was not looked at. Each makes a clean verdict `incomplete`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// Encrypted, and no password fitted.
    #[error("encrypted, no password matched")]
    Encrypted,
    /// A compression or encoding method that is not known.
    #[error("unknown method {0}")]
    UnknownMethod(Cow<'static, str>),
    /// The data is damaged and could not be read to its end.
    #[error("damaged: {0}")]
    Damaged(Cow<'static, str>),
    /// The object's data ends too early.
    #[error("truncated")]
    Truncated,
    /// Nested deeper than the limit.
    #[error("nested deeper than {0} levels")]
    Depth(u32),
    /// Larger than the limit for one object.
    #[error("larger than the object size limit")]
    ObjectBytes,
    /// The scan's limit on all bytes was reached.
    #[error("scan size limit reached")]
    ScanBytes,
    /// The scan's limit on objects was reached.
    #[error("object count limit reached")]
    Objects,
    /// The deadline passed.
    #[error("time limit reached")]
    Deadline,
    /// Unpacking it would need more memory than a worker has.
    #[error("would need too much memory")]
    Memory,
    /// The format is recognised but has no reader yet.
    #[error("no reader for {0}")]
    NoReader(Cow<'static, str>),
    /// Another volume of the archive is needed.
    #[error("continues in another volume")]
    OtherVolume,
    /// Left out because an option says so.
    #[error("left out by option {0}")]
    Option(Cow<'static, str>),
    /// Another limit of a format (its name in the text).
    #[error("limit of the format reached: {0}")]
    FormatLimit(Cow<'static, str>),
}

impl From<Stop> for Reason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::ScanBytes => Self::ScanBytes,
            Stop::Objects => Self::Objects,
            _ => Self::Deadline,
        }
    }
}
