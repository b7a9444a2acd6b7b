//! Regular expressions of signatures: read as PCRE, run by `regex-automata` where that can say the
//! same, else by `fancy-regex` with a bound on its steps.
//!
//! Promises: byte semantics (no character set), ASCII classes and ASCII case folding; what neither
//! engine can say is refused by [`check_pcre`] and never silently dropped.
//! Leaves out: recursion, conditionals, branch resets with back references, verbs, `\G`, callouts.
//! Sources: pcrepattern(3); the offsets' meaning was read off clamscan 1.4.6.

mod class;
mod emit;
mod parse;

use std::borrow::Cow;

use hf_core::signature::PcreFlags;
use regex_automata::meta;
use regex_automata::{Anchored, Input};

use emit::Dialect;

/// True when an expression can be run; else says why not.
///
/// # Errors
/// The text says what is not supported or malformed.
pub fn check_pcre(pattern: &[u8], flags: PcreFlags) -> Result<(), String> {
    Pcre::new(pattern, flags).map(drop)
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Pcre {
    engine: Engine,
    anchored: bool,
}

#[derive(Debug)]
enum Engine {
    Automaton(Box<meta::Regex>),
    Backtracker {
        regex: Box<fancy_regex::Regex>,
        /// Matches wherever the expression does, and is asked first.
        outline: Option<Box<meta::Regex>>,
    },
}

/// Bytes that an expression is run on.
#[derive(Debug)]
pub(crate) struct Haystack<'a> {
    bytes: &'a [u8],
    /// The same as text, every byte one character, and only when an expression needs it.
    text: Option<String>,
    /// A search ended at the bound on its steps, or did not see all bytes.
    pub(crate) gave_up: bool,
}

impl<'a> Haystack<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: None, gave_up: false }
    }

    fn text(&mut self) -> &str {
        let bytes = self.bytes.get(..TEXT_MAX).unwrap_or(self.bytes);
        self.text.get_or_insert_with(|| bytes.iter().copied().map(char::from).collect())
    }
}

impl Pcre {
    pub(crate) fn new(pattern: &[u8], flags: PcreFlags) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("empty expression".to_owned());
        }
        let tree = parse::parse(pattern, flags)?;
        let anchored = flags.anchored;
        if let Some(text) = emit::emit(&tree, Dialect::Automaton) {
            let regex = automaton(&text)?;
            return Ok(Self { engine: Engine::Automaton(Box::new(regex)), anchored });
        }
        let text = emit::emit(&tree, Dialect::Backtracker).ok_or("construct is not supported")?;
        let mut builder = fancy_regex::RegexBuilder::new(&text);
        builder.backtrack_limit(STEPS_MAX).delegate_size_limit(NFA_MAX);
        let regex = Box::new(builder.build().map_err(|error| error.to_string())?);
        let outline = emit::emit(&tree, Dialect::Outline).and_then(|text| automaton(&text).ok());
        Ok(Self { engine: Engine::Backtracker { regex, outline: outline.map(Box::new) }, anchored })
    }

    /// Returns the first match that starts at `from` or behind it, or exactly there. A match that
    /// needs more steps than allowed is none.
    pub(crate) fn find(
        &self,
        haystack: &mut Haystack<'_>,
        from: usize,
        at_start: bool,
    ) -> Option<(usize, usize)> {
        let at_start = at_start || self.anchored;
        match &self.engine {
            Engine::Automaton(regex) => {
                let anchored = if at_start { Anchored::Yes } else { Anchored::No };
                let bytes = haystack.bytes;
                let input = Input::new(bytes).range(from.min(bytes.len())..).anchored(anchored);
                regex.search(&input).map(|found| (found.start(), found.end()))
            }
            Engine::Backtracker { regex, outline } => {
                let from = match outline {
                    Some(outline) => outline_start(outline, haystack.bytes, from, at_start)?,
                    None => from,
                };
                haystack.gave_up |= haystack.bytes.len() > TEXT_MAX;
                let text = haystack.text();
                let text_from = text_off(text, from)?;
                let found = regex.find_from_pos(text, text_from).map(|found| {
                    let found = found?;
                    let start = text.get(..found.start())?.chars().count();
                    Some((start, start + found.as_str().chars().count()))
                });
                haystack.gave_up |= found.is_err();
                found.ok().flatten().filter(|(start, _)| !at_start || *start == from)
            }
        }
    }
}

fn automaton(text: &str) -> Result<meta::Regex, String> {
    let syntax = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(NFA_MAX))
        // Made on the fly: whole automata cost milliseconds to build and are seldom run.
        .dfa(false)
        .onepass(false)
        .hybrid_cache_capacity(CACHE_MAX)
        .which_captures(regex_automata::nfa::thompson::WhichCaptures::Implicit);
    let built = meta::Builder::new().configure(config).syntax(syntax).build(text);
    built.map_err(|error| automaton_error(&error))
}

/// Returns the first place at `from` or behind it where a match may start; none when there is no match.
fn outline_start(
    outline: &meta::Regex,
    bytes: &[u8],
    from: usize,
    at_start: bool,
) -> Option<usize> {
    let bytes = bytes.get(..TEXT_MAX).unwrap_or(bytes);
    let anchored = if at_start { Anchored::Yes } else { Anchored::No };
    let input = Input::new(bytes).range(from.min(bytes.len())..).anchored(anchored);
    outline.search(&input).map(|found| found.start())
}

/// Returns where the character with this number is.
fn text_off(text: &str, number: usize) -> Option<usize> {
    if text.is_ascii() {
        return (number <= text.len()).then_some(number);
    }
    text.char_indices().map(|(off, _)| off).chain([text.len()]).nth(number)
}

fn automaton_error(error: &meta::BuildError) -> String {
    let cause = std::error::Error::source(error);
    let cause = cause.map(ToString::to_string).map_or(Cow::Borrowed(""), Cow::Owned);
    format!("{error}: {cause}").trim_end_matches([':', ' ']).to_owned()
}

/// Ours: memory of one automaton.
const NFA_MAX: usize = 8 << 20;
/// Ours: memory of the states that one automaton makes as it runs.
const CACHE_MAX: usize = 2 << 20;
/// The limit of ClamAV's `PCREMatchLimit`.
const STEPS_MAX: usize = 100_000;
/// Ours: bytes that a backtracking expression sees; as text they take up to twice as much memory.
const TEXT_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests;
