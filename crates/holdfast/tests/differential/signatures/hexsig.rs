//! Random patterns that match at a place (or nearly do).

use std::fmt::Write as _;

use super::hex;
use crate::rng::Rng;

/// How rich a pattern may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Everything.
    Full,
    /// Literal bytes.
    Plain,
    /// Bytes and single wildcards, for modifiers.
    Simple,
}

/// A pattern and where it matches.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) start: usize,
}

/// Cuts a pattern out of `bytes`.
pub(crate) fn cut(rng: &mut Rng, bytes: &[u8], style: Style) -> Pattern {
    let first = rng.range(4, 14).min(bytes.len());
    let start = if rng.percent(10) { 0 } else { place(rng, bytes, 0, bytes.len() - first) };
    let mut text = String::new();
    let mut at = start;
    let mut len = first;
    for nr in 0..3 {
        let part = &bytes[at..at + len];
        part_text(rng, bytes, at, part, style, &mut text);
        at += len;
        let more = style == Style::Full && rng.percent(45) && nr < 2;
        let room = bytes.len() - at;
        if !more || room < 8 {
            break;
        }
        let far = (room - 6).min(if rng.percent(20) { 3000 } else { 60 });
        let gap = place(rng, bytes, at, at + far) - at;
        // Of a run of one byte clamscan remembers too few places for what follows.
        let is_run =
            |part: &[u8]| part.windows(3).any(|three| three.iter().all(|b| *b == three[0]));
        if is_run(part) || is_run(&bytes[at + gap..bytes.len().min(at + gap + 10)]) {
            break;
        }
        gap_text(rng, gap, &mut text);
        at += gap;
        len = rng.range(4, 10).min(bytes.len() - at);
    }
    if rng.percent(20) {
        spoil(rng, &mut text);
    }
    if rng.percent(20) {
        text = text.to_uppercase();
        for letter in ["B", "L", "W"] {
            // Anchors are upper case anyway.
            text = text.replace(&format!("({})", letter.to_lowercase()), &format!("({letter})"));
        }
    }
    Pattern { text, start }
}

/// Chooses a place where the bytes differ: `clamscan` remembers only eight matches of each part, so patterns of
/// runs are found by chance.
pub(super) fn place(rng: &mut Rng, bytes: &[u8], from: usize, to: usize) -> usize {
    let mut at = rng.range(from, to);
    for _ in 0..12 {
        let next: std::collections::BTreeSet<u8> = bytes[at..].iter().take(4).copied().collect();
        if next.len() > 2 {
            break;
        }
        at = rng.range(from, to);
    }
    at
}

/// Writes bytes with wildcards among them; the first two stay as they are.
fn part_text(rng: &mut Rng, bytes: &[u8], at: usize, part: &[u8], style: Style, text: &mut String) {
    let full = style == Style::Full;
    if full && rng.percent(6) && text.is_empty() {
        let back = rng.range(1, 8);
        if at > back {
            let (low, high) = around(rng, back - 1);
            let _ = write!(text, "{:02x}[{low}-{high}]", bytes[at - back]);
        }
    }
    if full && rng.percent(8) {
        // A negated boundary at the start of an object ends clamscan with a signal.
        let last = if at == 0 { EDGES.len() / 2 } else { EDGES.len() };
        text.push_str(EDGES[rng.below(last)]);
    }
    let mut idx = 0;
    while idx < part.len() {
        let keep = idx < 2 || style == Style::Plain || rng.percent(82);
        let rest = &part[idx..];
        if keep {
            text.push_str(&hex(&rest[..1]));
            idx += 1;
        } else if style == Style::Simple || rng.percent(55) {
            idx += wildcard(rng, rest, text);
        } else {
            idx += alternatives(rng, rest, text);
        }
    }
    if full && rng.percent(8) {
        text.push_str(EDGES[rng.below(EDGES.len())]);
    } else if full && rng.percent(6) {
        let ahead = rng.range(0, 7);
        if let Some(byte) = bytes.get(at + part.len() + ahead) {
            let (low, high) = around(rng, ahead);
            let _ = write!(text, "[{low}-{high}]{byte:02x}");
        }
    }
}

fn wildcard(rng: &mut Rng, rest: &[u8], text: &mut String) -> usize {
    let (high, low) = (rest[0] >> 4, rest[0] & 15);
    match rng.below(4) {
        0 => {
            let _ = write!(text, "{high:x}?");
        }
        1 => {
            let _ = write!(text, "?{low:x}");
        }
        2 if rest.len() > 3 => {
            text.push_str("{2}");
            return 2;
        }
        _ => text.push_str("??"),
    }
    1
}

/// Writes alternatives of which one is right (or, negated, none).
fn alternatives(rng: &mut Rng, rest: &[u8], text: &mut String) -> usize {
    let len = rng.range(1, 3).min(rest.len());
    let right = hex(&rest[..len]);
    let wrong = |rng: &mut Rng, len: usize| hex(&rng.bytes(len));
    let mut all = match rng.below(4) {
        0 => {
            let one = wrong(rng, len);
            let two = wrong(rng, len);
            let _ = write!(text, "!({one}|{two})");
            return len;
        }
        1 => vec![right, wrong(rng, len + 1), wrong(rng, 1)],
        2 => vec![
            format!("{}?{}", &right[..right.len() - 2], &right[right.len() - 1..]),
            wrong(rng, len),
        ],
        _ => vec![right, wrong(rng, len), wrong(rng, len)],
    };
    if rng.percent(10) {
        all[0] = wrong(rng, len);
    }
    let turn = rng.below(all.len());
    all.rotate_left(turn);
    let _ = write!(text, "({})", all.join("|"));
    len
}

fn around(rng: &mut Rng, distance: usize) -> (usize, usize) {
    let low = distance.saturating_sub(rng.below(4));
    let high = (distance + rng.below(4)).min(32);
    if rng.percent(10) { (distance + 1, distance + 3) } else { (low.min(high), high) }
}

fn gap_text(rng: &mut Rng, gap: usize, text: &mut String) {
    let low = gap.saturating_sub(rng.below(20));
    let high = gap + rng.below(20);
    let _ = match rng.below(5) {
        0 => write!(text, "*"),
        1 if gap > 0 => write!(text, "{{{gap}}}"),
        2 if high > 0 => write!(text, "{{-{high}}}"),
        3 => write!(text, "{{{low}-}}"),
        _ if rng.percent(10) => write!(text, "{{{}-{}}}", gap + 1, gap + 9),
        _ => write!(text, "{{{low}-{}}}", high.max(1)),
    };
}

/// Changes one hex digit, so that the pattern most likely no longer matches.
fn spoil(rng: &mut Rng, text: &mut String) {
    let depth_zero: Vec<usize> = digits_outside(text);
    if depth_zero.is_empty() {
        return;
    }
    let at = *rng.pick(&depth_zero);
    let digit = char::from(*rng.pick(b"0123456789abcdef")).to_string();
    text.replace_range(at..=at, &digit);
}

fn digits_outside(text: &str) -> Vec<usize> {
    let mut depth = 0i32;
    let mut found = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ if depth == 0 && letter.is_ascii_hexdigit() => found.push(at),
            _ => {}
        }
    }
    found
}

/// Boundaries.
const EDGES: [&str; 6] = ["(B)", "(L)", "(W)", "!(B)", "!(L)", "!(W)"];
