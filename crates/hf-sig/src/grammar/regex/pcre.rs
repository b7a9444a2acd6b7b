//! Perl-compatible regular expressions.

use super::{CLASSES, Cursor};
use crate::{
    diagnostic::Fault,
    text::{Text, hex_digit},
};

/// Largest repetition; PCRE2's.
const REPEAT_MAX: u64 = 65_535;
/// Largest code of a character without UTF.
const CHAR_MAX: u32 = 0xff;

pub(super) fn check(text: Text<'_>) -> Result<(), Fault> {
    let mut checker = Checker {
        cursor: Cursor::new(text),
        open: Vec::new(),
        groups: 0,
        references: Vec::new(),
        extended: false,
        fixed: true,
    };
    while let Some(byte) = checker.cursor.next() {
        checker.step(byte)?;
    }
    checker.finish()
}

/// An open parenthesis.
struct Open {
    at: usize,
    /// Number of `|` still allowed; none for any.
    branches: Option<u8>,
    look_behind: bool,
}

struct Checker<'a> {
    cursor: Cursor<'a>,
    open: Vec<Open>,
    groups: u64,
    /// References by number that need that many groups, and their places.
    references: Vec<(u64, usize)>,
    extended: bool,
    /// Nothing stands in front that could be repeated.
    fixed: bool,
}

impl Checker<'_> {
    fn step(&mut self, byte: u8) -> Result<(), Fault> {
        let here = self.cursor.pos - 1;
        match byte {
            b'(' => self.group(here)?,
            b')' => {
                if self.open.pop().is_none() {
                    return Err(self.cursor.fault(here, "nothing is open that `)` could close"));
                }
                self.fixed = false;
            }
            b'|' => {
                if let Some(Open { branches: Some(left), .. }) = self.open.last_mut() {
                    let Some(fewer) = left.checked_sub(1) else {
                        let reason = "a conditional group has more than two branches";
                        return Err(self.cursor.fault(here, reason));
                    };
                    *left = fewer;
                }
                self.fixed = true;
            }
            b'*' | b'+' | b'?' => self.repeat(here, byte != b'?')?,
            b'{' => {
                if let Some((min, max)) = self.cursor.bounds(REPEAT_MAX)? {
                    self.repeat(here, max != Some(min))?;
                } else {
                    self.fixed = false;
                }
            }
            b'[' => {
                self.class(here)?;
                self.fixed = false;
            }
            b'\\' => self.escape(here)?,
            b'^' | b'$' => self.fixed = true,
            b'#' if self.extended => {
                self.cursor.skip_past(b"\n");
            }
            b' ' | b'\t' if self.extended => {}
            _ => self.fixed = false,
        }
        Ok(())
    }

    fn repeat(&mut self, here: usize, of_any_length: bool) -> Result<(), Fault> {
        if self.fixed {
            let reason = "nothing stands here that could be repeated";
            return Err(self.cursor.fault(here, reason));
        }
        if of_any_length && self.open.iter().any(|open| open.look_behind) {
            return Err(self.cursor.fault(here, "a look-behind has no fixed length"));
        }
        if matches!(self.cursor.peek(), Some(b'?' | b'+')) {
            self.cursor.pos += 1;
        }
        self.fixed = true;
        Ok(())
    }

    fn group(&mut self, here: usize) -> Result<(), Fault> {
        let mut open = Open { at: here, branches: None, look_behind: false };
        self.fixed = true;
        let cursor = &mut self.cursor;
        if cursor.eat(b"*") {
            return self.verb(here);
        }
        if !cursor.eat(b"?") {
            self.groups += 1;
            self.open.push(open);
            return Ok(());
        }
        if cursor.eat(b"#") {
            if !cursor.skip_past(b")") {
                return Err(cursor.fault(here, "the comment is not closed"));
            }
            return Ok(());
        }
        if cursor.eat(b"<=") || cursor.eat(b"<!") {
            open.look_behind = true;
        } else if cursor.eat(b"(") {
            return self.condition(open);
        } else if cursor.eat(b"P=") || cursor.eat(b"P>") || cursor.eat(b"&") || cursor.eat(b"C") {
            return self.leaf(here);
        } else if let Some(quote) = name_quote(cursor) {
            self.name(here, quote)?;
            self.groups += 1;
        } else if ![b":", b"=", b"!", b">", b"|"].into_iter().any(|kind| cursor.eat(kind)) {
            return self.options(open);
        }
        self.open.push(open);
        Ok(())
    }

    /// `(*VERB)`.
    fn verb(&mut self, here: usize) -> Result<(), Fault> {
        if !self.cursor.skip_past(b")") {
            return Err(self.cursor.fault(here, "nothing stands here that could be repeated"));
        }
        Ok(())
    }

    /// A group that holds no expression: a reference or a callout.
    fn leaf(&mut self, here: usize) -> Result<(), Fault> {
        if !self.cursor.skip_past(b")") {
            return Err(self.cursor.fault(here, "the parenthesis is not closed"));
        }
        self.fixed = false;
        Ok(())
    }

    fn name(&mut self, here: usize, quote: u8) -> Result<(), Fault> {
        let start = self.cursor.pos;
        while self.cursor.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.cursor.pos += 1;
        }
        let name = self.cursor.text.cut(start..self.cursor.pos);
        let digit = name.get(0).is_none_or(|b| b.is_ascii_digit());
        if digit || !self.cursor.eat(&[quote]) {
            return Err(self.cursor.fault(here, "malformed name of a group"));
        }
        Ok(())
    }

    /// `(?(condition)yes|no)`.
    fn condition(&mut self, mut open: Open) -> Result<(), Fault> {
        open.branches = Some(1);
        let at = open.at;
        if matches!(self.cursor.peek(), Some(b'?' | b'*')) {
            // The condition is a look-around.
            self.open.push(open);
            return self.group(self.cursor.pos - 1);
        }
        let digits = self.cursor.digits();
        if !digits.is_empty() {
            self.references.push((digits.number(u64::MAX)?, at));
        }
        if !self.cursor.skip_past(b")") {
            return Err(self.cursor.fault(at, "the condition is not closed"));
        }
        self.open.push(open);
        Ok(())
    }

    /// `(?i)`, `(?i-s:…)`, `(?R)`, `(?1)`, `(?-1)`.
    fn options(&mut self, open: Open) -> Result<(), Fault> {
        let here = open.at;
        let mut extended = self.extended;
        let mut on = true;
        while let Some(byte) = self.cursor.next() {
            match byte {
                b')' => {
                    self.extended = extended;
                    return Ok(());
                }
                b':' => {
                    self.extended = extended;
                    self.open.push(open);
                    return Ok(());
                }
                b'R' | b'0'..=b'9' => return self.leaf(here),
                b'+' | b'-' if self.cursor.peek().is_some_and(|b| b.is_ascii_digit()) => {
                    return self.leaf(here);
                }
                b'x' => extended = on,
                b'-' => on = false,
                b'^' | b'i' | b'm' | b's' | b'n' | b'J' | b'U' | b'a' => {}
                _ => {
                    let place = self.cursor.pos - 1;
                    return Err(self.cursor.fault(place, "unknown character behind `(?`"));
                }
            }
        }
        Err(self.cursor.fault(here, "the parenthesis is not closed"))
    }

    fn escape(&mut self, here: usize) -> Result<(), Fault> {
        self.fixed = false;
        let Some(byte) = self.cursor.next() else {
            return Err(self.cursor.fault(here, "nothing stands behind the backslash"));
        };
        match byte {
            b'Q' => {
                self.cursor.skip_past(b"\\E");
            }
            b'b' | b'B' | b'A' | b'Z' | b'z' | b'G' | b'K' => self.fixed = true,
            b'1'..=b'9' => {
                self.cursor.pos -= 1;
                let digits = self.cursor.digits();
                // Two and more digits may be octal.
                if digits.len() == 1 {
                    self.references.push((u64::from(byte - b'0'), here));
                }
            }
            b'g' | b'k' => {
                let plain = byte == b'g' && self.cursor.peek().is_some_and(|b| b.is_ascii_digit());
                if !plain && !matches!(self.cursor.peek(), Some(b'{' | b'<' | b'\'' | b'-' | b'+'))
                {
                    return Err(self.cursor.fault(here, "a reference has no name or number"));
                }
            }
            _ => {
                self.character(byte, here)?;
            }
        }
        Ok(())
    }

    /// Reads an escape that stands for characters; returns its value when it stands for one.
    fn character(&mut self, byte: u8, here: usize) -> Result<Option<u8>, Fault> {
        let cursor = &mut self.cursor;
        Ok(match byte {
            b'x' if cursor.eat(b"{") => Some(braced(cursor, here, 16)?),
            b'o' if cursor.eat(b"{") => Some(braced(cursor, here, 8)?),
            b'o' => return Err(cursor.fault(here, "`\\o` needs braces")),
            b'x' => {
                let mut value = 0u8;
                for _ in 0..2 {
                    let Some(digit) = cursor.peek().and_then(hex_digit) else { break };
                    value = value << 4 | digit;
                    cursor.pos += 1;
                }
                Some(value)
            }
            b'p' | b'P' => {
                if cursor.eat(b"{") {
                    if !cursor.skip_past(b"}") {
                        return Err(cursor.fault(here, "the property is not closed"));
                    }
                } else if cursor.next().is_none() {
                    return Err(cursor.fault(here, "malformed property"));
                }
                None
            }
            b'c' => match cursor.next() {
                Some(byte) => Some(byte.to_ascii_uppercase() ^ 0x40),
                None => return Err(cursor.fault(here, "nothing stands behind `\\c`")),
            },
            b'a' => Some(7),
            b'e' => Some(0x1b),
            b'f' => Some(0x0c),
            b'n' => Some(b'\n'),
            b'r' => Some(b'\r'),
            b't' => Some(b'\t'),
            b'd' | b'D' | b'h' | b'H' | b's' | b'S' | b'v' | b'V' | b'w' | b'W' => None,
            b'C' | b'E' | b'N' | b'R' | b'X' => None,
            b'0'..=b'9' => {
                while cursor.peek().is_some_and(|b| (b'0'..=b'7').contains(&b)) {
                    cursor.pos += 1;
                }
                None
            }
            byte if byte.is_ascii_alphabetic() => {
                return Err(cursor.fault(here, "unknown letter behind the backslash"));
            }
            byte => Some(byte),
        })
    }

    fn class(&mut self, here: usize) -> Result<(), Fault> {
        self.cursor.eat(b"^");
        let mut first = true;
        let mut previous: Option<Member> = None;
        loop {
            let start = self.cursor.pos;
            let Some(byte) = self.cursor.next() else { break };
            if byte == b']' && !first {
                return Ok(());
            }
            first = false;
            let is_range = byte == b'-'
                && previous.is_some()
                && !matches!(self.cursor.peek(), Some(b']') | None);
            if is_range {
                let Some(next) = self.cursor.next() else { break };
                let high = self.member(next, start)?;
                let bad = match (previous.take(), high) {
                    (Some(Member::One(low)), Member::One(high)) => low > high,
                    (Some(Member::Unknown), _) | (_, Member::Unknown) => false,
                    (Some(Member::Many), _) | (_, Member::Many) => true,
                    (None, _) => false,
                };
                if bad {
                    return Err(self.cursor.fault(start, "a range in brackets is out of order"));
                }
                continue;
            }
            previous = Some(self.member(byte, start)?);
        }
        self.cursor.pos = here + 1;
        Err(self.cursor.fault(here, "the bracket is not closed"))
    }

    fn member(&mut self, byte: u8, start: usize) -> Result<Member, Fault> {
        if byte == b'[' && matches!(self.cursor.peek(), Some(b':' | b'=' | b'.')) {
            return self.named_class(start);
        }
        if byte != b'\\' {
            return Ok(Member::One(byte));
        }
        let Some(byte) = self.cursor.next() else { return Ok(Member::Unknown) };
        match byte {
            b'Q' => {
                self.cursor.skip_past(b"\\E");
                Ok(Member::Unknown)
            }
            b'E' => Ok(Member::Unknown),
            b'b' => Ok(Member::One(8)),
            b'B' | b'R' | b'X' | b'N' => {
                Err(self.cursor.fault(start, "this escape is not allowed in brackets"))
            }
            b'0'..=b'9' => {
                self.character(byte, start)?;
                Ok(Member::Unknown)
            }
            byte => Ok(self.character(byte, start)?.map_or(Member::Many, Member::One)),
        }
    }

    fn named_class(&mut self, start: usize) -> Result<Member, Fault> {
        let kind = self.cursor.next().unwrap_or(b':');
        let from = self.cursor.pos;
        let rest = self.cursor.text.from(from);
        let Some(len) = rest.bytes().windows(2).position(|w| w == [kind, b']']) else {
            return Ok(Member::One(b'['));
        };
        let name = rest.cut(0..len);
        if name.find(b']').is_some() {
            return Ok(Member::One(b'['));
        }
        self.cursor.pos += len + 2;
        let name = name.strip(b"^").unwrap_or(name);
        if kind != b':' || !CLASSES.contains(&name.bytes()) {
            return Err(self.cursor.fault(start, "unknown character class"));
        }
        Ok(Member::Many)
    }

    fn finish(mut self) -> Result<(), Fault> {
        if let Some(open) = self.open.pop() {
            self.cursor.pos = open.at + 1;
            return Err(self.cursor.fault(open.at, "the parenthesis is not closed"));
        }
        if let Some((_, at)) = self.references.iter().find(|(group, _)| *group > self.groups) {
            self.cursor.pos = at + 2;
            return Err(self.cursor.fault(*at, "the reference is to a group that is not there"));
        }
        Ok(())
    }
}

/// What stands in brackets.
#[derive(Clone, Copy)]
enum Member {
    One(u8),
    Many,
    Unknown,
}

/// Returns the closing quote of a group's name when one starts here.
fn name_quote(cursor: &mut Cursor<'_>) -> Option<u8> {
    if cursor.eat(b"P<") || cursor.eat(b"<") {
        return Some(b'>');
    }
    cursor.eat(b"'").then_some(b'\'')
}

fn braced(cursor: &mut Cursor<'_>, here: usize, base: u32) -> Result<u8, Fault> {
    let mut value: u32 = 0;
    let mut digits = 0;
    while let Some(digit) = cursor.peek().and_then(hex_digit).map(u32::from) {
        if digit >= base {
            break;
        }
        value = value.saturating_mul(base).saturating_add(digit);
        digits += 1;
        cursor.pos += 1;
    }
    if digits == 0 || !cursor.eat(b"}") || value > CHAR_MAX {
        return Err(cursor.fault(here, "malformed or too large character code in braces"));
    }
    u8::try_from(value).map_err(|_| cursor.fault(here, "too large character code in braces"))
}
