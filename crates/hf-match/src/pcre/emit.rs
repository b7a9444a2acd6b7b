//! Writes a tree in the language of one of the two engines.

use std::fmt::Write;

use super::class::Bytes;
use super::parse::{Assert, Greed, Group, Node};

/// Whose language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `regex-automata` on bytes.
    Automaton,
    /// The same, and more is matched: what an automaton cannot say is left open.
    Outline,
    /// `fancy-regex` on text in which every character is one byte.
    Backtracker,
}

/// Returns the tree as text; none when the dialect cannot say it.
pub(super) fn emit(tree: &Node, dialect: Dialect) -> Option<String> {
    let mut out = String::new();
    let mut emitter = Emitter { out: &mut out, dialect };
    emitter.node(tree, true)?;
    Some(out)
}

struct Emitter<'a> {
    out: &'a mut String,
    dialect: Dialect,
}

impl Emitter<'_> {
    /// Writes a node; `last` says that nothing of the expression follows it.
    fn node(&mut self, node: &Node, last: bool) -> Option<()> {
        match node {
            Node::Set(set) => self.set(*set),
            Node::Seq(nodes) => {
                let end = nodes.len().checked_sub(1);
                for (idx, node) in nodes.iter().enumerate() {
                    self.node(node, last && Some(idx) == end)?;
                }
            }
            Node::Or(nodes) => {
                self.out.push_str("(?:");
                for (idx, node) in nodes.iter().enumerate() {
                    self.out.push_str(if idx > 0 { "|" } else { "" });
                    self.node(node, last)?;
                }
                self.out.push(')');
            }
            Node::Repeat { node, min, max, kind } => self.repeat(node, *min, *max, *kind)?,
            Node::Group { node, kind } => self.group(node, *kind, last)?,
            Node::Assert(assert) => self.assert(*assert, last)?,
            Node::Back(_) if self.dialect == Dialect::Outline => {
                self.out.push_str("[\\x00-\\xff]*")
            }
            Node::Keep if self.dialect == Dialect::Outline => {}
            Node::Back(number) => {
                self.only_backtracker()?;
                write!(self.out, "(?:\\{number})").ok()?;
            }
            Node::Keep => {
                self.only_backtracker()?;
                self.out.push_str("\\K");
            }
        }
        Some(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, kind: Greed) -> Option<()> {
        let outline = self.dialect == Dialect::Outline;
        let kind = if outline && kind == Greed::Possessive { Greed::Greedy } else { kind };
        if kind == Greed::Possessive {
            self.only_backtracker()?;
            self.out.push_str("(?>");
        }
        self.out.push_str("(?:");
        self.node(node, false)?;
        self.out.push(')');
        match (min, max) {
            (0, None) => self.out.push('*'),
            (1, None) => self.out.push('+'),
            (0, Some(1)) => self.out.push('?'),
            (min, None) => write!(self.out, "{{{min},}}").ok()?,
            (min, Some(max)) => write!(self.out, "{{{min},{max}}}").ok()?,
        }
        match kind {
            Greed::Greedy => {}
            Greed::Lazy => self.out.push('?'),
            Greed::Possessive => self.out.push(')'),
        }
        Some(())
    }

    fn group(&mut self, node: &Node, kind: Group, last: bool) -> Option<()> {
        let outline = self.dialect == Dialect::Outline;
        if outline && matches!(kind, Group::Look { .. }) {
            return Some(());
        }
        let kind = if outline && kind == Group::Atomic { Group::Plain } else { kind };
        let open = match kind {
            Group::Plain => "(?:",
            Group::Capture if self.dialect != Dialect::Backtracker => "(?:",
            Group::Capture => "(",
            Group::Atomic => "(?>",
            Group::Look { behind: false, negated: false } => "(?=",
            Group::Look { behind: false, negated: true } => "(?!",
            Group::Look { behind: true, negated: false } => "(?<=",
            Group::Look { behind: true, negated: true } => "(?<!",
        };
        let plain = matches!(kind, Group::Plain | Group::Capture);
        if !plain {
            self.only_backtracker()?;
        }
        self.out.push_str(open);
        self.node(node, last && plain)?;
        self.out.push(')');
        Some(())
    }

    fn assert(&mut self, assert: Assert, last: bool) -> Option<()> {
        let automaton = self.dialect != Dialect::Backtracker;
        let outline = self.dialect == Dialect::Outline;
        let text = match assert {
            Assert::Start => "\\A",
            Assert::End => "\\z",
            Assert::LineStart => "(?m:^)",
            Assert::LineEnd => "(?m:$)",
            // Without look-ahead the newline is taken into the match, which nothing can see.
            Assert::EndOrLastNewline if automaton && last => "(?:\\n?\\z)",
            Assert::EndOrLastNewline if outline => "",
            Assert::EndOrLastNewline if automaton => return None,
            Assert::EndOrLastNewline => "(?=\\n?\\z)",
            Assert::Word if automaton => "\\b",
            Assert::NotWord if automaton => "\\B",
            Assert::Word => WORD,
            Assert::NotWord => NOT_WORD,
        };
        self.out.push_str(text);
        Some(())
    }

    fn set(&mut self, set: Bytes) {
        let ranges = set.ranges();
        match ranges.as_slice() {
            [(one, same)] if one == same => self.byte(*one),
            [] => self.out.push_str("[^\\x00-\\xff]"),
            _ => {
                self.out.push('[');
                for (first, last) in ranges {
                    self.byte(first);
                    if last > first {
                        self.out.push('-');
                        self.byte(last);
                    }
                }
                self.out.push(']');
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            let written = write!(self.out, "\\x{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }

    fn only_backtracker(&self) -> Option<()> {
        (self.dialect == Dialect::Backtracker).then_some(())
    }
}

const WORD: &str = "(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))";
const NOT_WORD: &str = "(?:(?<=[0-9A-Z_a-z])(?=[0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?![0-9A-Z_a-z]))";
