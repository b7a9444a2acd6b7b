//! How names and places are shown: never a raw control byte of a hostile name on a terminal.

use std::fmt::Write as _;
use std::path::Path;

pub(crate) use hf_core::hex::to_hex as hex;
use hf_core::{FileType, Report};

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

/// Returns text of several lines, of which only the line ends stay as they are.
pub(crate) fn safe_lines(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if (c.is_control() && c != '\n') || is_direction(c) {
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Characters that change the direction of the text around them, or end a line.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
pub(crate) fn level_and_member(report: &Report, object: u32) -> (Vec<u8>, usize, Vec<u8>) {
    let node_of = |idx: u32| usize::try_from(idx).ok().and_then(|idx| report.objects.get(idx));
    let mut places = Vec::new();
    let mut at = node_of(object);
    while let Some((node, parent)) = at.and_then(|node| Some((node, node_of(node.parent?)?))) {
        if !node.normalised {
            let named = !node.name.is_empty() && !UNNAMED.contains(&parent.file_type);
            let kind = parent.file_type.name().as_bytes();
            places.push(if named { [kind, b":", &node.name].concat() } else { Vec::new() });
        }
        at = Some(parent);
    }
    let level = places.len();
    let mut places = places.into_iter();
    let member = places.next().unwrap_or_default();
    let around: Vec<u8> =
        places.rev().filter(|place| !place.is_empty()).fold(Vec::new(), |mut all, place| {
            all.push(b'!');
            all.extend(place);
            all
        });
    (around, level, member)
}

/// Types whose parts have no names in ClamAV.
const UNNAMED: [FileType; 2] = [FileType::Pdf, FileType::Swf];

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
