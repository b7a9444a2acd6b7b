//! Tokens of a script.
//!
//! Promises: every call of [`Lexer::next`] consumes bytes; literals are decoded, comments passed over.
//! Sources: ECMA-262 3rd edition §7; sigtool 1.4.6 as an oracle for what it makes of broken escapes and numbers.

use std::borrow::Cow;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A string literal, decoded. It may be joined with its neighbours when it stood in the source.
    Text { bytes: Vec<u8>, joins: bool },
    /// A number, as it is written out.
    Number(String),
    /// A name or keyword.
    Name(Cow<'a, [u8]>),
    /// A declared name.
    Numbered(u32),
    /// Any other character.
    Sign(u8),
}

impl Token<'_> {
    /// True for this name.
    pub(super) fn is_name(&self, name: &[u8]) -> bool {
        matches!(self, Self::Name(own) if own.as_ref() == name)
    }

    /// Returns the token with a name of its own, when the text it was read from goes away.
    pub(super) fn owned(self) -> Token<'static> {
        match self {
            Self::Text { bytes, joins } => Token::Text { bytes, joins },
            Self::Number(text) => Token::Number(text),
            Self::Name(name) => Token::Name(Cow::Owned(name.into_owned())),
            Self::Numbered(number) => Token::Numbered(number),
            Self::Sign(sign) => Token::Sign(sign),
        }
    }

    /// True for this sign.
    pub(super) fn is_sign(&self, sign: u8) -> bool {
        matches!(self, Self::Sign(own) if *own == sign)
    }
}

/// Reads tokens.
#[derive(Debug, Clone)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// Returns a lexer at the start.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Returns the next token, or none at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (first, behind) = self.rest.split_first()?;
            match first {
                b'/' if behind.first() == Some(&b'/') => {
                    // Line ends have become spaces before, so a comment ends at either.
                    self.skip_to(|byte| matches!(byte, b' ' | b'\n' | b'\r'));
                }
                b'/' if behind.first() == Some(&b'*') => {
                    let body = behind.get(1..).unwrap_or_default();
                    let end = memchr::memmem::find(body, b"*/");
                    let len = end.map_or(body.len(), |end| end.saturating_add(2));
                    self.rest = body.get(len..).unwrap_or_default();
                }
                b'"' | b'\'' => {
                    self.rest = behind;
                    return Some(self.literal(*first));
                }
                b'0'..=b'9' => return Some(self.number()),
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => return Some(Token::Name(self.name())),
                0..=0x20 | 0x7f..=0xff | b'@' | b'#' | b'`' => self.rest = behind,
                _ => {
                    self.rest = behind;
                    return Some(Token::Sign(*first));
                }
            }
        }
    }

    fn skip_to(&mut self, ends: impl Fn(u8) -> bool) {
        let len = self.rest.iter().position(|byte| ends(*byte)).unwrap_or(self.rest.len());
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn take(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|byte| !fits(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn name(&mut self) -> Cow<'a, [u8]> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
        Cow::Borrowed(self.take(is_word))
    }

    /// Whole numbers as 32-bit numbers, others with six digits, as C writes them.
    fn number(&mut self) -> Token<'a> {
        let whole = self.take(|byte| byte.is_ascii_digit());
        if self.rest.first() != Some(&b'.') {
            let value = whole.iter().fold(0_i64, |value, digit| {
                value.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0')))
            });
            let [a, b, c, d, ..] = value.to_le_bytes();
            return Token::Number(i32::from_le_bytes([a, b, c, d]).to_string());
        }
        let mut digits = whole.to_vec();
        digits.push(b'.');
        self.rest = self.rest.get(1..).unwrap_or_default();
        digits.extend_from_slice(self.take(|byte| byte.is_ascii_digit()));
        digits.push(b'0');
        let exponent_len = exponent_len(self.rest);
        let (exponent, rest) = self.rest.split_at_checked(exponent_len).unwrap_or_default();
        self.rest = rest;
        digits.extend_from_slice(exponent);
        let value = std::str::from_utf8(&digits).ok().and_then(|text| text.parse::<f64>().ok());
        Token::Number(general(value.unwrap_or(0.0)))
    }

    /// Reads a literal whose first quote was read. As in ClamAV a quote behind a backslash does not end it, also when
    /// that backslash is itself escaped.
    fn literal(&mut self, quote: u8) -> Token<'a> {
        let end = memchr::memchr_iter(quote, self.rest)
            .find(|at| at.checked_sub(1).and_then(|before| self.rest.get(before)) != Some(&b'\\'));
        let (mut inner, behind) =
            self.rest.split_at_checked(end.unwrap_or(self.rest.len())).unwrap_or_default();
        self.rest = behind.get(1..).unwrap_or_default();
        let mut bytes = Vec::with_capacity(inner.len());
        while let Some(at) = memchr::memchr(b'\\', inner) {
            let (before, escape) = inner.split_at_checked(at).unwrap_or((inner, &[]));
            bytes.extend_from_slice(before);
            inner = unescaped(escape.get(1..).unwrap_or_default(), &mut bytes);
        }
        bytes.extend_from_slice(inner);
        Token::Text { bytes, joins: true }
    }
}

/// Decodes what follows a backslash; returns what is behind.
fn unescaped<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> &'a [u8] {
    let Some((first, behind)) = text.split_first() else { return text };
    let code = match first {
        b'0' => 1,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'x' => {
            let Some((digits, behind)) = behind.split_at_checked(2) else {
                bytes.push(b'\\');
                return &[];
            };
            push_code(bytes, lax_hex(digits) & 0xff, true);
            return behind;
        }
        b'u' => {
            let Some((digits, behind)) = behind.split_at_checked(4) else {
                bytes.push(b'\\');
                return behind;
            };
            push_code(bytes, lax_hex(digits), false);
            return behind;
        }
        _ => *first,
    };
    bytes.push(code);
    behind
}

/// Returns the value of hexadecimal digits as ClamAV reads them: all ones when the last is none.
fn lax_hex(digits: &[u8]) -> u32 {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    if digits.last().and_then(value).is_none() {
        return 0xffff;
    }
    digits.iter().fold(0, |all, digit| (all << 4) | value(digit).unwrap_or(0))
}

/// Returns the value of hexadecimal digits.
pub(super) fn hex(digits: Option<&[u8]>) -> Option<u32> {
    digits?
        .iter()
        .try_fold(0_u32, |value, digit| Some((value << 4) | char::from(*digit).to_digit(16)?))
}

/// Adds a character: two digits are a byte, four a character in UTF-8; zero becomes 1.
pub(super) fn push_code(bytes: &mut Vec<u8>, code: u32, is_byte: bool) {
    match (code, u8::try_from(code)) {
        (0, _) => bytes.push(1),
        (_, Ok(byte)) if is_byte || byte.is_ascii() => bytes.push(byte),
        _ => {
            if let Some(c) = char::from_u32(code) {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                // Half of a pair is written as if it were a character.
                let bits = |shift: u32| u8::try_from((code >> shift) & 0x3f).unwrap_or(0);
                bytes.extend_from_slice(&[0xe0 | bits(12) & 0x0f, 0x80 | bits(6), 0x80 | bits(0)]);
            }
        }
    }
}

/// Bytes of `e-7` at the start; 0 when there is no exponent.
fn exponent_len(text: &[u8]) -> usize {
    let sign = match text {
        [b'e' | b'E', b'+' | b'-', ..] => 2,
        [b'e' | b'E', ..] => 1,
        _ => return 0,
    };
    let digits = text.get(sign..).unwrap_or_default();
    match digits.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count() {
        0 => 0,
        count => sign.saturating_add(count),
    }
}

/// Writes a number with six significant digits, as C's `%g` does.
fn general(value: f64) -> String {
    let text = format!("{value:.5e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> String {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5_i32.saturating_sub(exponent)).unwrap_or(0);
        return trim(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs())
}
