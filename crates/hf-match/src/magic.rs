//! Type magics that are patterns (`ftm` type 1): all of them are looked for in one pass.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use hf_core::signature::{MagicRule, MagicSig, Offset};
use hf_core::{ExeView, Facts, FileType, IconMetrics, Stop};

use crate::evaluate::BodyMatches;
use crate::pattern::{Pattern, Work, best_seed};
use crate::place::Place;
use crate::small::Named;

/// A type magic that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MagicHit {
    /// Offset in bytes.
    pub off: u64,
    /// Type that the object must have so far.
    pub required: FileType,
    /// Type that begins there, or that the object then has.
    pub file_type: FileType,
}

/// Compiled patterns.
#[derive(Debug)]
pub(crate) struct MagicPatterns {
    patterns: Vec<MagicPattern>,
    /// Finds the seeds of patterns; its pattern ids are indices into `patterns`.
    seeds: Option<AhoCorasick>,
}

#[derive(Debug)]
struct MagicPattern {
    offset: Offset,
    pattern: Pattern,
    required: FileType,
    file_type: FileType,
}

impl MagicPatterns {
    pub(crate) fn new(magics: &[Named<MagicSig>]) -> Self {
        let mut patterns = Vec::new();
        let mut seeds: Vec<Vec<u8>> = Vec::new();
        for Named { sig, .. } in magics {
            let MagicRule::Pattern { offset, body } = &sig.rule else { continue };
            let runs = body.parts.iter().filter_map(best_seed);
            let Some(seed) = runs.max_by_key(|run| crate::rarity::of_run(&run.bytes)) else {
                continue;
            };
            let (required, file_type) = (sig.required, sig.file_type);
            let pattern = Pattern::new(body);
            patterns.push(MagicPattern { offset: *offset, pattern, required, file_type });
            seeds.push(seed.bytes);
        }
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(true);
        builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        let seeds = (!seeds.is_empty()).then(|| builder.build(&seeds).ok()).flatten();
        Self { patterns, seeds }
    }

    /// Finds all places, ascending.
    pub(crate) fn find(&self, bytes: &[u8], work: &mut Work<'_>) -> Result<Vec<MagicHit>, Stop> {
        let Some(seeds) = &self.seeds else { return Ok(Vec::new()) };
        let mut seen = vec![false; self.patterns.len()];
        let mut left = seen.len();
        let mut spent = 0;
        for found in seeds.find_overlapping_iter(bytes) {
            work.spend(found.end().saturating_sub(spent))?;
            spent = found.end();
            if let Some(seen) = seen.get_mut(found.pattern().as_usize())
                && !*seen
            {
                *seen = true;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        let mut hits = Vec::new();
        for (magic, _) in self.patterns.iter().zip(seen).filter(|(_, seen)| *seen) {
            let place = Place::of(magic.offset, bytes.len(), &NoFacts);
            let forms = std::slice::from_ref(&magic.pattern);
            let mut matches = BodyMatches::new(bytes, forms, &place, false);
            let most = hits.len().saturating_add(HITS_MAX);
            while hits.len() < most
                && let Some(found) = matches.next(work)?
            {
                let (required, file_type) = (magic.required, magic.file_type);
                hits.push(MagicHit { off: found.start as u64, required, file_type });
            }
        }
        hits.sort_by_key(|hit| hit.off);
        Ok(hits)
    }
}

/// Nothing is known of the object yet.
struct NoFacts;

impl Facts for NoFacts {
    fn exe(&self) -> Option<&ExeView> {
        None
    }
    fn icons(&self) -> &[IconMetrics] {
        &[]
    }
    fn image_hash(&self) -> Option<[u8; 8]> {
        None
    }
    fn ancestors(&self) -> &[FileType] {
        &[]
    }
}

/// Ours: places of one magic in one object.
const HITS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use hf_core::signature::{Body, Item, OffsetBase, Part};

    use super::*;

    fn magic(text: &[u8], offset: Offset, nocase: bool, file_type: FileType) -> Named<MagicSig> {
        let items = text.iter().map(|value| Item::Byte { value: *value, mask: 0xff }).collect();
        let parts = vec![Part { items, ..Part::default() }];
        let body = Body { parts, gaps: Vec::new(), nocase, wide: false };
        let rule = MagicRule::Pattern { offset, body };
        let sig = MagicSig { rule, required: FileType::Any, file_type };
        Named { name: String::new(), file: String::new(), line: 1, pua: false, sig }
    }

    #[test]
    fn finds_every_place_of_every_pattern() {
        let at_two = Offset { base: OffsetBase::Absolute(2), max_shift: 0 };
        let magics = [
            magic(b"PK\x03\x04", Offset::ANY, false, FileType::ZipSfx),
            magic(b"<HTML", Offset::ANY, true, FileType::Html),
            magic(b"MZ", at_two, false, FileType::Msexe),
        ];
        let patterns = MagicPatterns::new(&magics);
        let bytes = b"MZMZ<html PK\x03\x04PK\x03\x04";
        let found = patterns.find(bytes, &mut Work::new(&mut || Ok(()))).unwrap();
        let found: Vec<_> = found.iter().map(|hit| (hit.off, hit.file_type)).collect();
        let want = [
            (2, FileType::Msexe),
            (4, FileType::Html),
            (10, FileType::ZipSfx),
            (14, FileType::ZipSfx),
        ];
        assert_eq!(found, want);
        assert!(
            MagicPatterns::new(&[]).find(bytes, &mut Work::new(&mut || Ok(()))).unwrap().is_empty()
        );
    }
}
