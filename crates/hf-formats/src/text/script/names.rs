//! Declared names become `n000`, `n001`, … in the order of their declaration, by scope.
//!
//! Promises: linear in the number of tokens times the depth of functions, which is bounded.
//! Leaves out: `let`, `const` and `catch`, which ClamAV does not number either.
//! Sources: sigtool 1.4.6 as an oracle.

use std::collections::HashMap;

use super::token::Token;

/// Numbers given so far in one script.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: u32,
}

/// Functions in one another that have names of their own.
const SCOPES_MAX: usize = 24;

/// One function, or the script as a whole.
#[derive(Debug, Default)]
struct Scope {
    parent: usize,
    depth: usize,
    names: HashMap<Vec<u8>, u32>,
}

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    /// A name behind `var`, or behind a comma of the same statement.
    Variable,
    /// `,` or `;` of a `var` statement.
    Comma,
    /// Name or `(` behind `function`.
    Function,
    /// A parameter.
    Parameter,
}

struct Walk {
    scopes: Vec<Scope>,
    at: usize,
    expect: Expect,
    /// For each open brace: what was expected outside, and the scope to return to.
    braces: Vec<(Expect, usize)>,
    /// The scope around a function whose body has not begun.
    pending: Option<usize>,
    /// A `var` statement in which a function without body was begun.
    outer: Expect,
    /// Open `{` and `[`, inside which a comma declares nothing.
    depth: usize,
}

/// Numbers the declared names, of what decoders made (ranges of tokens) after all others.
pub(super) fn number(
    tokens: &mut [Token<'_>],
    undone: &[std::ops::Range<usize>],
    numbers: &mut Numbers,
) {
    let (scopes, places) = declare(tokens, undone, numbers);
    if scopes.iter().all(|scope| scope.names.is_empty()) {
        return;
    }
    let mut after_dot = false;
    for (token, scope) in tokens.iter_mut().zip(places) {
        if let Token::Name(name) = token
            && !after_dot
            && let Some(number) = look_up(&scopes, scope, name)
        {
            *token = Token::Numbered(number);
        }
        after_dot = token.is_sign(b'.');
    }
}

fn look_up(scopes: &[Scope], scope: usize, name: &[u8]) -> Option<u32> {
    let mut at = scope;
    for _ in 0..=SCOPES_MAX {
        let here = scopes.get(at)?;
        if let Some(number) = here.names.get(name) {
            return Some(*number);
        }
        if at == here.parent {
            return None;
        }
        at = here.parent;
    }
    None
}

/// Returns all scopes, and for each token the scope in which it stands.
fn declare(
    tokens: &[Token<'_>],
    undone: &[std::ops::Range<usize>],
    numbers: &mut Numbers,
) -> (Vec<Scope>, Vec<usize>) {
    let mut walk = Walk {
        scopes: vec![Scope::default()],
        at: 0,
        expect: Expect::Nothing,
        braces: Vec::new(),
        pending: None,
        outer: Expect::Nothing,
        depth: 0,
    };
    let mut places = vec![0; tokens.len()];
    let mut start = 0;
    for range in undone {
        walk.run(start..range.start, tokens, numbers, &mut places);
        start = range.end.max(start);
    }
    walk.run(start..tokens.len(), tokens, numbers, &mut places);
    for range in undone {
        walk.run(range.clone(), tokens, numbers, &mut places);
    }
    (walk.scopes, places)
}

impl Walk {
    fn run(
        &mut self,
        range: std::ops::Range<usize>,
        tokens: &[Token<'_>],
        numbers: &mut Numbers,
        places: &mut [usize],
    ) {
        let tokens = tokens.get(range.clone()).unwrap_or_default();
        let places = places.get_mut(range).unwrap_or_default();
        for (token, place) in tokens.iter().zip(places) {
            self.step(token, numbers);
            *place = self.at;
        }
    }

    fn step(&mut self, token: &Token<'_>, numbers: &mut Numbers) {
        match token {
            Token::Name(name) => self.name(name, numbers),
            Token::Sign(sign) => self.sign(*sign),
            _ => {}
        }
    }

    fn name(&mut self, name: &[u8], numbers: &mut Numbers) {
        match name {
            b"var" => self.expect = Expect::Variable,
            b"function" => self.function(),
            _ => match self.expect {
                Expect::Nothing | Expect::Comma => {}
                _ if is_reserved(name) => {}
                Expect::Variable => {
                    self.declare(name, numbers);
                    self.expect = Expect::Comma;
                }
                Expect::Function | Expect::Parameter => self.declare(name, numbers),
            },
        }
    }

    fn declare(&mut self, name: &[u8], numbers: &mut Numbers) {
        if let Some(scope) = self.scopes.get_mut(self.at) {
            scope.names.insert(name.to_vec(), numbers.next);
            numbers.next = numbers.next.saturating_add(1);
        }
    }

    fn function(&mut self) {
        self.outer = self.expect;
        let depth = self.scopes.get(self.at).map_or(0, |scope| scope.depth);
        if depth < SCOPES_MAX {
            let parent = self.pending.unwrap_or(self.at);
            self.pending = Some(parent);
            let depth = depth.saturating_add(1);
            self.scopes.push(Scope { parent: self.at, depth, names: HashMap::new() });
            self.at = self.scopes.len().saturating_sub(1);
        }
        self.expect = Expect::Function;
    }

    fn sign(&mut self, sign: u8) {
        match sign {
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        match sign {
            b'(' if self.expect == Expect::Function => self.expect = Expect::Parameter,
            b')' if self.expect == Expect::Parameter => self.expect = Expect::Nothing,
            b',' if self.expect == Expect::Comma && self.depth == 0 => {
                self.expect = Expect::Variable
            }
            b';' => self.expect = Expect::Nothing,
            b'{' => {
                let back = self.pending.take();
                let expect = if back.is_some() { self.outer } else { self.expect };
                self.braces.push((expect, back.unwrap_or(self.at)));
                self.expect = Expect::Nothing;
            }
            b'}' => {
                if let Some((expect, scope)) = self.braces.pop() {
                    (self.expect, self.at) = (expect, scope);
                }
            }
            _ => {}
        }
    }
}

fn is_reserved(name: &[u8]) -> bool {
    RESERVED.contains(&name)
}

/// ECMA-262 3rd edition §7.5.2 and §7.5.3.
#[rustfmt::skip]
const RESERVED: &[&[u8]] = &[
    b"abstract", b"boolean", b"break", b"byte", b"case", b"catch", b"char", b"class", b"const", b"continue",
    b"debugger", b"default", b"delete", b"do", b"double", b"else", b"enum", b"export", b"extends", b"false",
    b"final", b"finally", b"float", b"for", b"function", b"goto", b"if", b"implements", b"import", b"in",
    b"instanceof", b"int", b"interface", b"long", b"native", b"new", b"null", b"package", b"private",
    b"protected", b"public", b"return", b"short", b"static", b"super", b"switch", b"synchronized", b"this",
    b"throw", b"throws", b"transient", b"true", b"try", b"typeof", b"var", b"void", b"volatile", b"while",
    b"with",
];
