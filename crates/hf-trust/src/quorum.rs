//! No single operator: the owner's policy, publishers' statements, and proofs that travel with content.
//!
//! [`policy`] is the owner's file; [`statement`] what a publisher signs; [`bundle`] the statements with
//! their proofs, in one file; [`state`] what a machine remembers; [`verify`] decides.
//! Content is accepted when k publishers, by the owner's choice, signed one statement each on the same
//! manifest, each statement stands in a log that the owner knows, and the log's checkpoint is
//! cosigned by the witnesses that the owner wants, and follows from the one seen before.
//! Staleness is told and refuses nothing.

pub mod bundle;
pub mod policy;
pub mod policy_file;
pub mod refusal;
pub mod state;
pub mod statement;
pub mod verify;

pub use bundle::{Attestation, Bundle, BundleError, Consistency};
pub use policy::{Policy, Publisher, Rules};
pub use policy_file::PolicyError;
pub use refusal::Refused;
pub use state::{LogHead, SetState, State, StateError};
pub use statement::{Named, Statement, StatementError};
pub use verify::{Accepted, Offer, verify};
