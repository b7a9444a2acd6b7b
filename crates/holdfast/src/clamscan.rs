//! The drop-in name `clamscan`.

mod help;
mod metadata;
mod options;
mod parse;
mod quarantine;
mod run;
mod summary;

pub(crate) use run::run;
