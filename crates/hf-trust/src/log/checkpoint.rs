//! Checkpoints (C2SP `tlog-checkpoint`): a log's name, size and root hash.

use std::fmt;

use super::merkle::Hash;
use crate::text::{decimal, from_base64, to_base64};

/// The head of a log at one size, as the text of a signed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries it has; below 2^63.
    pub size: u64,
    /// The root of its Merkle tree at that size.
    pub root: Hash,
    /// Further lines; mean nothing here.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// Returns nothing when the text is no checkpoint, or an empty tree has another root than the
    /// digest of nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let size = decimal(lines.next()?).filter(|size| *size < 1 << 63)?;
        let root: [u8; 32] = from_base64(lines.next()?)?.try_into().ok()?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        let whole = extensions.iter().all(|line| !line.is_empty());
        let root_fits = size > 0 || root == super::merkle::empty_root();
        (whole && root_fits).then_some(Self { origin, size, root, extensions })
    }
}

/// Writes the text of the note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, to_base64(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
