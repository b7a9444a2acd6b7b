//! What lies in a channel: where, under which names, in which formats.
//!
//! A channel is a folder that any web server, bucket, or USB stick can hold. The [`Manifest`] of a
//! release names its sources and its compiled packs by digest; each of these is a [`Blob`], which is
//! there whole in chunks ([`chunks`]) and as patches from its last versions ([`patch`]). Everything but
//! the few files that change in place is named by its SHA-256.
//!
//! Promises: what is read is bounded and checked, and never panics; the same input gives the same
//! bytes; applying a patch needs memory for the patch alone.
//! Leaves out: fetching, keys, signatures, proofs (`hf-trust`), and what to do with content.
#![forbid(unsafe_code)]

mod changes;
pub mod chunks;
mod digest;
pub mod layout;
mod manifest;
mod now;
pub mod patch;

pub use changes::{Change, ChangeKind, Changes, ChangesError};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use manifest::{
    Blob, MANIFEST_LEN_MAX, Manifest, ManifestError, PackEntry, PatchEntry, SourceEntry, Stored,
};
pub use now::{NOW_LEN_MAX, Now};
