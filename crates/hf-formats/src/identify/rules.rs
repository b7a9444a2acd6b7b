//! Types from loaded magic signatures (`.ftm`), which replace the built-in table.
//!
//! Promises: the newest rule that fits wins; a plain backtracking matcher with a bound on its steps, meant for
//! the first [`super::HEAD_LEN`] bytes only.
//! Leaves out: offsets relative to executables, macro groups, partition rules.
//! Sources: ClamAV's published signature documentation ("file type magic", "extended signatures").

use hf_core::FileType;
use hf_core::signature::{
    Body, Edge, EdgeKind, Gap, Item, MagicRule, MagicSig, Offset, OffsetBase, Part, Reach,
};

use super::magic::has_at;

/// Returns the type that rules with an offset give.
pub(super) fn at_offset(head: &[u8], magics: &[MagicSig]) -> Option<FileType> {
    magics
        .iter()
        .rev()
        .filter(|magic| magic.required == FileType::Any)
        .find(|magic| match &magic.rule {
            MagicRule::At { off, bytes, partition: false } => {
                has_at(head, usize::try_from(*off).unwrap_or(usize::MAX), bytes)
            }
            _ => false,
        })
        .map(|magic| magic.file_type)
}

/// Returns the type that patterns give; when several fit, the one that ClamAV's numbering puts last.
pub(super) fn pattern(head: &[u8], current: FileType, magics: &[MagicSig]) -> Option<FileType> {
    magics
        .iter()
        .filter(|magic| magic.required == FileType::Any || magic.required == current)
        .filter(|magic| !super::embedded::is_embedded_type(magic.file_type))
        .filter(|magic| match &magic.rule {
            MagicRule::Pattern { offset, body } => is_match(head, offset, body),
            MagicRule::At { .. } => false,
        })
        .map(|magic| magic.file_type)
        .max()
}

/// Steps after which a pattern counts as not fitting.
const STEPS_MAX: u32 = 200_000;

fn is_match(head: &[u8], offset: &Offset, body: &Body) -> bool {
    let Some((first, last)) = starts(offset, head.len()) else { return false };
    let mut matcher = Matcher { head, nocase: body.nocase, steps_left: STEPS_MAX };
    (first..=last.min(head.len())).any(|start| matcher.body(body, 0, start))
}

fn starts(offset: &Offset, len: usize) -> Option<(usize, usize)> {
    match offset.base {
        OffsetBase::Any => Some((0, len)),
        OffsetBase::Absolute(off) => {
            let first = usize::try_from(off).ok()?;
            Some((first, first.saturating_add(usize::try_from(offset.max_shift).ok()?)))
        }
        _ => None,
    }
}

struct Matcher<'a> {
    head: &'a [u8],
    nocase: bool,
    steps_left: u32,
}

impl Matcher<'_> {
    /// True when the parts from an index on match from here.
    fn body(&mut self, body: &Body, part_idx: usize, at: usize) -> bool {
        let Some(part) = body.parts.get(part_idx) else { return true };
        let ends = self.part(part, at);
        if part_idx.saturating_add(1) >= body.parts.len() {
            return !ends.is_empty();
        }
        let gap = body.gaps.get(part_idx).copied().unwrap_or(Gap { min: 0, max: None });
        let min = usize::try_from(gap.min).unwrap_or(usize::MAX);
        let max = gap.max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        ends.into_iter().any(|end| {
            let last = end.saturating_add(max).min(self.head.len());
            (end.saturating_add(min)..=last)
                .any(|next| self.body(body, part_idx.saturating_add(1), next))
        })
    }

    /// Returns where a part that starts here can end.
    fn part(&mut self, part: &Part, at: usize) -> Vec<usize> {
        if !part.lead.iter().all(|edge| self.edge(*edge, at)) || !self.left(part.left, at) {
            return Vec::new();
        }
        let mut ends = self.items(&part.items, at);
        ends.retain(|end| {
            part.trail.iter().all(|edge| self.edge(*edge, *end)) && self.right(part.right, *end)
        });
        ends
    }

    fn left(&self, reach: Option<Reach>, at: usize) -> bool {
        reach.is_none_or(|reach| {
            (usize::from(reach.min)..=usize::from(reach.max)).any(|between| {
                let byte =
                    at.checked_sub(between.saturating_add(1)).and_then(|at| self.head.get(at));
                byte.is_some_and(|byte| self.same(*byte, reach.value, reach.mask))
            })
        })
    }

    fn right(&self, reach: Option<Reach>, end: usize) -> bool {
        reach.is_none_or(|reach| {
            (usize::from(reach.min)..=usize::from(reach.max)).any(|between| {
                let byte = self.head.get(end.saturating_add(between));
                byte.is_some_and(|byte| self.same(*byte, reach.value, reach.mask))
            })
        })
    }

    fn items(&mut self, items: &[Item], at: usize) -> Vec<usize> {
        let mut ends = vec![at];
        for item in items {
            let mut next = Vec::new();
            for end in ends {
                self.steps_left = self.steps_left.saturating_sub(1);
                if self.steps_left == 0 {
                    return Vec::new();
                }
                self.item(item, end, &mut next);
            }
            next.sort_unstable();
            next.dedup();
            ends = next;
        }
        ends
    }

    fn item(&mut self, item: &Item, at: usize, ends: &mut Vec<usize>) {
        match item {
            Item::Byte { value, mask } => {
                if self.head.get(at).is_some_and(|byte| self.same(*byte, *value, *mask)) {
                    ends.push(at.saturating_add(1));
                }
            }
            Item::Set { alternatives, negated } => {
                let len = alternatives.first().map_or(0, Vec::len);
                let end = at.saturating_add(len);
                let Some(bytes) = self.head.get(at..end) else { return };
                let found = alternatives
                    .iter()
                    .any(|want| bytes.iter().zip(want).all(|(b, w)| self.same(*b, *w, 0xff)));
                if found != *negated {
                    ends.push(end);
                }
            }
            Item::Any { alternatives } => {
                for alternative in alternatives {
                    ends.extend(self.items(alternative, at));
                }
            }
            Item::Edge(edge) => {
                if self.edge(*edge, at) {
                    ends.push(at.saturating_add(1));
                }
            }
        }
    }

    fn same(&self, byte: u8, value: u8, mask: u8) -> bool {
        byte & mask == value & mask
            || self.nocase && mask == 0xff && byte.eq_ignore_ascii_case(&value)
    }

    /// A boundary: the byte before or behind is not part of a word, or is not there.
    fn edge(&self, edge: Edge, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.head.get(at)).copied();
        let behind = self.head.get(at).copied();
        let holds = match edge.kind {
            EdgeKind::Line => {
                matches!(before, None | Some(b'\n')) || matches!(behind, None | Some(b'\n' | b'\r'))
            }
            EdgeKind::Word | EdgeKind::NonAlphanumeric => {
                let open = |byte: Option<u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
                open(before) || open(behind)
            }
        };
        holds != edge.negated
    }
}
