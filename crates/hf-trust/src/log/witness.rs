//! What is sent to a witness (C2SP `tlog-witness`): the size that it knows, a proof, a checkpoint.

use std::fmt;

use super::checkpoint::Checkpoint;
use super::merkle::{Hash, MerkleError, PROOF_LEN_MAX, verify_consistency};
use super::note::{NOTE_BYTES_MAX, Note};
use super::proof::ProofError;
use crate::text::{decimal, from_base64, to_base64};

/// The body of a request to `add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness cosigned last, or 0.
    pub old_size: u64,
    /// The proof from there to the checkpoint.
    pub hashes: Vec<Hash>,
    /// The log's signed checkpoint.
    pub note: Note,
    /// What the checkpoint says; not verified.
    pub checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Makes a request.
    ///
    /// # Errors
    ///
    /// [`ProofError::Checkpoint`].
    pub fn new(old_size: u64, hashes: Vec<Hash>, note: Note) -> Result<Self, ProofError> {
        let checkpoint = Checkpoint::parse(note.text()).ok_or(ProofError::Checkpoint)?;
        Ok(Self { old_size, hashes, note, checkpoint })
    }

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// See [`ProofError`]; a witness answers it with status 400.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(ProofError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Line(1))?;
        let (head, note) = text.split_once("\n\n").ok_or(ProofError::Line(1))?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old_size = old_size.ok_or(ProofError::Line(1))?;
        let mut hashes = Vec::new();
        for (idx, line) in lines.enumerate() {
            let hash = from_base64(line).and_then(|hash| <Hash>::try_from(hash).ok());
            hashes.push(hash.filter(|_| idx < PROOF_LEN_MAX).ok_or(ProofError::Line(idx + 2))?);
        }
        Self::new(old_size, hashes, Note::parse(note.as_bytes())?)
    }

    /// Verifies the proof from the root of the old size, as the witness remembers it.
    ///
    /// # Errors
    ///
    /// See [`MerkleError`]; a witness answers it with status 422.
    pub fn verify(&self, old_root: &Hash) -> Result<(), MerkleError> {
        let new = (self.checkpoint.size, &self.checkpoint.root);
        verify_consistency((self.old_size, old_root), new, &self.hashes)
    }
}

/// Writes the request's body.
impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", to_base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}
