//! Sets of bytes.

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bytes([u128; 2]);

impl Bytes {
    pub(super) const ALL: Self = Self([u128::MAX; 2]);

    pub(super) fn of(byte: u8) -> Self {
        let mut set = Self::default();
        set.insert(byte);
        set
    }

    pub(super) fn listed(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self::default(), |set, byte| set.or(Self::of(*byte)))
    }

    pub(super) fn range(first: u8, last: u8) -> Self {
        (first..=last).fold(Self::default(), |set, byte| set.or(Self::of(byte)))
    }

    pub(super) fn insert(&mut self, byte: u8) {
        let [low, high] = &mut self.0;
        let half = if byte < 128 { low } else { high };
        *half |= 1 << (byte & 127);
    }

    pub(super) fn contains(self, byte: u8) -> bool {
        let [low, high] = self.0;
        let half = if byte < 128 { low } else { high };
        half >> (byte & 127) & 1 == 1
    }

    pub(super) fn or(self, other: Self) -> Self {
        let ([a, b], [c, d]) = (self.0, other.0);
        Self([a | c, b | d])
    }

    pub(super) fn not(self) -> Self {
        let [a, b] = self.0;
        Self([!a, !b])
    }

    /// Adds the other case of every ASCII letter in it.
    pub(super) fn fold(self) -> Self {
        let letters = (0..=255u8).filter(|byte| byte.is_ascii_alphabetic() && self.contains(*byte));
        letters.fold(self, |set, byte| set.or(Self::of(byte ^ 0x20)))
    }

    /// Returns the ranges in it, ascending.
    pub(super) fn ranges(self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=255u8).filter(|byte| self.contains(*byte)) {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(byte) => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }

    /// Returns the class of an escape letter (`d`, `W`, `h`…).
    pub(super) fn escape(letter: u8) -> Option<Self> {
        let set = match letter.to_ascii_lowercase() {
            b'd' => Self::range(b'0', b'9'),
            b'w' => Self::word(),
            b's' => Self::listed(b" \t\n\x0b\x0c\r"),
            b'h' => Self::listed(b" \t\xa0"),
            b'v' => Self::listed(b"\n\x0b\x0c\r\x85"),
            _ => return None,
        };
        Some(if letter.is_ascii_uppercase() { set.not() } else { set })
    }

    pub(super) fn word() -> Self {
        let letters = Self::range(b'a', b'z').or(Self::range(b'A', b'Z'));
        letters.or(Self::range(b'0', b'9')).or(Self::of(b'_'))
    }

    /// Returns the class of a POSIX name (`alpha`, `^digit`…).
    pub(super) fn posix(name: &[u8]) -> Option<Self> {
        if let [b'^', rest @ ..] = name {
            return Self::posix(rest).map(Self::not);
        }
        let test: fn(&u8) -> bool = match name {
            b"alpha" => u8::is_ascii_alphabetic,
            b"digit" => u8::is_ascii_digit,
            b"alnum" => u8::is_ascii_alphanumeric,
            b"upper" => u8::is_ascii_uppercase,
            b"lower" => u8::is_ascii_lowercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            b"punct" => u8::is_ascii_punctuation,
            b"cntrl" => u8::is_ascii_control,
            b"graph" => u8::is_ascii_graphic,
            b"ascii" => u8::is_ascii,
            b"print" => |byte| byte.is_ascii_graphic() || *byte == b' ',
            b"blank" => |byte| matches!(*byte, b' ' | b'\t'),
            b"space" => return Self::escape(b's'),
            b"word" => return Some(Self::word()),
            _ => return None,
        };
        let bytes = (0..=255u8).filter(test);
        Some(bytes.fold(Self::default(), |set, byte| set.or(Self::of(byte))))
    }
}
