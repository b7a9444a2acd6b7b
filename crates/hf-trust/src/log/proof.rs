//! Offline proofs (C2SP `tlog-proof`): an entry's place, the way to the root, and the checkpoint.

use std::fmt;

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, MerkleError, PROOF_LEN_MAX, leaf_hash, verify_inclusion};
use super::note::{NOTE_BYTES_MAX, Note, NoteError};
use crate::text::{decimal, from_base64, to_base64};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most bytes of the opaque part.
pub const EXTRA_BYTES_MAX: usize = 65_536;

/// The proof that an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Opaque, and not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// Hashes from the entry's sibling up.
    pub hashes: Vec<Hash>,
    /// The log's signed checkpoint.
    pub note: Note,
    /// What the checkpoint says; not verified.
    pub checkpoint: Checkpoint,
}

/// Bytes are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The lines before the checkpoint are not as they have to be.
    #[error("line {0} of the proof is not as it has to be")]
    Line(usize),
    /// Longer than a note and its proof can be.
    #[error("the proof is too long")]
    TooLong,
    /// The checkpoint is no signed note.
    #[error("the checkpoint of the proof: {0}")]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error("the signed text is no checkpoint")]
    Checkpoint,
}

impl LogProof {
    /// Makes a proof.
    ///
    /// # Errors
    ///
    /// [`ProofError::Checkpoint`].
    pub fn new(index: u64, hashes: Vec<Hash>, note: Note) -> Result<Self, ProofError> {
        let checkpoint = Checkpoint::parse(note.text()).ok_or(ProofError::Checkpoint)?;
        Ok(Self { extra: None, index, hashes, note, checkpoint })
    }

    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// See [`ProofError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(ProofError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        let (head, note) = text.split_once("\n\n").ok_or(ProofError::Line(1))?;
        let mut lines = head.split('\n').enumerate().map(|(idx, line)| (idx + 1, line)).peekable();
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(ProofError::Line(1));
        }
        let mut extra = None;
        if let Some((number, encoded)) =
            lines.next_if(|(_, line)| line.starts_with("extra ")).and_then(split_line("extra "))
        {
            let bytes = from_base64(encoded).filter(|bytes| bytes.len() <= EXTRA_BYTES_MAX);
            extra = Some(bytes.ok_or(ProofError::Line(number))?);
        }
        let (number, line) = lines.next().ok_or(ProofError::Line(2))?;
        let index = line.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or(ProofError::Line(number))?;
        let mut hashes = Vec::new();
        for (number, line) in lines {
            let hash = from_base64(line).and_then(|hash| <Hash>::try_from(hash).ok());
            hashes.push(hash.ok_or(ProofError::Line(number))?);
            if hashes.len() > PROOF_LEN_MAX {
                return Err(ProofError::Line(number));
            }
        }
        let note = Note::parse(note.as_bytes())?;
        let proof = Self::new(index, hashes, note)?;
        Ok(Self { extra, ..proof })
    }

    /// Verifies that an entry is in the tree that the checkpoint describes. Whether the checkpoint may
    /// be believed is another question.
    ///
    /// # Errors
    ///
    /// See [`MerkleError`].
    pub fn verify_entry(&self, entry: &[u8]) -> Result<(), MerkleError> {
        let leaf = leaf_hash(entry);
        let (size, root) = (self.checkpoint.size, &self.checkpoint.root);
        verify_inclusion(&leaf, self.index, size, root, &self.hashes)
    }
}

fn split_line<'a>(prefix: &'static str) -> impl Fn((usize, &'a str)) -> Option<(usize, &'a str)> {
    move |(number, line)| Some((number, line.strip_prefix(prefix)?))
}

/// Writes the proof.
impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", to_base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}
