//! Finds the objects of a PDF by looking for `n n obj`, not by its cross-reference tables, so that every
//! revision and every hidden object is seen.
//!
//! Promises: time in proportion to the file, whatever lengths and brackets claim.
//! Sources: [1] ISO 32000-1 §7.3.8 (streams), §7.3.10 (indirect objects).

use std::collections::BTreeMap;
use std::ops::Range;

use hf_core::{Sink, Stop};

use super::value::{Lexer, Value, is_space};
use crate::documents::le::find_from;
use crate::reader::size;

/// Where an object lies.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Object number.
    pub(super) number: u32,
    /// Generation.
    pub(super) generation: u32,
    /// Where its value starts.
    pub(super) off: usize,
    /// Where its value ends.
    pub(super) end: usize,
    /// Its stream's data.
    pub(super) stream: Option<Range<usize>>,
}

/// All objects of a file.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// In the order of the file.
    pub(super) list: Vec<Object>,
    /// There were more than [`OBJECTS_MAX`].
    pub(super) more: bool,
    /// A common name was written with escapes.
    pub(super) obfuscated: bool,
}

/// Objects of one file that are looked at.
pub(super) const OBJECTS_MAX: usize = 65_536;

/// Longest value without a stream; scripts in strings are shorter.
const VALUE_LEN_MAX: usize = 4 << 20;
/// What is read of a value at least: values without an end make the bound of the next ones smaller.
const VALUE_LEN_MIN: usize = 256;

/// Longest head of an object, with the spaces before it, that is looked for behind an `endobj`.
const HEAD_LEN_MAX: usize = 64;

/// Finds the next place of a word; remembers it, so that asking often costs one pass over the file.
#[derive(Debug)]
struct Finder<'a> {
    bytes: &'a [u8],
    word: &'static [u8],
    from: usize,
    found: Option<usize>,
}

impl<'a> Finder<'a> {
    fn new(bytes: &'a [u8], word: &'static [u8]) -> Self {
        Self { bytes, word, from: 0, found: find_from(bytes, word, 0) }
    }

    fn at_or_behind(&mut self, off: usize) -> Option<usize> {
        let known = off >= self.from && self.found.is_none_or(|found| found >= off);
        if !known {
            self.from = off;
            self.found = find_from(self.bytes, self.word, off);
        }
        self.found
    }
}

/// Finds all objects and their streams.
///
/// # Errors
/// The scan ends here.
pub(super) fn find(bytes: &[u8], sink: &mut dyn Sink) -> Result<Objects, Stop> {
    let heads = heads(bytes);
    let lengths = lengths(bytes, &heads);
    let mut objects = Objects { more: heads.len() >= OBJECTS_MAX, ..Objects::default() };
    let mut ends = Finder::new(bytes, b"endstream");
    let mut object_ends = Finder::new(bytes, b"endobj");
    let mut budget = bytes.len().saturating_mul(2);
    let mut value_len_max = VALUE_LEN_MAX;
    let mut skip_until = 0usize;
    for (idx, head) in heads.iter().enumerate() {
        if idx.is_multiple_of(256) {
            sink.poll()?;
        }
        if head.off < skip_until {
            continue;
        }
        let limit = value_len_max.min(budget).max(VALUE_LEN_MIN);
        let end = head.off.saturating_add(limit).min(bytes.len());
        let mut lexer = Lexer::new(bytes.get(..end).unwrap_or_default(), head.off);
        let value = lexer.value(0).unwrap_or(Value::Null);
        objects.obfuscated |= lexer.obfuscated;
        budget = budget.saturating_sub(lexer.off.saturating_sub(head.off));
        if lexer.was_cut() {
            value_len_max /= 4;
        }
        let end = lexer.off.min(end);
        let stream = data_start(bytes, &mut lexer).map(|start| {
            let claimed = match value.dict().and_then(|dict| dict.get("Length")) {
                Some(Value::Int(len)) => usize::try_from(*len).ok(),
                Some(Value::Ref(number)) => lengths.get(number).copied(),
                _ => None,
            };
            start..data_end(bytes, start, claimed, &mut ends, &mut object_ends)
        });
        if let Some(range) = &stream {
            skip_until = range.end;
        }
        objects.list.push(Object { end, stream, ..head.clone() });
    }
    Ok(objects)
}

/// Finds every `n n obj`.
fn heads(bytes: &[u8]) -> Vec<Object> {
    let mut heads = Vec::new();
    for found in memchr::memmem::find_iter(bytes, b"obj") {
        let before = bytes.get(found.saturating_sub(64)..found).unwrap_or_default();
        let Some((generation, before)) = number_before(before) else { continue };
        let Some((number, _)) = number_before(before) else { continue };
        let off = found.saturating_add(3);
        heads.push(Object { number, generation, off, end: off, stream: None });
        if heads.len() >= OBJECTS_MAX {
            break;
        }
    }
    heads
}

/// Reads the number that ends here, spaces behind it skipped, and returns what is before it.
fn number_before(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let len = bytes.iter().rposition(|byte| !is_space(*byte))?.checked_add(1)?;
    let trimmed = bytes.get(..len)?;
    let digits = trimmed.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let (before, digits) = trimmed.split_at_checked(len.checked_sub(digits)?)?;
    let value = digits.iter().fold(0u32, |value, digit| {
        value.saturating_mul(10).saturating_add(u32::from(digit & 0x0f))
    });
    Some((value, before))
}

/// Returns the objects that are plain integers: lengths are often kept in such.
fn lengths(bytes: &[u8], heads: &[Object]) -> BTreeMap<u32, usize> {
    let mut lengths = BTreeMap::new();
    for head in heads {
        let end = head.off.saturating_add(32).min(bytes.len());
        let mut lexer = Lexer::new(bytes.get(..end).unwrap_or_default(), head.off);
        if let Some(Value::Int(len)) = lexer.value(0)
            && let Ok(len) = u64::try_from(len)
        {
            lengths.insert(head.number, size(len));
        }
    }
    lengths
}

/// Returns where a stream's data starts, when the word `stream` follows.
fn data_start(bytes: &[u8], lexer: &mut Lexer<'_>) -> Option<usize> {
    const WORD: &[u8] = b"stream";
    // A dictionary that ran into the word has moved behind it.
    let eaten = lexer.off.checked_sub(WORD.len()).filter(|off| {
        bytes.get(*off..).is_some_and(|rest| rest.starts_with(WORD))
            && !bytes.get(..*off).is_some_and(|before| before.ends_with(b"end"))
    });
    let start = eaten.or_else(|| {
        lexer.skip_space();
        bytes.get(lexer.off..)?.starts_with(WORD).then_some(lexer.off)
    })?;
    let off = start.checked_add(WORD.len())?;
    // [1] §7.3.8.1: CR LF or LF; a lone CR is met with.
    let rest = bytes.get(off..)?;
    let skip = match rest {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        [b' ', b'\r', b'\n', ..] => 3,
        [b' ', b'\r' | b'\n', ..] => 2,
        _ => 0,
    };
    off.checked_add(skip)
}

/// True when `n n obj` follows the `endobj` at an offset.
fn is_before_head(bytes: &[u8], off: usize) -> bool {
    let rest = bytes.get(off.saturating_add(b"endobj".len())..).unwrap_or_default();
    let mut rest = rest.get(..HEAD_LEN_MAX).unwrap_or(rest);
    for _ in 0..2 {
        rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = rest.get(digits..).unwrap_or_default();
    }
    rest.trim_ascii_start().starts_with(b"obj")
}

/// Returns where a stream's data ends: at its length when `endstream` follows, else before that word, or before an
/// `endobj` that comes first and has another object behind it: a stream without an end would hide that one.
fn data_end(
    bytes: &[u8],
    start: usize,
    claimed: Option<usize>,
    ends: &mut Finder<'_>,
    object_ends: &mut Finder<'_>,
) -> usize {
    const SLACK: usize = 16;
    let follows = |off: usize| {
        let rest = bytes.get(off..).unwrap_or_default();
        let spaces = rest.iter().take(SLACK).take_while(|byte| is_space(**byte)).count();
        rest.get(spaces..).is_some_and(|rest| rest.starts_with(b"endstream"))
    };
    if let Some(end) = claimed.and_then(|len| start.checked_add(len)).filter(|end| follows(*end)) {
        return end;
    }
    let stream_end = ends.at_or_behind(start);
    let object_end = object_ends.at_or_behind(start);
    let end = match (stream_end, object_end) {
        (Some(stream), Some(object)) if object < stream && is_before_head(bytes, object) => object,
        (Some(end), _) | (None, Some(end)) => end,
        (None, None) => bytes.len(),
    };
    let data = bytes.get(start..end).unwrap_or_default();
    let eol = if data.ends_with(b"\r\n") {
        2
    } else {
        usize::from(data.ends_with(b"\n") || data.ends_with(b"\r"))
    };
    end.saturating_sub(eol).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorder;

    #[track_caller]
    fn check(file: &[u8], want: &[(u32, Option<&[u8]>)]) {
        let objects = find(file, &mut Recorder::default()).expect("no limit is reached");
        let got: Vec<_> = objects
            .list
            .iter()
            .map(|object| (object.number, object.stream.clone().map(|range| &file[range])))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn lengths_are_believed_when_they_fit() {
        let stream = |length: &str| {
            format!("1 0 obj<</Length {length}>>stream\r\nendstream.\nendstream endobj 2 0 obj 10")
        };
        check(stream("10").as_bytes(), &[(1, Some(b"endstream.")), (2, None)]);
        check(stream("2 0 R").as_bytes(), &[(1, Some(b"endstream.")), (2, None)]);
        check(stream("3").as_bytes(), &[(1, Some(b"")), (2, None)]);
        check(b"7 0 obj << stream\nabc", &[(7, Some(b"abc"))]);
        check(b"7 0 obj\n<</A/B>>\nstream\rabc\rendobj", &[(7, Some(b"abc"))]);
        // The first stream has no end; it hides neither the object behind it, nor is cut at an `endobj` in it.
        let cut =
            b"1 0 obj<</Length 90>>stream\nabc\nendobj\n2 0 obj<<>>stream\nd\nendstream endobj";
        check(cut, &[(1, Some(b"abc")), (2, Some(b"d"))]);
        let inside = b"1 0 obj<</Length 90>>stream\nabc endobj 2 obj\nendstream endobj";
        check(inside, &[(1, Some(b"abc endobj 2 obj"))]);
        check(b"endobj 00000 obj 1 obj", &[]);
        check(b"1 0 obj 5 endobj 1 1 obj (x) endobj", &[(1, None), (1, None)]);
    }
}
