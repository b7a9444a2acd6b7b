//! Files that stand encoded in a text.
//!
//! Promises: each byte of the text is decoded at most a few times; at most [`super::BLOBS_MAX`] files.

use memchr::memmem;

use super::value::{has_magic, is_text, narrow};
use super::{BLOBS_MAX, Mark, Signs};
use crate::text::base64;
use crate::text::script;

/// A decoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) name: &'static str,
    pub(super) data: Vec<u8>,
}

/// Fewer decoded bytes are no file.
const LEN_MIN: usize = 24;

/// Finds the files.
pub(super) fn find(text: &[u8], signs: &Signs) -> Vec<Blob> {
    let mut blobs = Vec::new();
    let mut until = 0usize;
    for (at, mark) in &signs.marks {
        if *at < until || blobs.len() >= BLOBS_MAX {
            continue;
        }
        let rest = text.get(*at..).unwrap_or_default();
        let found = match mark {
            Mark::Base64 => {
                let len = run(rest, is_base64);
                decoded(rest, len, "base64")
            }
            Mark::Reversed => reversed(text, *at),
            Mark::Hex => hex(rest),
            Mark::Decimal => decimal(rest),
            Mark::DataUrl => data_url(rest),
            Mark::Encoded => encoded(rest),
            _ => None,
        };
        if let Some((blob, len)) = found {
            until = at.saturating_add(len);
            blobs.push(blob);
            if *mark == Mark::Base64 {
                blobs.extend(front(rest, len));
            }
        }
    }
    if signs.powershell {
        commands(text, &mut blobs);
    }
    if signs.shell {
        runs(text, &mut blobs);
    }
    blobs.truncate(BLOBS_MAX);
    blobs
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Returns the length of a run of digits, with line ends and indents between, and `=` behind.
fn run(text: &[u8], is_digit: fn(u8) -> bool) -> usize {
    let mut len = 0usize;
    let mut end = 0usize;
    while let Some(byte) = text.get(len) {
        match byte {
            byte if is_digit(*byte) => end = len.saturating_add(1),
            b'\r' | b'\n' | b' ' | b'\t' if len.saturating_sub(end) < 64 => {}
            b'=' => end = len.saturating_add(1),
            // A backslash in front of a line end, or of a slash as JSON has it.
            b'\\'
                if matches!(
                    text.get(len.saturating_add(1)),
                    Some(b'\r' | b'\n' | b'/' | b'n' | b'r')
                ) =>
            {
                if matches!(text.get(len.saturating_add(1)), Some(b'n' | b'r')) {
                    len = len.saturating_add(1);
                }
            }
            _ => break,
        }
        len = len.saturating_add(1);
    }
    end
}

fn decoded(rest: &[u8], len: usize, name: &'static str) -> Option<(Blob, usize)> {
    let digits = rest.get(..len)?;
    let cleaned = without_escapes(digits);
    let data = base64::decode(&cleaned);
    let data = narrow(&data).unwrap_or(data);
    let fits = data.len() >= LEN_MIN && (has_magic(&data) || is_text(&data));
    fits.then_some((Blob { name, data }, len))
}

/// Takes `\n` and `\r` out, whose letters are digits of base64.
fn without_escapes(digits: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'\\', digits).is_none() {
        return digits.to_vec();
    }
    let mut out = Vec::with_capacity(digits.len());
    let mut bytes = digits.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            let _ = bytes.next_if(|next| matches!(next, b'n' | b'r'));
        } else {
            out.push(byte);
        }
    }
    out
}

fn reversed(text: &[u8], at: usize) -> Option<(Blob, usize)> {
    let behind = text.get(at..)?.iter().take_while(|byte| is_base64(**byte)).count();
    let end = at.saturating_add(behind);
    let before = text.get(..end)?;
    let len = before.iter().rev().take_while(|byte| is_base64(**byte) || **byte == b'=').count();
    let mut digits = before.get(end.checked_sub(len)?..)?.to_vec();
    digits.reverse();
    let (blob, _) = decoded(&digits, digits.len(), "reversed")?;
    has_magic(&blob.data).then_some((blob, behind))
}

/// Reads pairs of digits with any of the usual signs between.
fn hex(rest: &[u8]) -> Option<(Blob, usize)> {
    let mut data = Vec::new();
    let mut at = 0usize;
    let digit = |at: usize| char::from(rest.get(at).copied().unwrap_or(0)).to_digit(16);
    let mut end = 0usize;
    while at < rest.len() {
        let prefix = rest.get(at..at.saturating_add(2)).unwrap_or_default();
        if matches!(prefix, [b'0', b'x' | b'X'] | [b'\\', b'x' | b'X'] | [b'&', b'h' | b'H']) {
            at = at.saturating_add(2);
            // A number of one digit.
            if let (Some(low), None) = (digit(at), digit(at.saturating_add(1)))
                && prefix.first() != Some(&b'\\')
            {
                data.extend(u8::try_from(low));
                at = at.saturating_add(1);
                end = at;
            }
            continue;
        }
        if rest.get(at..).is_some_and(|rest| rest.starts_with(b"\\u00")) {
            at = at.saturating_add(4);
            continue;
        }
        if let (Some(high), Some(low)) = (digit(at), digit(at.saturating_add(1))) {
            data.extend(u8::try_from(high << 4 | low));
            at = at.saturating_add(2);
            end = at;
        } else if at.saturating_sub(end) < 48
            && rest.get(at).is_some_and(|byte| b" \t\r\n,:;-%\\_&+\"'".contains(byte))
        {
            at = at.saturating_add(1);
        } else {
            break;
        }
    }
    let fits = data.len() >= LEN_MIN && has_magic(&data);
    fits.then_some((Blob { name: "hex", data }, end))
}

fn decimal(rest: &[u8]) -> Option<(Blob, usize)> {
    let mut data = Vec::new();
    let mut at = 0usize;
    let mut end = 0usize;
    loop {
        let digits =
            rest.get(at..)?.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let word = rest.get(at..at.saturating_add(digits)).unwrap_or_default();
        let value = std::str::from_utf8(word).ok().and_then(|word| word.parse::<u8>().ok());
        let Some(value) = value else { break };
        data.push(value);
        at = at.saturating_add(digits);
        end = at;
        let between = rest.get(at..).unwrap_or_default();
        at = at.saturating_add(
            between.iter().take(64).take_while(|b| b" \t\r\n,_".contains(b)).count(),
        );
    }
    let fits = data.len() >= LEN_MIN && has_magic(&data);
    fits.then_some((Blob { name: "numbers", data }, end))
}

fn data_url(rest: &[u8]) -> Option<(Blob, usize)> {
    const WORD_LEN: usize = 8;
    let digits = rest.get(WORD_LEN..)?;
    let len = run(digits, |byte| is_base64(byte) || byte == b'%');
    let mut raw = digits.get(..len)?.to_vec();
    if memchr::memchr(b'%', &raw).is_some() {
        raw = super::call::percent(&raw);
    }
    let data = base64::decode(&without_escapes(&raw));
    let blob = Blob { name: "data-url", data };
    (blob.data.len() >= LEN_MIN).then_some((blob, len.saturating_add(WORD_LEN)))
}

fn encoded(rest: &[u8]) -> Option<(Blob, usize)> {
    let end = memmem::find(rest, b"^#~@").map_or(rest.len(), |end| end.saturating_add(4));
    let data = script::decode_encoded(rest.get(..end)?);
    (data.len() >= LEN_MIN).then_some((Blob { name: "encoded-script", data }, end))
}

/// Decodes what follows `-e`, `-enc` and the like in command lines of PowerShell.
fn commands(text: &[u8], blobs: &mut Vec<Blob>) {
    let mut left = COMMANDS_MAX;
    for at in memchr::memchr2_iter(b'-', b'/', text) {
        let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
        if !matches!(rest.first(), Some(b'e' | b'E' | b'^' | b'`')) {
            continue;
        }
        left = left.saturating_sub(1);
        if left == 0 || blobs.len() >= BLOBS_MAX {
            return;
        }
        // Carets and back quotes change nothing.
        let skip = |byte: &&u8| !matches!(**byte, b'^' | b'`');
        let word_len =
            rest.iter().take(32).take_while(|b| b.is_ascii_alphabetic() || !skip(b)).count();
        let word: Vec<u8> =
            rest.iter().take(word_len).filter(skip).map(u8::to_ascii_lowercase).collect();
        let is_option = b"encodedcommand".starts_with(&word) || word == b"ec";
        let behind = rest.get(word_len..).unwrap_or_default();
        let gap = behind.iter().take(16).take_while(|b| b" \t:\"'^`\\".contains(b)).count();
        if !is_option || gap == 0 {
            continue;
        }
        let digits = behind.get(gap..).unwrap_or_default();
        let len = digits
            .iter()
            .take_while(|b| is_base64(**b) || matches!(**b, b'=' | b'^' | b'`'))
            .count();
        let data = base64::decode(digits.get(..len).unwrap_or_default());
        if let Some(data) = narrow(&data).filter(|data| data.len() >= 4) {
            blobs.push(Blob { name: "powershell", data });
        }
    }
}

const COMMANDS_MAX: usize = 4096;

/// Decodes long runs of digits, as shell commands get them.
fn runs(text: &[u8], blobs: &mut Vec<Blob>) {
    const RUN_MIN: usize = 40;
    let mut at = 0usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if blobs.len() >= BLOBS_MAX {
            return;
        }
        let len = rest.iter().take_while(|byte| is_base64(**byte)).count();
        if len < RUN_MIN {
            at = at.saturating_add(len.max(1));
            continue;
        }
        let len = run(rest, is_base64).max(1);
        let digits = rest.get(..len).unwrap_or_default();
        let is_hex =
            digits.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace());
        if is_hex {
            let data = super::call::unhex(digits);
            if data.len() >= LEN_MIN && (has_magic(&data) || is_text(&data)) {
                blobs.push(Blob { name: "hex", data });
            }
        } else if let Some((blob, _)) = decoded(rest, len, "base64") {
            blobs.push(blob);
            blobs.extend(front(rest, len));
        }
        at = at.saturating_add(len);
    }
}

/// Decodes a run up to the end of its first block, when more of it follows.
fn front(rest: &[u8], len: usize) -> Option<Blob> {
    let end = first_block(rest.get(..len)?);
    (end < len).then(|| decoded(rest, end, "base64")).flatten().map(|(blob, _)| blob)
}

/// Returns where the digits of one encoder end: behind padding, or a line that is shorter than the first. What
/// follows may be the word that ends a here-document.
fn first_block(digits: &[u8]) -> usize {
    let mut first = None;
    let mut end = 0usize;
    for line in digits.split_inclusive(|byte| *byte == b'\n') {
        let len = line.trim_ascii().len();
        end = end.saturating_add(line.len());
        if line.contains(&b'=') || len < *first.get_or_insert(len) {
            break;
        }
    }
    end
}
