//! Frames between parent and worker, with descriptors.
//!
//! Promises: neither side trusts the other. Lengths are bounded before memory is taken, a frame that
//! is not exactly right is an error and the end of the channel, and every call can have a deadline.
//! Leaves out: who the worker is and what happens when it dies (`hf-worker`).
#![forbid(unsafe_code)]

pub mod channel;
pub mod message;

pub use channel::{Channel, IpcError, pair};
pub use message::{
    Confinement, FromWorker, Message, Pack, Probe, Protection, ScanRequest, Setup, ToWorker,
};
