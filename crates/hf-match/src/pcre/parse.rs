//! Reads an expression as PCRE does, flags resolved, into a tree.

use hf_core::signature::PcreFlags;

use super::class::Bytes;

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Set(Bytes),
    Seq(Vec<Node>),
    Or(Vec<Node>),
    Repeat { node: Box<Node>, min: u32, max: Option<u32>, kind: Greed },
    Group { node: Box<Node>, kind: Group },
    Assert(Assert),
    Back { number: u32, caseless: bool },
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Plain,
    Capture,
    Atomic,
    Look { behind: bool, negated: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assert {
    Start,
    End,
    EndOrLastNewline,
    LineStart,
    LineEnd,
    Word,
    NotWord,
}

/// Reads an expression.
pub(super) fn parse(pattern: &[u8], flags: PcreFlags) -> Result<Node, String> {
    let mut parser = Parser {
        rest: pattern,
        modes: Modes {
            caseless: flags.caseless,
            dot_all: flags.dot_all,
            multi_line: flags.multi_line,
            extended: flags.extended,
        },
        dollar_end_only: flags.dollar_end_only,
        ungreedy: flags.ungreedy,
        names: Vec::new(),
        captures: 0,
        total: count_captures(pattern),
        depth: 0,
    };
    let node = parser.alternatives()?;
    match parser.rest {
        [] => Ok(node),
        _ => Err("unmatched )".to_owned()),
    }
}

#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one letter of the language")]
struct Modes {
    caseless: bool,
    dot_all: bool,
    multi_line: bool,
    extended: bool,
}

struct Parser<'a> {
    rest: &'a [u8],
    modes: Modes,
    dollar_end_only: bool,
    ungreedy: bool,
    names: Vec<(Vec<u8>, u32)>,
    captures: u32,
    total: u32,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn alternatives(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("nested too deeply".to_owned());
        }
        let modes = self.modes;
        let mut all = vec![self.sequence()?];
        while self.eat(b"|") {
            all.push(self.sequence()?);
        }
        self.modes = modes;
        self.depth -= 1;
        Ok(match all.pop() {
            Some(only) if all.is_empty() => only,
            Some(last) => {
                all.push(last);
                Node::Or(all)
            }
            None => Node::Seq(Vec::new()),
        })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        loop {
            self.skip_extended();
            match self.rest {
                [] | [b'|' | b')', ..] => return Ok(Node::Seq(nodes)),
                _ => {}
            }
            if let Some(node) = self.atom()? {
                let node = self.quantified(node)?;
                nodes.push(node);
            }
        }
    }

    /// Reads one piece; none for what only changes the modes.
    fn atom(&mut self) -> Result<Option<Node>, String> {
        let byte = self.next().ok_or("unexpected end")?;
        Ok(Some(match byte {
            b'.' if self.modes.dot_all => Node::Set(Bytes::ALL),
            b'.' => Node::Set(Bytes::of(b'\n').not()),
            b'^' if self.modes.multi_line => Node::Assert(Assert::LineStart),
            b'^' => Node::Assert(Assert::Start),
            b'$' if self.modes.multi_line => Node::Assert(Assert::LineEnd),
            b'$' if self.dollar_end_only => Node::Assert(Assert::End),
            b'$' => Node::Assert(Assert::EndOrLastNewline),
            b'[' => self.class()?,
            b'(' => return self.group(),
            b'\\' => return self.escape(),
            b'*' | b'+' | b'?' => return Err("nothing to repeat".to_owned()),
            _ => self.byte(byte),
        }))
    }

    fn byte(&self, byte: u8) -> Node {
        let set = Bytes::of(byte);
        Node::Set(if self.modes.caseless { set.fold() } else { set })
    }

    fn quantified(&mut self, mut node: Node) -> Result<Node, String> {
        loop {
            self.skip_extended();
            let Some((min, max)) = self.quantifier()? else { return Ok(node) };
            let kind = if self.eat(b"+") {
                Greed::Possessive
            } else if self.eat(b"?") == self.ungreedy {
                Greed::Greedy
            } else {
                Greed::Lazy
            };
            node = Node::Repeat { node: Box::new(node), min, max, kind };
        }
    }

    fn quantifier(&mut self) -> Result<Option<Bounds>, String> {
        Ok(Some(match self.rest {
            [b'*', rest @ ..] => {
                self.rest = rest;
                (0, None)
            }
            [b'+', rest @ ..] => {
                self.rest = rest;
                (1, None)
            }
            [b'?', rest @ ..] => {
                self.rest = rest;
                (0, Some(1))
            }
            [b'{', rest @ ..] => {
                let Some((bounds, rest)) = braces(rest) else { return Ok(None) };
                self.rest = rest;
                if bounds.1.is_some_and(|max| max < bounds.0) || bounds.0 > REPEAT_MAX {
                    return Err("bad repetition".to_owned());
                }
                bounds
            }
            _ => return Ok(None),
        }))
    }

    fn group(&mut self) -> Result<Option<Node>, String> {
        if self.rest.starts_with(b"*") {
            return Err("verb is not supported".to_owned());
        }
        let kind = if !self.eat(b"?") {
            self.captures += 1;
            Group::Capture
        } else if self.eat(b"#") {
            let end = self.rest.iter().position(|byte| *byte == b')').ok_or("open comment")?;
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            return Ok(None);
        } else if self.eat(b"P=") {
            let name = self.until(b')')?;
            return self.named_back(name).map(Some);
        } else {
            match self.group_kind()? {
                Some(kind) => kind,
                None => return self.modes_group(),
            }
        };
        let node = self.closed()?;
        Ok(Some(Node::Group { node: Box::new(node), kind }))
    }

    fn group_kind(&mut self) -> Result<Option<Group>, String> {
        for (text, kind) in GROUPS {
            if self.eat(text) {
                return Ok(Some(*kind));
            }
        }
        for (open, close) in [(&b"P<"[..], b'>'), (b"<", b'>'), (b"'", b'\'')] {
            if self.eat(open) {
                self.captures += 1;
                let name = self.until(close)?.to_vec();
                self.names.push((name, self.captures));
                return Ok(Some(Group::Capture));
            }
        }
        Ok(None)
    }

    /// Reads `i-s)` or `i-s:…)`.
    fn modes_group(&mut self) -> Result<Option<Node>, String> {
        let before = self.modes;
        let ungreedy = self.ungreedy;
        let mut on = true;
        loop {
            match self.next().ok_or("open group")? {
                b'-' => on = false,
                b'i' => self.modes.caseless = on,
                b's' => self.modes.dot_all = on,
                b'm' => self.modes.multi_line = on,
                b'x' => self.modes.extended = on,
                b'U' => self.ungreedy = on,
                b')' => return Ok(None),
                b':' => break,
                byte => return Err(format!("group (?{} is not supported", char::from(byte))),
            }
        }
        let node = self.closed()?;
        self.modes = before;
        self.ungreedy = ungreedy;
        Ok(Some(Node::Group { node: Box::new(node), kind: Group::Plain }))
    }

    fn closed(&mut self) -> Result<Node, String> {
        let node = self.alternatives()?;
        if self.eat(b")") { Ok(node) } else { Err("missing )".to_owned()) }
    }

    fn escape(&mut self) -> Result<Option<Node>, String> {
        let letter = self.next().ok_or("\\ at the end")?;
        if let Some(set) = Bytes::escape(letter) {
            return Ok(Some(Node::Set(set)));
        }
        Ok(Some(match letter {
            b'A' => Node::Assert(Assert::Start),
            b'z' => Node::Assert(Assert::End),
            b'Z' => Node::Assert(Assert::EndOrLastNewline),
            b'b' => Node::Assert(Assert::Word),
            b'B' => Node::Assert(Assert::NotWord),
            b'K' => Node::Keep,
            b'N' => Node::Set(Bytes::of(b'\n').not()),
            b'C' => Node::Set(Bytes::ALL),
            b'R' => newline(),
            b'Q' => return Ok(Some(self.quoted())),
            b'E' => return Ok(None),
            b'g' | b'k' => return self.named_reference().map(Some),
            b'1'..=b'9' => return self.numbered(letter).map(Some),
            b'G' | b'p' | b'P' | b'X' => {
                return Err(format!("\\{} is not supported", char::from(letter)));
            }
            _ => {
                let byte = self.escaped_byte(letter)?;
                self.byte(byte)
            }
        }))
    }

    /// Reads an escape that stands for one byte; its letter has been read.
    fn escaped_byte(&mut self, letter: u8) -> Result<u8, String> {
        Ok(match letter {
            b'a' => 7,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'c' => self.next().ok_or("\\c at the end")?.to_ascii_uppercase() ^ 0x40,
            b'x' if self.eat(b"{") => byte_of(self.until(b'}')?, 16)?,
            b'o' if self.eat(b"{") => byte_of(self.until(b'}')?, 8)?,
            b'x' => {
                let digits = self.take_while(2, u8::is_ascii_hexdigit);
                byte_of(digits, 16)?
            }
            b'0' => {
                let digits = self.take_while(2, is_octal);
                byte_of(digits, 8)?
            }
            _ if letter.is_ascii_alphanumeric() => {
                return Err(format!("\\{} is not known", char::from(letter)));
            }
            _ => letter,
        })
    }

    fn quoted(&mut self) -> Node {
        let len = self.rest.windows(2).position(|pair| pair == b"\\E");
        let (text, rest) = self.rest.split_at(len.unwrap_or(self.rest.len()));
        self.rest = rest;
        Node::Seq(text.iter().map(|byte| self.byte(*byte)).collect())
    }

    /// Reads `\1`: a back reference, or a byte in octal when there are not so many groups.
    fn numbered(&mut self, first: u8) -> Result<Node, String> {
        let before = self.rest;
        let more = self.take_while(2, u8::is_ascii_digit);
        let digits = [&[first], more].concat();
        let number = number_of(&digits, 10)?;
        if number < 10 || number <= self.total {
            return if number <= self.total {
                Ok(self.back(number))
            } else {
                Err(format!("back reference \\{number} to no group"))
            };
        }
        self.rest = before;
        if !is_octal(&first) {
            return Ok(self.byte(first));
        }
        let digits = [&[first], self.take_while(2, is_octal)].concat();
        let byte = byte_of(&digits, 8)?;
        Ok(self.byte(byte))
    }

    fn named_reference(&mut self) -> Result<Node, String> {
        let close = match self.next() {
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            Some(digit) if digit.is_ascii_digit() => return self.numbered(digit),
            _ => return Err("bad reference".to_owned()),
        };
        let name = self.until(close)?;
        match name {
            [b'-', digits @ ..] => {
                let back = number_of(digits, 10)?;
                let number = (self.captures + 1).checked_sub(back).filter(|number| *number > 0);
                Ok(self.back(number.ok_or("bad reference")?))
            }
            [b'0'..=b'9', ..] => Ok(self.back(number_of(name, 10)?)),
            _ => self.named_back(name),
        }
    }

    fn back(&self, number: u32) -> Node {
        Node::Back { number, caseless: self.modes.caseless }
    }

    fn named_back(&self, name: &[u8]) -> Result<Node, String> {
        let found = self.names.iter().find(|(known, _)| known == name);
        found.map(|(_, number)| self.back(*number)).ok_or_else(|| "unknown group".to_owned())
    }

    fn class(&mut self) -> Result<Node, String> {
        let negated = self.eat(b"^");
        let mut set = Bytes::default();
        let mut first = true;
        loop {
            let byte = self.next().ok_or("missing ]")?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            if byte == b'['
                && let Some(posix) = self.posix()?
            {
                set = set.or(posix);
                continue;
            }
            match self.class_item(byte)? {
                ClassItem::Set(more) => set = set.or(more),
                ClassItem::Byte(low) => {
                    let high = self.range_end()?.unwrap_or(low);
                    if high < low {
                        return Err("range out of order".to_owned());
                    }
                    set = set.or(Bytes::range(low, high));
                }
            }
        }
        let set = if self.modes.caseless { set.fold() } else { set };
        Ok(Node::Set(if negated { set.not() } else { set }))
    }

    fn class_item(&mut self, byte: u8) -> Result<ClassItem, String> {
        if byte != b'\\' {
            return Ok(ClassItem::Byte(byte));
        }
        let letter = self.next().ok_or("\\ at the end")?;
        if let Some(set) = Bytes::escape(letter) {
            return Ok(ClassItem::Set(set));
        }
        Ok(ClassItem::Byte(match letter {
            b'b' => 8,
            b'1'..=b'7' => {
                let digits = [&[letter], self.take_while(2, is_octal)].concat();
                byte_of(&digits, 8)?
            }
            b'E' | b'Q' | b'p' | b'P' => return Err("escape in a class".to_owned()),
            _ => self.escaped_byte(letter)?,
        }))
    }

    /// Reads `-x` behind a byte in a class.
    fn range_end(&mut self) -> Result<Option<u8>, String> {
        let [b'-', next, ..] = self.rest else { return Ok(None) };
        if *next == b']' || self.rest.starts_with(b"-[:") {
            return Ok(None);
        }
        let before = self.rest;
        self.next();
        let byte = self.next().ok_or("missing ]")?;
        match self.class_item(byte)? {
            ClassItem::Byte(byte) => Ok(Some(byte)),
            ClassItem::Set(_) => {
                self.rest = before;
                Ok(None)
            }
        }
    }

    /// Reads `:alpha:]` behind `[`.
    fn posix(&mut self) -> Result<Option<Bytes>, String> {
        let [b':', rest @ ..] = self.rest else { return Ok(None) };
        let Some(end) = rest.windows(2).position(|pair| pair == b":]") else { return Ok(None) };
        let name = rest.get(..end).unwrap_or_default();
        if name.iter().any(|byte| !byte.is_ascii_alphabetic() && *byte != b'^') {
            return Ok(None);
        }
        self.rest = rest.get(end + 2..).unwrap_or_default();
        Bytes::posix(name).map(Some).ok_or_else(|| "unknown POSIX class".to_owned())
    }

    /// Skips white space and comments of the extended mode.
    fn skip_extended(&mut self) {
        while self.modes.extended {
            match self.rest {
                [byte, rest @ ..] if byte.is_ascii_whitespace() || *byte == 0x0b => {
                    self.rest = rest;
                }
                [b'#', rest @ ..] => {
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    self.rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
                }
                _ => return,
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, close: u8) -> Result<&'a [u8], String> {
        let end = self.rest.iter().position(|byte| *byte == close).ok_or("open name or number")?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(text)
    }

    fn take_while(&mut self, most: usize, test: impl Fn(&u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().take(most).take_while(|byte| test(byte)).count();
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        text
    }
}

enum ClassItem {
    Set(Bytes),
    Byte(u8),
}

fn newline() -> Node {
    let pair = Node::Seq(vec![Node::Set(Bytes::of(b'\r')), Node::Set(Bytes::of(b'\n'))]);
    let single = Node::Set(Bytes::listed(b"\n\x0b\x0c\r\x85"));
    Node::Group { node: Box::new(Node::Or(vec![pair, single])), kind: Group::Plain }
}

/// Least and most repetitions.
type Bounds = (u32, Option<u32>);

/// Reads `n}`, `n,}` or `n,m}`; anything else is no quantifier.
fn braces(text: &[u8]) -> Option<(Bounds, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'}')?;
    let inside = text.get(..end)?;
    let rest = text.get(end + 1..)?;
    let number = |digits: &[u8]| -> Option<u32> {
        let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok()
    };
    let bounds = match inside.iter().position(|byte| *byte == b',') {
        None => {
            let count = number(inside)?;
            (count, Some(count))
        }
        Some(comma) => {
            let (low, high) = (inside.get(..comma)?, inside.get(comma + 1..)?);
            let high = if high.is_empty() { None } else { Some(number(high)?) };
            (number(low)?, high)
        }
    };
    Some((bounds, rest))
}

fn number_of(digits: &[u8], radix: u32) -> Result<u32, String> {
    let text = std::str::from_utf8(digits).unwrap_or("?").trim();
    let text = if text.is_empty() { "0" } else { text };
    u32::from_str_radix(text, radix).map_err(|_| "bad number".to_owned())
}

fn byte_of(digits: &[u8], radix: u32) -> Result<u8, String> {
    let number = number_of(digits, radix)?;
    u8::try_from(number).map_err(|_| "character above \\xff".to_owned())
}

fn is_octal(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'7')
}

/// Counts groups that capture, as far as telling `\12` from an octal byte needs it.
fn count_captures(pattern: &[u8]) -> u32 {
    let mut count = 0;
    let mut rest = pattern;
    let mut in_class = false;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'\\' => rest = behind.get(1..).unwrap_or_default(),
            b'[' if !in_class => {
                in_class = true;
                rest = rest.strip_prefix(b"^").unwrap_or(rest);
                rest = rest.strip_prefix(b"]").unwrap_or(rest);
            }
            b']' => in_class = false,
            b'(' if !in_class => {
                let named = [&b"?P<"[..], b"?'"].iter().any(|start| behind.starts_with(start))
                    || matches!(behind, [b'?', b'<', third, ..] if !matches!(third, b'=' | b'!'));
                count += u32::from(named || !behind.starts_with(b"?"));
            }
            _ => {}
        }
    }
    count
}

const GROUPS: &[(&[u8], Group)] = &[
    (b":", Group::Plain),
    (b">", Group::Atomic),
    (b"=", Group::Look { behind: false, negated: false }),
    (b"!", Group::Look { behind: false, negated: true }),
    (b"<=", Group::Look { behind: true, negated: false }),
    (b"<!", Group::Look { behind: true, negated: true }),
];

/// Ours: nesting of groups, as PCRE2's `parens nest limit`.
const DEPTH_MAX: u32 = 250;
/// The format's: PCRE2 repeats at most 65535 times.
const REPEAT_MAX: u32 = 65_535;
