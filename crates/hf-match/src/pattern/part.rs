//! One contiguous part: its steps, and which ends a match that starts at a place can have.

use hf_core::signature::{self as model, Edge, Item, Reach};

use super::seed::Runs;
use super::{Seed, edge_before, edge_behind, edge_len};

/// A compiled part.
#[derive(Debug)]
pub(crate) struct Part {
    lead: Vec<Edge>,
    left: Option<Reach>,
    steps: Vec<Step>,
    right: Option<Reach>,
    trail: Vec<Edge>,
    nocase: bool,
    wide: bool,
    /// Least bytes its items take.
    pub(crate) min_len: usize,
    /// What to look for.
    pub(crate) seed: Option<Seed>,
}

/// One step; runs of items are joined.
#[derive(Debug)]
enum Step {
    Literal(Vec<u8>),
    Masked { value: u8, mask: u8 },
    Skip(usize),
    Set { alternatives: Vec<Vec<u8>>, len: usize, negated: bool },
    Any(Vec<Vec<Step>>),
    Edge(Edge),
}

impl Part {
    pub(crate) fn new(part: &model::Part, nocase: bool, wide: bool) -> Self {
        let (min_len, _) = lengths(&part.items);
        Self {
            lead: part.lead.clone(),
            left: part.left,
            steps: join(&part.items),
            right: part.right,
            trail: part.trail.clone(),
            nocase,
            wide,
            min_len,
            seed: Runs::of(part).best().map(|run| Seed::new(&run, nocase)),
        }
    }

    pub(crate) fn weight(&self) -> usize {
        128 + self.steps.iter().map(Step::weight).sum::<usize>()
    }

    /// Returns the ends of matches whose items start at `start`, ascending, through `ends`.
    pub(crate) fn ends(&self, data: &[u8], start: usize, ends: &mut Vec<usize>) {
        ends.clear();
        if start > data.len()
            || !self.lead.iter().all(|edge| edge_before(*edge, data, start, self.wide))
            || !self.left.is_none_or(|reach| self.reach_before(reach, data, start))
        {
            return;
        }
        let mut fuel = STEPS_MAX;
        self.walk(&self.steps, data, start, ends, &mut fuel);
        ends.retain(|end| {
            self.trail.iter().all(|edge| edge_behind(*edge, data, *end, self.wide))
                && self.right.is_none_or(|reach| self.reach_behind(reach, data, *end))
        });
    }

    /// Follows steps from one place. As long as there is one place only, it allocates nothing.
    fn walk(
        &self,
        steps: &[Step],
        data: &[u8],
        start: usize,
        ends: &mut Vec<usize>,
        fuel: &mut u32,
    ) {
        let mut at = start;
        for (idx, step) in steps.iter().enumerate() {
            if let Step::Any(_) = step {
                let rest = steps.get(idx..).unwrap_or_default();
                return self.walk_set(rest, data, at, ends, fuel);
            }
            match self.step(step, data, at) {
                Some(next) => at = next,
                None => return,
            }
        }
        ends.push(at);
    }

    /// Follows steps from a set of places at once, so that the time is bounded by their number;
    /// alternatives that are nested many times over end without a match when the fuel does.
    fn walk_set(
        &self,
        steps: &[Step],
        data: &[u8],
        start: usize,
        ends: &mut Vec<usize>,
        fuel: &mut u32,
    ) {
        let mut places = vec![start];
        let mut next = Vec::new();
        let mut branch = Vec::new();
        for step in steps {
            next.clear();
            for place in &places {
                if let Step::Any(alternatives) = step {
                    for alternative in alternatives {
                        let Some(left) = fuel.checked_sub(1) else { return };
                        *fuel = left;
                        branch.clear();
                        self.walk(alternative, data, *place, &mut branch, fuel);
                        next.append(&mut branch);
                    }
                } else {
                    next.extend(self.step(step, data, *place));
                }
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return;
            }
        }
        ends.append(&mut places);
    }

    /// Follows one step that has at most one outcome.
    fn step(&self, step: &Step, data: &[u8], at: usize) -> Option<usize> {
        match step {
            Step::Literal(bytes) => {
                let end = at.checked_add(bytes.len())?;
                self.same(data.get(at..end)?, bytes).then_some(end)
            }
            Step::Masked { value, mask } => {
                (data.get(at)? & mask == *value).then(|| at.saturating_add(1))
            }
            Step::Skip(len) => at.checked_add(*len).filter(|end| *end <= data.len()),
            Step::Set { alternatives, len, negated } => {
                let end = at.checked_add(*len)?;
                let found = data.get(at..end)?;
                let any = alternatives.iter().any(|bytes| self.same(found, bytes));
                (any != *negated).then_some(end)
            }
            Step::Edge(edge) => at.checked_add(edge_len(*edge, data, at)?),
            Step::Any(_) => None,
        }
    }

    fn same(&self, found: &[u8], bytes: &[u8]) -> bool {
        if self.nocase { found.eq_ignore_ascii_case(bytes) } else { found == bytes }
    }

    fn reach_before(&self, reach: Reach, data: &[u8], start: usize) -> bool {
        (reach.min..=reach.max).any(|between| {
            let at = start.checked_sub(usize::from(between) + 1);
            at.and_then(|at| data.get(at)).is_some_and(|byte| self.reaches(reach, *byte))
        })
    }

    fn reach_behind(&self, reach: Reach, data: &[u8], end: usize) -> bool {
        (reach.min..=reach.max).any(|between| {
            let at = end.saturating_add(usize::from(between));
            data.get(at).is_some_and(|byte| self.reaches(reach, *byte))
        })
    }

    fn reaches(&self, reach: Reach, byte: u8) -> bool {
        byte & reach.mask == reach.value & reach.mask
            || (self.nocase && reach.mask == 0xff && byte.eq_ignore_ascii_case(&reach.value))
    }
}

impl Step {
    fn weight(&self) -> usize {
        48 + match self {
            Self::Literal(bytes) => bytes.len(),
            Self::Set { alternatives, .. } => {
                alternatives.iter().map(|bytes| bytes.len() + 24).sum()
            }
            Self::Any(alternatives) => {
                alternatives.iter().flatten().map(Self::weight).sum::<usize>()
            }
            _ => 0,
        }
    }
}

/// Ours: alternatives tried at one place. Fifteen levels of ordinary ones need some hundreds.
const STEPS_MAX: u32 = 1 << 14;

/// Joins exact bytes to literals and arbitrary ones to skips.
fn join(items: &[Item]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for item in items {
        match (item, steps.last_mut()) {
            (Item::Byte { value, mask: 0xff }, Some(Step::Literal(bytes))) => bytes.push(*value),
            (Item::Byte { value, mask: 0xff }, _) => steps.push(Step::Literal(vec![*value])),
            (Item::Byte { mask: 0, .. }, Some(Step::Skip(len))) => *len += 1,
            (Item::Byte { mask: 0, .. }, _) => steps.push(Step::Skip(1)),
            (Item::Byte { value, mask }, _) => {
                steps.push(Step::Masked { value: value & mask, mask: *mask });
            }
            (Item::Set { alternatives, negated }, _) => {
                let len = alternatives.first().map_or(0, Vec::len);
                let alternatives = alternatives.clone();
                steps.push(Step::Set { alternatives, len, negated: *negated });
            }
            (Item::Any { alternatives }, _) => {
                steps.push(Step::Any(alternatives.iter().map(|items| join(items)).collect()));
            }
            (Item::Edge(edge), _) => steps.push(Step::Edge(*edge)),
        }
    }
    steps
}

/// Returns the least and the most bytes that items take.
pub(crate) fn lengths(items: &[Item]) -> (usize, usize) {
    items.iter().fold((0usize, 0usize), |(min, max), item| {
        let (least, most) = item_lengths(item);
        (min.saturating_add(least), max.saturating_add(most))
    })
}

/// Returns the least and the most bytes that one item takes.
pub(crate) fn item_lengths(item: &Item) -> (usize, usize) {
    match item {
        Item::Byte { .. } => (1, 1),
        Item::Set { alternatives, .. } => {
            let len = alternatives.first().map_or(0, Vec::len);
            (len, len)
        }
        Item::Any { alternatives } => {
            let each = alternatives.iter().map(|items| lengths(items));
            each.reduce(|one, two| (one.0.min(two.0), one.1.max(two.1))).unwrap_or((0, 0))
        }
        Item::Edge(Edge { kind: model::EdgeKind::Line, negated: false }) => (1, 2),
        Item::Edge(_) => (1, 1),
    }
}
