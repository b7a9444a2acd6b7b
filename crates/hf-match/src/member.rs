//! Container-metadata signatures: what a directory says of a member.

use hf_core::signature::{ContainerSig, SizeRange};
use hf_core::{FileType, Member};
use regex_automata::meta;

/// Compiles an extended regular expression over the bytes of a name.
///
/// POSIX leaves `\` in front of a letter undefined and takes it literally in brackets; the longest
/// match is not asked for, only whether there is one, so the order of alternatives does not matter.
pub(crate) fn name_regex(pattern: &str) -> Result<meta::Regex, String> {
    let syntax = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
    let config = meta::Config::new().utf8_empty(false).nfa_size_limit(Some(NFA_MAX));
    let built = meta::Builder::new().configure(config).syntax(syntax).build(&translate(pattern));
    built.map_err(|error| format!("name expression unsupported: {error}"))
}

/// Escapes what is literal in POSIX and not in the engine's language.
pub(crate) fn translate(pattern: &str) -> String {
    let mut out = String::from("(?s-u)");
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '[' => bracket(&mut chars, &mut out),
            '\\' => match chars.next() {
                Some(next) if next.is_ascii_alphanumeric() && !"wWsSbB".contains(next) => {
                    out.push(next);
                }
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                }
                None => out.push_str("\\\\"),
            },
            '{' if !chars.peek().is_some_and(char::is_ascii_digit) => out.push_str("\\{"),
            _ if char.is_ascii() => out.push(char),
            _ => push_bytes(char, &mut out),
        }
    }
    out
}

fn bracket(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    while let Some(char) = chars.next() {
        match char {
            ']' if !first => break,
            '[' if matches!(chars.peek(), Some(':')) => {
                out.push('[');
                for char in chars.by_ref() {
                    out.push(char);
                    if char == ']' {
                        break;
                    }
                }
            }
            '-' => out.push('-'),
            _ if char.is_ascii_alphanumeric() => out.push(char),
            _ if char.is_ascii() => {
                out.push('\\');
                out.push_str(&format!("x{:02x}", u32::from(char)));
            }
            _ => push_bytes(char, out),
        }
        first = false;
    }
    out.push(']');
}

fn push_bytes(char: char, out: &mut String) {
    for byte in char.encode_utf8(&mut [0; 4]).bytes() {
        out.push_str(&format!("\\x{byte:02x}"));
    }
}

/// A container-metadata signature with its expression compiled.
#[derive(Debug)]
pub(crate) struct CompiledContainer {
    regex: Option<meta::Regex>,
    /// The expression cannot be run: the signature never matches.
    broken: bool,
}

impl CompiledContainer {
    pub(crate) fn new(sig: &ContainerSig) -> Self {
        let regex = sig.name_regex.as_deref().map(name_regex);
        let broken = matches!(regex, Some(Err(_)));
        Self { regex: regex.and_then(Result::ok), broken }
    }

    pub(crate) fn matches(
        &self,
        sig: &ContainerSig,
        container: FileType,
        container_len: u64,
        member: &Member<'_>,
    ) -> bool {
        !self.broken
            && sig.container.is_none_or(|kind| kind == container || kind == FileType::Any)
            && within(sig.container_size, container_len)
            && within(sig.packed_size, member.packed_len)
            && within(sig.unpacked_size, member.unpacked_len)
            && within(sig.position, u64::from(member.position))
            && sig.encrypted.is_none_or(|encrypted| encrypted == member.encrypted)
            // To clamscan 0 is any.
            && sig.crc32.is_none_or(|crc32| crc32 == 0 || member.crc32 == Some(crc32))
            && self.regex.as_ref().is_none_or(|regex| regex.is_match(member.name))
    }
}

fn within(range: SizeRange, value: u64) -> bool {
    range.min.is_none_or(|min| min <= value) && range.max.is_none_or(|max| value <= max)
}

/// Ours: memory of one expression.
const NFA_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, want: bool) {
        assert_eq!(
            name_regex(pattern).unwrap().is_match(name.as_bytes()),
            want,
            "{pattern} {name}"
        );
    }

    #[test]
    fn names_match_as_posix_says() {
        check(r"\.(jpg|pdf)\.exe$", "a.pdf.exe", true);
        check(r"\.(jpg|pdf)\.exe$", "a.PDF.exe", false);
        check(r"^[]a]+$", "a]", true);
        check(r"[\.]x", r"\x", true);
        check(r"[[:digit:]]{3}", "x123", true);
        check(r"a{,2}", "a{,2}", true);
        check(r"[a-c&&b]", "&", true);
        check("é", "é", true);
        check("^$", "", true);
        assert!(name_regex("(").is_err());
    }
}
