//! Images: perceptual hash and broken structures.

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
