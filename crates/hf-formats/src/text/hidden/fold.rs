//! Replaces constant expressions in a script by their values.
//!
//! One reader for all languages: what differs between them are comments, quotes and escapes ([`Dialect`]), and
//! operators and functions hardly clash. An expression that does not fold is copied and its parts are tried.
//!
//! Promises: at most four steps a byte (and a million), [`BYTES_MAX`] bytes of values, nesting of [`DEPTH_MAX`].
//! Leaves out: order of evaluation: a variable has the value that was assigned last in the text.

use std::collections::BTreeMap;

use hf_core::{Sink, Stop};

use super::blob::Blob;
use super::call::{self, call};
use super::value::{Value, character, has_magic, is_text, narrow, number};

/// The result.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The text, when something was replaced that only disguise needs.
    pub(super) text: Option<Vec<u8>>,
    /// Values that are no text.
    pub(super) blobs: Vec<Blob>,
    /// A bound was reached.
    pub(super) more: bool,
}

/// Steps that even a short text may take.
const STEPS_MIN: usize = 1 << 20;
const BYTES_MAX: usize = 128 << 20;
const DEPTH_MAX: u32 = 32;
const VARIABLES_MAX: usize = 1 << 14;
const TICKS_MIN: usize = 4;
const LIST_MAX: usize = 1 << 21;
const NAME_LEN_MAX: usize = 128;
/// Names of functions that fold are shorter than this.
const BLOB_LEN_MIN: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Backslashes escape; `//`, `/*` and `#` start comments.
    C,
    /// Quotes are doubled, `'` starts a comment.
    Vb,
    /// Back quotes escape, `#` starts a comment.
    PowerShell,
}

impl Dialect {
    fn of(text: &[u8]) -> Self {
        let head = text.get(..text.len().min(1 << 16)).unwrap_or_default().to_ascii_lowercase();
        let has = |word: &str| memchr::memmem::find(&head, word.as_bytes()).is_some();
        let vb = [
            "end sub",
            "end function",
            "dim ",
            "createobject(",
            "& chr(",
            "&chr(",
            "&chrw(",
            "execute(",
        ];
        let no_vb = ["<?php", "function(", "var ", "def ", "import "];
        if vb.iter().any(|word| has(word)) && !no_vb.iter().any(|word| has(word)) {
            return Self::Vb;
        }
        let shell = [
            "[char]",
            "iex",
            "invoke-expression",
            "-join",
            "powershell",
            "[convert]::",
            "new-object",
        ];
        let power = shell.iter().any(|word| has(word)) && !no_vb.iter().any(|word| has(word));
        if power || has("' -f") || has("\" -f") { Self::PowerShell } else { Self::C }
    }
}

/// A folded expression.
#[derive(Debug, Clone)]
struct Out {
    value: Value,
    /// Literals and calls in it.
    pieces: usize,
    strong: bool,
}

impl Out {
    fn new(value: Value) -> Self {
        Self { value, pieces: 1, strong: false }
    }

    fn is_disguise(&self) -> bool {
        let len = self.value.len();
        self.strong && len >= 3 || self.pieces >= 3 && len <= self.pieces.saturating_mul(6)
    }
}

struct Folder<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
    variables: BTreeMap<Vec<u8>, Variable>,
    out: Vec<u8>,
    blobs: Vec<Blob>,
    disguise: usize,
    /// Back quotes that were noise.
    ticks: usize,
    steps: usize,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Variable {
    out: Out,
    shown: bool,
}

/// Folds a text.
///
/// # Errors
/// The scan ends here.
pub(super) fn fold(text: &[u8], sink: &mut dyn Sink) -> Result<Folded, Stop> {
    let mut folder = Folder {
        text,
        at: 0,
        dialect: Dialect::of(text),
        variables: BTreeMap::new(),
        out: Vec::with_capacity(text.len()),
        blobs: Vec::new(),
        disguise: 0,
        ticks: 0,
        steps: 0,
        bytes: 0,
    };
    let out_max = text.len().saturating_mul(3).saturating_add(8 << 20);
    let mut polled = 0usize;
    while folder.at < text.len() {
        if folder.at.saturating_sub(polled) > 1 << 16 {
            polled = folder.at;
            sink.poll()?;
        }
        if folder.is_spent() || folder.out.len() > out_max {
            break;
        }
        folder.step();
    }
    let more = folder.at < text.len();
    if more {
        let rest = text.get(folder.at..).unwrap_or_default();
        folder.out.extend_from_slice(rest);
    }
    let text = (folder.disguise > 0 || folder.ticks >= TICKS_MIN).then_some(folder.out);
    Ok(Folded { text, blobs: folder.blobs, more })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

impl Folder<'_> {
    fn is_spent(&self) -> bool {
        self.steps > self.text.len().saturating_mul(4).saturating_add(STEPS_MIN)
            || self.bytes > BYTES_MAX
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn copy(&mut self, len: usize) {
        let end = self.at.saturating_add(len.max(1)).min(self.text.len());
        self.out.extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    /// Reads what stands at the place: a comment, an expression, an assignment, or a byte.
    fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
        let byte = self.peek(0);
        if let Some(len) = self.comment() {
            self.copy(len);
            return;
        }
        match byte {
            b'"' | b'\'' | b'[' | b'(' => self.top(),
            _ if is_name(byte) => self.word(),
            // Back quotes inside of words are noise in PowerShell.
            b'`' if self.dialect == Dialect::PowerShell && self.peek(1).is_ascii_alphabetic() => {
                self.at = self.at.saturating_add(1);
            }
            _ => self.copy(1),
        }
    }

    fn comment(&self) -> Option<usize> {
        let rest = self.rest();
        let line = || memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        match (self.dialect, rest) {
            (Dialect::Vb, [b'\'', ..]) => Some(line()),
            (Dialect::C, [b'/', b'*', ..]) => {
                Some(memchr::memmem::find(rest, b"*/").map_or(2, |end| end.saturating_add(2)))
            }
            (Dialect::C, [b'/', b'/', ..]) if !self.out.ends_with(b":") => {
                // On one long line a comment would hide the rest; what is behind is tried too.
                Some(line()).filter(|len| *len < 256)
            }
            _ => None,
        }
    }

    /// Tries an expression where one may start.
    fn top(&mut self) {
        let start = self.at;
        match self.expression(0) {
            Some(out) if self.at > start => self.show(start, out),
            _ => {
                self.at = start;
                self.copy(1);
            }
        }
    }

    /// Writes a folded expression, or its source when folding changed nothing.
    fn show(&mut self, start: usize, out: Out) {
        let source = self.text.get(start..self.at).unwrap_or_default();
        if matches!(out.value, Value::Number(_)) || out.pieces <= 1 && !out.strong {
            self.out.extend_from_slice(source);
            return;
        }
        let bytes = match &out.value {
            Value::List(values) if values.len() < BLOB_LEN_MIN => None,
            value => value.bytes(),
        };
        let Some(bytes) = bytes else {
            self.out.extend_from_slice(source);
            if let Value::List(values) = out.value {
                self.members(values);
            }
            return;
        };
        let bytes = narrow(&bytes).unwrap_or(bytes);
        if is_text(&bytes) {
            self.disguise = self.disguise.saturating_add(usize::from(out.is_disguise()));
            let around = source.starts_with(b"(") && source.ends_with(b")");
            let (open, close): (&[u8], &[u8]) =
                if around { (b"(\"", b"\")") } else { (b"\"", b"\"") };
            self.out.extend_from_slice(open);
            self.out.extend_from_slice(&bytes);
            self.out.extend_from_slice(close);
            return;
        }
        self.out.extend_from_slice(b"\"\"");
        self.blob(bytes);
    }

    /// Keeps what is no text in a list.
    fn members(&mut self, values: Vec<Value>) {
        for value in values {
            match value {
                Value::Bytes(bytes) if !is_text(&bytes) => self.blob(bytes),
                _ => {}
            }
        }
    }

    fn blob(&mut self, bytes: Vec<u8>) {
        if bytes.len() < BLOB_LEN_MIN || self.blobs.len() >= super::BLOBS_MAX {
            return;
        }
        // What is no known file may be deflated.
        if !has_magic(&bytes)
            && let Some(data) = call::inflated(&bytes)
            && data.len() > bytes.len() / 2
            && (has_magic(&data) || is_text(&data))
        {
            self.bytes = self.bytes.saturating_add(data.len());
            self.blobs.push(Blob { name: "inflated", data });
        }
        if !self.blobs.iter().any(|blob| blob.data == bytes) {
            self.blobs.push(Blob { name: "value", data: bytes });
        }
    }

    /// Reads a word: an assignment, a call, a variable, or nothing.
    fn word(&mut self) {
        let start = self.at;
        if let Some(len) = self.idle_word() {
            self.copy(len);
            return;
        }
        let name = self.name();
        if name.is_empty() {
            self.at = start;
            self.copy(1);
            return;
        }
        let behind = self.at;
        if self.assignment(start, &name) {
            return;
        }
        self.at = start;
        let known = self.variables.contains_key(&name.to_ascii_lowercase());
        match self.expression(0) {
            Some(out) if self.at > behind || known => {
                // A variable alone is shown once.
                let alone = self.at == behind;
                if alone && !self.first_use(&name) {
                    self.out.extend_from_slice(self.text.get(start..behind).unwrap_or_default());
                } else {
                    self.show(start, out);
                }
            }
            _ => {
                self.at = behind;
                let ticks = behind.saturating_sub(start).saturating_sub(name.len());
                self.ticks = self.ticks.saturating_add(ticks);
                self.out.extend_from_slice(&name);
            }
        }
    }

    /// Returns the length of a word that is no variable, and behind which neither an assignment, a call, a path nor
    /// a literal can begin. Most words are such, and cost nothing more.
    fn idle_word(&self) -> Option<usize> {
        let rest = self.rest();
        let len = rest.iter().take(NAME_LEN_MAX).take_while(|byte| is_name(**byte)).count();
        let behind = rest.get(len..).unwrap_or_default();
        let next = behind.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        let may_fold = match next {
            None => false,
            Some(byte) => {
                is_name(*byte) && len == NAME_LEN_MAX
                    || matches!(
                        byte,
                        b'=' | b'+'
                            | b'.'
                            | b'&'
                            | b'('
                            | b':'
                            | b'"'
                            | b'\''
                            | b'`'
                            | b'_'
                            | b'\\'
                    )
            }
        };
        let word = rest.get(..len).unwrap_or_default();
        if may_fold || len == 0 || word.eq_ignore_ascii_case(b"new") {
            return None;
        }
        let mut lower = [0; NAME_LEN_MAX];
        let lower = lower.get_mut(..len)?;
        lower.copy_from_slice(word);
        lower.make_ascii_lowercase();
        (!self.variables.contains_key(&*lower)).then_some(len)
    }

    fn first_use(&mut self, name: &[u8]) -> bool {
        let variable = self.variables.get_mut(&name.to_ascii_lowercase());
        variable.is_some_and(|variable| !std::mem::replace(&mut variable.shown, true))
    }

    /// Moves over a name with points and colons between its parts.
    fn name(&mut self) -> Vec<u8> {
        let start = self.at;
        while is_name(self.peek(0)) || self.peek(0) == b'`' && is_name(self.peek(1)) {
            self.at = self.at.saturating_add(1);
            if self.at.saturating_sub(start) > NAME_LEN_MAX {
                break;
            }
        }
        let name = self.text.get(start..self.at).unwrap_or_default();
        name.iter().copied().filter(|byte| *byte != b'`').collect()
    }

    fn spaces(&mut self) {
        loop {
            match self.rest() {
                [b' ' | b'\t', ..] => self.at = self.at.saturating_add(1),
                // Lines that go on.
                [b'_' | b'`' | b'\\', b'\r', b'\n', ..] => self.at = self.at.saturating_add(3),
                [b'_' | b'`' | b'\\', b'\n', ..] => self.at = self.at.saturating_add(2),
                _ => return,
            }
        }
    }

    fn lines(&mut self) {
        loop {
            self.spaces();
            if !matches!(self.peek(0), b'\r' | b'\n') {
                return;
            }
            self.at = self.at.saturating_add(1);
        }
    }

    /// Reads `= expression` behind a name, and notes the variable.
    fn assignment(&mut self, start: usize, name: &[u8]) -> bool {
        self.spaces();
        let (len, appends) = match self.rest() {
            [b'=', b'=' | b'>', ..] => return false,
            [b'=', ..] => (1usize, false),
            [b'+' | b'.' | b'&', b'=', ..] => (2, true),
            _ => return false,
        };
        self.at = self.at.saturating_add(len);
        self.lines();
        let key = name.to_ascii_lowercase();
        let value_at = self.at;
        let appends = appends || self.is_appended(&key);
        let expression_at = self.at;
        let out = self.expression(0);
        let ends = {
            self.spaces();
            matches!(
                self.peek(0),
                0 | b'\r' | b'\n' | b';' | b':' | b',' | b')' | b'}' | b'<' | b'|' | b'\''
            )
        };
        let Some(out) = out.filter(|_| ends) else {
            self.variables.remove(&key);
            self.at = value_at;
            self.out.extend_from_slice(self.text.get(start..value_at).unwrap_or_default());
            return true;
        };
        let before = self.text.get(start..expression_at).unwrap_or_default();
        self.out.extend_from_slice(before);
        self.show(expression_at, out.clone());
        self.bytes = self.bytes.saturating_add(out.value.len());
        if appends {
            if let Some(variable) = self.variables.get_mut(&key) {
                if let Value::Bytes(bytes) = &mut variable.out.value {
                    bytes.extend(out.value.text());
                }
                variable.out.pieces = variable.out.pieces.saturating_add(out.pieces);
                variable.out.strong |= out.strong;
                variable.shown = false;
            }
        } else if self.variables.len() < VARIABLES_MAX {
            self.variables.insert(key, Variable { out, shown: false });
        }
        true
    }

    /// Moves over `name +` when an expression starts with the variable that it is assigned to.
    fn is_appended(&mut self, key: &[u8]) -> bool {
        let start = self.at;
        let holds = |variable: &Variable| matches!(variable.out.value, Value::Bytes(_));
        if self.variables.get(key).is_some_and(holds) && self.name().eq_ignore_ascii_case(key) {
            self.spaces();
            let ends = !matches!(self.peek(1), b'+' | b'&' | b'=');
            if matches!(self.peek(0), b'+' | b'&' | b'.') && ends {
                self.at = self.at.saturating_add(1);
                self.lines();
                return true;
            }
        }
        self.at = start;
        false
    }

    /// Reads terms and what joins them.
    fn expression(&mut self, depth: u32) -> Option<Out> {
        self.steps = self.steps.saturating_add(1);
        if depth > DEPTH_MAX || self.is_spent() {
            return None;
        }
        let mut left = self.term(depth)?;
        loop {
            let before = self.at;
            if self.joined(&mut left, depth).is_none() {
                self.at = before;
                return Some(left);
            }
            self.bytes = self.bytes.saturating_add(if left.value.len() > 4096 { 1024 } else { 0 });
            if self.is_spent() {
                return Some(left);
            }
        }
    }

    /// Reads one operator and its right side.
    fn joined(&mut self, left: &mut Out, depth: u32) -> Option<()> {
        self.spaces();
        if matches!(self.peek(0), b'\r' | b'\n') {
            self.lines();
            if !matches!(self.peek(0), b'+' | b'.') {
                return None;
            }
        }
        let deeper = depth.saturating_add(1);
        match self.rest() {
            [b'+', b'+' | b'=', ..] | [b'&', b'&' | b'=' | b'#', ..] | [b'.', b'=', ..] => None,
            [b'+' | b'&', ..] => {
                self.at = self.at.saturating_add(1);
                self.lines();
                let is_sum = self.text.get(self.at.saturating_sub(1)) != Some(&b'&');
                let right = self.term(deeper)?;
                append(left, right, is_sum);
                Some(())
            }
            [b'.', next, ..]
                if matches!(next, b' ' | b'"' | b'\'' | b'$' | b'(') || is_name(*next) =>
            {
                self.at = self.at.saturating_add(1);
                self.lines();
                let right = self.term(deeper)?;
                append(left, right, false);
                Some(())
            }
            [b'-' | b'*' | b'/' | b'%' | b'^', ..] => self.arithmetic(left, deeper),
            _ => None,
        }
    }

    fn arithmetic(&mut self, left: &mut Out, depth: u32) -> Option<()> {
        let sign = self.peek(0);
        if sign == b'-' && self.peek(1).is_ascii_alphabetic() {
            return self.word_operator(left, depth);
        }
        let Value::Number(first) = left.value else { return None };
        self.at = self.at.saturating_add(1);
        self.spaces();
        let right = self.term(depth)?;
        let Value::Number(second) = right.value else { return None };
        let value = match sign {
            b'-' => first.checked_sub(second),
            b'*' => first.checked_mul(second),
            b'/' => first.checked_div(second),
            b'%' => first.checked_rem(second),
            _ => Some(first ^ second),
        };
        left.value = Value::Number(value?);
        Some(())
    }

    /// PowerShell's operators that are words.
    fn word_operator(&mut self, left: &mut Out, depth: u32) -> Option<()> {
        self.at = self.at.saturating_add(1);
        let word = self.name().to_ascii_lowercase();
        let args = match word.as_slice() {
            b"f" | b"replace" | b"creplace" | b"ireplace" | b"join" | b"split" | b"csplit"
            | b"bxor" => {
                self.spaces();
                self.items(depth)?
            }
            _ => return None,
        };
        let mut all = vec![left.value.clone()];
        let (name, strong): (&[u8], bool) = match word.as_slice() {
            b"f" => (b"format", true),
            b"join" => (b"join", true),
            b"split" | b"csplit" => (b"split", false),
            b"bxor" => {
                let [Value::Number(second)] = args.as_slice() else { return None };
                left.value = Value::Number(left.value.number()? ^ second);
                return Some(());
            }
            _ => (b"replace", true),
        };
        match (name, args.as_slice()) {
            (b"format", [Value::List(list)]) => all.extend(list.iter().cloned()),
            _ => all.extend(args),
        }
        let (value, _) = call(name, &all, true)?;
        self.bytes = self.bytes.saturating_add(value.len());
        *left = Out { value, pieces: left.pieces.saturating_add(1), strong };
        Some(())
    }

    /// Reads expressions with commas between.
    fn items(&mut self, depth: u32) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            items.push(self.term(depth)?.value);
            self.spaces();
            if self.peek(0) != b',' || items.len() >= LIST_MAX {
                return Some(items);
            }
            self.at = self.at.saturating_add(1);
            self.lines();
        }
    }

    fn term(&mut self, depth: u32) -> Option<Out> {
        self.steps = self.steps.saturating_add(1);
        if depth > DEPTH_MAX || self.is_spent() {
            return None;
        }
        let mut out = self.first(depth)?;
        loop {
            let before = self.at;
            if self.method(&mut out, depth).is_none() {
                self.at = before;
                return Some(out);
            }
        }
    }

    fn first(&mut self, depth: u32) -> Option<Out> {
        let deeper = depth.saturating_add(1);
        match self.rest() {
            [b'"' | b'\'', ..] => self.literal(),
            [b'@' | b',', b'(', ..] => {
                self.at = self.at.saturating_add(1);
                self.parentheses(deeper)
            }
            [b'(', ..] => self.parentheses(deeper),
            [b'[', ..] => self.brackets(deeper),
            [b'0'..=b'9', ..] | [b'&', b'h' | b'H' | b'o' | b'O', ..] | [b'-', b'0'..=b'9', ..] => {
                let (value, len) = number(self.rest())?;
                self.at = self.at.saturating_add(len);
                Some(Out::new(Value::Number(value)))
            }
            [byte, ..] if is_name(*byte) => self.named(deeper),
            _ => None,
        }
    }

    /// Reads values up to a closing bracket.
    fn list(&mut self, close: u8, depth: u32) -> Option<(Vec<Value>, Out)> {
        self.at = self.at.saturating_add(1);
        let mut values = Vec::new();
        let mut all = Out { value: Value::Number(0), pieces: 0, strong: false };
        loop {
            self.lines();
            if self.peek(0) == close {
                self.at = self.at.saturating_add(1);
                return Some((values, all));
            }
            let out = self.expression(depth)?;
            all.pieces = all.pieces.saturating_add(out.pieces);
            all.strong |= out.strong;
            values.push(out.value);
            self.bytes = self.bytes.saturating_add(16);
            if values.len() > LIST_MAX {
                return None;
            }
            self.lines();
            match self.peek(0) {
                b',' => self.at = self.at.saturating_add(1),
                byte if byte == close => {}
                _ => return None,
            }
        }
    }

    fn parentheses(&mut self, depth: u32) -> Option<Out> {
        let (mut values, all) = self.list(b')', depth)?;
        let value = if values.len() == 1 { values.pop()? } else { Value::List(values) };
        Some(Out { value, pieces: all.pieces.max(1), strong: all.strong })
    }

    /// A cast of PowerShell, a static method, or a list.
    fn brackets(&mut self, depth: u32) -> Option<Out> {
        let start = self.at;
        self.at = self.at.saturating_add(1);
        let inside = self.rest();
        let word_len =
            inside.iter().take(NAME_LEN_MAX).take_while(|b| is_name(**b) || **b == b'.').count();
        let word = inside.get(..word_len).unwrap_or_default().to_ascii_lowercase();
        let closes = match inside.get(word_len..).unwrap_or_default() {
            [b'[', b']', b']', ..] => Some(3usize),
            [b']', ..] => Some(1),
            _ => None,
        };
        let is_type = word.first().is_some_and(u8::is_ascii_alphabetic);
        if let Some(len) = closes.filter(|_| is_type) {
            self.at = self.at.saturating_add(word_len).saturating_add(len);
            if self.rest().starts_with(b"::") {
                return self.static_method(depth);
            }
            self.spaces();
            let inner = self.term(depth)?;
            return cast(&word, inner);
        }
        self.at = start;
        let (values, all) = self.list(b']', depth)?;
        Some(Out { value: Value::List(values), pieces: all.pieces.max(1), strong: all.strong })
    }

    /// `::Unicode.GetString(…)` and the like.
    fn static_method(&mut self, depth: u32) -> Option<Out> {
        self.at = self.at.saturating_add(2);
        loop {
            let quoted = matches!(self.peek(0), b'"' | b'\'');
            let name = if quoted { self.literal()?.value.text() } else { self.name() };
            match self.peek(0) {
                b'(' => return self.called(&name.to_ascii_lowercase(), None, depth),
                b'.' => self.at = self.at.saturating_add(1),
                _ => return None,
            }
        }
    }

    /// Reads arguments and calls.
    fn called(&mut self, name: &[u8], object: Option<&Out>, depth: u32) -> Option<Out> {
        let name = name.strip_suffix(b"$").unwrap_or(name);
        if !call::is_known(name) {
            return None;
        }
        let (values, all) = self.list(b')', depth)?;
        let mut args = Vec::with_capacity(values.len().saturating_add(1));
        args.extend(object.map(|object| object.value.clone()));
        args.extend(values);
        let (value, strong) = call(name, &args, object.is_some())?;
        self.bytes = self.bytes.saturating_add(value.len());
        let pieces = object.map_or(0, |object| object.pieces).saturating_add(1);
        let before = all.strong || object.is_some_and(|object| object.strong);
        Some(Out { value, pieces, strong: strong || before })
    }

    /// A method, a slice or an index behind a value.
    fn method(&mut self, out: &mut Out, depth: u32) -> Option<()> {
        self.steps = self.steps.saturating_add(1);
        match self.rest() {
            [b'.', next, ..] if is_name(*next) || matches!(next, b'"' | b'\'') => {
                self.at = self.at.saturating_add(1);
                let quoted = matches!(self.peek(0), b'"' | b'\'');
                let name = if quoted { self.literal()?.value.text() } else { self.name() };
                let name = name.to_ascii_lowercase();
                if self.peek(0) != b'(' {
                    return None;
                }
                *out = self.called(&name, Some(out), depth.saturating_add(1))?;
                Some(())
            }
            [b'[', b':', b':', b'-', b'1', b']', ..] => {
                self.at = self.at.saturating_add(6);
                let (value, _) = call(b"reverse", std::slice::from_ref(&out.value), true)?;
                *out = Out { value, pieces: out.pieces, strong: true };
                Some(())
            }
            [b'[', b'-' | b'0'..=b'9', ..] => self.index(out, depth),
            _ => None,
        }
    }

    /// `[-1..-9]` and `[2,0,1]` of PowerShell give lists.
    fn index(&mut self, out: &mut Out, depth: u32) -> Option<()> {
        let bytes = match &out.value {
            Value::Bytes(bytes) => bytes.clone(),
            _ => return None,
        };
        self.bytes = self.bytes.saturating_add(bytes.len());
        let at = |place: i64| {
            let len = i64::try_from(bytes.len()).ok()?;
            let place = if place < 0 { len.saturating_add(place) } else { place };
            let byte = bytes.get(usize::try_from(place).ok()?)?;
            Some(Value::Bytes(vec![*byte]))
        };
        let inside = self.rest().get(1..)?;
        let range = number(inside).and_then(|(from, len)| {
            let (to, more) = number(inside.get(len..)?.strip_prefix(b"..")?)?;
            (inside.get(len.checked_add(2)?.checked_add(more)?) == Some(&b']')).then_some((
                from,
                to,
                len.saturating_add(more).saturating_add(4),
            ))
        });
        let values: Option<Vec<Value>> = match range {
            Some((from, to, len)) => {
                self.at = self.at.saturating_add(len);
                if from.abs_diff(to) > u64::try_from(bytes.len()).ok()? {
                    return None;
                }
                if from <= to {
                    (from..=to).map(at).collect()
                } else {
                    (to..=from).rev().map(at).collect()
                }
            }
            None => {
                let (places, _) = self.list(b']', depth.saturating_add(1))?;
                places.iter().map(|place| at(place.number()?)).collect()
            }
        };
        *out =
            Out { value: Value::List(values?), pieces: out.pieces.saturating_add(1), strong: true };
        Some(())
    }

    /// A call, a variable, or a prefix of a literal.
    fn named(&mut self, depth: u32) -> Option<Out> {
        if depth > DEPTH_MAX {
            return None;
        }
        let name = self.name();
        let lower = name.to_ascii_lowercase();
        if name.len() <= 2
            && matches!(self.peek(0), b'"' | b'\'')
            && lower.iter().all(|byte| b"bruf".contains(byte))
        {
            return self.literal();
        }
        if lower == b"new" && self.peek(0) == b' ' {
            self.spaces();
            return self.named(depth);
        }
        // `var x`, `Dim x`: the name that counts is behind.
        let variable = self.variables.get(&lower).map(|variable| variable.out.clone());
        self.bytes =
            self.bytes.saturating_add(variable.as_ref().map_or(0, |variable| variable.value.len()));
        let before = self.at;
        self.spaces();
        if self.peek(0) == b'(' {
            // A variable may hold the name of a function.
            let held = variable.as_ref().map(|held| held.value.text().to_ascii_lowercase());
            let function = held.unwrap_or(lower);
            return self.called(&function, None, depth);
        }
        self.at = before;
        if variable.is_some() {
            return variable;
        }
        // The path to a function: `String.fromCharCode(`, `base64.b64decode(`.
        let separator = match self.rest() {
            [b'.', next, ..] if is_name(*next) => 1usize,
            [b':', b':', next, ..] if is_name(*next) => 2,
            _ => return None,
        };
        self.at = self.at.saturating_add(separator);
        self.named(depth.saturating_add(1))
    }

    /// Reads a literal with its escapes.
    fn literal(&mut self) -> Option<Out> {
        let quote = self.peek(0);
        let triple = self.dialect == Dialect::C && self.peek(1) == quote && self.peek(2) == quote;
        if triple && self.peek(3) != 0 {
            let inside = self.text.get(self.at.saturating_add(3)..)?;
            let len = memchr::memmem::find(inside, &[quote; 3])?;
            self.at = self.at.saturating_add(len).saturating_add(6);
            self.bytes = self.bytes.saturating_add(len);
            return Some(Out::new(Value::Bytes(inside.get(..len)?.to_vec())));
        }
        if quote == b'\'' && self.dialect == Dialect::Vb {
            return None;
        }
        let inside = self.text.get(self.at.saturating_add(1)..)?;
        let len = self.literal_len(inside, quote)?;
        let raw = inside.get(..len)?;
        self.at = self.at.saturating_add(len).saturating_add(2);
        self.bytes = self.bytes.saturating_add(len);
        let (bytes, escapes) = match self.dialect {
            Dialect::C => unescaped(raw),
            Dialect::Vb => (call::replaced(raw, b"\"\"", b"\"", raw.len()), 0),
            Dialect::PowerShell if quote == b'"' => {
                (raw.iter().copied().filter(|byte| *byte != b'`').collect(), 0)
            }
            Dialect::PowerShell => (call::replaced(raw, b"''", b"'", raw.len()), 0),
        };
        let strong = escapes >= 4;
        Some(Out { value: Value::Bytes(bytes), pieces: 1, strong })
    }

    /// Returns where a literal ends: on its line, or further on when it is nothing but encoded data.
    fn literal_len(&mut self, inside: &[u8], quote: u8) -> Option<usize> {
        let mut at = 0usize;
        let mut plain = true;
        while let Some(byte) = inside.get(at) {
            match byte {
                byte if *byte == quote => {
                    let doubled = self.dialect != Dialect::C
                        && inside.get(at.saturating_add(1)) == Some(&quote);
                    if !doubled {
                        return Some(at);
                    }
                    at = at.saturating_add(1);
                }
                b'\\' if self.dialect == Dialect::C => {
                    plain &= inside
                        .get(at.saturating_add(1))
                        .is_some_and(|next| matches!(next, b'\r' | b'\n'));
                    at = at.saturating_add(1);
                }
                b'`' if self.dialect == Dialect::PowerShell && quote == b'"' => {
                    at = at.saturating_add(1)
                }
                b'\r' | b'\n' if !plain || self.dialect == Dialect::Vb => {
                    self.steps = self.steps.saturating_add(at / 16);
                    return None;
                }
                b'\r' | b'\n' | b'+' | b'/' | b'=' => {}
                byte => plain &= byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'\t'),
            }
            at = at.saturating_add(1);
        }
        self.steps = self.steps.saturating_add(at / 16);
        None
    }
}

/// Joins two values: adds numbers, else strings.
fn append(left: &mut Out, right: Out, is_sum: bool) {
    left.pieces = left.pieces.saturating_add(right.pieces);
    left.strong |= right.strong;
    match (&mut left.value, right.value) {
        (Value::Number(first), Value::Number(second)) if is_sum => {
            *first = first.saturating_add(second);
        }
        (Value::Bytes(bytes), right) => bytes.extend(right.text()),
        (Value::List(values), Value::List(more)) => values.extend(more),
        (value, right) => {
            let mut bytes = value.text();
            bytes.extend(right.text());
            *value = Value::Bytes(bytes);
        }
    }
}

fn cast(kind: &[u8], inner: Out) -> Option<Out> {
    let chars = |values: &[Value]| {
        let one = |value: &Value| match value {
            Value::Number(number) => character(*number),
            value => value.number().and_then(character).or_else(|| Some(value.text())),
        };
        values.iter().map(one).collect::<Option<Vec<_>>>()
    };
    let value = match (kind, &inner.value) {
        (b"char", Value::Number(number)) => Value::Bytes(character(*number)?),
        (b"char", Value::List(values)) => {
            Value::List(chars(values)?.into_iter().map(Value::Bytes).collect())
        }
        (b"char", Value::Bytes(bytes)) => {
            Value::List(bytes.iter().map(|byte| Value::Bytes(vec![*byte])).collect())
        }
        (b"string", value) => Value::Bytes(value.text()),
        (b"int" | b"byte" | b"int32", Value::Bytes(_)) => Value::Number(inner.value.number()?),
        (b"byte" | b"int", value @ (Value::List(_) | Value::Number(_))) => value.clone(),
        (b"array" | b"object", value) => value.clone(),
        _ => return None,
    };
    Some(Out { value, ..inner })
}

/// Undoes the escapes of C and its like, and counts those that stand for a character by its number.
fn unescaped(raw: &[u8]) -> (Vec<u8>, usize) {
    if memchr::memchr(b'\\', raw).is_none() {
        return (raw.to_vec(), 0);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut count = 0usize;
    let mut at = 0usize;
    let digits = |at: usize, max: usize, radix: u32| {
        let digits = raw.iter().skip(at).take(max).map_while(|b| char::from(*b).to_digit(radix));
        digits.fold((0u32, 0usize), |(value, len), digit| {
            (value.saturating_mul(radix).saturating_add(digit), len.saturating_add(1))
        })
    };
    while let Some(byte) = raw.get(at) {
        let next = raw.get(at.saturating_add(1));
        let (Some(next), b'\\') = (next, byte) else {
            out.push(*byte);
            at = at.saturating_add(1);
            continue;
        };
        at = at.saturating_add(2);
        let (value, len) = match next {
            b'x' => digits(at, 2, 16),
            b'u' => digits(at, 4, 16),
            b'0'..=b'7' => {
                let (value, len) = digits(at.saturating_sub(1), 3, 8);
                (value, len.saturating_sub(1).max(usize::from(len == 1)))
            }
            _ => (0, 0),
        };
        if len > 0 {
            let octal = next.is_ascii_digit();
            let width =
                if octal { digits(at.saturating_sub(1), 3, 8).1.saturating_sub(1) } else { len };
            out.extend(character(i64::from(value)).unwrap_or_default());
            at = at.saturating_add(width);
            count = count.saturating_add(1);
            continue;
        }
        match next {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'\r' | b'\n' => {}
            other => out.push(*other),
        }
    }
    (out, count)
}
