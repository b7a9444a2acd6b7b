//! Signed notes (C2SP `signed-note`): text, an empty line, and signature lines.
//!
//! Promises: strict. UTF-8 without control characters but newline; key names without white space and
//! plus; at most [`NOTE_BYTES_MAX`] bytes and [`SIGNATURES_MAX`] signatures. A note writes back as it
//! was read.
//! Leaves out: which keys are known; see [`super::verifier`].

use std::fmt;

use crate::text::{from_base64, to_base64};

/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// Most signatures of a note; the specification asks for 16 at least.
pub const SIGNATURES_MAX: usize = 128;

/// How a signature line begins.
const DASH: &str = "\u{2014} ";

/// A text and its signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub key_id: [u8; 4],
    /// The signature, in the form of its type.
    pub bytes: Vec<u8>,
}

/// Bytes are no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`] bytes or [`SIGNATURES_MAX`] signatures.
    #[error("the note is too long, or has too many signatures")]
    TooLong,
    /// Not UTF-8, or a control character other than newline.
    #[error("the note is no plain text")]
    NotText,
    /// No text, no empty line before the signatures, or no signature.
    #[error("the note has no text or no signatures")]
    Incomplete,
    /// A line after the text is no signature line.
    #[error("line {0} of the signatures is no signature line")]
    SignatureLine(usize),
}

impl Note {
    /// Makes a note of a text, which has to end in a newline and may be signed afterwards.
    ///
    /// # Errors
    ///
    /// The text is none: see [`NoteError`].
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        if !plain(&text) {
            return Err(NoteError::NotText);
        }
        if !text.ends_with('\n') {
            return Err(NoteError::Incomplete);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// See [`NoteError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        if !plain(whole) {
            return Err(NoteError::NotText);
        }
        // The last empty line parts text and signatures; the text keeps its own newline.
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Incomplete)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Incomplete)?;
        if lines.is_empty() {
            return Err(NoteError::Incomplete);
        }
        let signatures = parse_lines(lines)?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// Returns the text, with its newline at the end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signatures, none of them verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature.
    pub fn add(&mut self, signature: NoteSignature) {
        self.signatures.push(signature);
    }

    /// Reads signature lines alone, as a witness answers with them.
    ///
    /// # Errors
    ///
    /// See [`NoteError`].
    pub fn parse_signatures(bytes: &[u8]) -> Result<Vec<NoteSignature>, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        let lines = text.strip_suffix('\n').ok_or(NoteError::Incomplete)?;
        parse_lines(lines)
    }
}

fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 || byte == b'\n')
}

fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let mut signatures = Vec::new();
    for (idx, line) in lines.split('\n').enumerate() {
        if idx >= SIGNATURES_MAX {
            return Err(NoteError::TooLong);
        }
        let signature = NoteSignature::parse(line).ok_or(NoteError::SignatureLine(idx + 1))?;
        signatures.push(signature);
    }
    Ok(signatures)
}

/// Returns whether a text may be a key's name: not empty, no white space, no plus, no control
/// character.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    let fits =
        |character: char| !character.is_whitespace() && !character.is_control() && character != '+';
    !name.is_empty() && name.chars().all(fits)
}

impl NoteSignature {
    /// Reads a signature line, without its newline.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = from_base64(encoded)?;
        let (key_id, bytes) = bytes.split_first_chunk::<4>()?;
        let known = is_key_name(name) && !bytes.is_empty();
        known.then(|| Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.bytes].concat();
        writeln!(f, "{DASH}{} {}", self.name, to_base64(&bytes))
    }
}

/// Writes the note: the text, an empty line, the signature lines.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}
