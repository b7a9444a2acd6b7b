//! The Update Framework: who may say which files are current, and until when.
//!
//! [`metadata`] reads and writes the four roles; [`updater`] decides, step by step, which file is needed
//! next and whether it may be believed. The caller fetches; so the same code verifies what came over
//! a network, from a folder or out of a bundle.
//! Own implementation, because the library at hand (`tough`) brings an async runtime and a second
//! cryptographic provider, and knows no post-quantum scheme.
//! Sources: TUF specification 1.0.34, quoted as §n; TAP 15 for hash bins,
//! TAP 21 for ML-DSA.

pub mod error;
pub mod key;
pub mod metadata;
pub mod pattern;
pub mod role;
pub mod target;
pub mod updater;

pub use error::{Role, TufError};
pub use key::TufKey;
pub use metadata::{Envelope, FileMeta, Root, Signature, Snapshot, Targets, Timestamp};
pub use role::{DelegatedRole, Delegations, Keys, PathSet, RoleKeys, SuccinctRoles};
pub use target::{Target, TargetCheck};
pub use updater::{Limits, Reply, Request, Step, Stored, Trusted, Updater, file_stem};
