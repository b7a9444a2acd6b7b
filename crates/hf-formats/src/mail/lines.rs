//! Lines as mail programs see them.
//!
//! Promises: every call consumes bytes; a line ends at LF, CR, CRLF or LFCR.
//! Sources: RFC 5322 §2.1; clamscan 1.4.6 as an oracle for the odd line ends.

/// A line: where it starts, its bytes without the line end, and where the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) off: usize,
    pub(super) text: &'a [u8],
    pub(super) next: usize,
}

/// Iterates over lines.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    off: usize,
}

impl<'a> Lines<'a> {
    /// Returns the lines of some bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self::from(bytes, 0)
    }

    /// Returns the lines behind an offset.
    pub(super) fn from(bytes: &'a [u8], off: usize) -> Self {
        Self { bytes, off }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let off = self.off;
        let rest = self.bytes.get(off..).filter(|rest| !rest.is_empty())?;
        let len = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or_default();
        let end_len = match rest.get(len..).unwrap_or_default() {
            [b'\n', b'\r', b'\n', ..] => 1,
            [b'\r', b'\n', ..] | [b'\n', b'\r', ..] => 2,
            [_, ..] => 1,
            [] => 0,
        };
        self.off = off.saturating_add(len).saturating_add(end_len);
        Some(Line { off, text, next: self.off })
    }
}

/// True for a line of white space and zero bytes.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, 0 | b' ' | b'\t'))
}

/// True when the bytes start with a word in any case.
pub(super) fn starts_with_word(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end() {
        let lines: Vec<&[u8]> =
            Lines::new(b"a\nb\r\nc\rd\n\re\n\r\nf").map(|line| line.text).collect();
        assert_eq!(lines, [b"a".as_slice(), b"b", b"c", b"d", b"e", b"", b"f"]);
        assert_eq!(Lines::new(b"").count(), 0);
        assert_eq!(Lines::new(b"\r").count(), 1);
    }
}
