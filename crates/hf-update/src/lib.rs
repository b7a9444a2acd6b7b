//! Fetch, verify, stage, try, swap and roll back content; suppliers and what is bound to them.
//!
//! A [`Source`] fetches databases from somewhere. What all sources gave together is a **set**: an immutable folder
//! named by its digest. A set is tried by a [`Judge`] before it becomes the one in use, by one rename; the sets before
//! it stay for a way back without a network.
//! Promises: content in use is always a whole set whose every file has its digest; whatever fails, is cut off or is
//! refused leaves the set in use as it was. Nothing that is fetched is ever run. Every size from a peer is bounded.
//! Leaves out: the engine itself, which only the operating system's package manager replaces.
#![forbid(unsafe_code)]

pub mod channel;
pub mod clamav;
pub mod config;
pub mod fetch;
pub mod freshclam;
pub mod inventory;
pub mod provenance;
pub mod run;
pub mod source;
pub mod sources;
pub mod store;
pub mod supplier;
pub mod trial;

pub use fetch::{FetchError, FetchOptions, Fetcher, Reply, Request};
pub use provenance::Provenance;
pub use source::{Context, Note, Offer, Outcome, Source, SourceError};
pub use store::{
    Activation, ActiveSet, Brakes, Draft, Judge, Refusal, SealedSet, SetFile, SetManifest,
    SetStore, StoreError,
};
pub use trial::{ChildJudge, Measure, TrialAnswer};
