//! Who has to have signed, logged and witnessed content before it may be used.
//!
//! Three layers, each usable alone: [`tuf`] (roles, thresholds, expiry, roll-back protection), [`log`]
//! (signed notes, checkpoints, Merkle proofs, cosignatures, tiles) and [`quorum`] (the owner's policy,
//! publishers' statements, and the proofs that travel with content).
//!
//! Promises: pure. No network, no files, no clock (the time is an argument), no secret keys, no
//! threads. All input is hostile: every size is bounded, every refusal is named, nothing panics. The
//! same bytes give the same answer online, from a folder and from a bundle on a stick.
//! Leaves out: fetching and storing (`hf-update`), signing (`hf-publish`), and what content means.
//! Types can be written as well as read, so that publishers use the same ones.
//! Sources: [1] The Update Framework, specification 1.0.34; [2] TAP 21 (ML-DSA); [3] C2SP
//! `signed-note`, `tlog-checkpoint`, `tlog-tiles`, `tlog-cosignature`, `tlog-policy`, `tlog-proof`,
//! `tlog-witness`; [4] RFC 6962; [5] FIPS 204; [6] RFC 8032.
#![forbid(unsafe_code)]

pub mod json;
pub mod key;
pub mod log;
pub mod quorum;
pub mod text;
pub mod time;
pub mod tuf;

pub use json::Json;
pub use key::{PublicKey, Scheme};
pub use time::Time;
