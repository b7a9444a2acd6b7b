//! Matching: compile the signature model, prefilter, verify, evaluate.

mod anchor;
mod builder;
mod byte_compare;
mod candidates;
mod evaluate;
mod filter;
mod hash;
mod logic;
mod magic;
mod matcher;
mod member;
mod pattern;
mod pcre;
mod phishing;
mod place;
mod rarity;
mod shape;
mod small;
mod store;
mod stored;
mod traits;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod oracle;

pub use builder::PackBuilder;
pub use hash::{DigestSet, HITS_MAX, HashHit, HashTables, HashTablesBuilder};
pub use magic::MagicHit;
pub use matcher::{MatchHit, Matcher, OpenMatcherError, Scope, Scratch, Statistics, Subject};
pub use pcre::check_pcre;
pub use phishing::LinkChecks;
pub use shape::{Numbered, Numbers, Shape, Writing, numbers, shape};
pub use small::Named;
