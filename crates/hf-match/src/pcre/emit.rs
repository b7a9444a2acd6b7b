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
    let mut groups = Vec::new();
    if dialect == Dialect::Outline {
        collect(tree, &mut groups);
    }
    let mut emitter = Emitter { out: &mut out, dialect, groups: &groups, inside: 0 };
    emitter.node(tree, true)?;
    Some(out)
}

/// Lists the groups that capture, by number.
fn collect<'t>(node: &'t Node, groups: &mut Vec<&'t Node>) {
    match node {
        Node::Seq(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| collect(node, groups)),
        Node::Repeat { node, .. } => collect(node, groups),
        Node::Group { node, kind } => {
            if *kind == Group::Capture {
                groups.push(node);
            }
            collect(node, groups);
        }
        Node::Set(_) | Node::Assert(_) | Node::Back { .. } | Node::Keep => {}
    }
}

struct Emitter<'a> {
    out: &'a mut String,
    dialect: Dialect,
    /// What captures, for outlines.
    groups: &'a [&'a Node],
    /// Back references that are being written as what their group may capture.
    inside: usize,
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
            Node::Back { number, caseless } if self.dialect == Dialect::Outline => {
                self.like_group(*number, *caseless)?;
            }
            Node::Keep if self.dialect == Dialect::Outline => {}
            Node::Back { number, caseless } => {
                self.only_backtracker()?;
                let mode = if *caseless { "i" } else { "" };
                write!(self.out, "(?{mode}:\\{number})").ok()?;
            }
            Node::Keep => {
                self.only_backtracker()?;
                self.out.push_str("\\K");
            }
        }
        Some(())
    }

    /// Writes what a group may have captured in place of a reference to it.
    fn like_group(&mut self, number: u32, caseless: bool) -> Option<()> {
        let number = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let group = number.and_then(|number| self.groups.get(number)).copied();
        let Some(group) = group.filter(|_| self.inside < INSIDE_MAX && self.out.len() < LEN_MAX)
        else {
            self.out.push_str("[\\x00-\\xff]*");
            return Some(());
        };
        self.inside += 1;
        self.out.push_str(if caseless { "(?i:" } else { "(?:" });
        self.node(group, false)?;
        self.out.push(')');
        self.inside -= 1;
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

/// Ours: groups that refer to groups, in one another.
const INSIDE_MAX: usize = 3;
/// Ours: length of an outline up to which references are written out.
const LEN_MAX: usize = 1 << 14;
const WORD: &str = "(?:(?<=[0-9A-Z_a-z])(?![0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?=[0-9A-Z_a-z]))";
const NOT_WORD: &str = "(?:(?<=[0-9A-Z_a-z])(?=[0-9A-Z_a-z])|(?<![0-9A-Z_a-z])(?![0-9A-Z_a-z]))";
