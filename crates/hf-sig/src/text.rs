//! A piece of a line that remembers where it stands, so that every fault can point at its bytes.
//!
//! Promises: cutting never copies; positions are byte positions in the line.

use std::ops::Range;

use crate::diagnostic::{Code, Fault, codes};

/// Bytes of a line with their position in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// Takes a whole line.
    pub(crate) fn line(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the number of bytes.
    pub(crate) fn len(self) -> usize {
        self.bytes.len()
    }

    /// True for no bytes.
    pub(crate) fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the place in the line.
    pub(crate) fn span(self) -> Range<usize> {
        self.at..self.at.saturating_add(self.bytes.len())
    }

    /// Returns a part; bounds beyond the end are cut.
    pub(crate) fn cut(self, range: Range<usize>) -> Self {
        let end = range.end.min(self.bytes.len());
        let start = range.start.min(end);
        Self { bytes: &self.bytes[start..end], at: self.at.saturating_add(start) }
    }

    /// Returns what stands from `start` on.
    pub(crate) fn from(self, start: usize) -> Self {
        self.cut(start..self.bytes.len())
    }

    /// Returns the byte at `idx`.
    pub(crate) fn get(self, idx: usize) -> Option<u8> {
        self.bytes.get(idx).copied()
    }

    /// Returns the position of a byte.
    pub(crate) fn find(self, byte: u8) -> Option<usize> {
        memchr::memchr(byte, self.bytes)
    }

    /// Returns what stands in front of and behind the first `byte`.
    pub(crate) fn split_once(self, byte: u8) -> Option<(Self, Self)> {
        let idx = self.find(byte)?;
        Some((self.cut(0..idx), self.from(idx + 1)))
    }

    /// Returns the pieces between each two `byte`.
    pub(crate) fn split(self, byte: u8) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut rest = self;
        while let Some((piece, behind)) = rest.split_once(byte) {
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        pieces
    }

    /// Returns what stands behind `prefix`.
    pub(crate) fn strip(self, prefix: &[u8]) -> Option<Self> {
        self.bytes.starts_with(prefix).then(|| self.from(prefix.len()))
    }

    /// True when the bytes are these.
    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }

    /// Returns the text; bytes that are not UTF-8 become replacement characters.
    pub(crate) fn lossy(self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.bytes)
    }

    /// Returns a fault that points here.
    pub(crate) fn fault(self, code: &'static Code, reason: impl Into<String>) -> Fault {
        Fault { code, at: self.span(), reason: reason.into() }
    }

    /// Reads a decimal number; no digits at all are 0, as in every place where ClamAV takes one.
    pub(crate) fn number(self, max: u64) -> Result<u64, Fault> {
        let mut value: u64 = 0;
        for byte in self.bytes {
            if !byte.is_ascii_digit() {
                return Err(
                    self.fault(&codes::NUMBER, format!("`{}` is not a number", self.lossy()))
                );
            }
            value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
        }
        if value > max {
            return Err(self.fault(&codes::RANGE, format!("{} is larger than {max}", self.lossy())));
        }
        Ok(value)
    }

    /// Reads a decimal number below 2^32; larger ones are cut to the largest.
    pub(crate) fn number_saturating(self) -> Result<u32, Fault> {
        let value = self.number(u64::MAX)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Reads a decimal number that must be below 2^32.
    pub(crate) fn number_u32(self) -> Result<u32, Fault> {
        let value = self.number(u64::from(u32::MAX))?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Reads pairs of hexadecimal digits.
    pub(crate) fn hex(self) -> Result<Vec<u8>, Fault> {
        if !self.len().is_multiple_of(2) {
            return Err(self.fault(
                &codes::HEX,
                format!("{} hexadecimal digits do not make whole bytes", self.len()),
            ));
        }
        self.bytes
            .chunks_exact(2)
            .enumerate()
            .map(|(idx, pair)| {
                hex_pair(pair).ok_or_else(|| {
                    let place = self.cut(idx * 2..idx * 2 + 2);
                    place.fault(
                        &codes::HEX,
                        format!("`{}` is not a hexadecimal byte", place.lossy()),
                    )
                })
            })
            .collect()
    }
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    Some(hex_digit(*high)? << 4 | hex_digit(*low)?)
}

/// Returns the value of a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    let value = HEX_VALUES[usize::from(byte)];
    (value != NO_DIGIT).then_some(value)
}

/// What stands in [`HEX_VALUES`] for other characters; has bits that no digit has.
pub(crate) const NO_DIGIT: u8 = 0xff;

/// Values of hexadecimal digits by character.
pub(crate) static HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        values[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

/// Reads a number as C's `atoi` does: spaces, a sign, digits, and anything behind.
pub(crate) fn atoi(bytes: &[u8]) -> i64 {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
    let (negative, digits) = match bytes[start..].split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, &bytes[start..]),
    };
    let mut value: i64 = 0;
    for byte in digits.iter().take_while(|b| b.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    if negative { value.saturating_neg() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_know_their_place() {
        let pieces = Text::line(b"ab:c::").split(b':');
        let spans: Vec<_> = pieces.iter().map(|p| p.span()).collect();
        assert_eq!(spans, [0..2, 3..4, 5..5, 6..6]);
        assert_eq!(pieces[1].bytes(), b"c");
    }

    #[test]
    fn numbers() {
        assert_eq!(Text::line(b"").number(9).unwrap(), 0);
        assert_eq!(Text::line(b"009").number(9).unwrap(), 9);
        assert_eq!(Text::line(b"10").number(9).unwrap_err().code.id, codes::RANGE.id);
        assert_eq!(Text::line(b"-1").number(9).unwrap_err().code.id, codes::NUMBER.id);
        assert_eq!(Text::line(b"99999999999999999999").number_saturating().unwrap(), u32::MAX);
        assert_eq!(atoi(b" -12x"), -12);
        assert_eq!(atoi(b"x"), 0);
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(Text::line(b"00fFA5").hex().unwrap(), [0, 255, 0xa5]);
        assert_eq!(Text::line(b"00f").hex().unwrap_err().at, 0..3);
        assert_eq!(Text::line(b"00fx").hex().unwrap_err().at, 2..4);
    }
}
