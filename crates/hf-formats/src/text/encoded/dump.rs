//! Dumps of a file, line by line: xxd, od, hexdump, Intel HEX, S-records.

use hf_core::hex::from_hex;

/// Fewer bytes are no file.
const LEN_MIN: usize = 32;

/// Decodes a text that is a dump from its first line.
pub(super) fn decode(text: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let text = text.trim_ascii_start();
    let decoded = match text {
        [b':', digit, ..] if digit.is_ascii_hexdigit() => ("ihex", records(text, intel)),
        [b'S', b'0'..=b'9', ..] => ("srec", records(text, motorola)),
        [digit, ..] if digit.is_ascii_hexdigit() => ("dump", records(text, addressed)),
        _ => return None,
    };
    (decoded.1.len() >= LEN_MIN).then_some(decoded)
}

/// Joins what lines hold, up to the first that does not fit.
fn records(text: &[u8], line_of: fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut data = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(bytes) = line_of(line.trim_ascii_end()) else { break };
        data.extend_from_slice(&bytes);
    }
    data
}

/// `:` count address kind data sum; only data (kind 0) counts.
fn intel(line: &[u8]) -> Option<Vec<u8>> {
    let bytes = unhex(line.strip_prefix(b":")?)?;
    let [count, _, _, kind, data @ ..] = bytes.as_slice() else { return None };
    let data = data.get(..usize::from(*count))?;
    Some(if *kind == 0 { data.to_vec() } else { Vec::new() })
}

/// `S` kind count address data sum; kinds 1 to 3 hold data, behind addresses of 2 to 4 bytes.
fn motorola(line: &[u8]) -> Option<Vec<u8>> {
    let [b'S', kind @ b'0'..=b'9', digits @ ..] = line else { return None };
    let bytes = unhex(digits)?;
    let address_len = match kind {
        b'1' => 2usize,
        b'2' => 3,
        b'3' => 4,
        _ => return Some(Vec::new()),
    };
    let end = bytes.len().checked_sub(1)?;
    bytes.get(address_len.checked_add(1)?..end).map(<[u8]>::to_vec)
}

/// An address of six digits or more, then groups of pairs of digits up to two spaces or a column of text.
fn addressed(line: &[u8]) -> Option<Vec<u8>> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !(6..=16).contains(&digits) {
        return None;
    }
    let behind = line.get(digits..)?;
    let behind = behind.strip_prefix(b":").unwrap_or(behind);
    if behind.is_empty() {
        // The last line of od and hexdump: the length.
        return Some(Vec::new());
    }
    let mut data = Vec::new();
    let mut groups = 0u32;
    let body = behind.trim_ascii_start();
    let mut at = 0usize;
    loop {
        let rest = body.get(at..)?;
        let len = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if !matches!(len, 2 | 4 | 8) {
            break;
        }
        data.extend(unhex(rest.get(..len)?)?);
        groups = groups.saturating_add(1);
        at = at.checked_add(len)?;
        // hexdump has two spaces in the middle of its line of sixteen.
        let gap = body.get(at..)?.iter().take_while(|byte| **byte == b' ').count();
        let is_middle = gap == 2 && len == 2 && groups == 8;
        if gap != 1 && !is_middle {
            break;
        }
        at = at.checked_add(gap)?;
    }
    (!data.is_empty()).then_some(data)
}

/// Pairs of hexadecimal digits.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    from_hex(std::str::from_utf8(digits).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{addressed, decode, intel, motorola};

    #[test]
    fn lines_of_each_kind() {
        let want = Some(b"MZ\x90\0".to_vec());
        assert_eq!(addressed(b"00000000: 4d5a 9000  MZ.."), want);
        assert_eq!(addressed(b"000000 4d 5a 90 00  >MZ..<"), want);
        assert_eq!(addressed(b"00000000  4d 5a 90 00 |MZ..|"), want);
        assert_eq!(addressed(b"00000000 is no dump"), None);
        assert_eq!(addressed(b"beefed"), Some(Vec::new()));
        assert_eq!(intel(b":040000004D5A9000C5"), want);
        assert_eq!(intel(b":00000001FF"), Some(Vec::new()));
        assert_eq!(motorola(b"S10700004D5A9000C1"), want);
        assert_eq!(decode(b"00000000: 4d5a\n"), None);
    }
}
