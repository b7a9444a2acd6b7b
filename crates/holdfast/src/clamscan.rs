//! The drop-in name `clamscan`.

mod help;
mod metadata;
mod options;
mod parse;
mod quarantine;
mod run;
mod summary;

pub(crate) use quarantine::{Action, act};
pub(crate) use run::run;
