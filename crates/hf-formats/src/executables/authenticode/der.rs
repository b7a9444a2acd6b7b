//! The little of DER that signatures of programs need: values of definite length, one after the other.

/// Values that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

/// A value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    /// With tag and length.
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
}

impl<'a> Der<'a> {
    /// Reads a value; none at the end, and where it is cut or has no definite length.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (len, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let len = digits.iter().fold(0_u32, |len, digit| (len << 8) | u32::from(*digit));
                (usize::try_from(len).ok()?, rest)
            }
            _ => return None,
        };
        let (content, behind) = rest.split_at_checked(len)?;
        let whole = self.0.get(..self.0.len().checked_sub(behind.len())?)?;
        self.0 = behind;
        Some(Value { tag: *tag, whole, content })
    }

    /// Reads a value with this tag and returns its content.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|value| value.tag == tag).map(|value| value.content)
    }
}

/// Reads a time, in seconds since 1970 ([RFC 5280] §4.1.2.5).
pub(super) fn time(value: Value<'_>) -> Option<u64> {
    let text = std::str::from_utf8(value.content).ok()?.strip_suffix('Z')?;
    if !text.is_ascii() {
        return None;
    }
    let (year, rest) = match value.tag {
        0x17 => {
            let year: u64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        0x18 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at.checked_add(2)?)?.parse::<u64>().ok();
    let (month, day) = (number(0)?, number(2)?);
    let (hour, minute, second) = (number(4)?, number(6)?, number(8).unwrap_or(0));
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the first of March of year 0, with leap years; 719,468 of them end in 1970.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days.checked_sub(719_468)? * 24 + hour) * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let mut der = Der(b"\x02\x01\x05\x30\x81\x02\x04\x00\x04\x05ab");
        assert_eq!(der.expect(2), Some(b"\x05".as_slice()));
        assert_eq!(der.expect(0x30), Some(b"\x04\x00".as_slice()));
        assert!(der.next().is_none());
        assert!(Der(b"\x30\x80\x00\x00").next().is_none());
        assert!(Der(b"\x30\x84\xff\xff\xff\xff").next().is_none());
    }

    #[test]
    fn times() {
        let read = |tag: u8, text: &str| time(Value { tag, whole: b"", content: text.as_bytes() });
        assert_eq!(read(0x17, "700101000000Z"), Some(0));
        assert_eq!(read(0x17, "270101000000Z"), Some(1_798_761_600));
        assert_eq!(read(0x18, "20000229120001Z"), Some(951_825_601));
        assert_eq!(read(0x17, "991301000000Z"), None);
        assert_eq!(read(0x17, "99"), None);
    }
}
