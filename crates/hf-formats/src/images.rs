//! Images: perceptual hash and broken structures.

use hf_core::Defect;

use crate::Format;

mod gif;
pub(crate) mod hash;
mod hidden;
mod image;
mod jpeg;
mod png;
mod riff;
mod tiff;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[image::FORMAT, riff::FORMAT];

/// What a walk over an image found out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Walk {
    /// Width and height in pixels.
    size: Option<(u32, u32)>,
    /// Why the walk ended early.
    fault: Option<Fault>,
}

/// Why a walk ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// A broken structure; the text is the last word of `Heuristics.Broken.Media.…`.
    Broken(Defect),
    /// A JPEG comment whose length is smaller than its own field (MS04-028).
    CommentLength(u64),
}

impl Fault {
    fn broken(off: usize, rule: &'static str) -> Self {
        Self::Broken(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), rule))
    }
}
