//! The functions of scripting languages that make strings of constants.
//!
//! Promises: each costs time and memory linear in its arguments; outputs are bounded by [`OUTPUT_MAX`].
//! Leaves out: what needs a locale, a clock or the machine.

use super::value::{Value, character, narrow};
use crate::codec::Inflate;
use crate::text::base64;

/// Bytes that one call may make.
const OUTPUT_MAX: usize = 32 << 20;

/// What a call gave, and whether it is something that only disguise needs.
pub(super) type Called = (Value, bool);

/// Names of functions, in lower case and without what stands before the last point.
const NAMES: &[&str] = &[
    "a2b_base64",
    "a2b_hex",
    "array",
    "asc",
    "ascw",
    "atob",
    "b64_decode",
    "b64decode",
    "base64_decode",
    "base64decode",
    "bytearray",
    "bytes",
    "chr",
    "chrb",
    "chrw",
    "cint",
    "clng",
    "concat",
    "cstr",
    "decode",
    "decodestring",
    "decodeuri",
    "decodeuricomponent",
    "decompress",
    "explode",
    "format",
    "from",
    "frombase64string",
    "fromcharcode",
    "fromcodepoint",
    "fromhex",
    "fromhexstring",
    "getbytes",
    "getstring",
    "gzdecode",
    "gzinflate",
    "gzuncompress",
    "hex2bin",
    "implode",
    "inflate",
    "int",
    "join",
    "lcase",
    "left",
    "ltrim",
    "mid",
    "ord",
    "parseint",
    "rawurldecode",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "space",
    "split",
    "standard_b64decode",
    "str",
    "str_ireplace",
    "str_repeat",
    "str_replace",
    "str_rot13",
    "string",
    "strrev",
    "strreverse",
    "strtolower",
    "strtoupper",
    "substr",
    "substring",
    "tobyte",
    "tochar",
    "toint16",
    "toint32",
    "tolower",
    "tostring",
    "toupper",
    "trim",
    "ucase",
    "uint8array",
    "unescape",
    "unescapedatastring",
    "unhexlify",
    "unquote",
    "urldecode",
    "urlsafe_b64decode",
    "val",
    "zlib_decode",
];

/// True for the name of a function that [`call`] knows.
pub(super) fn is_known(name: &[u8]) -> bool {
    NAMES.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

/// Calls a function; a method has its object as the first argument.
pub(super) fn call(name: &[u8], args: &[Value], is_method: bool) -> Option<Called> {
    let name = std::str::from_utf8(name).ok()?;
    let first = args.first();
    let text = || first.map(Value::text);
    let strong = |bytes: Vec<u8>| Some((Value::Bytes(bytes), true));
    let weak = |bytes: Vec<u8>| Some((Value::Bytes(bytes), false));
    match name {
        "chr" | "chrw" | "chrb" | "fromcharcode" | "fromcodepoint" | "tochar" => characters(args),
        "strreverse" | "strrev" | "reverse" => match first? {
            Value::List(values) => {
                Some((Value::List(values.iter().rev().cloned().collect()), true))
            }
            value => strong(value.text().into_iter().rev().collect()),
        },
        "replace" | "str_replace" | "str_ireplace" => replace(name, args),
        "join" | "implode" => join(args),
        "split" | "explode" => split(name, args),
        "array" => Some((Value::List(args.to_vec()), false)),
        "mid" | "left" | "right" | "substr" | "substring" => part(name, args, is_method),
        "lcase" | "tolower" | "strtolower" => weak(text()?.to_ascii_lowercase()),
        "ucase" | "toupper" | "strtoupper" => weak(text()?.to_ascii_uppercase()),
        "trim" | "ltrim" | "rtrim" => weak(text()?.trim_ascii().to_vec()),
        "cstr" | "str" | "tostring" => weak(text()?),
        "asc" | "ascw" | "ord" => Some((Value::Number(i64::from(*text()?.first()?)), false)),
        "clng" | "cint" | "val" | "int" | "parseint" | "tobyte" | "toint16" | "toint32" => {
            to_number(args)
        }
        "space" => weak(vec![b' '; usize::try_from(first?.number()?).ok().filter(|n| *n < 4096)?]),
        "string" | "str_repeat" => repeated(name, args),
        "concat" => weak(args.iter().flat_map(Value::text).collect()),
        "format" => strong(format(&text()?, args.get(1..)?)),
        "bytes" | "bytearray" | "uint8array" | "from" if args.len() <= 2 => match first? {
            Value::List(_) => strong(first?.bytes()?),
            value => decoded_as(value.text(), args.get(1)),
        },
        "getstring" => weak(narrow(&first?.bytes()?).unwrap_or(first?.bytes()?)),
        "getbytes" | "decodestring" => weak(first?.bytes()?),
        // `x('codecs').decode(…)`: what stands before is no text to decode.
        "decode" if args.len() == 3 => decoded_as(args.get(1)?.text(), args.get(2)),
        "decode" => decoded_as(text()?, args.get(1)),
        "str_rot13" => strong(rot13(&text()?)),
        "hex2bin" | "unhexlify" | "a2b_hex" | "fromhex" | "fromhexstring" => {
            strong(unhex(&text()?))
        }
        "unescape" | "decodeuri" | "decodeuricomponent" | "urldecode" | "rawurldecode"
        | "unquote" | "unescapedatastring" => strong(percent(&text()?)),
        "gzinflate" | "gzuncompress" | "gzdecode" | "decompress" | "zlib_decode" | "inflate" => {
            strong(inflated(&first?.bytes()?)?)
        }
        "atob" | "frombase64string" | "base64_decode" | "b64decode" | "b64_decode"
        | "base64decode" | "a2b_base64" | "standard_b64decode" => strong(base64::decode(&text()?)),
        "urlsafe_b64decode" => {
            let text = text()?;
            strong(base64::decode_url(&text).unwrap_or_else(|| base64::decode(&text)))
        }
        _ => None,
    }
}

fn characters(args: &[Value]) -> Option<Called> {
    let mut out = Vec::new();
    for arg in args {
        match arg {
            Value::List(values) => {
                for value in values {
                    out.extend(character(value.number()?)?);
                }
            }
            value => out.extend(character(value.number()?)?),
        }
    }
    // A single character is strong only together with others, which the expression counts.
    let strong = out.len() >= 3;
    Some((Value::Bytes(out), strong))
}

fn to_number(args: &[Value]) -> Option<Called> {
    let radix = args.get(1).and_then(Value::number).and_then(|radix| u32::try_from(radix).ok());
    let value = match radix.filter(|radix| (2..=36).contains(radix)) {
        Some(radix) => {
            let text = args.first()?.text();
            let text = std::str::from_utf8(&text).ok()?.trim();
            i64::from_str_radix(text.trim_start_matches("0x"), radix).ok()?
        }
        None => args.first()?.number()?,
    };
    Some((Value::Number(value), false))
}

fn repeated(name: &str, args: &[Value]) -> Option<Called> {
    let (text, count) = match (name, args) {
        ("string", [count, text]) => (text.text(), count.number()?),
        ("string", [text]) => return Some((Value::Bytes(text.text()), false)),
        (_, [text, count]) => (text.text(), count.number()?),
        _ => return None,
    };
    let count = usize::try_from(count).ok()?;
    let len = text.len().checked_mul(count).filter(|len| *len <= 1 << 20)?;
    let mut out = Vec::with_capacity(len);
    for _ in 0..count.min(len) {
        out.extend_from_slice(&text);
    }
    Some((Value::Bytes(out), false))
}

/// VB and methods: text, old, new; PHP: old, new, text.
fn replace(name: &str, args: &[Value]) -> Option<Called> {
    let (text, old, new) = match (name, args) {
        ("replace", [text, old, new, ..]) => (text, old, Some(new)),
        ("replace", [text, old]) => (text, old, None),
        (_, [old, new, text, ..]) => (text, old, Some(new)),
        _ => return None,
    };
    let new_text = new.map(Value::text).unwrap_or_default();
    let mut out = text.text();
    let one = [old.clone()];
    let olds: &[Value] = if let Value::List(olds) = old { olds } else { &one };
    for (idx, old) in olds.iter().enumerate().take(64) {
        let to = match new {
            Some(Value::List(news)) => news.get(idx).map(Value::text).unwrap_or_default(),
            _ => new_text.clone(),
        };
        out = replaced(&out, &old.text(), &to, OUTPUT_MAX);
    }
    Some((Value::Bytes(out), true))
}

/// Replaces every occurrence, up to so many bytes of output.
pub(super) fn replaced(text: &[u8], old: &[u8], new: &[u8], cap: usize) -> Vec<u8> {
    if old.is_empty() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0usize;
    for at in memchr::memmem::find_iter(text, old) {
        out.extend_from_slice(text.get(from..at).unwrap_or_default());
        out.extend_from_slice(new);
        from = at.saturating_add(old.len());
        if out.len() > cap {
            out.truncate(cap);
            return out;
        }
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

fn join(args: &[Value]) -> Option<Called> {
    let (values, separator) = match args {
        [Value::List(values)] => (values, Vec::new()),
        [Value::List(values), separator] | [separator, Value::List(values)] => {
            (values, separator.text())
        }
        _ => return None,
    };
    let mut out = Vec::new();
    for (idx, value) in values.iter().enumerate() {
        if idx > 0 {
            out.extend_from_slice(&separator);
        }
        out.extend(value.text());
        if out.len() > OUTPUT_MAX {
            return None;
        }
    }
    Some((Value::Bytes(out), true))
}

fn split(name: &str, args: &[Value]) -> Option<Called> {
    const PARTS_MAX: usize = 1 << 18;
    let (text, separator) = match (name, args) {
        ("explode", [separator, text, ..]) => (text.text(), separator.text()),
        (_, [text, separator, ..]) => (text.text(), separator.text()),
        (_, [text]) => (text.text(), b" ".to_vec()),
        _ => return None,
    };
    let parts = if separator.is_empty() {
        text.iter().take(PARTS_MAX).map(|byte| Value::Bytes(vec![*byte])).collect()
    } else {
        let mut parts = Vec::new();
        let mut from = 0usize;
        for at in memchr::memmem::find_iter(&text, &separator).take(PARTS_MAX) {
            parts.push(Value::Bytes(text.get(from..at).unwrap_or_default().to_vec()));
            from = at.saturating_add(separator.len());
        }
        parts.push(Value::Bytes(text.get(from..).unwrap_or_default().to_vec()));
        parts
    };
    Some((Value::List(parts), false))
}

/// VB counts from 1, others from 0; the second number is a length but for JavaScript's `substring`, which is
/// told by a second number beyond the first.
fn part(name: &str, args: &[Value], is_method: bool) -> Option<Called> {
    let text = args.first()?.text();
    let len = i64::try_from(text.len()).ok()?;
    let second = args.get(1)?.number()?;
    let third = args.get(2).and_then(Value::number);
    let (from, to) = match name {
        "left" => (0, second),
        "right" => (len.saturating_sub(second), len),
        "mid" => {
            let from = second.saturating_sub(1);
            (from, third.map_or(len, |count| from.saturating_add(count)))
        }
        _ => {
            let from = if second < 0 { len.saturating_add(second) } else { second };
            let to = match third {
                Some(end) if name == "substring" && is_method && end > from => end,
                Some(count) if count < 0 => len.saturating_add(count),
                Some(count) => from.saturating_add(count),
                None => len,
            };
            (from, to)
        }
    };
    let from = usize::try_from(from.clamp(0, len)).ok()?;
    let to = usize::try_from(to.clamp(0, len)).ok()?;
    Some((Value::Bytes(text.get(from..to.max(from))?.to_vec()), false))
}

/// Fills `{0}` and the like.
pub(super) fn format(template: &[u8], args: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'{', rest) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        let digits = behind.iter().skip(1).take(6).take_while(|byte| byte.is_ascii_digit()).count();
        let number = behind
            .get(1..digits.saturating_add(1))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok());
        let closes = behind.get(digits.saturating_add(1)) == Some(&b'}');
        match number.and_then(|number| args.get(number)).filter(|_| closes) {
            Some(value) if out.len() < OUTPUT_MAX => {
                out.extend(value.text());
                rest = behind.get(digits.saturating_add(2)..).unwrap_or_default();
            }
            _ => {
                out.push(b'{');
                rest = behind.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// `decode` with the name of an encoding.
fn decoded_as(text: Vec<u8>, encoding: Option<&Value>) -> Option<Called> {
    let name = encoding.map(Value::text).unwrap_or_default().to_ascii_lowercase();
    let strong = |bytes: Vec<u8>| Some((Value::Bytes(bytes), true));
    match name.as_slice() {
        b"rot13" | b"rot_13" | b"rot-13" => strong(rot13(&text)),
        b"hex" | b"hex_codec" => strong(unhex(&text)),
        b"base64" | b"base64_codec" => strong(base64::decode(&text)),
        b"zlib" | b"zip" => strong(inflated(&text)?),
        _ => Some((Value::Bytes(narrow(&text).unwrap_or(text)), false)),
    }
}

fn rot13(text: &[u8]) -> Vec<u8> {
    let turn = |byte: u8, first: u8| {
        let place = byte.wrapping_sub(first).wrapping_add(13) % 26;
        first.wrapping_add(place)
    };
    text.iter()
        .map(|byte| match byte {
            b'a'..=b'z' => turn(*byte, b'a'),
            b'A'..=b'Z' => turn(*byte, b'A'),
            _ => *byte,
        })
        .collect()
}

/// Decodes hexadecimal digits; others are passed over.
pub(super) fn unhex(text: &[u8]) -> Vec<u8> {
    let mut digits = text.iter().filter_map(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len() / 2);
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        out.extend(u8::try_from(high << 4 | low));
    }
    out
}

/// Decodes `%41` and `%u0041`; the two bytes of the latter count as UTF-16 only when it is a character.
pub(super) fn percent(text: &[u8]) -> Vec<u8> {
    let hex = |at: usize, len: usize| {
        let digits = text.get(at..at.saturating_add(len))?;
        let digits = std::str::from_utf8(digits).ok()?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0usize;
    while let Some(byte) = text.get(at) {
        let next = at.saturating_add(1);
        if *byte == b'%' {
            if matches!(text.get(next), Some(b'u' | b'U'))
                && let Some(unit) = hex(at.saturating_add(2), 4)
            {
                if unit < 0x100 {
                    out.extend(u8::try_from(unit));
                } else {
                    // Shell code in pairs of bytes is more often meant than text.
                    out.extend_from_slice(unit.to_le_bytes().get(..2).unwrap_or_default());
                }
                at = at.saturating_add(6);
                continue;
            }
            if let Some(value) = hex(next, 2) {
                out.extend(u8::try_from(value));
                at = at.saturating_add(3);
                continue;
            }
        }
        out.push(*byte);
        at = next;
    }
    out
}

/// Inflates gzip, zlib or bare deflate, whichever it is; none when it is neither.
pub(super) fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let header = data.starts_with(&[0x1f, 0x8b, 8]).then(|| gzip_header(data)).flatten();
    let zlib = matches!(data, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31));
    let mut out = match header {
        Some(len) => read(Inflate::raw(data.get(len..)?)),
        None if zlib => read(Inflate::zlib(data)),
        None => read(Inflate::raw(data)),
    };
    if out.is_empty() && header.is_none() {
        out = read(Inflate::raw(data.get(2..)?));
    }
    (!out.is_empty()).then_some(out)
}

fn read(decoder: impl std::io::Read) -> Vec<u8> {
    use std::io::Read as _;
    let mut out = Vec::new();
    let cap = u64::try_from(OUTPUT_MAX).unwrap_or(u64::MAX);
    // What came out before an error counts.
    let _ = decoder.take(cap).read_to_end(&mut out);
    out
}

/// RFC 1952 §2.3.
fn gzip_header(data: &[u8]) -> Option<usize> {
    let flags = *data.get(3)?;
    let mut len = 10usize;
    if flags & 4 != 0 {
        let extra = u16::from_le_bytes([*data.get(10)?, *data.get(11)?]);
        len = len.checked_add(2)?.checked_add(usize::from(extra))?;
    }
    for bit in [8u8, 16] {
        if flags & bit != 0 {
            len = len.checked_add(memchr::memchr(0, data.get(len..)?)?)?.checked_add(1)?;
        }
    }
    if flags & 2 != 0 {
        len = len.checked_add(2)?;
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(NAMES.is_sorted(), "{:?}", NAMES.windows(2).find(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn functions() {
        let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let check = |name: &str, args: &[Value], want: &str| {
            let got = call(name.as_bytes(), args, false).map(|(value, _)| value.text());
            assert_eq!(got.as_deref(), Some(want.as_bytes()), "{name}");
        };
        check("strreverse", &[text("abc")], "cba");
        check("replace", &[text("a-b-"), text("-"), text("x")], "axbx");
        check("str_replace", &[text("-"), text(""), text("a-b-")], "ab");
        check("mid", &[text("abcdef"), Value::Number(2), Value::Number(3)], "bcd");
        check("substr", &[text("abcdef"), Value::Number(-2)], "ef");
        check("format", &[text("{1}{0}{9}"), text("b"), text("a")], "ab{9}");
        check("str_rot13", &[text("Uryyb")], "Hello");
        check("unescape", &[text("%41%u0042%zz")], "AB%zz");
        check("hex2bin", &[text("4142")], "AB");
        check("atob", &[text("SGk=")], "Hi");
        check(
            "gzinflate",
            &[Value::Bytes(b"\x4b\xcc\x55\xc8\x48\x4d\x4c\x49\x2d\x02\x00".to_vec())],
            "am header",
        );
        assert_eq!(call(b"unknown", &[], false), None);
    }
}
