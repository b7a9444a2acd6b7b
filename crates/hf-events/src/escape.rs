//! Bytes of strangers as text that can do no harm where it is read.

use std::fmt::Write as _;

/// Returns bytes as text of one line: control characters, characters that change the direction of text, backslashes
/// and what is not UTF-8 are escaped. At most so many bytes, then `…`.
#[must_use]
pub fn line(bytes: &[u8], len_max: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if text.len() >= len_max {
                text.push('…');
                return text;
            }
            if c.is_control() || is_direction(c) || c == '\\' {
                let _ = write!(text, "{}", c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Characters that change the direction of the text around them, or end a line.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns text in which nothing is markup. Source: Desktop Notifications Specification, "Markup".
#[must_use]
pub fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through() {
        assert_eq!(line(b"a\nb\r\x1b[0m\xff\\", 100), "a\\nb\\r\\u{1b}[0m\\xff\\\\");
        assert_eq!(line("x\u{202e}y\u{2028}".as_bytes(), 100), "x\\u{202e}y\\u{2028}");
        assert_eq!(line("größe".as_bytes(), 100), "größe");
        assert_eq!(line(b"abcdef", 3), "abc…");
        assert_eq!(markup("<b>&"), "&lt;b&gt;&amp;");
    }
}
