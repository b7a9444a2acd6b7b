//! What to look for first: the rarest literal run of a part, and how to find it.

use hf_core::Stop;
use hf_core::signature::{self as model, Item};
use memchr::memmem;

use super::Work;
use super::part::item_lengths;
use crate::rarity;

/// A literal that every match of a part contains, and how far from the start.
#[derive(Debug)]
pub(crate) struct Seed {
    /// Least bytes of the part in front of it.
    pub(crate) before_min: usize,
    /// Most bytes of the part in front of it.
    pub(crate) before_max: usize,
    /// How rare it is in ordinary files, in sixteenths of a bit.
    pub(crate) rarity: u32,
    finder: Finder,
}

#[derive(Debug)]
enum Finder {
    Exact(Box<memmem::Finder<'static>>),
    /// The literal in lower case, and the offset in it of the byte that is searched for.
    Nocase {
        bytes: Vec<u8>,
        rare: usize,
    },
}

/// A literal run of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) bytes: Vec<u8>,
    pub(crate) before_min: usize,
    pub(crate) before_max: usize,
}

/// The literal runs of a part, in order.
#[derive(Debug)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    pub(super) fn of(part: &model::Part) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let (mut min, mut max) = (0usize, 0usize);
        let mut open = false;
        for item in &part.items {
            match item {
                Item::Byte { value, mask: 0xff } => match runs.last_mut().filter(|_| open) {
                    Some(run) => run.bytes.push(*value),
                    None => {
                        let bytes = vec![*value];
                        runs.push(Run { bytes, before_min: min, before_max: max });
                        open = true;
                    }
                },
                _ => open = false,
            }
            let (least, most) = item_lengths(item);
            min = min.saturating_add(least);
            max = max.saturating_add(most);
        }
        Self(runs)
    }

    /// Returns the run that is best searched for.
    pub(super) fn best(self) -> Option<Run> {
        self.0.into_iter().max_by_key(|run| {
            let slack = run.before_max.saturating_sub(run.before_min).min(64);
            let rare = rarity::of_run(&run.bytes);
            (rare.saturating_sub(u32::try_from(slack).unwrap_or(64) * 4), run.bytes.len())
        })
    }
}

/// Returns the literal runs of a part, in order.
pub(crate) fn runs(part: &model::Part) -> impl Iterator<Item = Run> {
    Runs::of(part).0.into_iter()
}

/// Returns the run of a part that is best searched for.
pub(crate) fn best_seed(part: &model::Part) -> Option<Run> {
    Runs::of(part).best()
}

impl Seed {
    pub(crate) fn new(run: &Run, nocase: bool) -> Self {
        let letters = run.bytes.iter().any(u8::is_ascii_alphabetic);
        let finder = if nocase && letters {
            let bytes = run.bytes.to_ascii_lowercase();
            let rare = bytes.iter().enumerate().max_by_key(|(_, byte)| rarity::of_byte(**byte));
            Finder::Nocase { rare: rare.map_or(0, |(idx, _)| idx), bytes }
        } else {
            Finder::Exact(Box::new(memmem::Finder::new(&run.bytes).into_owned()))
        };
        let rarity = rarity::of_run(&run.bytes);
        Self { before_min: run.before_min, before_max: run.before_max, rarity, finder }
    }

    fn len(&self) -> usize {
        match &self.finder {
            Finder::Exact(finder) => finder.needle().len(),
            Finder::Nocase { bytes, .. } => bytes.len(),
        }
    }

    /// Returns the first place of the literal that is at least `from` and at most `to`.
    pub(crate) fn find(
        &self,
        data: &[u8],
        from: usize,
        to: usize,
        work: &mut Work<'_>,
    ) -> Result<Option<usize>, Stop> {
        let end = to.saturating_add(self.len()).min(data.len());
        let mut at = from;
        while at < end && at <= to {
            let piece_end = at.saturating_add(PIECE).saturating_add(self.len() - 1).min(end);
            let Some(piece) = data.get(at..piece_end) else { break };
            if let Some(found) = self.find_in(piece) {
                work.spend(found.saturating_add(1))?;
                return Ok(Some(at + found));
            }
            work.spend(piece.len())?;
            if piece_end == end {
                break;
            }
            at += PIECE;
        }
        Ok(None)
    }

    fn find_in(&self, piece: &[u8]) -> Option<usize> {
        let (bytes, rare) = match &self.finder {
            Finder::Exact(finder) => return finder.find(piece),
            Finder::Nocase { bytes, rare } => (bytes, *rare),
        };
        let lower = *bytes.get(rare)?;
        let last = piece.len().checked_sub(bytes.len())?;
        let mut from = rare;
        loop {
            let rest = piece.get(from..=last + rare)?;
            let hit = if lower.is_ascii_alphabetic() {
                memchr::memchr2(lower, lower.to_ascii_uppercase(), rest)?
            } else {
                memchr::memchr(lower, rest)?
            };
            let start = from + hit - rare;
            if piece.get(start..start + bytes.len())?.eq_ignore_ascii_case(bytes) {
                return Some(start);
            }
            from += hit + 1;
        }
    }
}

/// Ours: bytes searched between two polls.
const PIECE: usize = 1 << 19;
