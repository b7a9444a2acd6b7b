//! Text, HTML and scripts: normalised copies.

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
