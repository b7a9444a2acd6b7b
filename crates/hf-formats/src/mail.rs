//! Mail and its encodings.

mod binhex;
mod cms;
mod decode;
mod envelope;
mod header;
mod lines;
mod message;
mod multipart;
mod tnef;
mod uuencode;
mod words;
mod yenc;

use crate::Format;

pub(crate) use cms::{Element, element};
pub(crate) use tnef::compressed_rtf;

/// Returns the files in uuencoding and yEnc that stand in a text: names and contents.
pub(crate) fn encoded_files(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let files = uuencode::find(text).into_iter().chain(yenc::find(text));
    files.filter(|file| !file.data.is_empty()).map(|file| (file.name, file.data)).collect()
}

/// The formats of this group.
pub(crate) static FORMATS: &[Format] =
    &[message::FORMAT, uuencode::FORMAT, binhex::FORMAT, tnef::FORMAT, cms::FORMAT];
