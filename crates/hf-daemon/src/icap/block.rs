//! A start line and header fields, as ICAP and the HTTP messages inside it have them.
//!
//! Promises: linear in the input; at most [`FIELDS_MAX`] fields; folded fields are joined by a space.
//! Leaves out: what the fields mean. A lone line feed ends a line as well, which RFC 9112 §2.2 allows.
//! Sources: RFC 3507 §4.3; RFC 9112 §2 and §5.

/// A start line with its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// The first line, without its end.
    pub start: String,
    fields: Vec<(String, String)>,
}

/// Why bytes are no block of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// The start line is empty.
    #[error("an empty start line")]
    NoStart,
    /// A line has no colon, or white space in its name.
    #[error("a malformed header field")]
    Field,
    /// A control character is in a line.
    #[error("a control character in a header")]
    Control,
    /// More than [`FIELDS_MAX`].
    #[error("more than {FIELDS_MAX} header fields")]
    TooMany,
}

impl Block {
    /// Parses a block; the empty line at its end may be there or not. Bytes that are not UTF-8 become
    /// U+FFFD.
    ///
    /// # Errors
    /// See [`BadBlock`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadBlock> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(trim_end);
        let start = text(lines.next().unwrap_or_default())?;
        if start.is_empty() {
            return Err(BadBlock::NoStart);
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.is_empty() {
                break;
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                let (_, value) = fields.last_mut().ok_or(BadBlock::Field)?;
                value.push(' ');
                value.push_str(text(line)?.trim());
                continue;
            }
            let colon = memchr::memchr(b':', line).ok_or(BadBlock::Field)?;
            let (name, value) = line.split_at(colon);
            if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
                return Err(BadBlock::Field);
            }
            if fields.len() == FIELDS_MAX {
                return Err(BadBlock::TooMany);
            }
            let value = text(value.get(1..).unwrap_or_default())?;
            fields.push((text(name)?, value.trim().to_owned()));
        }
        Ok(Self { start, fields })
    }

    /// Returns the first value of a field, whose name is compared without case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// True when a field that is a list separated by commas has a word.
    #[must_use]
    pub fn lists(&self, name: &str, word: &str) -> bool {
        let same = self.fields.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let mut words = same.flat_map(|(_, value)| value.split(','));
        words.any(|listed| listed.trim().eq_ignore_ascii_case(word))
    }
}

/// Returns where a block ends, its empty line included. `from` bytes were searched before.
#[must_use]
pub fn end(buf: &[u8], from: usize) -> Option<usize> {
    let start = from.saturating_sub(3).min(buf.len());
    memchr::memchr_iter(b'\n', buf.get(start..)?).find_map(|off| {
        let after = start + off + 1;
        match buf.get(after..)? {
            [b'\n', ..] => Some(after + 1),
            [b'\r', b'\n', ..] => Some(after + 2),
            _ => None,
        }
    })
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn text(bytes: &[u8]) -> Result<String, BadBlock> {
    if bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(BadBlock::Control);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Ours: browsers and proxies send some dozens.
pub const FIELDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = b"OPTIONS icap://h/a ICAP/1.0\r\nHost: h\r\nAllow: 204, 206\r\nX: a\r\n\t b\r\n\r\nrest";
        let block = Block::parse(text).expect("a block");
        assert_eq!(block.start, "OPTIONS icap://h/a ICAP/1.0");
        assert_eq!(block.field("HOST"), Some("h"));
        assert_eq!(block.field("x"), Some("a b"));
        assert!(block.lists("allow", "204") && !block.lists("allow", "20"));
        assert_eq!(block.field("rest"), None);
    }

    #[test]
    fn bad_blocks_are_refused() {
        assert_eq!(Block::parse(b"\r\nA: b\r\n"), Err(BadBlock::NoStart));
        assert_eq!(Block::parse(b"A\r\nno colon\r\n"), Err(BadBlock::Field));
        assert_eq!(Block::parse(b"A\r\n folded first\r\n"), Err(BadBlock::Field));
        assert_eq!(Block::parse(b"A\r\nb c: d\r\n"), Err(BadBlock::Field));
        assert_eq!(Block::parse(b"A\r\nb: \0\r\n"), Err(BadBlock::Control));
        let many = [b"A\r\n".as_slice(), &b"a: b\r\n".repeat(FIELDS_MAX + 1)].concat();
        assert_eq!(Block::parse(&many), Err(BadBlock::TooMany));
    }

    #[test]
    fn ends_are_found_however_bytes_arrive() {
        for text in [b"A\r\nb: c\r\n\r\nrest".as_slice(), b"A\nb: c\n\nrest", b"A\r\n\r\n"] {
            let want = end(text, 0).expect("an end");
            let mut found = None;
            let mut searched = 0;
            for len in 0..=text.len() {
                if found.is_none() {
                    found = end(&text[..len], searched);
                    searched = len;
                }
            }
            assert_eq!(found, Some(want));
            assert!(text[..want].ends_with(b"\n"));
        }
        assert_eq!(end(b"A\r\nb: c\r\n", 0), None);
    }
}
