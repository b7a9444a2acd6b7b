//! The signatures whose anchors were found in an object.

use crate::filter::{Hits, Lead, Seen, Tables};

/// A signature to be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) pack: u32,
    pub(crate) sig: u32,
    /// Members of which an anchor was found.
    pub(crate) found: u64,
}

/// Collects the anchors found in one object. Emptying it costs as much as there is in it.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// One for each table of the object's targets.
    pub(crate) seen: Vec<Seen>,
    hits: Hits,
    leads: Vec<(u32, u32, Lead)>,
    list: Vec<Candidate>,
}

impl Candidates {
    /// Forgets an object, and makes room for the next.
    pub(crate) fn reset<'t>(&mut self, tables: impl Iterator<Item = &'t Tables<'t>>) {
        self.leads.clear();
        for (idx, tables) in tables.enumerate() {
            if self.seen.len() <= idx {
                self.seen.push(Seen::default());
            }
            if let Some(seen) = self.seen.get_mut(idx) {
                seen.reset(tables);
            }
        }
    }

    pub(crate) fn add(&mut self, pack: u32, lead: Lead) {
        add(&mut self.leads, pack, lead);
    }

    /// Returns a function that adds, while the sites are borrowed.
    pub(crate) fn split(&mut self) -> (&mut Hits, &mut [Seen], impl FnMut(u32, Lead)) {
        let leads = &mut self.leads;
        (&mut self.hits, &mut self.seen, move |pack, lead| add(leads, pack, lead))
    }

    /// Returns the signatures of which enough anchors were found, in load order.
    pub(crate) fn list(&mut self) -> &[Candidate] {
        self.leads.sort_unstable();
        self.list.clear();
        for group in self.leads.chunk_by(|one, two| (one.0, one.1) == (two.0, two.1)) {
            let Some((pack, sig, first)) = group.first().copied() else { continue };
            let second = group.iter().any(|(.., lead)| lead.is(Lead::SECOND));
            let other = group.iter().any(|(.., lead)| !lead.is(Lead::SECOND));
            if !first.is(Lead::BOTH) || (second && other) {
                let found = group.iter().fold(0, |mask, (.., lead)| mask | 1 << lead.sub());
                self.list.push(Candidate { pack, sig, found });
            }
        }
        &self.list
    }
}

fn add(leads: &mut Vec<(u32, u32, Lead)>, pack: u32, lead: Lead) {
    leads.push((pack, lead.sig(), lead));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_anchors_are_needed() {
        let mut candidates = Candidates::default();
        let both = |sig, sub| Lead::new(sig, sub, Lead::BOTH);
        let second = |sig, sub| Lead::new(sig, sub, Lead::BOTH | Lead::SECOND);
        candidates.add(0, Lead::new(70, 1, 0));
        candidates.add(1, both(7, 0));
        candidates.add(1, both(7, 1));
        candidates.add(1, second(8, 0));
        candidates.add(0, second(3, 2));
        candidates.add(0, both(3, 5));
        let want = [
            Candidate { pack: 0, sig: 3, found: 0b10_0100 },
            Candidate { pack: 0, sig: 70, found: 0b10 },
        ];
        assert_eq!(candidates.list(), want);
        candidates.reset(std::iter::empty());
        assert!(candidates.list().is_empty());
    }
}
