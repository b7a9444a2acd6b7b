//! Mail and its encodings.

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
