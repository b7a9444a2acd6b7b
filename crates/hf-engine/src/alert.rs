//! From a match to a hit in the report: names, strength, unwanted classes, and lists of trusted objects.

use hf_core::signature::HashOf;
use hf_core::{Hit, HitKind, MatchSpan, ScanOptions, Stop, Strength};
use hf_match::{DigestSet, MatchHit};

use crate::layer::Layer;
use crate::scan::Scan;

/// Something that matched, before lists of trusted objects are asked.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) kind: HitKind,
    pub(crate) origin: String,
    pub(crate) spans: Vec<MatchSpan>,
}

impl Found {
    /// Returns the finding of a heuristic.
    pub(crate) fn heuristic(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, kind: HitKind::Heuristic, origin: String::new(), spans: Vec::new() }
    }

    /// Returns the finding that is made about a link.
    pub(crate) fn of_link(name: &str) -> Self {
        Self { kind: HitKind::Phishing, ..Self::heuristic(name) }
    }

    /// Returns what a signature's match is told as.
    pub(crate) fn of_match(hit: &MatchHit, kind: HitKind) -> Self {
        Self {
            name: told_name(&hit.name, hit.official),
            kind,
            origin: hit.origin.clone(),
            spans: hit.spans.clone(),
        }
    }
}

/// Returns the name that is told for a signature.
pub(crate) fn told_name(name: &str, official: bool) -> String {
    if official { name.to_owned() } else { format!("{name}.UNOFFICIAL") }
}

/// True when the options want hits of this signature.
pub(crate) fn wanted(name: &str, pua: bool, options: &ScanOptions) -> bool {
    if !options.phishing_signatures
        && (name.starts_with("HTML.Phishing") || name.starts_with("Email.Phishing"))
    {
        return false;
    }
    !pua || (options.detect_pua && pua_class_wanted(name, options))
}

/// Source: ClamAV documentation of `--include-pua` and `--exclude-pua`; each category is looked for by
/// itself, where ClamAV joins several into one text that then never matches.
fn pua_class_wanted(name: &str, options: &ScanOptions) -> bool {
    if options.include_pua.is_empty() && options.exclude_pua.is_empty() {
        return true;
    }
    let Some(rest) = name.strip_prefix("PUA") else { return false };
    let Some(end) = rest.rfind('.') else { return false };
    let Some(class) = rest.get(..=end) else { return false };
    let has = |word: &String| class.contains(&format!(".{word}."));
    if options.include_pua.is_empty() {
        !options.exclude_pua.iter().any(has)
    } else {
        options.include_pua.iter().any(has)
    }
}

impl Scan<'_> {
    /// Puts a finding into the report unless the layer or one around it is trusted.
    ///
    /// # Errors
    /// The scan of this layer ends: enough was found, or it is trusted.
    pub(crate) fn alert(&mut self, layer: &Layer<'_>, found: Found) -> Result<(), Stop> {
        let strength = Strength::of_name(&found.name);
        if strength != Strength::Weak && self.trusted(layer) {
            return Err(Stop::Trusted);
        }
        if self.report.hits.len() < HITS_MAX {
            self.report.hits.push(Hit {
                object: layer.node,
                name: found.name,
                kind: found.kind,
                strength,
                origin: found.origin,
                spans: found.spans,
            });
        }
        let ends = match strength {
            Strength::Strong => true,
            Strength::PotentiallyUnwanted => self.options().heuristic_precedence,
            Strength::Weak => false,
        };
        if ends && !self.options().all_match { Err(Stop::Found) } else { Ok(()) }
    }

    /// Asks the lists of trusted objects about a layer and all around it. A trusted layer takes the
    /// findings inside it back.
    fn trusted(&mut self, layer: &Layer<'_>) -> bool {
        let Some(root) = layer.chain().find(|at| at.trusted.get() || self.allowed(at)) else {
            return false;
        };
        for at in layer.chain() {
            at.trusted.set(true);
            if std::ptr::eq(at, root) {
                break;
            }
        }
        self.trust(root);
        true
    }

    /// Trusts a layer with all that is in it.
    pub(crate) fn trust(&mut self, layer: &Layer<'_>) {
        layer.trusted.set(true);
        self.report.hits.retain(|hit| hit.object < layer.node);
        self.report.trusted |= layer.parent.is_none();
    }

    fn allowed(&self, layer: &Layer<'_>) -> bool {
        let size = layer.size();
        self.engine.matcher.hashes().any(|(tables, _)| {
            let mut needed = digest_lengths(tables.needs(HashOf::Allowed, size));
            needed.any(|len| !tables.find(HashOf::Allowed, layer.digest(len), size).is_empty())
        })
    }
}

/// Returns the lengths of the digests in a set, in bytes.
pub(crate) fn digest_lengths(set: DigestSet) -> impl Iterator<Item = usize> {
    let lengths = [(set.md5, 16), (set.sha1, 20), (set.sha256, 32)];
    lengths.into_iter().filter(|(needed, _)| *needed).map(|(_, len)| len)
}

/// Hits kept in one report.
const HITS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwanted_classes() {
        let mut options = ScanOptions::default();
        assert!(wanted("Win.Trojan.X", false, &options));
        assert!(!wanted("PUA.Win.Packer.X", true, &options));
        options.detect_pua = true;
        assert!(wanted("PUA.Win.Packer.X", true, &options));
        options.include_pua = vec!["Packer".to_owned(), "NetTool".to_owned()];
        assert!(wanted("PUA.Win.Packer.X", true, &options));
        assert!(!wanted("PUA.Win.Tool.X", true, &options));
        assert!(!wanted("PUA.Win.Tool.Packer", true, &options));
        options.include_pua.clear();
        options.exclude_pua = vec!["Packer".to_owned()];
        assert!(!wanted("PUA.Win.Packer.X", true, &options));
        assert!(wanted("PUA.Win.Tool.X", true, &options));
    }

    #[test]
    fn phishing_signatures_can_be_left_out() {
        let options = ScanOptions { phishing_signatures: false, ..ScanOptions::default() };
        assert!(!wanted("HTML.Phishing.Bank-1", false, &options));
        assert!(wanted("HTML.Exploit-1", false, &options));
    }
}
