//! Text, HTML and scripts: normalised copies.

use crate::Format;

pub(crate) mod address;
pub(crate) mod base64;
mod dlp;
mod encoded;
pub(crate) mod fold;
mod hidden;
mod html;
mod plain;
mod screnc;
mod script;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] =
    &[html::FORMAT, screnc::FORMAT, plain::FORMAT, hidden::FORMAT, encoded::FORMAT];

/// Returns a script in the form that signatures for scripts are written for.
pub(crate) fn normalised_script(text: &[u8]) -> Vec<u8> {
    let text: Vec<u8> =
        text.iter().map(|byte| if matches!(byte, 9..=13) { b' ' } else { *byte }).collect();
    script::normalise(&[script::Source { text: &text, encoded: false }])
}
