//! Bundles of STIX 2.1: indicators whose pattern names hashes of files or addresses of the web.
//!
//! A pattern counts as far as it is a choice (`OR`) of comparisons for equality; what is joined by `AND` and the like says
//! more than a signature could, and is counted. Revoked indicators are left out.
//! Source: STIX 2.1, §3 (bundles), §4.7 (indicators), §9 (patterns).

use serde_json::Value;

use super::list::{Indicator, Indicators};

/// Reads a bundle.
///
/// # Errors
/// It is not one.
pub fn indicators(bytes: &[u8]) -> Result<Indicators, String> {
    let bundle: Value =
        serde_json::from_slice(bytes).map_err(|err| format!("not a bundle of STIX: {err}"))?;
    let objects = bundle.get("objects").and_then(Value::as_array);
    let objects = objects.filter(|_| bundle.get("type").and_then(Value::as_str) == Some("bundle"));
    let objects = objects.ok_or("not a bundle of STIX: it has no list of objects")?;
    let mut list = Indicators::default();
    for object in objects {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("type") != "indicator" {
            continue;
        }
        if object.get("revoked").and_then(Value::as_bool) == Some(true) {
            list.leave_out("revoked");
            continue;
        }
        if text("pattern_type") != "stix" {
            list.leave_out(&format!("pattern of type {}", text("pattern_type")));
            continue;
        }
        match comparisons(text("pattern")) {
            Some(found) => {
                for (path, value) in found {
                    let hash =
                        path.starts_with("file:hashes").then(|| Indicator::hash(&value)).flatten();
                    let url = (path == "url:value").then(|| Indicator::url(&value)).flatten();
                    match hash.or(url) {
                        Some(indicator) => list.push(indicator, text("name")),
                        None => list.leave_out(&path),
                    }
                }
            }
            None => list.leave_out("patterns that are more than a choice"),
        }
    }
    Ok(list)
}

/// Returns the comparisons of a pattern that is a choice of equalities.
fn comparisons(pattern: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = pattern.trim_start();
    loop {
        // Brackets and parentheses only group what is joined by OR everywhere.
        rest = rest.trim_start_matches(['[', '(', ' ', '\t', '\n', '\r']);
        let (path, after) = path_of(rest)?;
        let after = after.trim_start().strip_prefix('=')?.trim_start();
        let (value, after) = quoted(after)?;
        found.push((path, value));
        let after = after.trim_start_matches([']', ')', ' ', '\t', '\n', '\r']);
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix("OR")?;
        if !rest.starts_with([' ', '[', '(', '\t', '\n', '\r']) || found.len() >= 10_000 {
            return None;
        }
    }
}

/// Reads the path of an object, in which names may be quoted (`file:hashes.'SHA-256'`).
fn path_of(text: &str) -> Option<(String, &str)> {
    let mut in_quotes = false;
    let end = text.char_indices().find(|(_, c)| {
        in_quotes ^= *c == '\'';
        !in_quotes && (c.is_whitespace() || matches!(c, '=' | '!' | '<' | '>' | ']' | ')'))
    });
    let (path, rest) = text.split_at_checked(end?.0)?;
    (path.contains(':') && path.len() < 200).then(|| (path.to_owned(), rest))
}

/// Reads a string in quotes, in which a backslash protects what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.strip_prefix('\'')?.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            // One for the quote in front, one for this.
            '\'' => return Some((value, text.get(at.checked_add(2)?..)?)),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, want: Option<&[(&str, &str)]>) {
        let got = comparisons(pattern);
        let want: Option<Vec<(String, String)>> =
            want.map(|list| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect());
        assert_eq!(got, want, "{pattern}");
    }

    #[test]
    fn patterns() {
        check("[url:value = 'http://x/']", Some(&[("url:value", "http://x/")]));
        check(
            "[file:hashes.'SHA-256' = 'ab' OR file:hashes.MD5='cd']",
            Some(&[("file:hashes.'SHA-256'", "ab"), ("file:hashes.MD5", "cd")]),
        );
        check("[(a:b = 'x')] OR [c:d = 'it\\'s']", Some(&[("a:b", "x"), ("c:d", "it's")]));
        for pattern in [
            "",
            "[",
            "[a:b = 'x' AND c:d = 'y']",
            "[a:b != 'x']",
            "[a:b = 'x",
            "[a:b = 'x'] FOLLOWEDBY [c:d = 'y']",
            "[a:b IN ('x')]",
            "[a:b = 'é' OR",
        ] {
            check(pattern, None);
        }
    }

    #[test]
    fn bundles() {
        let text = format!(
            r#"{{"type": "bundle", "objects": [
              {{"type": "indicator", "name": "n", "pattern_type": "stix", "pattern": "[file:hashes.MD5 = '{0}']"}},
              {{"type": "indicator", "revoked": true, "pattern_type": "stix", "pattern": "[file:hashes.MD5 = '{0}']"}},
              {{"type": "indicator", "pattern_type": "yara", "pattern": "rule x"}},
              {{"type": "indicator", "pattern_type": "stix", "pattern": "[domain-name:value = 'x']"}},
              {{"type": "identity"}}]}}"#,
            "a".repeat(32)
        );
        let list = indicators(text.as_bytes()).unwrap();
        assert_eq!((list.found.len(), list.left_out.len()), (1, 3));
        assert!(indicators(b"[]").is_err());
    }
}
