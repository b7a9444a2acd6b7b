//! What the programs under ClamAV's names share: tables of options, parsing, output, actions.

pub(crate) mod list;
pub(crate) mod option;
pub(crate) mod output;
pub(crate) mod parse;
pub(crate) mod quarantine;
pub(crate) mod start;
pub(crate) mod summary;

/// The version whose behaviour the drop-in names follow.
pub(crate) const CLAMAV_VERSION: &str = "1.4.6";
