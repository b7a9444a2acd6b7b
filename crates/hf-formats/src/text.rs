//! Text, HTML and scripts: normalised copies.

use crate::Format;

pub(crate) mod base64;
mod dlp;
pub(crate) mod fold;
mod html;
mod plain;
mod screnc;
mod script;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[html::FORMAT, screnc::FORMAT, plain::FORMAT];
