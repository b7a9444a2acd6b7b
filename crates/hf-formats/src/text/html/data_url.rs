//! Documents in `data:` URLs.
//!
//! Promises: decodes what can be decoded; the output is at most as long as the input, and a message twice.
//! Leaves out: what the media type says of character sets.
//! Sources: RFC 2397.

use super::super::base64;
use super::entity;

/// A decoded `data:` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataUrl {
    /// `data:` and the media type, in lower case.
    pub(super) name: Vec<u8>,
    /// The document.
    pub(super) data: Vec<u8>,
    /// The message that ClamAV makes of it, whose body may be encoded.
    pub(super) message: Vec<u8>,
}

/// Decodes a whole URL, references of HTML included; none when it has no data.
pub(super) fn decode(url: &[u8]) -> Option<DataUrl> {
    let comma = memchr::memchr(b',', url)?;
    let (head, data) = (url.get(..comma)?, url.get(comma.checked_add(1)?..)?);
    let mut name = head.to_ascii_lowercase();
    name.truncate(NAME_LEN_MAX);
    let is_base64 = memchr::memmem::find(&name, b";base64").is_some();
    let data = percent(&references(data));
    let mut message = b"From html-normalise\nContent-type: ".to_vec();
    message.extend(head.iter().skip(PREFIX_LEN).map(u8::to_ascii_lowercase));
    message.push(b'\n');
    if is_base64 {
        message.extend_from_slice(b"Content-transfer-encoding: base64\n");
    }
    message.push(b'\n');
    message.extend_from_slice(&data);
    let data = if is_base64 { base64::decode(&data) } else { data };
    (!data.is_empty()).then_some(DataUrl { name, data, message })
}

/// `data:`
const PREFIX_LEN: usize = 5;

const NAME_LEN_MAX: usize = 256;

fn references(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let decoded = if *byte == b'&' { entity::decode(rest) } else { None };
        match decoded.and_then(|decoded| Some((decoded.len, decoded.ascii?))) {
            Some((len, byte)) => {
                out.push(byte);
                rest = rest.get(len..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let value = (*byte == b'%').then(|| Some((digit(0)? << 4) | digit(1)?)).flatten();
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

/// Returns the decoded documents in `url(data:…)` of a style sheet.
pub(super) fn in_style(css: &[u8], max: usize) -> Vec<DataUrl> {
    let mut all = Vec::new();
    let mut rest = css;
    while let Some(at) = memchr::memmem::find(rest, b"data:").filter(|_| all.len() < max) {
        let url = rest.get(at..).unwrap_or_default();
        let end = memchr::memchr3(b')', b'"', b'\'', url).unwrap_or(url.len());
        let (url, behind) = url.split_at_checked(end).unwrap_or((url, &[]));
        all.extend(decode(url));
        rest = behind;
    }
    all
}
