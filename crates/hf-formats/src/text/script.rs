//! Scripts of a page in the form that signatures for scripts are written for: tokens without superfluous space,
//! literals joined, declared names numbered, packers undone; all in lower case.
//!
//! Promises: bounded work and output whatever the script: at most [`TOKENS_MAX`] tokens are looked at together, what
//! decoders add is bounded for the whole page, and nesting too.
//! Leaves out: regular-expression literals and templates, which ClamAV does not know either.
//! Off-spec: what is unfinished at the end of a page is kept (ClamAV loses it).
//! Sources: `sigtool --html-normalise` of ClamAV 1.4.6 as an oracle; ECMA-262 3rd edition §7 for tokens.

mod encoder;
mod names;
mod reduce;
mod token;

pub(super) use encoder::decode as decode_encoded;

use std::ops::Range;

use reduce::Budget;
use token::{Lexer, Token};

/// A script of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// Its text, line ends as spaces.
    pub(super) text: &'a [u8],
    /// Encoded with Microsoft's Script Encoder.
    pub(super) encoded: bool,
}

/// Tokens that are looked at together; names and literals are not joined across.
const TOKENS_MAX: usize = 1 << 20;

/// Normalises scripts into one copy.
pub(super) fn normalise(scripts: &[Source<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut budget = Budget::default();
    for script in scripts {
        if !out.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(b"<script>");
        if script.encoded || memchr::memmem::find(script.text, b"#@~^").is_some() {
            one(&decode_encoded(script.text), &mut budget, &mut out);
        } else {
            one(script.text, &mut budget, &mut out);
        }
        out.extend_from_slice(b"</script>");
    }
    out
}

fn one(text: &[u8], budget: &mut Budget, out: &mut Vec<u8>) {
    let mut lexer = Lexer::new(text);
    let mut numbers = names::Numbers::default();
    let start = out.len();
    loop {
        let (mut tokens, undone, more) = reduce::read(&mut lexer, TOKENS_MAX, budget);
        let open = if more { 0 } else { open_parentheses(&tokens, &undone) };
        if open > 0 {
            tokens.extend(std::iter::repeat_n(Token::Sign(b')'), open.min(CLOSED_MAX)));
        } else if let [rest @ .., open, slash, name, close] = tokens.as_slice()
            && is_end_tag(open, slash, name, close)
        {
            tokens.truncate(rest.len());
        }
        names::number(&mut tokens, &undone, &mut numbers);
        for token in &tokens {
            write(token, start, out);
        }
        if !more {
            return;
        }
    }
}

/// Parentheses that are closed at the end of a script.
const CLOSED_MAX: usize = 4096;

/// Counts the parentheses that are open at the end, but for those that decoders made.
fn open_parentheses(tokens: &[Token<'_>], undone: &[Range<usize>]) -> usize {
    let mut ranges = undone.iter().peekable();
    let mut open = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        while ranges.next_if(|range| range.end <= at).is_some() {}
        if ranges.peek().is_some_and(|range| range.contains(&at)) {
            continue;
        }
        match token {
            Token::Sign(b'(') => open = open.saturating_add(1),
            Token::Sign(b')') => open = open.saturating_sub(1),
            _ => {}
        }
    }
    open
}

/// The tag that ends the script belongs to its text, but not to what is written.
fn is_end_tag(open: &Token<'_>, slash: &Token<'_>, name: &Token<'_>, close: &Token<'_>) -> bool {
    let is_script = matches!(name, Token::Name(name) if name.eq_ignore_ascii_case(b"script"));
    open.is_sign(b'<') && slash.is_sign(b'/') && is_script && close.is_sign(b'>')
}

/// Writes a token, with a space where two words would run together.
fn write(token: &Token<'_>, start: usize, out: &mut Vec<u8>) {
    match token {
        Token::Text { bytes, .. } => {
            out.push(b'"');
            out.extend(bytes.iter().map(|byte| match byte {
                0x09..=0x0d => b' ',
                _ => byte.to_ascii_lowercase(),
            }));
            out.push(b'"');
        }
        Token::Number(text) => {
            if text.starts_with('-') && out.len() > start && out.last().is_some_and(is_word) {
                out.push(b' ');
            }
            write_word(text.as_bytes(), start, out);
        }
        Token::Name(name) => write_word(name, start, out),
        Token::Numbered(number) => write_word(format!("n{number:03}").as_bytes(), start, out),
        Token::Sign(sign) => out.push(*sign),
    }
}

fn write_word(word: &[u8], start: usize, out: &mut Vec<u8>) {
    if out.len() > start && out.last().is_some_and(is_word) && word.first().is_some_and(is_word) {
        out.push(b' ');
    }
    out.extend(word.iter().map(u8::to_ascii_lowercase));
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

#[cfg(test)]
mod tests;
