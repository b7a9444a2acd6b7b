//! The drop-in name `clamscan`.

mod help;
mod metadata;
mod options;
mod run;

pub(crate) use options::OPTIONS;
#[cfg(test)]
pub(crate) use options::TABLE;
pub(crate) use run::run;
