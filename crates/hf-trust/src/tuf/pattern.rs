//! Which paths a delegation covers: shell-style patterns (§4.5), segment by segment.
//!
//! `*` is any run of characters but `/`, `?` is any one but `/`, `[a-z]` and `[!a-z]` are sets. Matching
//! takes time proportional to pattern × path at most.

/// Returns whether a path is covered by a pattern.
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// Greedy matching with one point to come back to: the last `*`.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let (pattern, segment): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), segment.chars().collect());
    let (mut at, mut idx) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            retry = Some((at + 1, idx));
            at += 1;
            continue;
        }
        let Some(&character) = segment.get(idx) else {
            return at == pattern.len();
        };
        if let Some(next) = one(&pattern, at, character) {
            at = next;
            idx += 1;
        } else if let Some((after, from)) = retry {
            retry = Some((after, from + 1));
            at = after;
            idx = from + 1;
        } else {
            return false;
        }
    }
}

/// Matches one element that is no `*`; returns where the next begins.
fn one(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => match set(pattern, at + 1, character) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            None => (character == '[').then_some(at + 1),
        },
        literal => (*literal == character).then_some(at + 1),
    }
}

/// Reads a set that begins at `at`; `None` when it is never closed, and `[` is then a plain character.
fn set(pattern: &[char], mut at: usize, character: char) -> Option<(bool, usize)> {
    let negated = pattern.get(at) == Some(&'!');
    at += usize::from(negated);
    let (mut found, mut first) = (false, true);
    loop {
        let low = *pattern.get(at)?;
        if low == ']' && !first {
            return Some((found != negated, at + 1));
        }
        first = false;
        let range = pattern.get(at + 1) == Some(&'-');
        match pattern.get(at + 2).filter(|high| range && **high != ']') {
            Some(high) => {
                found |= (low..=*high).contains(&character);
                at += 3;
            }
            None => {
                found |= low == character;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for path in yes {
            assert!(matches(pattern, path), "{pattern} covers {path}");
        }
        for path in no {
            assert!(!matches(pattern, path), "{pattern} does not cover {path}");
        }
    }

    #[test]
    fn patterns() {
        check("*", &["", "a", "a.b"], &["a/b", "/"]);
        check("a/*.zip", &["a/.zip", "a/x.zip"], &["a/x.zip/y", "a/b/x.zip", "a/x.zi"]);
        check("*/*", &["a/b", "/"], &["a", "a/b/c"]);
        check("a?c", &["abc", "aéc"], &["ac", "a/c", "abbc"]);
        check("v[0-9].[!a-c]", &["v1.d", "v9.-"], &["va.d", "v1.a", "v1."]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[a", &["[a"], &["a"]);
        check("a*b*c", &["abc", "axbxbxc"], &["acb", "axbx"]);
        check("", &[""], &["a"]);
        let long = "*a".repeat(50) + "b";
        check(&long, &[], &[&"a".repeat(400)]);
    }
}
