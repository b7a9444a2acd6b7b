//! Syntax of regular expressions: is this one that PCRE2, or POSIX, would compile?
//!
//! Promises: one pass, no recursion, memory in proportion to the expression; whatever it refuses, clamscan 1.4.6
//! refuses too. Leaves out: names of groups and of Unicode properties, and lengths of look-behinds beyond their
//! quantifiers; an expression that is wrong in these is accepted here and fails later, in the matcher.
//! Sources: pcre2pattern(3); regex(7); clamscan 1.4.6.

mod ere;
mod pcre;

use crate::{
    diagnostic::{Fault, codes},
    text::Text,
};

/// Which rules an expression follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Of logical signatures.
    Pcre,
    /// POSIX extended: names of container members, phishing lists.
    Posix,
}

/// Refuses an expression that does not follow the rules.
pub(crate) fn check(text: Text<'_>, dialect: Dialect) -> Result<(), Fault> {
    match dialect {
        Dialect::Pcre => pcre::check(text),
        Dialect::Posix => ere::check(text),
    }
}

/// Where a check stands.
struct Cursor<'a> {
    text: Text<'a>,
    pos: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: Text<'a>) -> Self {
        Self { text, pos: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    fn eat(&mut self, wanted: &[u8]) -> bool {
        let found = self.text.from(self.pos).bytes().starts_with(wanted);
        if found {
            self.pos += wanted.len();
        }
        found
    }

    /// Steps over everything to behind the first `end`; false when there is none.
    fn skip_past(&mut self, end: &[u8]) -> bool {
        let rest = self.text.from(self.pos).bytes();
        match rest.windows(end.len()).position(|w| w == end) {
            Some(idx) => {
                self.pos += idx + end.len();
                true
            }
            None => {
                self.pos = self.text.len();
                false
            }
        }
    }

    fn digits(&mut self) -> Text<'a> {
        let start = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        self.text.cut(start..self.pos)
    }

    fn fault(&self, from: usize, reason: impl Into<String>) -> Fault {
        self.text.cut(from..self.pos.max(from + 1)).fault(&codes::REGEX, reason)
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` behind its brace; none when it is not a repetition but plain text.
    fn bounds(&mut self, largest: u64) -> Result<Option<(u64, Option<u64>)>, Fault> {
        let start = self.pos;
        let low = self.digits();
        if low.is_empty() {
            return Ok(None);
        }
        let high = if self.eat(b",") { Some(self.digits()) } else { None };
        if !self.eat(b"}") {
            self.pos = start;
            return Ok(None);
        }
        let number = |text: Text<'_>| {
            text.number(largest).map_err(|fault| Fault { code: &codes::REGEX, ..fault })
        };
        let min = number(low)?;
        let max = match high {
            None => Some(min),
            Some(text) if text.is_empty() => None,
            Some(text) => Some(number(text)?),
        };
        if max.is_some_and(|max| max < min) {
            return Err(self.fault(start, "the repetition's bounds are out of order"));
        }
        Ok(Some((min, max)))
    }
}

/// Names of character classes within brackets.
const CLASSES: [&[u8]; 14] = [
    b"alnum", b"alpha", b"ascii", b"blank", b"cntrl", b"digit", b"graph", b"lower", b"print",
    b"punct", b"space", b"upper", b"word", b"xdigit",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all(dialect: Dialect, good: bool, texts: &str) {
        for text in texts.split_whitespace() {
            let got = check(Text::line(text.as_bytes()), dialect);
            assert_eq!(got.is_ok(), good, "{dialect:?} {text}: {got:?}");
        }
    }

    #[test]
    fn pcre() {
        // All as clamscan 1.4.6 has them.
        all(
            Dialect::Pcre,
            true,
            r"a a|b (|a) (?:)* (?=a)* a?+ a?? a{1}? a{65535} a{,2} a{2 a{x} { ] }",
        );
        all(
            Dialect::Pcre,
            true,
            r"[]a] [^]a] [\]] [a-z-9] [[:^alpha:]] [\b] [\Q]\E] [[:word:]-] (?i-s)",
        );
        all(
            Dialect::Pcre,
            true,
            r"(?^i) (?'n'a) (?<n>a)\k<n> \o{12} \x \Qabc \E \pL \C \0 \12 \100 \xg",
        );
        all(
            Dialect::Pcre,
            true,
            r"(?#abc) (*FAIL) (?(?=a)b|c) (?(DEFINE)a) (?|(a)|(b)) (?<=ab|c)d (?C)",
        );
        all(
            Dialect::Pcre,
            true,
            r"(a)\g1 (a)\g{1} (a)\1 (?s:a) (?^:a) \_ \< \ca \Q)\E (?R)+ (?x)a#) \G",
        );
        all(
            Dialect::Pcre,
            true,
            r"(?P<n>a)(?P=n) (?>a) (?!a)b (?<!a)b \h\H\v\V\R\X\N (a)(?-1) (?<=a{2})d",
        );
        all(
            Dialect::Pcre,
            false,
            r"^*a $* a|*b \b* (?i)* a+?+ a{1}{2} a{65536} [a-\d] [\d-a] [a\] []",
        );
        all(
            Dialect::Pcre,
            false,
            r"[[.a.]] [[=a=]] [[:foo:]] (?z) (?iz) (?:a (?<a \k \o \p \8 \1 (a)\2",
        );
        all(
            Dialect::Pcre,
            false,
            r"(* (? (?P (?Px) (?< (?<1a>b) (?<=a*)d (?<=a+)d [\B] [\R] [\N] [z-a]",
        );
        all(
            Dialect::Pcre,
            false,
            r"a) (a *a a** \i \y \U \c \x{zz} \x{100} (?R (?#a a{2,1} \j [a \g \x{ (?i",
        );
        all(Dialect::Pcre, false, r"(?(1)a|b|c) [a-\x10] \");
    }

    #[test]
    fn posix() {
        all(
            Dialect::Posix,
            true,
            r"a a) a{1,2} a{ () (?i)a \d+ [[=a=]] []a] [^]a] [a-] a{255} a\{1} \(a",
        );
        all(
            Dialect::Posix,
            true,
            r"a{,2} a{2,} (a)\1 } ] \.(jpg|pdf)\.exe$ ^a$ [[:alpha:]] .+ (a|b)*",
        );
        all(
            Dialect::Posix,
            false,
            r"(a [a *a +a a** a{2,1} {1} a\ a| |a [z-a] a{256} ^*a (*a) a|*b (|a)",
        );
        all(Dialect::Posix, false, r"a++ a{1 [] [[:foo:]]");
        assert!(check(Text::line(b""), Dialect::Posix).is_err());
    }
}
