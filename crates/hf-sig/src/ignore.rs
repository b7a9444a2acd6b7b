//! Signatures that are left out by name, as `.ign` and `.ign2` files say.
//!
//! A rule holds for signatures that are loaded after it. The name must be equal after a suffix
//! `.UNOFFICIAL` or `.{...}` was cut off the signature's; with an MD5, the line must have it. Of several rules for one
//! name the last one holds.

use std::collections::HashMap;

use md5::{Digest as _, Md5};

/// Collected ignore rules.
#[derive(Debug, Clone, Default)]
pub struct IgnoreSet {
    rules: HashMap<Vec<u8>, Option<[u8; 16]>>,
}

impl IgnoreSet {
    /// Adds a rule; `line_md5` limits it to a line of this content.
    pub fn insert(&mut self, name: &[u8], line_md5: Option<[u8; 16]>) {
        self.rules.insert(name.to_vec(), line_md5);
    }

    /// True without any rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the number of names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// True when the signature `name`, written in `line`, is to be left out.
    #[must_use]
    pub fn contains(&self, name: &[u8], line: &[u8]) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        match self.rules.get(without_suffix(name)) {
            None => false,
            Some(None) => true,
            Some(Some(md5)) => Md5::digest(line)[..] == md5[..],
        }
    }
}

fn without_suffix(name: &[u8]) -> &[u8] {
    if let Some(stem) = name.strip_suffix(b".UNOFFICIAL") {
        return stem;
    }
    if name.ends_with(b"}")
        && let Some(idx) = name.windows(2).rposition(|pair| pair == b".{")
    {
        return &name[..idx];
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, md5_of: Option<&str>, name: &str, want: bool) {
        let mut set = IgnoreSet::default();
        set.insert(rule.as_bytes(), md5_of.map(|line| Md5::digest(line).into()));
        assert_eq!(set.contains(name.as_bytes(), b"the line"), want, "{rule} {name}");
    }

    #[test]
    fn names() {
        // All as clamscan 1.4.6 counts them.
        check("Abc.Def-1", None, "Abc.Def-1", true);
        check("Abc.Def-1", None, "Abc.Def-1.UNOFFICIAL", true);
        check("Abc.Def-1.UNOFFICIAL", None, "Abc.Def-1", false);
        check("Abc.Def-1.UNOFFICIAL", None, "Abc.Def-1.UNOFFICIAL", false);
        check("Abc.Def-1", None, "Abc.Def-1.{A,B}", true);
        check("abc.def-1", None, "Abc.Def-1", false);
        check("Abc.Def", None, "Abc.Def-1", false);
        check("A", None, "A", true);
        check("Abc", Some("the line"), "Abc", true);
        check("Abc", Some("another line"), "Abc", false);
    }

    #[test]
    fn the_last_rule_for_a_name_holds() {
        let other = Some(Md5::digest(b"another line").into());
        let mut set = IgnoreSet::default();
        set.insert(b"Abc", None);
        set.insert(b"Abc", other);
        assert!(!set.contains(b"Abc", b"the line"));
        set.insert(b"Abc", None);
        assert!(set.contains(b"Abc", b"the line"));
    }
}
