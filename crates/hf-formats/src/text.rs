//! Text, HTML and scripts: normalised copies.

use crate::Format;

mod dlp;
pub(crate) mod fold;
mod plain;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[plain::FORMAT];
