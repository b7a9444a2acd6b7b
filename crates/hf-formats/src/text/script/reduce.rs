//! Reads tokens and undoes what hides text in them: joined literals, `unescape`, `eval` of a literal, and packers.
//!
//! Promises: each reduction makes the list shorter or spends from a budget shared by the whole page.
//! Leaves out: everything that would have to be run.
//! Sources: sigtool 1.4.6 as an oracle; Dean Edwards' packer and Script Asylum's `dF`, from their published source.

use std::borrow::Cow;
use std::ops::Range;

use super::token::{Lexer, Token, hex, push_code};

/// What decoders may still add to the scripts of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    bytes_left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes_left: 16 << 20 }
    }
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.bytes_left = self.bytes_left.checked_sub(bytes)?;
        Some(())
    }
}

/// Nesting of decoders.
const DEPTH_MAX: u32 = 16;

/// Reads at most so many tokens; returns also which of them decoders made, and whether there are more.
pub(super) fn read<'a>(
    lexer: &mut Lexer<'a>,
    max: usize,
    budget: &mut Budget,
) -> (Vec<Token<'a>>, Vec<Range<usize>>, bool) {
    let mut list = List::new(budget, 0);
    let mut more = true;
    for _ in 0..max {
        let Some(token) = lexer.next() else {
            more = false;
            break;
        };
        list.push(token);
    }
    (list.tokens, list.undone, more)
}

struct List<'a, 'b> {
    tokens: Vec<Token<'a>>,
    /// Which of them decoders made.
    undone: Vec<Range<usize>>,
    budget: &'b mut Budget,
    depth: u32,
    /// The last token belongs to an undone `eval`.
    after_eval: bool,
}

impl<'a, 'b> List<'a, 'b> {
    fn new(budget: &'b mut Budget, depth: u32) -> Self {
        Self { tokens: Vec::new(), undone: Vec::new(), budget, depth, after_eval: false }
    }

    fn push(&mut self, token: Token<'a>) {
        // ClamAV takes the end of the statement away together with the call.
        if std::mem::take(&mut self.after_eval) && token.is_sign(b';') {
            return;
        }
        if let Token::Text { bytes, joins: true } = &token
            && let [.., Token::Text { bytes: before, joins: true }, Token::Sign(b'+')] =
                self.tokens.as_mut_slice()
        {
            before.extend_from_slice(bytes);
            self.tokens.pop();
            return;
        }
        let closes = token.is_sign(b')');
        self.tokens.push(token);
        if closes {
            self.reduce();
        }
    }

    /// Looks at the end of the list behind a `)`.
    fn reduce(&mut self) {
        let len = self.tokens.len();
        let tail = self.tokens.get(len.saturating_sub(4)..).unwrap_or_default();
        if let [Token::Name(name), Token::Sign(b'('), Token::Text { bytes, .. }, _] = tail {
            let kind = match name.as_ref() {
                b"unescape" => Call::Unescape,
                b"eval" => Call::Eval,
                b"dF" => Call::Shift,
                _ => return,
            };
            let is_member = len
                .checked_sub(5)
                .and_then(|at| self.tokens.get(at))
                .is_some_and(|token| token.is_sign(b'.'));
            if is_member || self.budget.spend(bytes.len()).is_none() {
                return;
            }
            let bytes = bytes.clone();
            self.call(kind, &bytes, len);
        } else if let Some((from, text)) = self.packed() {
            self.tokens.truncate(from);
            self.splice(&text);
            self.tokens.push(Token::Sign(b')'));
        }
    }

    fn call(&mut self, kind: Call, bytes: &[u8], len: usize) {
        match kind {
            Call::Unescape => {
                self.tokens.truncate(len.saturating_sub(4));
                self.tokens.push(Token::Text { bytes: unescape(bytes), joins: false });
            }
            Call::Eval => {
                if self.depth < DEPTH_MAX {
                    self.tokens.truncate(len.saturating_sub(4));
                    self.splice(bytes);
                    self.after_eval = true;
                }
            }
            Call::Shift => {
                if self.depth < DEPTH_MAX
                    && let Some(text) = shifted(bytes)
                {
                    self.tokens.truncate(len.saturating_sub(4));
                    for sign in [b'<', b'/'] {
                        self.tokens.push(Token::Sign(sign));
                    }
                    self.tokens.push(Token::Name(Cow::Borrowed(b"script")));
                    self.tokens.push(Token::Sign(b'>'));
                    self.splice(&text);
                }
            }
        }
    }

    /// Adds the tokens of a decoded text.
    fn splice(&mut self, text: &[u8]) {
        let mut inner = List::new(&mut *self.budget, self.depth.saturating_add(1));
        let mut lexer = Lexer::new(text);
        while let Some(token) = lexer.next() {
            inner.push(token);
        }
        // ClamAV does not see the end of a word that is last.
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
        if text.last().is_some_and(is_word)
            && matches!(inner.tokens.last(), Some(Token::Name(_) | Token::Number(_)))
        {
            inner.tokens.pop();
        }
        let start = self.tokens.len();
        for token in inner.tokens {
            self.tokens.push(token.owned());
        }
        self.undone.retain(|range| range.end <= start);
        self.undone.push(start..self.tokens.len());
    }

    /// Returns the unpacked text when the list ends with the arguments of Dean Edwards' packer, and where they begin:
    /// `function(p,a,c,k,e,r){…}('…',62,4,'…|…'.split('|'),0,{})`.
    fn packed(&mut self) -> Option<(usize, Vec<u8>)> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        let from = self.tokens.len().checked_sub(PACKED_LEN)?;
        let tail = self.tokens.get(from..)?;
        let [
            Token::Sign(b'}'),
            Token::Sign(b'('),
            Token::Text { bytes: packed, .. },
            Token::Sign(b','),
            Token::Number(radix),
            Token::Sign(b','),
            Token::Number(_),
            Token::Sign(b','),
            Token::Text { bytes: words, .. },
            Token::Sign(b'.'),
            split,
            Token::Sign(b'('),
            Token::Text { bytes: bar, .. },
            Token::Sign(b')'),
            Token::Sign(b','),
            Token::Number(_),
            Token::Sign(b','),
            Token::Sign(b'{'),
            Token::Sign(b'}'),
            Token::Sign(b')'),
        ] = tail
        else {
            return None;
        };
        if !split.is_name(b"split") || bar != b"|" || !self.has_packer(from) {
            return None;
        }
        let radix = radix.parse().ok()?;
        let text = unpack(packed, radix, words, self.budget.bytes_left);
        self.budget.spend(text.len())?;
        Some((from.checked_add(2)?, text))
    }

    /// True when a function with the packer's parameters stands before.
    fn has_packer(&self, from: usize) -> bool {
        let start = from.saturating_sub(PACKER_LEN_MAX);
        let body = self.tokens.get(start..from).unwrap_or_default();
        body.windows(12).any(|window| {
            window.first().is_some_and(|token| token.is_name(b"function"))
                && window
                    .iter()
                    .skip(2)
                    .step_by(2)
                    .zip([b"p", b"a", b"c", b"k", b"e"])
                    .all(|(token, name)| token.is_name(name))
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Call {
    Unescape,
    Eval,
    Shift,
}

const PACKED_LEN: usize = 20;
const PACKER_LEN_MAX: usize = 512;

/// Decodes `%41` and `%u0041`.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let wide = hex(behind.get(1..5).filter(|_| behind.first() == Some(&b'u')));
        let code = hex(behind.get(..2));
        match (first, wide, code) {
            (b'%', Some(code), _) => {
                push_code(&mut out, code, false);
                rest = behind.get(5..).unwrap_or_default();
            }
            (b'%', _, Some(code)) => {
                push_code(&mut out, code, true);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// Script Asylum: every character moved up by the number in the last one.
fn shifted(text: &[u8]) -> Option<Vec<u8>> {
    let (last, front) = text.split_last()?;
    let shift = last.wrapping_sub(b'0');
    let moved: Vec<u8> = unescape(front).iter().map(|byte| byte.wrapping_sub(shift)).collect();
    Some(unescape(&moved))
}

/// Replaces each word of the packed text, read as a number, by the word of that index.
fn unpack(packed: &[u8], radix: u32, words: &[u8], max: usize) -> Vec<u8> {
    let words: Vec<&[u8]> = words.split(|byte| *byte == b'|').collect();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut out = Vec::new();
    let mut rest = packed;
    while !rest.is_empty() && out.len() < max {
        let len = rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        let known = index(word, radix).and_then(|at| words.get(at)).filter(|word| !word.is_empty());
        out.extend_from_slice(known.copied().unwrap_or(word));
        let signs = behind.iter().position(is_word).unwrap_or(behind.len());
        let (signs, behind) = behind.split_at_checked(signs).unwrap_or((behind, &[]));
        out.extend_from_slice(signs);
        rest = behind;
    }
    out.truncate(max);
    out
}

/// A number of base up to 62: digits, then small, then capital letters.
fn index(word: &[u8], radix: u32) -> Option<usize> {
    if word.is_empty() || word.len() > 6 {
        return None;
    }
    let value = word.iter().try_fold(0_u32, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => u32::from(byte.wrapping_sub(b'0')),
            b'a'..=b'z' => u32::from(byte.wrapping_sub(b'a')).saturating_add(10),
            b'A'..=b'Z' => u32::from(byte.wrapping_sub(b'A')).saturating_add(36),
            _ => return None,
        };
        (digit < radix).then_some(())?;
        value.checked_mul(radix)?.checked_add(digit)
    })?;
    usize::try_from(value).ok()
}
