//! Regular expressions as sub-signatures: `[OFFSET:]TRIGGER/expression/flags`.
//!
//! Sources: ClamAV's documentation of logical signatures; clamscan 1.4.6: the expression reaches from the first to the
//! last slash, `\/` is a slash, and modifiers behind `::` have no effect.

use hf_core::{
    Target,
    signature::{Offset, PcreFlags, Sub},
};

use super::{expr, offset, regex};
use crate::{
    diagnostic::{Fault, codes},
    text::Text,
};

/// Reads the expression that is sub-signature `own_idx`.
pub(crate) fn parse(
    text: Text<'_>,
    own_idx: u8,
    target: Target,
    notes: &mut Vec<Fault>,
) -> Result<Sub, Fault> {
    let first = text.find(b'/').unwrap_or(0);
    let last = text.bytes().iter().rposition(|b| *b == b'/').unwrap_or(0);
    if first == last {
        let reason = "the expression has no second slash";
        return Err(text.fault(&codes::PCRE_DELIMITER, reason));
    }
    let (front, pattern) = (text.cut(0..first), text.cut(first + 1..last));
    let (place, trigger) = match front.split_once(b':') {
        Some((place, trigger)) => (Some(place), trigger),
        None => (None, front),
    };
    if trigger.is_empty() {
        return Err(front.fault(&codes::PCRE_TRIGGER, "the expression has no trigger"));
    }
    let (trigger_expr, largest) = expr::parse(trigger, notes)?;
    if largest >= own_idx {
        let reason =
            format!("the trigger refers to sub-signature {largest}, this one is {own_idx}");
        return Err(trigger.fault(&codes::PCRE_TRIGGER, reason));
    }
    if pattern.is_empty() {
        return Err(pattern.fault(&codes::PCRE_PATTERN, "the expression is empty"));
    }
    let offset = place.map_or(Ok(Offset::ANY), |place| offset::parse(place, target))?;
    let flags = read_flags(text.from(last + 1), notes)?;
    regex::check(pattern, regex::Dialect::Pcre)
        .map_err(|fault| Fault { code: &codes::PCRE_PATTERN, ..fault })?;
    Ok(Sub::Pcre { offset, trigger: trigger_expr, pattern: unescape(pattern.bytes()), flags })
}

fn read_flags(text: Text<'_>, notes: &mut Vec<Fault>) -> Result<PcreFlags, Fault> {
    let mut flags = PcreFlags::default();
    for (idx, byte) in text.bytes().iter().enumerate() {
        match byte {
            b'g' => flags.global = true,
            b'r' => flags.rolling = true,
            b'e' => flags.encompass = true,
            b'i' => flags.caseless = true,
            b's' => flags.dot_all = true,
            b'm' => flags.multi_line = true,
            b'x' => flags.extended = true,
            b'A' => flags.anchored = true,
            b'E' => flags.dollar_end_only = true,
            b'U' => flags.ungreedy = true,
            b':' if text.get(idx + 1) == Some(b':') => {
                let reason = "modifiers have no effect on a regular expression";
                notes.push(text.from(idx).fault(&codes::IGNORED_TEXT, reason));
                break;
            }
            _ => {
                let place = text.cut(idx..idx + 1);
                let reason = format!("`{}` is not a flag", place.lossy());
                return Err(place.fault(&codes::PCRE_FLAG, reason));
            }
        }
    }
    Ok(flags)
}

/// Replaces `\/` by a slash and leaves all other escapes as they are.
fn unescape(pattern: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'/') => plain.push(b'/'),
            Some(escaped) => plain.extend([byte, escaped]),
            None => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sub, Fault> {
        parse(Text::line(text.as_bytes()), 1, Target::ANY, &mut Vec::new())
    }

    #[track_caller]
    fn pattern(text: &str, want: &str) {
        let Sub::Pcre { pattern, .. } = read(text).unwrap() else { panic!("not an expression") };
        assert_eq!(String::from_utf8(pattern).unwrap(), want);
    }

    #[track_caller]
    fn bad(text: &str, code: &str) {
        let got = read(text).unwrap_err();
        assert_eq!(got.code.id, code, "{text}: {}", got.reason);
    }

    #[test]
    fn expressions() {
        pattern("0/abc/", "abc");
        pattern(r"0/a\/b\d\\/i", r"a/b\d\\");
        pattern("5,6:0=2/a/b/gi", "a/b");
        pattern("0/abc/i/", "abc/i");
        pattern("0/abc/i::f", "abc");
        let Sub::Pcre { flags, offset, .. } = read("EOF-5:(0)/a/rx").unwrap() else {
            panic!("not an expression")
        };
        assert!(flags.rolling && flags.extended && !flags.global);
        assert_ne!(offset, Offset::ANY);
    }

    #[test]
    fn mistakes() {
        bad("0/abc", "HF0311");
        bad("/", "HF0311");
        bad("/abc/", "HF0312");
        bad("1/abc/", "HF0312");
        bad("0&2/abc/", "HF0312");
        bad("x/abc/", "HF0306");
        bad("0//", "HF0314");
        bad("0/abc/z", "HF0313");
        bad("0/abc/ ", "HF0313");
        bad("0/(a/", "HF0314");
        bad("EP+0:0/abc/", "HF0212");
    }
}
