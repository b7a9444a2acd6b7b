//! Mail and its encodings.

mod binhex;
mod cms;
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

pub(crate) use tnef::compressed_rtf;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] =
    &[message::FORMAT, uuencode::FORMAT, binhex::FORMAT, tnef::FORMAT, cms::FORMAT];
