//! Files in uuencoding, on their own or anywhere in a text; and yEnc on its own.
//!
//! Yields: each encoded file under the name of its `begin` line.
//! Leaves out: the mode.
//! Limits: all through `Sink`.
//! Hostile input: a line that is too short gives what it has; a missing `end` is the end of the text.
//! Sources: POSIX uuencode(1), both its encodings.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Sink};

use super::lines::Lines;
use super::yenc;
use crate::text::base64;
use crate::{Format, FormatDoc, Stage};

pub(crate) const FORMAT: Format = Format {
    name: "uuencoded",
    types: &[FileType::Uuencoded, FileType::Yenc],
    stage: Stage::BeforeMatch,
    enabled: |_| true,
    extract,
    doc: FormatDoc {
        recognised_by: "\"begin \", \"begin-base64 \" or \"=ybegin \" at the start",
        yields: "the encoded files",
        leaves_out: "modes",
        limits: "those of the scan",
        sources: "POSIX uuencode; yEnc draft 1.3",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut files = find(object);
    files.extend(yenc::find(object));
    if files.is_empty() {
        return Err(Defect::new(0, "begin line").into());
    }
    for file in files {
        sink.child(Child { name: &file.name, data: &file.data, role: ChildRole::Member })?;
    }
    Ok(())
}

/// A decoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: Vec<u8>,
    pub(super) data: Vec<u8>,
}

const FILES_MAX: usize = 1024;

/// Returns every file in a text.
pub(super) fn find(text: &[u8]) -> Vec<File> {
    let mut files = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, b"begin") {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        if at < from || !matches!(before, None | Some(b'\n' | b'\r')) || files.len() >= FILES_MAX {
            continue;
        }
        if let Some((file, behind)) = one(text, at) {
            from = behind;
            files.push(file);
        }
    }
    files
}

/// Reads the file whose `begin` line is here; also returns where it ends.
fn one(text: &[u8], at: usize) -> Option<(File, usize)> {
    let mut lines = Lines::from(text, at);
    let begin = lines.next()?;
    let (mode, is_base64) = match begin.text.strip_prefix(b"begin-base64 ") {
        Some(mode) => (mode, true),
        None => (begin.text.strip_prefix(b"begin ")?, false),
    };
    let mode = mode.trim_ascii_start();
    let digits = mode.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let name = mode.get(digits..)?.trim_ascii();
    if digits == 0 || digits > 12 {
        return None;
    }
    let mut data = Vec::new();
    let start = begin.next;
    let mut end = text.len();
    for line in lines {
        let line_text = line.text.trim_ascii_end();
        if line_text == b"end" || is_base64 && line_text == b"====" {
            end = line.next;
            break;
        }
        if !is_base64 {
            decode_line(line.text, &mut data);
        }
    }
    if is_base64 {
        data = base64::decode(text.get(start..end)?);
    }
    Some((File { name: name.to_vec(), data }, end))
}

/// Decodes one line: its length, then four characters for three bytes.
fn decode_line(line: &[u8], data: &mut Vec<u8>) {
    let Some((first, digits)) = line.split_first() else { return };
    if !(0x20..=0x60).contains(first) {
        return;
    }
    let mut left = value(*first);
    for group in digits.chunks(4) {
        let bits = (0..4).fold(0_u32, |bits, at| {
            (bits << 6) | u32::from(group.get(at).map_or(0, |byte| value(*byte)))
        });
        let [_, a, b, c] = bits.to_be_bytes();
        for byte in [a, b, c] {
            if left == 0 {
                return;
            }
            data.push(byte);
            left = left.saturating_sub(1);
        }
    }
    // Spaces are zeros, and some programs cut them off at the end of a line.
    data.extend(std::iter::repeat_n(0, usize::from(left)));
}

fn value(byte: u8) -> u8 {
    byte.wrapping_sub(0x20) & 0x3f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_anywhere() {
        let text = b"Hello,\r\nbegin 644 a b.txt\r\n#86)C\r\n`\r\nend\r\nbye begin 644 x\nbegin 7 y\n#86)C\n";
        let files = find(text);
        let got: Vec<(&[u8], &[u8])> =
            files.iter().map(|file| (file.name.as_slice(), file.data.as_slice())).collect();
        assert_eq!(got, [(b"a b.txt".as_slice(), b"abc".as_slice()), (b"y", b"abc")]);
        let files = find(b"begin-base64 644 z\nYWJj\n====\n");
        assert_eq!(files[0].data, b"abc");
        assert_eq!(find(b"beginning 644\nbegin x\n"), []);
    }
}
