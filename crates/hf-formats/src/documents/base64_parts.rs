//! Base64 text inside of markup, and the elements that hold it.

use std::ops::Range;

use super::le::find_from;

/// Decodes base64; other characters are skipped, and a `=` starts a new group.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits & 0x00ff_ffff).wrapping_shl(6) | u32::from(value);
        count = count.saturating_add(6);
        if count >= 8 {
            count = count.saturating_sub(8);
            out.push(bits.wrapping_shr(count).to_le_bytes()[0]);
        }
    }
    out
}

/// One element: its attributes and its text, as ranges of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// From behind the name to `>`.
    pub(crate) attributes: Range<usize>,
    /// From behind `>` to the next `<`.
    pub(crate) text: Range<usize>,
}

/// Finds elements by their local name, whatever their prefix and however broken the rest.
pub(crate) fn elements<'a>(
    object: &'a [u8],
    name: &'static str,
) -> impl Iterator<Item = Element> + 'a {
    let mut off = 0usize;
    std::iter::from_fn(move || {
        loop {
            let found = find_from(object, name.as_bytes(), off)?;
            let start = found.checked_add(name.len())?;
            off = start;
            let before = object.get(..found)?;
            let prefix = before.iter().rev().take(64).take_while(|byte| is_name(**byte)).count();
            let opens = before.get(..found.checked_sub(prefix)?)?.last() == Some(&b'<');
            let bare = prefix == 0 || before.last() == Some(&b':');
            let ends = object.get(start).is_some_and(|byte| b"> \t\r\n/".contains(byte));
            if !(opens && bare && ends) {
                continue;
            }
            let rest = object.get(start..)?;
            let attributes_len = memchr::memchr(b'>', rest)?;
            let text_start = start.checked_add(attributes_len)?.checked_add(1)?;
            let text = object.get(text_start..)?;
            let text_len = memchr::memchr(b'<', text).unwrap_or(text.len());
            off = text_start.checked_add(text_len)?;
            let attributes = start..start.checked_add(attributes_len)?;
            return Some(Element { attributes, text: text_start..off });
        }
    })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.')
}

/// Returns an attribute's value by its local name.
pub(crate) fn attribute<'a>(attributes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut off = 0usize;
    loop {
        let found = find_from(attributes, name.as_bytes(), off)?;
        off = found.checked_add(name.len())?;
        let before = found.checked_sub(1).and_then(|before| attributes.get(before));
        if !before.is_none_or(|byte| b": \t\r\n".contains(byte)) {
            continue;
        }
        let value = attributes.get(off..)?.trim_ascii_start().strip_prefix(b"=");
        let Some((quote, value)) = value.and_then(|v| v.trim_ascii_start().split_first()) else {
            continue;
        };
        if matches!(quote, b'"' | b'\'') {
            return value.get(..memchr::memchr(*quote, value)?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_with_junk() {
        assert_eq!(decode(b"SGVs\r\n bG8= SGk"), b"HelloHi");
        assert_eq!(decode(b"===="), b"");
    }

    #[test]
    fn elements_and_attributes() {
        let text = b"<w:binData w:name='a.bin' x=\"1\">QUJD</w:binData><binDatum>x<binData>REVG";
        let found: Vec<_> = elements(text, "binData").collect();
        let texts: Vec<_> = found.iter().map(|found| &text[found.text.clone()]).collect();
        assert_eq!(texts, [b"QUJD", b"REVG"]);
        let attributes = &text[found[0].attributes.clone()];
        assert_eq!(attribute(attributes, "name"), Some(&b"a.bin"[..]));
        assert_eq!(attribute(attributes, "x"), Some(&b"1"[..]));
        assert_eq!(attribute(attributes, "ame"), None);
    }
}
