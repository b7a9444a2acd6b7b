//! PDF values: numbers, names, strings, arrays, dictionaries, references.
//!
//! Promises: no more than a fixed number of values and levels for one object, however it is built;
//! whatever is broken ends the value that it is in and keeps what came before.
//! Sources: [1] ISO 32000-1 §7.2 (lexical conventions), §7.3 (objects).

/// A value. Names and strings are decoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `null`, or something broken.
    Null,
    /// `true`, `false` and other bare words.
    Word(Vec<u8>),
    /// A number, cut to an integer.
    Int(i64),
    /// A name with its `#hh` escapes decoded.
    Name(Vec<u8>),
    /// A string with its escapes decoded.
    Text(Vec<u8>),
    /// An array.
    Array(Vec<Self>),
    /// A dictionary in stored order; keys may repeat.
    Dict(Dict),
    /// A reference to an object number.
    Ref(u32),
}

/// A dictionary's entries in stored order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Dict(pub(super) Vec<(Vec<u8>, Value)>);

impl Dict {
    /// Returns the last value of a key: readers let the last one win.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
    }

    /// Returns the value of the first of two keys that is there: a name and its abbreviation.
    pub(super) fn either(&self, key: &str, short: &str) -> Option<&Value> {
        self.get(key).or_else(|| self.get(short))
    }

    /// Returns an integer.
    pub(super) fn int(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(Value::int)
    }

    /// True when the value of a key is this name.
    pub(super) fn is(&self, key: &str, name: &str) -> bool {
        matches!(self.get(key), Some(Value::Name(value)) if value == name.as_bytes())
    }

    /// Returns a string's bytes.
    pub(super) fn text(&self, key: &str) -> Option<&[u8]> {
        self.get(key).and_then(Value::text)
    }
}

impl Value {
    /// Returns an integer.
    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// Returns a string's bytes.
    pub(super) fn text(&self) -> Option<&[u8]> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns a name's bytes.
    pub(super) fn name(&self) -> Option<&[u8]> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    /// Returns a dictionary.
    pub(super) fn dict(&self) -> Option<&Dict> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }
}

/// Levels of arrays and dictionaries that are kept.
const DEPTH_MAX: u32 = 64;
/// Values of one object that are kept; each costs about 32 bytes.
const VALUES_MAX: usize = 200_000;

/// Reads values from bytes.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    /// Where the next value starts.
    pub(super) off: usize,
    values_left: usize,
    /// Set when a name that readers know was written with `#hh` escapes.
    pub(super) obfuscated: bool,
}

/// True for the six white-space characters ([1] §7.2.2).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

impl<'a> Lexer<'a> {
    /// Returns a lexer at an offset.
    pub(super) fn new(bytes: &'a [u8], off: usize) -> Self {
        Self { bytes, off, values_left: VALUES_MAX, obfuscated: false }
    }

    /// True when the bytes or the number of values ended the last value.
    pub(super) fn was_cut(&self) -> bool {
        self.values_left == 0 || self.off >= self.bytes.len()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.off).copied()
    }

    fn step(&mut self) {
        self.off = self.off.saturating_add(1);
    }

    /// Returns what lies behind the position.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.off..).unwrap_or_default()
    }

    /// Moves behind white space and comments.
    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'%' {
                let len = memchr::memchr2(b'\r', b'\n', self.rest());
                self.off = self.off.saturating_add(len.unwrap_or(self.rest().len()));
            } else if is_space(byte) {
                self.step();
            } else {
                break;
            }
        }
    }

    /// Reads a value; none at the end, at a closing bracket, and when too many were read.
    pub(super) fn value(&mut self, depth: u32) -> Option<Value> {
        self.skip_space();
        self.values_left = self.values_left.checked_sub(1)?;
        match self.peek()? {
            b'/' => Some(Value::Name(self.name())),
            b'(' => Some(Value::Text(self.literal())),
            b'<' if self.rest().starts_with(b"<<") => {
                self.off = self.off.saturating_add(2);
                Some(Value::Dict(self.dict(depth)))
            }
            b'<' => Some(Value::Text(self.hex())),
            b'[' => {
                self.step();
                Some(Value::Array(self.array(depth)))
            }
            b'>' | b']' | b')' | b'}' => None,
            b'{' => {
                self.step();
                Some(Value::Null)
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' => Some(self.number()),
            _ => Some(Value::Word(self.word())),
        }
    }

    fn word(&mut self) -> Vec<u8> {
        let rest = self.rest();
        let end = rest.iter().position(|byte| is_space(*byte) || is_delimiter(*byte));
        let len = end.unwrap_or(rest.len()).max(1);
        self.off = self.off.saturating_add(len);
        rest.get(..len.min(WORD_LEN_MAX)).unwrap_or_default().to_vec()
    }

    fn number(&mut self) -> Value {
        let start = self.off;
        let word = self.word();
        let Some(int) = integer(&word) else { return Value::Null };
        // A reference is two integers and `R`; anything else leaves the position behind the first.
        let behind = self.off;
        if start < behind && int >= 0 {
            self.skip_space();
            let generation = self.peek().filter(u8::is_ascii_digit).map(|_| self.word());
            if generation.is_some_and(|word| word.iter().all(u8::is_ascii_digit)) {
                self.skip_space();
                let ends =
                    |byte: Option<&u8>| byte.is_none_or(|b| is_space(*b) || is_delimiter(*b));
                let rest = self.rest();
                if rest.first() == Some(&b'R') && ends(rest.get(1)) {
                    self.step();
                    return u32::try_from(int).map_or(Value::Null, Value::Ref);
                }
            }
            self.off = behind;
        }
        Value::Int(int)
    }

    fn name(&mut self) -> Vec<u8> {
        self.step();
        let rest = self.rest();
        let end = rest.iter().position(|byte| is_space(*byte) || is_delimiter(*byte));
        let raw = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.off = self.off.saturating_add(raw.len());
        let raw = raw.get(..raw.len().min(WORD_LEN_MAX)).unwrap_or_default();
        if !raw.contains(&b'#') {
            return raw.to_vec();
        }
        let name = unescape_name(raw);
        self.obfuscated |= COMMON_NAMES.iter().any(|common| common.as_bytes() == name);
        name
    }

    /// Reads a string in parentheses ([1] §7.3.4.2).
    fn literal(&mut self) -> Vec<u8> {
        self.step();
        let mut text = Vec::new();
        let mut open = 1usize;
        while let Some(byte) = self.peek() {
            self.step();
            match byte {
                b'\\' => self.escape(&mut text),
                b'(' => {
                    open = open.saturating_add(1);
                    text.push(byte);
                }
                b')' => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        break;
                    }
                    text.push(byte);
                }
                _ => text.push(byte),
            }
        }
        text
    }

    fn escape(&mut self, text: &mut Vec<u8>) {
        let Some(byte) = self.peek() else { return };
        self.step();
        match byte {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'\r' => {
                if self.peek() == Some(b'\n') {
                    self.step();
                }
            }
            b'\n' => {}
            b'0'..=b'7' => {
                let mut value = u16::from(byte & 7);
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.peek() else { break };
                    self.step();
                    value = value.saturating_mul(8).saturating_add(u16::from(digit & 7));
                }
                text.push(value.to_le_bytes()[0]);
            }
            _ => text.push(byte),
        }
    }

    /// Reads a string in hexadecimal; an odd last digit counts as followed by 0 ([1] §7.3.4.3).
    fn hex(&mut self) -> Vec<u8> {
        self.step();
        let rest = self.rest();
        let end = memchr::memchr(b'>', rest);
        let raw = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        self.off = self.off.saturating_add(raw.len()).saturating_add(1);
        hex_bytes(raw)
    }

    fn array(&mut self, depth: u32) -> Vec<Value> {
        let mut values = Vec::new();
        if depth >= DEPTH_MAX {
            return values;
        }
        while let Some(value) = self.value(depth.saturating_add(1)) {
            if is_end_word(&value) {
                return values;
            }
            values.push(value);
        }
        if self.peek() == Some(b']') {
            self.step();
        }
        values
    }

    fn dict(&mut self, depth: u32) -> Dict {
        let mut entries = Vec::new();
        if depth >= DEPTH_MAX {
            return Dict(entries);
        }
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'/') => {
                    if self.values_left == 0 {
                        break;
                    }
                    let key = self.name();
                    self.skip_space();
                    // A key may miss its value: `/A >>`, and `/A` before `stream`.
                    let value = self.value(depth.saturating_add(1)).unwrap_or(Value::Null);
                    let ends = is_end_word(&value);
                    entries.push((key, value));
                    if ends {
                        break;
                    }
                }
                Some(b'>') => {
                    self.step();
                    if self.peek() == Some(b'>') {
                        self.step();
                    }
                    break;
                }
                Some(_) => match self.value(depth.saturating_add(1)) {
                    Some(value) if is_end_word(&value) => break,
                    Some(_) => {}
                    None if self.values_left == 0 => break,
                    None => self.step(),
                },
                None => break,
            }
        }
        Dict(entries)
    }
}

/// True for words that end an object, so that an unclosed bracket does not swallow the file.
fn is_end_word(value: &Value) -> bool {
    matches!(value, Value::Word(word) if word == b"endobj" || word == b"stream" || word == b"obj")
}

fn integer(word: &[u8]) -> Option<i64> {
    let (negative, digits) = match word.split_first()? {
        (b'-', digits) => (true, digits),
        (b'+', digits) => (false, digits),
        _ => (false, word),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|byte| **byte != b'.') {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(i64::from(digit & 0x0f));
    }
    Some(if negative { value.saturating_neg() } else { value })
}

fn unescape_name(raw: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(raw.len());
    let mut idx = 0usize;
    while let Some(byte) = raw.get(idx).copied() {
        let digits = raw.get(idx.saturating_add(1)..idx.saturating_add(3));
        let value = digits.filter(|_| byte == b'#').and_then(hex_pair);
        name.push(value.unwrap_or(byte));
        idx = idx.saturating_add(if value.is_some() { 3 } else { 1 });
    }
    name
}

fn hex_pair(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    nibble(*high)?.checked_mul(16)?.checked_add(nibble(*low)?)
}

/// Decodes hexadecimal digits; everything else is skipped.
pub(super) fn hex_bytes(raw: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = raw.iter().copied().filter(u8::is_ascii_hexdigit).collect();
    if !digits.len().is_multiple_of(2) {
        digits.push(b'0');
    }
    digits.chunks_exact(2).filter_map(hex_pair).collect()
}

/// Longest name or word that is kept; [1] annex C allows 127.
const WORD_LEN_MAX: usize = 4096;

/// Names whose escaped spelling has no honest reason; those that clamscan 1.4.6 reports.
const COMMON_NAMES: [&str; 26] = [
    "A85",
    "AHx",
    "ASCII85Decode",
    "ASCIIHexDecode",
    "CCITTFaxDecode",
    "Contents",
    "Crypt",
    "DCTDecode",
    "EmbeddedFile",
    "Filter",
    "Fl",
    "FlateDecode",
    "Image",
    "JBIG2Decode",
    "JPXDecode",
    "JavaScript",
    "LZWDecode",
    "Launch",
    "Length",
    "Linearized",
    "OpenAction",
    "Page",
    "RunLengthDecode",
    "S",
    "Standard",
    "Type",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], want: &Value) {
        assert_eq!(Lexer::new(text, 0).value(0).as_ref(), Some(want));
    }

    fn text(bytes: &[u8]) -> Value {
        Value::Text(bytes.to_vec())
    }

    #[test]
    fn values() {
        check(b" 12 ", &Value::Int(12));
        check(b"-1.5", &Value::Int(-1));
        check(b"99999999999999999999", &Value::Int(i64::MAX));
        check(b"3 0 R", &Value::Ref(3));
        check(b"3 0 Rx", &Value::Int(3));
        check(b"/J#61vaScript", &Value::Name(b"JavaScript".to_vec()));
        check(b"/a#zz#4", &Value::Name(b"a#zz#4".to_vec()));
        check(b"(a\\(b(c)\\051\\n\\\r\n\\7x)d", &text(b"a(b(c))\n\x07x"));
        check(b"<4 1 4>", &text(b"A@"));
        check(b"[1 2 0 R (x)", &Value::Array(vec![Value::Int(1), Value::Ref(2), text(b"x")]));
        let dict = Dict(vec![(b"A".to_vec(), Value::Int(1)), (b"B".to_vec(), Value::Null)]);
        check(b"<< /A 1 junk /B >>", &Value::Dict(dict.clone()));
        check(b"<< % comment >>\n/A 1/B null>>", &{
            let mut dict = dict;
            dict.0[1].1 = Value::Word(b"null".to_vec());
            Value::Dict(dict)
        });
    }

    #[test]
    fn hostile_values_end() {
        for text in [b"[".repeat(100_000), b"<<".repeat(100_000), b"<</A".repeat(50_000)] {
            let _ = Lexer::new(&text, 0).value(0);
        }
        let many = [b"[".to_vec(), b"0 ".repeat(1 << 20)].concat();
        let Some(Value::Array(values)) = Lexer::new(&many, 0).value(0) else { panic!("an array") };
        assert!(values.len() <= VALUES_MAX);
    }

    #[test]
    fn escapes_in_common_names_are_noticed() {
        for (text, want) in [(&b"/F#69lter"[..], true), (b"/Filter", false), (b"/Foo#20Bar", false)]
        {
            let mut lexer = Lexer::new(text, 0);
            let _ = lexer.value(0);
            assert_eq!(lexer.obfuscated, want);
        }
    }
}
