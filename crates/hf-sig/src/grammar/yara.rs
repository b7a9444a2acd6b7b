//! YARA files: `yar yara`. Their text goes on as it is; here rules are only counted.
//!
//! Leaves out: the grammar, which is that of the YARA engine. Off-spec: clamscan has its own older grammar and drops
//! rules without strings; a file that is not UTF-8 is passed on with replacement characters.

use crate::{
    diagnostic::{Diagnostic, Severity, codes},
    load::Loading,
};

/// Passes a file on.
pub(super) fn rules(loading: &mut Loading<'_>, bytes: &[u8]) -> Result<(), Box<Diagnostic>> {
    let text = String::from_utf8_lossy(bytes);
    let count = count(bytes);
    if count == 0 {
        let reason = "the file holds no YARA rule";
        let file = loading.place.file;
        let warning = Diagnostic::at_file(Severity::Warning, &codes::NO_RULES, file, reason);
        loading.record(*warning);
        return Ok(());
    }
    loading.summary.signatures += count;
    loading.place.line = 1;
    loading.out.yara(loading.place.meta(""), &text);
    Ok(())
}

/// Counts the words `rule` outside of comments, strings and regular expressions.
fn count(bytes: &[u8]) -> u64 {
    let mut count = 0;
    let mut pos = 0;
    while let Some(byte) = bytes.get(pos) {
        let rest = &bytes[pos..];
        pos += match byte {
            b'/' if rest.starts_with(b"//") => until(rest, 2, b"\n"),
            b'/' if rest.starts_with(b"/*") => until(rest, 2, b"*/"),
            b'/' => quoted(rest, b'/'),
            b'"' => quoted(rest, b'"'),
            byte if is_word(*byte) => {
                let len = rest.iter().take_while(|b| is_word(**b)).count();
                count += u64::from(&rest[..len] == b"rule");
                len
            }
            _ => 1,
        };
    }
    count
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

/// Returns the length up to behind `end`.
fn until(text: &[u8], from: usize, end: &[u8]) -> usize {
    let rest = &text[from.min(text.len())..];
    match rest.windows(end.len()).position(|w| w == end) {
        Some(idx) => from + idx + end.len(),
        None => text.len(),
    }
}

/// Returns the length of a text in quotes, which ends at the end of its line at the latest.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut pos = 1;
    while let Some(byte) = text.get(pos) {
        pos += 1;
        match byte {
            b'\\' => pos += 1,
            b'\n' => break,
            byte if *byte == quote => break,
            _ => {}
        }
    }
    pos.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Got, check};

    #[test]
    fn counts() {
        for (text, want) in [
            ("rule a { condition: true }", 1),
            ("rule a{condition:true}private rule b{condition:a}", 2),
            (
                "// rule a\n/* rule b */ rule c { strings: $rule = \"rule x\" $b = /a rule\\/ x/ }",
                1,
            ),
            ("ruler a", 0),
            ("\"rule", 0),
            ("/* rule", 0),
            ("", 0),
        ] {
            assert_eq!(count(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn files() {
        check("x.yar", "rule a { condition: true }", Got::Taken(1));
        check("x.yara", "", Got::Nothing);
    }
}
