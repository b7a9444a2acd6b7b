//! Patterns: hexadecimal bytes with wildcards, gaps, alternatives, boundaries and anchored bytes.
//!
//! ```text
//! pattern := part ( ('*' | range) part )*        range := {n} | {-m} | {n-} | {n-m} | {}
//! part    := item+                               item  := HH | H? | ?H | ?? | ['!'] ( ... )
//! anchor  := HH '[' n '-' m ']' part | part '[' n '-' m ']' HH
//! ```
//! Promises: memory in proportion to the line (wildcards are bounded by [`ITEMS_MAX`]), nesting bounded.
//! Sources: ClamAV's documentation of body signatures; clamscan 1.4.6: `{n}` below 128 is n wildcards as
//! long as no other range stands before it, an upper bound of 0 is none, of several boundaries in a row only the
//! outermost is of zero width, and a negated one in front of a part is not.
//!
//! Off-spec: spaces in `{ n}` and letters in `[n-x]`, which clamscan reads over, are refused; `{n-m}` with n > m,
//! which never matches, makes the signature be left out with a warning; numbers that do not fit ClamAV's 32 bits
//! are refused; filters that ClamAV cannot build for a short pattern are no reason to refuse it.

mod alternatives;

use hf_core::signature::{Body, Edge, EdgeKind, Gap, Item, Part, Reach};

use crate::{
    diagnostic::{Fault, codes},
    text::{Text, hex_digit},
};

/// Most items of a pattern; ours: 256 times what the longest line of plain bytes needs.
const ITEMS_MAX: usize = 65_536;
/// From this number of wildcards on `{n}` divides a pattern; ClamAV's.
const WILDCARDS_MAX: u32 = 128;
/// Largest distance of an anchored byte; ClamAV's.
const REACH_MAX: u32 = 32;
/// Neighbouring bytes without wildcards that each part needs; ClamAV's.
const STATIC_MIN: usize = 2;

/// Letters behind `::`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one letter of the language")]
pub(crate) struct Modifiers {
    pub(crate) nocase: bool,
    pub(crate) wide: bool,
    pub(crate) fullword: bool,
    pub(crate) ascii: bool,
}

/// Reads a pattern and returns its forms: as written, wide, or both.
pub(crate) fn forms(text: Text<'_>, modifiers: Modifiers) -> Result<Vec<Body>, Fault> {
    let mut forms = Vec::with_capacity(1);
    if modifiers.ascii || !modifiers.wide {
        forms.push(form(text, modifiers, false)?);
    }
    if modifiers.wide {
        forms.push(form(text, modifiers, true)?);
    }
    Ok(forms)
}

/// Reads a pattern without modifiers.
pub(crate) fn plain(text: Text<'_>) -> Result<Body, Fault> {
    form(text, Modifiers::default(), false)
}

fn form(text: Text<'_>, modifiers: Modifiers, wide: bool) -> Result<Body, Fault> {
    let mut parser = Parser {
        text,
        pos: 0,
        wide,
        // `[]` becomes `{}`, and negation is for plain alternatives only.
        gaps_only: modifiers.fullword || modifiers.wide,
        modified: modifiers != Modifiers { ascii: modifiers.ascii, ..Modifiers::default() },
        divided: false,
        items: 0,
    };
    let mut body =
        Body { parts: Vec::with_capacity(1), gaps: Vec::new(), nocase: modifiers.nocase, wide };
    let mut draft = Draft::new(text, 0);
    while let Some(byte) = text.get(parser.pos) {
        let here = parser.pos;
        if let Some(gap) = parser.step(byte, &mut draft)? {
            let ended = std::mem::replace(&mut draft, Draft::new(text, parser.pos));
            let place = text.cut(ended.start..here);
            body.parts.push(ended.finish(place)?);
            body.gaps.push(gap);
        }
    }
    let place = text.from(draft.start);
    body.parts.push(draft.finish(place)?);
    if modifiers.fullword {
        wrap(&mut body);
    }
    Ok(body)
}

/// Puts a boundary around the whole pattern; one that is there already then takes up a character.
fn wrap(body: &mut Body) {
    let edge = Edge { kind: EdgeKind::NonAlphanumeric, negated: false };
    if let Some(first) = body.parts.first_mut() {
        let inner = std::mem::replace(&mut first.lead, vec![edge]);
        first.items.splice(0..0, inner.into_iter().map(Item::Edge));
    }
    if let Some(last) = body.parts.last_mut() {
        let inner = std::mem::replace(&mut last.trail, vec![edge]);
        last.items.extend(inner.into_iter().map(Item::Edge));
    }
}

struct Parser<'a> {
    text: Text<'a>,
    pos: usize,
    wide: bool,
    gaps_only: bool,
    modified: bool,
    /// A range that divides was read: from there on `{n}` divides too.
    divided: bool,
    items: usize,
}

/// A part in the making.
struct Draft {
    start: usize,
    items: Vec<Item>,
    /// Anchored distances, with the number of items in front of each.
    reaches: Vec<(usize, u8, u8)>,
}

impl Draft {
    fn new(text: Text<'_>, start: usize) -> Self {
        // Most parts are plain bytes up to the next gap.
        let rest = text.from(start).bytes();
        let len = memchr::memchr2(b'*', b'{', rest).unwrap_or(rest.len());
        Self { start, items: Vec::with_capacity(len / 2), reaches: Vec::new() }
    }

    fn finish(mut self, place: Text<'_>) -> Result<Part, Fault> {
        if self.items.is_empty() && self.reaches.is_empty() {
            return Err(place.fault(&codes::PART_EMPTY, "a part of the pattern is empty"));
        }
        let mut part = Part::default();
        self.take_anchors(&mut part, place)?;
        let mut items = self.items;
        // A negated boundary in front takes up a character and stays an item.
        if let Some(Item::Edge(edge)) = items.first()
            && !edge.negated
        {
            part.lead.push(*edge);
            items.remove(0);
        }
        if let Some(Item::Edge(edge)) = items.last() {
            part.trail.push(*edge);
            items.pop();
        }
        if longest_static(&items) < STATIC_MIN {
            let reason = "the part has no two neighbouring bytes without a wildcard";
            return Err(place.fault(&codes::PART_SHORT, reason));
        }
        part.items = items;
        Ok(part)
    }

    /// Takes single bytes at a distance off both sides.
    fn take_anchors(&mut self, part: &mut Part, place: Text<'_>) -> Result<(), Fault> {
        let bad = || {
            let reason = "`[n-m]` must stand between one byte and the rest of its part";
            place.fault(&codes::ANCHOR, reason)
        };
        let mut reaches = std::mem::take(&mut self.reaches);
        if let Some((1, min, max)) = reaches.first().copied()
            && let Some(Item::Byte { value, mask }) = self.items.first().cloned()
        {
            part.left = Some(Reach { value, mask, min, max });
            self.items.remove(0);
            reaches.remove(0);
            for reach in &mut reaches {
                reach.0 = reach.0.saturating_sub(1);
            }
        }
        if let Some((count, min, max)) = reaches.last().copied()
            && count + 1 == self.items.len()
            && let Some(Item::Byte { value, mask }) = self.items.last().cloned()
        {
            part.right = Some(Reach { value, mask, min, max });
            self.items.pop();
            reaches.pop();
        }
        if reaches.is_empty() { Ok(()) } else { Err(bad()) }
    }
}

fn longest_static(items: &[Item]) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for item in items {
        run = if matches!(item, Item::Byte { mask: 0xff, .. }) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// What a range stands for.
enum Range {
    Wildcards(u32),
    Gap(Gap),
}

impl<'a> Parser<'a> {
    /// Reads one item into the draft, or returns the gap that ends it.
    fn step(&mut self, byte: u8, draft: &mut Draft) -> Result<Option<Gap>, Fault> {
        match byte {
            b'*' => {
                self.pos += 1;
                return Ok(Some(Gap { min: 0, max: None }));
            }
            b'{' => return self.gap(b'}', draft),
            b'[' if self.gaps_only => return self.gap(b']', draft),
            b'[' => {
                let (min, max) = self.reach()?;
                draft.reaches.push((draft.items.len(), min, max));
            }
            b'(' => draft.items.push(self.special(false)?),
            b'!' if self.text.get(self.pos + 1) == Some(b'(') => {
                self.pos += 1;
                draft.items.push(self.special(true)?);
            }
            b')' => {
                let place = self.text.cut(self.pos..self.pos + 1);
                return Err(place.fault(&codes::PAREN, "nothing is open that `)` could close"));
            }
            _ => self.byte(&mut draft.items)?,
        }
        Ok(None)
    }

    fn gap(&mut self, close: u8, draft: &mut Draft) -> Result<Option<Gap>, Fault> {
        match self.range(close)? {
            Range::Wildcards(count) => {
                self.wildcards(count, &mut draft.items)?;
                Ok(None)
            }
            Range::Gap(gap) => {
                self.divided = true;
                Ok(Some(gap))
            }
        }
    }

    fn wildcards(&mut self, count: u32, items: &mut Vec<Item>) -> Result<(), Fault> {
        for _ in 0..count {
            self.count_item()?;
            items.push(Item::Byte { value: 0, mask: 0 });
        }
        Ok(())
    }

    fn count_item(&mut self) -> Result<(), Fault> {
        self.items += 1;
        if self.items > ITEMS_MAX {
            let reason = format!("the pattern has more than {ITEMS_MAX} bytes");
            return Err(self.text.fault(&codes::PATTERN_LARGE, reason));
        }
        Ok(())
    }

    /// Reads two digits; in the wide form a zero byte follows.
    fn byte(&mut self, items: &mut Vec<Item>) -> Result<(), Fault> {
        let place = self.text.cut(self.pos..self.pos + 2);
        let (Some(first), Some(second)) = (place.get(0), place.get(1)) else {
            let reason = "the pattern has an odd number of digits";
            return Err(place.fault(&codes::PATTERN_BYTE, reason));
        };
        let (Some((high, high_mask)), Some((low, low_mask))) = (nibble(first), nibble(second))
        else {
            let reason = format!("`{}` is not a byte", place.lossy());
            return Err(place.fault(&codes::PATTERN_BYTE, reason));
        };
        self.pos += 2;
        self.count_item()?;
        items.push(Item::Byte { value: high << 4 | low, mask: high_mask << 4 | low_mask });
        if self.wide {
            self.count_item()?;
            items.push(Item::Byte { value: 0, mask: 0xff });
        }
        Ok(())
    }

    /// Returns the text between brackets and steps behind them.
    fn bracketed(&mut self, close: u8) -> Option<Text<'a>> {
        let inside = self.text.from(self.pos + 1);
        let len = inside.find(close)?;
        self.pos += len + 2;
        Some(inside.cut(0..len))
    }

    fn range(&mut self, close: u8) -> Result<Range, Fault> {
        let start = self.text.cut(self.pos..self.pos + 1);
        let Some(inside) = self.bracketed(close) else {
            return Err(start.fault(&codes::GAP, "the range is not closed"));
        };
        let Some((low, high)) = inside.split_once(b'-') else {
            let count = range_number(inside)?;
            return Ok(match count {
                0 => Range::Gap(Gap { min: 0, max: None }),
                1..WILDCARDS_MAX if !self.divided => Range::Wildcards(count),
                _ => Range::Gap(Gap { min: count, max: Some(count) }),
            });
        };
        let min = range_number(low)?;
        let max = Some(range_number(high)?).filter(|max| *max != 0);
        if max.is_some_and(|max| max < min) {
            let reason = "the range's upper bound is below its lower bound";
            return Err(inside.fault(&codes::NEVER, reason));
        }
        Ok(Range::Gap(Gap { min, max }))
    }

    fn reach(&mut self) -> Result<(u8, u8), Fault> {
        let start = self.text.cut(self.pos..self.pos + 1);
        let Some(inside) = self.bracketed(b']') else {
            return Err(start.fault(&codes::ANCHOR, "the bracket is not closed"));
        };
        let bad = || {
            let reason = format!("`{}` is not a distance of 0 to {REACH_MAX}", inside.lossy());
            inside.fault(&codes::ANCHOR, reason)
        };
        let number = |text: Text<'_>| -> Result<u8, Fault> {
            if text.is_empty() {
                return Err(bad());
            }
            let value = text.number(u64::from(REACH_MAX)).map_err(|_| bad())?;
            u8::try_from(value).map_err(|_| bad())
        };
        match inside.split_once(b'-') {
            None => number(inside).map(|n| (n, n)),
            // As clamscan has it, an upper bound that is missing is the lower one.
            Some((low, high)) if high.is_empty() => number(low).map(|n| (n, n)),
            Some((low, high)) => {
                let (min, max) = (number(low)?, number(high)?);
                if max < min { Err(bad()) } else { Ok((min, max)) }
            }
        }
    }
}

fn range_number(text: Text<'_>) -> Result<u32, Fault> {
    let value = text.number(i32::MAX.unsigned_abs().into()).map_err(|fault| {
        let reason = format!("`{}` is not a number of bytes below 2147483648", text.lossy());
        Fault { code: &codes::GAP, at: fault.at, reason }
    })?;
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

fn nibble(digit: u8) -> Option<(u8, u8)> {
    if digit == b'?' { Some((0, 0)) } else { hex_digit(digit).map(|value| (value, 0x0f)) }
}

#[cfg(test)]
mod tests;
