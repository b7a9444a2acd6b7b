//! Images: perceptual hash and broken structures.

use crate::Format;

pub(crate) mod hash;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[];
