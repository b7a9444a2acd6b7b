//! Values of constant expressions, and what can be told from their bytes.

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Number(i64),
    List(Vec<Value>),
}

impl Value {
    /// Returns the bytes of a string, or the digits of a number.
    pub(super) fn text(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Number(number) => number.to_string().into_bytes(),
            Self::List(values) => values.iter().flat_map(Self::text).collect(),
        }
    }

    /// Returns a number, also one in a string.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bytes(bytes) => number(bytes.trim_ascii()).map(|(number, _)| number),
            Self::List(_) => None,
        }
    }

    /// Returns the bytes that a list of numbers stands for.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Number(_) => None,
            Self::List(values) => values
                .iter()
                .map(|value| {
                    let Self::Number(number) = value else { return None };
                    u8::try_from(*number)
                        .or_else(|_| i8::try_from(*number).map(i8::cast_unsigned))
                        .ok()
                })
                .collect(),
        }
    }

    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) => 8,
            Self::List(values) => values.iter().map(|value| value.len().saturating_add(16)).sum(),
        }
    }
}

/// Returns the UTF-8 of a character's number; one byte for those below 256, as these are often bytes.
pub(super) fn character(number: i64) -> Option<Vec<u8>> {
    if let Ok(byte) = u8::try_from(number) {
        return Some(vec![byte]);
    }
    let character = char::from_u32(u32::try_from(number & 0x001f_ffff).ok()?)?;
    Some(character.to_string().into_bytes())
}

/// Reads a number in any of the languages' forms, and returns its length.
pub(super) fn number(text: &[u8]) -> Option<(i64, usize)> {
    let (sign, start) = match text.first()? {
        b'-' => (-1i64, 1usize),
        b'+' => (1, 1),
        _ => (1, 0),
    };
    let rest = text.get(start..)?;
    let (radix, skip) = match rest {
        [b'0', b'x' | b'X', ..] | [b'&', b'h' | b'H', ..] => (16u32, 2usize),
        [b'0', b'o' | b'O', ..] | [b'&', b'o' | b'O', ..] => (8, 2),
        _ => (10, 0),
    };
    let digits = rest.get(skip..)?;
    let mut value = 0i64;
    let mut len = 0usize;
    for byte in digits {
        let Some(digit) = char::from(*byte).to_digit(radix) else { break };
        value = value.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit));
        len = len.saturating_add(1);
    }
    if len == 0 {
        return None;
    }
    let mut end = start.saturating_add(skip).saturating_add(len);
    // VB marks long numbers with `&`; a decimal fraction is cut off.
    match text.get(end) {
        Some(b'&') if radix != 10 => end = end.saturating_add(1),
        Some(b'.') if radix == 10 => {
            let fraction = text.get(end.saturating_add(1)..).unwrap_or_default();
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 {
                end = end.saturating_add(1).saturating_add(digits);
            }
        }
        _ => {}
    }
    Some((value.saturating_mul(sign), end))
}

/// True when bytes start as a file does that is worth looking at.
pub(super) fn has_magic(data: &[u8]) -> bool {
    const MAGICS: &[&[u8]] = &[
        b"MZ",
        b"PK\x03\x04",
        b"\x7fELF",
        b"\xd0\xcf\x11\xe0",
        b"%PDF-",
        b"Rar!",
        b"7z\xbc\xaf",
        b"\x1f\x8b\x08",
        b"MSCF",
        b"{\\rt",
        b"\xca\xfe\xba\xbe",
        b"\xcf\xfa\xed\xfe",
        b"\xce\xfa\xed\xfe",
        b"#!/",
        b"<?php",
    ];
    MAGICS.iter().any(|magic| data.starts_with(magic))
}

/// True when most of the start is printable.
pub(super) fn is_text(data: &[u8]) -> bool {
    let head = data.get(..data.len().min(1024)).unwrap_or_default();
    let odd = head.iter().filter(|byte| !matches!(byte, b' '..=b'~' | 9..=13 | 0x80..)).count();
    let high = head.iter().filter(|byte| **byte >= 0x80).count();
    odd.saturating_mul(20) <= head.len() && high.saturating_mul(3) <= head.len()
}

/// Returns UTF-16 text of either order in UTF-8; none for other bytes.
pub(super) fn narrow(data: &[u8]) -> Option<Vec<u8>> {
    if has_magic(data) {
        return None;
    }
    let head = data.get(..data.len().min(256)).unwrap_or_default();
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|b| **b == 0).count();
    let most =
        |zeros: usize| head.len() >= 4 && zeros.saturating_mul(8) >= head.len().saturating_mul(3);
    let big = match (most(zeros(0)), most(zeros(1))) {
        (false, true) => false,
        (true, false) => true,
        _ => return None,
    };
    let units = data.as_chunks::<2>().0.iter();
    let units =
        units.map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    let text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .filter(|c| *c != '\u{feff}')
        .collect();
    Some(text.into_bytes())
}
