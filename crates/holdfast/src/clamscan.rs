//! The drop-in name `clamscan`.

mod help;
mod metadata;
mod options;
mod run;

pub(crate) use options::{OPTIONS, TABLE};
pub(crate) use run::run;
