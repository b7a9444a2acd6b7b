//! How deep a YARA file nests, before the library's parser recurses into it.
//!
//! Promises: a file whose brackets and prefix operators stay below [`DEPTH_MAX`] needs little stack.
//! Leaves out: which brackets belong to strings and comments; real files come nowhere near the bound.

/// Returns why the file must not be parsed; none when it may.
pub(crate) fn too_deep(text: &str) -> Option<String> {
    let mut brackets = 0usize;
    let mut prefixes = 0usize;
    for (nth, line) in text.lines().enumerate() {
        for word in words(line) {
            brackets = match word {
                "(" | "[" | "{" => brackets.saturating_add(1),
                ")" | "]" | "}" => brackets.saturating_sub(1),
                _ => brackets,
            };
            prefixes = match word {
                "not" | "defined" | "-" | "~" => prefixes.saturating_add(1),
                "(" => prefixes,
                _ => 0,
            };
            // A new rule begins outside of all brackets.
            brackets = if word == "rule" { 0 } else { brackets };
            if brackets.max(prefixes) > DEPTH_MAX {
                let line = nth.saturating_add(1);
                return Some(format!("line {line}: brackets or operators nest too deep"));
            }
        }
    }
    None
}

/// Cuts a line into words and single other characters.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let len = match len {
            None => rest.len(),
            Some(0) => rest.chars().next().map_or(0, char::len_utf8),
            Some(len) => len,
        };
        let (word, more) = rest.split_at_checked(len).filter(|(word, _)| !word.is_empty())?;
        rest = more;
        Some(word)
    })
}

/// Ours: two thousand levels are known to fit the smallest stack in use.
const DEPTH_MAX: usize = 2000;
