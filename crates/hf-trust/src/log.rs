//! Public append-only logs and their witnesses, as the C2SP specifications describe them.
//!
//! [`note`]: signed text; [`checkpoint`]: the head of a log; [`merkle`]: proofs that an entry is in a
//! log and that a log only grew; [`tile`]: where a log keeps its hashes, and proofs out of them;
//! [`cosignature`]: what witnesses sign; [`policy`]: which of them have to; [`proof`]: all of it for one
//! entry, to be verified offline; [`witness`]: what is sent to a witness.
//! Sources: C2SP, by name: `signed-note`, `tlog-checkpoint`, `tlog-tiles`, `tlog-cosignature`,
//! `tlog-policy`, `tlog-proof`, `tlog-witness`; RFC 6962 §2.1.

pub mod checkpoint;
pub mod cosignature;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
pub mod verifier;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use merkle::{Hash, MerkleError};
pub use note::{Note, NoteError, NoteSignature};
pub use policy::{WitnessPolicy, WitnessPolicyError};
pub use proof::{LogProof, ProofError};
pub use tile::Tile;
pub use verifier::{Verified, Verifier, VerifierKind};
pub use witness::AddCheckpoint;
