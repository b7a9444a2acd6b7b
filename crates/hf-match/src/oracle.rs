//! A naive matcher over the model: slow, obvious, and written apart from the fast one.
//!
//! It looks at every place, keeps every result and shares no code with the matcher but the tables of
//! boundaries and the reading of byte-comparison fields, which have tests of their own.

use std::collections::{BTreeMap, BTreeSet};

use hf_core::signature::{
    Body, BodySig, Compare, CompareOp, Expr, Item, LogicalSig, Offset, OffsetBase, Part, Sub,
};
use hf_core::{Facts, FileType, Target};

use crate::byte_compare;
use crate::pattern::{edge_before, edge_behind, edge_len};

/// A signature with a number for its name.
#[derive(Debug, Clone)]
pub(crate) enum AnySig {
    Body(BodySig),
    Logical(LogicalSig),
}

/// Returns the indices of the signatures that match.
pub(crate) fn matching(
    sigs: &[AnySig],
    data: &[u8],
    target: Option<Target>,
    facts: &dyn Facts,
) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (idx, sig) in sigs.iter().enumerate() {
        let of = match sig {
            AnySig::Body(sig) => sig.target,
            AnySig::Logical(sig) => sig.tdb.target,
        };
        if of != Target::ANY && Some(of) != target {
            continue;
        }
        let holds = match sig {
            AnySig::Body(sig) if matches!(sig.offset.base, OffsetBase::Macro(_)) => false,
            AnySig::Body(sig) => {
                !starts(std::slice::from_ref(&sig.body), sig.offset, data, facts).is_empty()
            }
            AnySig::Logical(sig) => logical(sig, sigs, data, facts),
        };
        if holds {
            found.insert(idx);
        }
    }
    found
}

fn logical(sig: &LogicalSig, all: &[AnySig], data: &[u8], facts: &dyn Facts) -> bool {
    let within = |range: Option<(u32, u32)>, value: Option<u64>| match (range, value) {
        (None, _) => true,
        (Some((min, max)), Some(value)) => value >= u64::from(min) && value <= u64::from(max),
        (Some(_), None) => false,
    };
    let tdb = &sig.tdb;
    let parent = facts.ancestors().last().copied();
    let sections = facts.exe().map(|exe| exe.sections.len() as u64);
    if !within(tdb.file_size, Some(data.len() as u64))
        || !within(tdb.entry_point, facts.exe().and_then(|exe| exe.entry_off))
        || !within(tdb.sections, sections)
        || tdb.container.is_some_and(|kind| kind != parent.unwrap_or(FileType::Any))
    {
        return false;
    }
    let mut counts: Vec<u64> = Vec::new();
    for (idx, sub) in sig.subs.iter().enumerate() {
        let count = match sub {
            Sub::Body { offset, forms } => starts(forms, *offset, data, facts).len() as u64,
            Sub::ImageHash(hash) => u64::from(facts.image_hash() == Some(*hash)),
            Sub::ByteCompare(compare) => match &sig.subs[usize::from(compare.reference)] {
                Sub::Body { offset, forms } => {
                    let places = starts(forms, *offset, data, facts);
                    let last = places.last_key_value();
                    u64::from(
                        last.is_some_and(|(_, first)| byte_compare::holds(compare, data, *first)),
                    )
                }
                _ => 0,
            },
            Sub::Macro { min, max, group } => {
                macro_count(sig, idx, (*min, *max), *group, all, data, facts)
            }
            Sub::Pcre { .. } => unreachable!("regular expressions have tables of their own"),
        };
        counts.push(count);
    }
    eval(&sig.expr, &counts).0
}

fn macro_count(
    sig: &LogicalSig,
    idx: usize,
    (min, max): (u32, u32),
    group: u8,
    all: &[AnySig],
    data: &[u8],
    facts: &dyn Facts,
) -> u64 {
    let Some(Sub::Body { offset, forms }) = idx.checked_sub(1).map(|idx| &sig.subs[idx]) else {
        return 0;
    };
    let before: Vec<usize> = starts(forms, *offset, data, facts).into_values().collect();
    let mut places = BTreeSet::new();
    for other in all {
        if let AnySig::Body(other) = other
            && other.target == sig.tdb.target
            && other.offset.base == OffsetBase::Macro(group)
        {
            let forms = std::slice::from_ref(&other.body);
            places.extend(starts(forms, other.offset, data, facts).into_values());
        }
    }
    let near = |place: &&usize| {
        before.iter().any(|start| (start + min as usize..=start + max as usize).contains(*place))
    };
    places.iter().filter(near).count() as u64
}

/// Returns where the last part of a match of any form starts, each with the smallest start of the
/// first part.
fn starts(
    forms: &[Body],
    offset: Offset,
    data: &[u8],
    facts: &dyn Facts,
) -> BTreeMap<usize, usize> {
    let mut found: BTreeMap<usize, usize> = BTreeMap::new();
    for body in forms {
        let mut reached: BTreeMap<usize, (usize, BTreeSet<usize>)> = BTreeMap::new();
        for (idx, part) in body.parts.iter().enumerate() {
            let mut next = BTreeMap::new();
            for start in 0..=data.len() {
                let ends = part_ends(part, body, data, start);
                if ends.is_empty() {
                    continue;
                }
                let origin = if idx == 0 {
                    allowed(offset, start, data.len(), facts).then_some(start)
                } else {
                    let gap = body.gaps[idx - 1];
                    let fits = |end: &&usize| {
                        start.checked_sub(**end).is_some_and(|far| {
                            far >= gap.min as usize && gap.max.is_none_or(|max| far <= max as usize)
                        })
                    };
                    let from = reached.values();
                    let from = from.filter(|(_, ends)| ends.iter().any(|end| fits(&end)));
                    from.map(|(origin, _)| *origin).min()
                };
                if let Some(origin) = origin {
                    next.insert(start, (origin, ends));
                }
            }
            reached = next;
        }
        for (last, (origin, _)) in reached {
            found.entry(last).or_insert(origin);
        }
    }
    found
}

fn allowed(offset: Offset, start: usize, len: usize, facts: &dyn Facts) -> bool {
    let exe = facts.exe();
    let shift = i128::from(offset.max_shift);
    let (base, width) = match offset.base {
        OffsetBase::Any | OffsetBase::Macro(_) => return true,
        OffsetBase::VersionInfo => {
            return exe.is_some_and(|exe| exe.version_key_offs.contains(&(start as u64)));
        }
        OffsetBase::Absolute(off) => (Some(i128::from(off)), 0),
        OffsetBase::End(back) => (Some(len as i128 - i128::from(back)), 0),
        OffsetBase::Entry(add) => {
            (exe.and_then(|exe| exe.entry_off).map(|off| i128::from(off) + i128::from(add)), 0)
        }
        OffsetBase::Section { idx, add } => {
            let section = exe.and_then(|exe| exe.sections.get(idx as usize));
            (section.map(|section| i128::from(section.raw_off) + i128::from(add)), 0)
        }
        OffsetBase::LastSection { add } => {
            let section = exe.and_then(|exe| exe.sections.last());
            (section.map(|section| i128::from(section.raw_off) + i128::from(add)), 0)
        }
        OffsetBase::InSection { idx } => {
            let section = exe.and_then(|exe| exe.sections.get(idx as usize));
            let width = section.map_or(0, |section| section.raw_len);
            (section.map(|section| i128::from(section.raw_off)), i128::from(width))
        }
    };
    base.filter(|base| *base >= 0)
        .is_some_and(|base| (base..=base + width + shift).contains(&(start as i128)))
}

fn part_ends(part: &Part, body: &Body, data: &[u8], start: usize) -> BTreeSet<usize> {
    let one = |value: u8, mask: u8, byte: u8| {
        byte & mask == value & mask
            || (body.nocase && mask == 0xff && byte.eq_ignore_ascii_case(&value))
    };
    let lead = part.lead.iter().all(|edge| edge_before(*edge, data, start, body.wide));
    let left = part.left.is_none_or(|reach| {
        (reach.min..=reach.max).any(|between| {
            let at = start.checked_sub(usize::from(between) + 1);
            at.is_some_and(|at| one(reach.value, reach.mask, data[at]))
        })
    });
    if !lead || !left {
        return BTreeSet::new();
    }
    let mut ends = items_ends(&part.items, body, data, start);
    ends.retain(|end| {
        part.trail.iter().all(|edge| edge_behind(*edge, data, *end, body.wide))
            && part.right.is_none_or(|reach| {
                (reach.min..=reach.max).any(|between| {
                    let byte = data.get(end + usize::from(between));
                    byte.is_some_and(|byte| one(reach.value, reach.mask, *byte))
                })
            })
    });
    ends
}

fn items_ends(items: &[Item], body: &Body, data: &[u8], start: usize) -> BTreeSet<usize> {
    let Some((first, rest)) = items.split_first() else { return BTreeSet::from([start]) };
    let same =
        |one: &[u8], two: &[u8]| one == two || (body.nocase && one.eq_ignore_ascii_case(two));
    let next: BTreeSet<usize> = match first {
        Item::Byte { value, mask } => match data.get(start) {
            Some(byte)
                if byte & mask == value & mask || (*mask == 0xff && same(&[*byte], &[*value])) =>
            {
                BTreeSet::from([start + 1])
            }
            _ => BTreeSet::new(),
        },
        Item::Set { alternatives, negated } => {
            let len = alternatives[0].len();
            match data.get(start..start + len) {
                Some(found) if alternatives.iter().any(|text| same(found, text)) != *negated => {
                    BTreeSet::from([start + len])
                }
                _ => BTreeSet::new(),
            }
        }
        Item::Any { alternatives } => {
            alternatives.iter().flat_map(|items| items_ends(items, body, data, start)).collect()
        }
        Item::Edge(edge) => {
            edge_len(*edge, data, start).map(|len| start + len).into_iter().collect()
        }
    };
    next.into_iter().flat_map(|at| items_ends(rest, body, data, at)).collect()
}

/// Returns whether it holds, the total, and the members that matched.
fn eval(expr: &Expr, counts: &[u64]) -> (bool, u64, BTreeSet<u8>) {
    let compare = |cmp: Compare, found: u64| match cmp.op {
        CompareOp::Equal => found == u64::from(cmp.count),
        CompareOp::Less => found < u64::from(cmp.count),
        CompareOp::Greater => found > u64::from(cmp.count),
    };
    let not = (false, 0, BTreeSet::new());
    match expr {
        Expr::Sub { idx, cmp } => {
            let count = counts[usize::from(*idx)];
            if !cmp.map_or(count > 0, |cmp| compare(cmp, count)) {
                return not;
            }
            (true, count, BTreeSet::from([*idx]))
        }
        Expr::And(left, right) => {
            let (left, right) = (eval(left, counts), eval(right, counts));
            if left.0 && right.0 { (true, left.1 + right.1, &left.2 | &right.2) } else { not }
        }
        Expr::Or(left, right) => {
            let (left, right) = (eval(left, counts), eval(right, counts));
            (left.0 || right.0, left.1 + right.1, &left.2 | &right.2)
        }
        Expr::Block { inner, cmp: None } => eval(inner, counts),
        Expr::Block { inner, cmp: Some(cmp) } => {
            let (_, total, ids) = eval(inner, counts);
            let distinct = cmp.distinct.is_none_or(|distinct| ids.len() >= distinct as usize);
            if compare(*cmp, total) && distinct { (true, total, BTreeSet::new()) } else { not }
        }
    }
}
