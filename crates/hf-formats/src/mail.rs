//! Mail and its encodings.

mod binhex;
mod decode;
mod header;
mod lines;
mod message;
mod multipart;
mod tnef;
mod uuencode;
mod words;
mod yenc;

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] =
    &[message::FORMAT, uuencode::FORMAT, binhex::FORMAT, tnef::FORMAT];
