//! All of the crate against hostile input; see the files for what against what.

mod actors;
mod logs;
mod parsers;
mod policy;
mod purity;
mod quorum;
mod repository;
mod tuf;
