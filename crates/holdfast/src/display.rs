//! How names and places are shown: never a raw control byte of a hostile name on a terminal.

use std::fmt::Write as _;
use std::path::Path;

use hf_core::Report;

/// Returns a name with everything that could steer a terminal escaped.
pub(crate) fn safe(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
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

/// Returns a path as [`safe`] does.
pub(crate) fn safe_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    safe(path.as_os_str().as_bytes())
}

/// Characters that change the direction of the text around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns ` > a.zip > b` for a part of an object; empty for the file itself.
pub(crate) fn place(report: &Report, object: u32, name: &[u8]) -> String {
    let mut text = String::new();
    for part in report.path(object).into_iter().chain([name]).filter(|part| !part.is_empty()) {
        let _ = write!(text, " > {}", safe(part));
    }
    text
}

/// Returns the depth of an object and its place as `clamscan --archive-verbose` writes it.
pub(crate) fn level_and_member(report: &Report, object: u32) -> (usize, Vec<u8>) {
    let mut level = 0usize;
    let mut member = Vec::new();
    let mut at = usize::try_from(object).ok().and_then(|idx| report.objects.get(idx));
    while let Some(node) = at {
        let Some(parent) = node.parent else { break };
        let parent = usize::try_from(parent).ok().and_then(|idx| report.objects.get(idx));
        if !node.normalised {
            level = level.saturating_add(1);
            if member.is_empty() && !node.name.is_empty() {
                let kind = parent.map_or("", |parent| parent.file_type.name());
                member = [kind.as_bytes(), b":", &node.name].concat();
            }
        }
        at = parent;
    }
    (level, member)
}

/// Returns lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns a size for people.
pub(crate) fn bytes(count: u64) -> String {
    let (mut whole, mut unit) = (count, "B");
    let mut tenths = 0;
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit = next;
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_harmless() {
        assert_eq!(safe(b"a\x1b[31mb\nc\xff"), "a\\u{1b}[31mb\\nc\\xff");
        assert_eq!(safe("gpj.\u{202e}exe".as_bytes()), "gpj.\\u{202e}exe");
        assert_eq!(safe("größe".as_bytes()), "größe");
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
