//! Headers of a message or part, read as tolerantly as the most tolerant mail program.
//!
//! Promises: linear in the length of the headers; keeps only the three headers that decide how a body is read.
//! Leaves out: addresses, dates and all other headers.
//! Where programs differ in how they read a header, all readings are kept: every boundary, every encoding.
//! Sources: RFC 5322 §2.2, RFC 2045 §5, RFC 2047, RFC 2183, RFC 2231.

use super::lines::{Lines, is_blank, starts_with_word};
use super::words;

/// What the headers say of the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers {
    /// Type and subtype in lower case, of the first header that has them.
    pub(super) kind: Vec<u8>,
    /// All boundaries, without the leading hyphens.
    pub(super) boundaries: Vec<Vec<u8>>,
    /// All transfer encodings, in lower case.
    pub(super) encodings: Vec<Vec<u8>>,
    /// File name, decoded.
    pub(super) name: Option<Vec<u8>>,
    /// `Content-Disposition: attachment`, or another than `inline`.
    pub(super) attachment: bool,
    /// The word of `Content-Disposition` as it stands there.
    pub(super) disposed: Vec<u8>,
    /// Any header was seen.
    pub(super) any: bool,
    /// Identity, number and total of a part of a message that was cut up.
    pub(super) partial: Partial,
    /// How much there was, for the limits.
    pub(super) counts: Counts,
}

/// Parameters of `message/partial` (RFC 2046 §5.2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) id: Vec<u8>,
    pub(super) number: Option<u32>,
    pub(super) total: Option<u32>,
}

/// Numbers that ClamAV limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) headers: usize,
    pub(super) bytes: usize,
    pub(super) folds: usize,
    pub(super) arguments: usize,
}

/// Bytes of one header that are read.
const HEADER_LEN_MAX: usize = 1 << 20;
const BOUNDARIES_MAX: usize = 16;
const ENCODINGS_MAX: usize = 16;

/// Reads headers from an offset; returns each reading of them, with where its body starts. There are several when
/// a header of a body follows a blank line, over which some programs read on.
pub(super) fn read(message: &[u8], off: usize) -> Vec<(Headers, usize)> {
    let mut readings = Vec::new();
    let mut headers = Headers::default();
    let mut value: Vec<u8> = Vec::new();
    let (mut folds, mut in_quote) = (0_usize, false);
    let mut lines = Lines::from(message, off);
    while let Some(line) = lines.next() {
        if is_blank(line.text) {
            headers.take(&std::mem::take(&mut value), std::mem::take(&mut folds));
            headers.counts.bytes = line.next.saturating_sub(off);
            readings.push((headers.clone(), line.next));
            if readings.len() >= READINGS_MAX || !goes_on(lines.clone()) {
                return readings;
            }
            while lines.clone().next().is_some_and(|line| is_blank(line.text)) {
                lines.next();
            }
            continue;
        }
        let text: Vec<u8> = line.text.iter().copied().filter(|byte| *byte != 0).collect();
        if continues(&value, in_quote, &text) {
            in_quote ^= has_odd_quotes(&text);
            folds = folds.saturating_add(1);
            if value.len() < HEADER_LEN_MAX {
                value.push(b' ');
                value.extend_from_slice(trim(&text));
            }
            continue;
        }
        headers.take(&value, folds);
        in_quote = has_odd_quotes(&text);
        (value, folds) = (text, 0);
    }
    headers.take(&value, folds);
    headers.counts.bytes = message.len().saturating_sub(off);
    readings.push((headers, message.len()));
    readings
}

const READINGS_MAX: usize = 3;

/// A blank line in front of a header of a body does not end the headers, nor do some more.
fn goes_on(mut lines: Lines<'_>) -> bool {
    lines
        .by_ref()
        .take(BLANKS_MAX)
        .find(|line| !is_blank(line.text))
        .is_some_and(|line| looks_like_content_header(line.text.trim_ascii_start()))
}

const BLANKS_MAX: usize = 16;

fn looks_like_content_header(line: &[u8]) -> bool {
    [
        b"content-type:".as_slice(),
        b"content-transfer-encoding:",
        b"content-disposition:",
        b"mime-version:",
    ]
    .iter()
    .any(|word| starts_with_word(line, word))
}

/// True when a line belongs to the header before it.
fn continues(value: &[u8], in_quote: bool, line: &[u8]) -> bool {
    if value.is_empty() {
        return false;
    }
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return true;
    }
    let last = value.iter().rfind(|byte| !byte.is_ascii_whitespace());
    let open = last == Some(&b';') || in_quote;
    open && is_content(value) && !is_header_line(line)
}

fn has_odd_quotes(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).count() % 2 == 1
}

fn is_content(value: &[u8]) -> bool {
    starts_with_word(value, b"content-")
}

/// `Name: value`.
fn is_header_line(line: &[u8]) -> bool {
    let colon = memchr::memchr(b':', line);
    colon.and_then(|at| line.get(..at)).is_some_and(is_name)
}

fn is_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.iter().all(is_letter)
}

impl Headers {
    fn take(&mut self, header: &[u8], folds: usize) {
        let Some(colon) = memchr::memchr(b':', header) else { return };
        let name = trim(header.get(..colon).unwrap_or_default());
        self.any |= is_name(name);
        self.counts.headers = self.counts.headers.saturating_add(1);
        self.counts.folds = self.counts.folds.max(folds);
        let value = header.get(colon.saturating_add(1)..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-type") {
            self.content_type(value);
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            self.encoding(value);
        } else if name.eq_ignore_ascii_case(b"content-disposition") {
            self.disposition(value);
        }
    }

    fn content_type(&mut self, value: &[u8]) {
        let value = words::decode(value);
        let (first, parameters) = split(&value);
        if self.kind.is_empty() {
            self.kind = first;
        }
        self.counts.arguments = self.counts.arguments.max(parameters.len());
        for parameter in joined(&parameters) {
            match parameter.name.as_slice() {
                b"boundary" if self.boundaries.len() < BOUNDARIES_MAX => {
                    self.boundaries.extend(
                        parameter.values.into_iter().filter(|boundary| !boundary.is_empty()),
                    );
                }
                b"id" => self.partial.id = parameter.values.into_iter().next().unwrap_or_default(),
                b"number" => self.partial.number = number(&parameter.values),
                b"total" => self.partial.total = number(&parameter.values),
                b"name" | b"filename" if self.name.is_none() => {
                    self.name = parameter.values.into_iter().next();
                }
                _ => {}
            }
        }
    }

    fn encoding(&mut self, value: &[u8]) {
        let plain = without_comments(value);
        for word in plain.split(|byte| matches!(byte, b' ' | b'\t' | b';' | b',' | b'"')) {
            if !word.is_empty() && self.encodings.len() < ENCODINGS_MAX {
                self.encodings.push(word.to_ascii_lowercase());
            }
        }
    }

    fn disposition(&mut self, value: &[u8]) {
        let value = words::decode(value);
        let (first, parameters) = split(&value);
        self.attachment |= first != b"inline";
        if self.disposed.is_empty() {
            self.disposed.clone_from(&first);
        }
        self.counts.arguments = self.counts.arguments.max(parameters.len());
        for parameter in joined(&parameters) {
            if matches!(parameter.name.as_slice(), b"filename" | b"name") {
                // What is shown to people comes from here, if it is there.
                self.name = parameter.values.into_iter().next().or(self.name.take());
            }
        }
    }

    /// True for a top-level type.
    pub(super) fn is(&self, top: &[u8]) -> bool {
        let slash = memchr::memchr(b'/', &self.kind).unwrap_or(self.kind.len());
        self.kind.get(..slash) == Some(top)
    }

    /// True when line ends are not part of the data.
    pub(super) fn is_text(&self) -> bool {
        self.kind.is_empty()
            || [b"text".as_slice(), b"message", b"multipart"].iter().any(|top| self.is(top))
    }

    /// Returns the subtype.
    pub(super) fn subtype(&self) -> &[u8] {
        let slash = memchr::memchr(b'/', &self.kind).unwrap_or(self.kind.len());
        self.kind.get(slash.saturating_add(1)..).unwrap_or_default()
    }
}

fn number(values: &[Vec<u8>]) -> Option<u32> {
    std::str::from_utf8(values.first()?).ok()?.trim().parse().ok()
}

/// A parameter with all readings of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    name: Vec<u8>,
    values: Vec<Vec<u8>>,
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// Removes `(comments)` outside of quotes.
fn without_comments(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for byte in text {
        let was_escaped = escaped;
        escaped = *byte == b'\\' && !was_escaped;
        match byte {
            b'"' if !was_escaped && depth == 0 => quoted = !quoted,
            b'(' if !quoted && !was_escaped => {
                depth = depth.saturating_add(1);
                continue;
            }
            b')' if !quoted && !was_escaped && depth > 0 => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(*byte);
        }
    }
    // A comment that never ends is no comment.
    if depth > 0 { text.to_vec() } else { out }
}

/// Splits a value into what stands first, in lower case, and its parameters.
fn split(value: &[u8]) -> (Vec<u8>, Vec<Parameter>) {
    let plain = without_comments(value);
    let is_end = |byte: &u8| matches!(byte, b';' | b' ' | b'\t' | b',' | b'=');
    let start = plain.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'"' | b'\''));
    let rest = plain.get(start.unwrap_or(plain.len())..).unwrap_or_default();
    let len = rest.iter().position(is_end).unwrap_or(rest.len());
    let (first, mut behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    if behind.first() == Some(&b'=') {
        // There is no type at all: `Content-Type: boundary=x`.
        behind = rest;
    }
    let kind: Vec<u8> = first
        .iter()
        .filter(|byte| !matches!(byte, b'"' | b'\''))
        .map(u8::to_ascii_lowercase)
        .collect();
    (kind, parameters(behind))
}

/// Parameters of one header.
const PARAMETERS_MAX: usize = 1024;

fn parameters(mut rest: &[u8]) -> Vec<Parameter> {
    let mut all = Vec::new();
    while all.len() < PARAMETERS_MAX {
        let is_gap = |byte: &u8| matches!(byte, b';' | b' ' | b'\t' | b',');
        let start = rest.iter().position(|byte| !is_gap(byte)).unwrap_or(rest.len());
        rest = rest.get(start..).unwrap_or_default();
        let Some(len) = rest.iter().position(|byte| matches!(byte, b'=' | b';')) else { break };
        let (name, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let Some(behind) = behind.strip_prefix(b"=") else {
            rest = behind;
            continue;
        };
        // Words in front of the name belong to nothing.
        let name = trim(name).rsplit(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or(name);
        let (values, behind) = value(trim_start(behind));
        rest = behind;
        all.push(Parameter { name: name.to_ascii_lowercase(), values });
    }
    all
}

fn trim_start(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// Returns the readings of a value, and what is behind it.
fn value(text: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    if let Some(quote @ (b'"' | b'\'')) = text.first() {
        let inner = text.get(1..).unwrap_or_default();
        let mut out = Vec::new();
        let mut escaped = false;
        for (at, byte) in inner.iter().enumerate() {
            if std::mem::take(&mut escaped) {
                out.push(*byte);
            } else if *byte == b'\\' {
                escaped = true;
            } else if byte == quote {
                let behind = inner.get(at.saturating_add(1)..).unwrap_or_default();
                let mut values = vec![out];
                let raw = inner.get(..at).unwrap_or_default();
                if raw.contains(&b'\\') {
                    values.push(raw.to_vec());
                }
                return (values, behind);
            } else {
                out.push(*byte);
            }
        }
        if *quote == b'"' {
            // The quote never ends: up to the next `;`.
            let len = memchr::memchr(b';', inner).unwrap_or(inner.len());
            let (raw, behind) = inner.split_at_checked(len).unwrap_or((inner, &[]));
            return (vec![trim(raw).to_vec()], behind);
        }
    }
    let len = memchr::memchr(b';', text).unwrap_or(text.len());
    let (raw, behind) = text.split_at_checked(len).unwrap_or((text, &[]));
    let raw = trim(raw);
    let word_len = raw.iter().position(|byte| matches!(byte, b' ' | b'\t' | b','));
    let mut values = Vec::new();
    if let Some(word) = word_len.and_then(|len| raw.get(..len)) {
        values.push(word.to_vec());
    }
    values.push(raw.to_vec());
    (values, behind)
}

/// Joins `name*0`, `name*1*` and decodes `name*`.
fn joined(parameters: &[Parameter]) -> Vec<Parameter> {
    let mut whole: Vec<Parameter> = Vec::new();
    let mut pieces: Vec<(&[u8], usize, Vec<u8>)> = Vec::new();
    for parameter in parameters {
        let mut fields = parameter.name.splitn(2, |byte| *byte == b'*');
        let base = fields.next().unwrap_or_default();
        let Some(mark) = fields.next() else {
            whole.push(parameter.clone());
            continue;
        };
        let raw = parameter.values.last().cloned().unwrap_or_default();
        let encoded = mark.is_empty() || mark.ends_with(b"*");
        let digits: Vec<u8> = mark.iter().copied().filter(u8::is_ascii_digit).take(6).collect();
        let idx = std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok());
        let text =
            if encoded { words::percent(after_charset(&raw, idx.unwrap_or(0))) } else { raw };
        pieces.push((base, idx.unwrap_or(0), text));
    }
    pieces.sort_by_key(|(base, idx, _)| (*base, *idx));
    for group in pieces.chunk_by(|left, right| left.0 == right.0) {
        let Some((name, ..)) = group.first() else { continue };
        let joined: Vec<u8> = group.iter().flat_map(|(_, _, text)| text.iter().copied()).collect();
        whole.push(Parameter { name: name.to_vec(), values: vec![joined] });
    }
    whole
}

/// `charset'language'text` of the first piece.
fn after_charset(raw: &[u8], idx: usize) -> &[u8] {
    if idx > 0 {
        return raw;
    }
    let mut quotes = memchr::memchr_iter(b'\'', raw);
    match (quotes.next(), quotes.next()) {
        (Some(_), Some(second)) => raw.get(second.saturating_add(1)..).unwrap_or_default(),
        _ => raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: &str, boundaries: &[&str], encodings: &[&str], name: Option<&str>) {
        let (headers, _) = read(text.as_bytes(), 0).pop().expect("a reading");
        let text_of = |list: &[Vec<u8>]| -> Vec<String> {
            list.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect()
        };
        assert_eq!(String::from_utf8_lossy(&headers.kind), kind, "{text}");
        assert_eq!(text_of(&headers.boundaries), boundaries, "{text}");
        assert_eq!(text_of(&headers.encodings), encodings, "{text}");
        let got = headers.name.map(|name| String::from_utf8_lossy(&name).into_owned());
        assert_eq!(got.as_deref(), name, "{text}");
    }

    #[test]
    fn types_and_boundaries() {
        check("Content-Type: text/plain\n\n", "text/plain", &[], &[], None);
        check("CONTENT-TYPE : Text/HTML; charset=x\n\n", "text/html", &[], &[], None);
        check("Content-Type: \"text/html\"\n\n", "text/html", &[], &[], None);
        check(
            "Content-Type: multipart/mixed; boundary=\"a b\"\n",
            "multipart/mixed",
            &["a b"],
            &[],
            None,
        );
        check(
            "Content-Type: multipart/mixed;\n boundary=ab\n",
            "multipart/mixed",
            &["ab"],
            &[],
            None,
        );
        check(
            "Content-Type: multipart/mixed;\nboundary=ab\n",
            "multipart/mixed",
            &["ab"],
            &[],
            None,
        );
        check(
            "Content-Type: multipart/mixed; boundary=\"ab\n\n",
            "multipart/mixed",
            &["ab"],
            &[],
            None,
        );
        check(
            "Content-Type: multipart/mixed (c); boundary(d)=a(e)b\n",
            "multipart/mixed",
            &["ab"],
            &[],
            None,
        );
        check(
            "Content-Type: multipart/mixed; boundary=a b\n",
            "multipart/mixed",
            &["a", "a b"],
            &[],
            None,
        );
        check("Content-Type: multipart/mixed boundary=a\n", "multipart/mixed", &["a"], &[], None);
        check("Content-Type: boundary=a\n", "boundary", &["a"], &[], None);
        check(
            "Content-Type: multipart/x; boundary=a; boundary=b\n",
            "multipart/x",
            &["a", "b"],
            &[],
            None,
        );
        check("Content-Type: a/b; boundary*0=a; boundary*1=b\n", "a/b", &["ab"], &[], None);
        check("Content-Type: a/b; boundary=\"a\\\"b\"\n", "a/b", &["a\"b", "a\\\"b"], &[], None);
        check("\nContent-Type: a/b\n", "a/b", &[], &[], None);
    }

    #[test]
    fn encodings() {
        check("Content-Transfer-Encoding: BASE64\n", "", &[], &["base64"], None);
        check("Content-Transfer-Encoding: (c) \"base64\"\n", "", &[], &["base64"], None);
        let twice = "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64, x\n";
        check(twice, "", &[], &["7bit", "base64", "x"], None);
    }

    #[test]
    fn names() {
        let name = |header: &str, want: &str| check(header, "", &[], &[], Some(want));
        name("Content-Disposition: attachment; filename=a.exe\n", "a.exe");
        name("Content-Disposition: attachment; filename=\"a b.exe\"\n", "a b.exe");
        name("Content-Disposition: attachment; filename==?utf-8?B?YS5leGU=?=\n", "a.exe");
        name("Content-Disposition: attachment; filename=\"=?utf-8?Q?a=2Eexe?=\"\n", "a.exe");
        name("Content-Disposition: attachment; filename*=utf-8'en'a%2Eexe\n", "a.exe");
        name("Content-Disposition: attachment; filename*0=\"a.\"; filename*1*=e%78e\n", "a.exe");
        check("Content-Type: a/b; name=c.exe\n", "a/b", &[], &[], Some("c.exe"));
    }

    #[test]
    fn the_body_starts_behind_the_blank_line() {
        let bodies = |text: &[u8]| -> Vec<usize> {
            read(text, 0).into_iter().map(|(_, body)| body).collect()
        };
        assert_eq!(bodies(b"A: b\nContent-Type: x/y\n\nbody"), [24]);
        assert_eq!(bodies(b"A: b\n\nContent-Type: x/y\n\nbody"), [6, 25]);
        assert_eq!(bodies(b"A: b\r\n\r\nbody"), [8]);
        assert_eq!(bodies(b"A: b"), [4]);
    }
}
