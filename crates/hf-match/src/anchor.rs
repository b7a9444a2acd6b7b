//! Which piece of a signature is looked for in every object, so that the others need not be.
//!
//! A signature needs only one of the pieces that it cannot match without: the one that is rarest in
//! ordinary files. A piece is a window into a literal run, or, where the offset is fixed, some bytes
//! at one place. Promises: a signature whose anchors are absent does not match.

use std::rc::Rc;

use hf_core::signature::{Body, Offset, OffsetBase, Part};

use crate::filter::{CLASSES, Class, PAIRS};
use crate::logic::{Logic, needs_match};
use crate::pattern::{Run, runs};
use crate::rarity::{self, Common};
use crate::stored::StoredSub;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// A literal, through a stretch of windows in it.
    Literal(Literal),
    /// Bytes at a place.
    Fixed(Fixed),
    /// The perceptual hash of an image.
    Image([u8; 8]),
}

/// A literal run, cut to [`LITERAL_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Literal {
    /// Index into [`CLASSES`].
    pub(crate) class: u8,
    pub(crate) nocase: bool,
    /// In lower case when `nocase`.
    pub(crate) bytes: Vec<u8>,
    /// Where in it the stretch begins that the filter sees.
    pub(crate) lead: u8,
    /// What is to be compared where the literal stands; none when the literal is all.
    pub(crate) check: Option<Check>,
}

/// The part of a member around a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Check {
    pub(crate) sub: u32,
    pub(crate) form: u8,
    pub(crate) part: u8,
    /// Bytes of the part in front of the literal.
    pub(crate) before: u16,
}

impl Literal {
    /// Moves to a class with shorter windows.
    pub(crate) fn see_as(&mut self, class: usize) {
        let shape = CLASSES.get(class);
        let stretch = shape.and_then(|shape| best_stretch(&self.bytes, shape));
        let lead =
            stretch.map(|(lead, _)| if class == PAIRS { best_opening(&self.bytes) } else { lead });
        let lead = lead.and_then(|lead| u8::try_from(lead).ok());
        if let (Some(lead), Ok(class)) = (lead, u8::try_from(class)) {
            (self.lead, self.class) = (lead, class);
        }
    }
}

/// Some bytes at a fixed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fixed {
    pub(crate) point: Point,
    /// Distance from it.
    pub(crate) delta: i64,
    /// Number of bytes, at most 8.
    pub(crate) width: u8,
    /// The bytes, folded, the first one lowest.
    pub(crate) key: u64,
}

/// A fixed point in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    Start,
    End,
    Entry,
    Section(u32),
    LastSection,
}

/// An anchor and the member that cannot match without it, or without another of its anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) anchor: Anchor,
    pub(crate) sub: u8,
}

/// The anchors of a signature, of which at least one is there whenever it matches; with how rare
/// the most common of them is, in sixteenths of a bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) anchors: Vec<Tagged>,
    /// Further anchors of which at least one is there as well; empty when the first are enough.
    pub(crate) also: Vec<Tagged>,
    pub(crate) rarity: u32,
}

impl Trigger {
    fn new(anchor: Anchor, sub: u8, rarity: u32) -> Self {
        Self { anchors: vec![Tagged { anchor, sub }], also: Vec::new(), rarity }
    }

    /// Returns the members whose anchors these are, one bit for each.
    pub(crate) fn members(&self) -> u64 {
        let all = self.anchors.iter().chain(&self.also);
        all.fold(0, |mask, tagged| mask | 1 << (tagged.sub & 63))
    }

    /// Joins the anchors of two members that must both match. The second ones are looked for only
    /// when the first ones are not rare.
    fn both(all: impl Iterator<Item = Self>) -> Option<Self> {
        let mut all: Vec<Self> = all.collect();
        all.sort_by_key(|trigger| std::cmp::Reverse(trigger.rarity));
        let mut all = all.into_iter();
        let mut best = all.next()?;
        if best.rarity < RARE && best.also.is_empty() {
            let second = all.find(|second| {
                second.rarity >= USEFUL
                    && second
                        .anchors
                        .iter()
                        .all(|two| best.anchors.iter().all(|one| one.anchor != two.anchor))
            });
            if let Some(second) = second {
                best.rarity = best.rarity.saturating_add(second.rarity);
                best.also = second.anchors;
            }
        }
        Some(best)
    }
}

/// Chooses the anchors of an expression over members; none when it may hold without any.
pub(crate) fn of_logic(logic: &Logic, subs: &dyn Fn(u8) -> Option<Rc<Member>>) -> Option<Trigger> {
    match logic {
        Logic::Sub { idx, cmp } if needs_match(*cmp) => of_member(*idx, subs),
        Logic::Sub { .. } => None,
        Logic::All(all) => Trigger::both(all.iter().filter_map(|inner| of_logic(inner, subs))),
        Logic::Some(some) => {
            let triggers: Option<Vec<Trigger>> =
                some.iter().map(|inner| of_logic(inner, subs)).collect();
            triggers.and_then(union)
        }
        Logic::Block { inner, cmp } if needs_match(Some(*cmp)) => of_logic(inner, subs),
        Logic::Block { .. } => None,
    }
}

/// What a member needs to match.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    /// One of its own anchors.
    Own(Option<Trigger>),
    /// That another member matches, which stands before it.
    Other(u8),
    /// That an expression over members before it holds.
    Condition(Logic),
}

fn of_member(idx: u8, subs: &dyn Fn(u8) -> Option<Rc<Member>>) -> Option<Trigger> {
    match &*subs(idx)? {
        Member::Own(trigger) => trigger.clone(),
        Member::Other(other) if *other < idx => of_member(*other, subs),
        Member::Other(_) => None,
        Member::Condition(logic) => {
            let before = |other: u8| if other < idx { subs(other) } else { None };
            of_logic(logic, &before)
        }
    }
}

/// Chooses the anchors of a member; `uses` is the number of signatures that have it.
pub(crate) fn of_sub(
    sub: &StoredSub,
    (id, idx): (u32, u8),
    uses: u32,
    common: &Common,
) -> Option<Member> {
    Some(match sub {
        StoredSub::Macro { .. } => Member::Other(idx.checked_sub(1)?),
        StoredSub::Pcre { trigger, .. } => Member::Condition(Logic::read(trigger)?),
        StoredSub::ByteCompare(compare) => Member::Other(compare.reference),
        StoredSub::ImageHash(hash) => {
            Member::Own(Some(Trigger::new(Anchor::Image(*hash), idx, RARE)))
        }
        StoredSub::Body { offset, forms } => {
            let bodies = (0u8..=u8::MAX).zip(forms).map(|(form, body)| {
                let check = Check { sub: id, form, part: 0, before: 0 };
                of_body(*offset, &body.body()?, idx, check, common)
            });
            let trigger = bodies.collect::<Option<Vec<_>>>().and_then(union);
            let penalty = USE_PENALTY.saturating_mul(uses.max(1).ilog2());
            Member::Own(trigger.map(|trigger| Trigger {
                rarity: trigger.rarity.saturating_sub(penalty).max(1),
                ..trigger
            }))
        }
    })
}

fn union(triggers: Vec<Trigger>) -> Option<Trigger> {
    let rarity = triggers.iter().map(|trigger| trigger.rarity).min()?;
    let mut anchors = Vec::new();
    for anchor in triggers.into_iter().flat_map(|trigger| trigger.anchors) {
        if !anchors.contains(&anchor) {
            anchors.push(anchor);
        }
    }
    Some(Trigger { anchors, also: Vec::new(), rarity })
}

/// Chooses the anchor of a body.
fn of_body(offset: Offset, body: &Body, sub: u8, check: Check, common: &Common) -> Option<Trigger> {
    if let Some(trigger) = fixed(offset, body, sub) {
        return Some(trigger);
    }
    let mut best: Option<(Literal, u32)> = None;
    for (part, idx) in body.parts.iter().zip(0u8..) {
        for run in runs(part) {
            let Some((mut literal, cut, rarity)) = literal(&run, body.nocase, common) else {
                continue;
            };
            let exact = run.before_min == run.before_max;
            let before = u16::try_from(run.before_min.saturating_add(cut)).ok();
            let all = Part { items: Vec::new(), ..part.clone() } == Part::default()
                && literal.bytes.len() == part.items.len();
            literal.check =
                before.filter(|_| exact && !all).map(|before| Check { part: idx, before, ..check });
            if best.as_ref().is_none_or(|best| rarity > best.1) {
                best = Some((literal, rarity));
            }
        }
    }
    best.map(|(literal, rarity)| Trigger::new(Anchor::Literal(literal), sub, rarity))
}

/// Makes an anchor of a run: with how much of the run was cut off in front, and how rare it is.
fn literal(run: &Run, nocase: bool, common: &Common) -> Option<(Literal, usize, u32)> {
    let bytes = if nocase { run.bytes.to_ascii_lowercase() } else { run.bytes.clone() };
    let mut best: Option<(u32, u8, usize)> = None;
    for (class, shape) in (0u8..).zip(CLASSES) {
        // A cheaper class is taken unless its windows are much more common.
        let better = |rarity: u32| best.is_none_or(|best| rarity > best.0 + CLASS_BONUS);
        if let Some((lead, rarity)) = best_stretch(&bytes, shape)
            && better(rarity)
        {
            best = Some((rarity, class, lead));
        }
    }
    let (window_rarity, class, mut lead) = best?;
    if usize::from(class) == PAIRS {
        lead = best_opening(&bytes);
    }
    // The literal is cut around the stretch.
    let from = lead.saturating_sub(LITERAL_MAX / 2);
    let upto = bytes.len().min(from + LITERAL_MAX);
    let bytes = bytes.get(from..upto)?.to_vec();
    let lead = u8::try_from(lead - from).ok()?;
    let letters = bytes.iter().filter(|byte| nocase && byte.is_ascii_alphabetic()).count();
    let rarity = common.of_run(&bytes).saturating_sub(8 * u32::try_from(letters).ok()?);
    // A common window costs a look-up each time, a common literal an evaluation.
    let rarity = rarity.min(window_rarity.saturating_mul(2)).max(1);
    Some((Literal { class, nocase, bytes, lead, check: None }, from, rarity))
}

/// Returns the stretch whose most common window is the rarest, with how rare that is.
fn best_stretch(bytes: &[u8], class: &Class) -> Option<(usize, u32)> {
    let windows: Vec<u32> = rarity::of_windows(bytes, class.width).collect();
    let stretches = windows.windows(class.stride).enumerate();
    let rated = stretches.map(|(at, all)| (at, all.iter().copied().min().unwrap_or(0)));
    rated.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Returns where the rarest bytes begin of as many as are looked at together with a pair.
fn best_opening(bytes: &[u8]) -> usize {
    let windows = bytes.windows(hf_literal::OPENING_LEN.min(bytes.len()).max(1)).enumerate();
    let rated = windows.map(|(at, window)| {
        let pair = window.get(..2).map_or(0, rarity::of_run);
        (at, rarity::of_run(window).saturating_add(pair))
    });
    rated.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(0, |best| best.0)
}

fn fixed(offset: Offset, body: &Body, sub: u8) -> Option<Trigger> {
    if offset.max_shift != 0 {
        return None;
    }
    let (point, add) = match offset.base {
        OffsetBase::Absolute(off) => (Point::Start, i64::from(off)),
        OffsetBase::End(back) => (Point::End, -i64::from(back)),
        OffsetBase::Entry(add) => (Point::Entry, add),
        OffsetBase::Section { idx, add } => (Point::Section(idx), i64::from(add)),
        OffsetBase::LastSection { add } => (Point::LastSection, i64::from(add)),
        _ => return None,
    };
    let mut best: Option<(u32, usize, Vec<u8>)> = None;
    for run in runs(body.parts.first()?).filter(|run| run.before_min == run.before_max) {
        let width = run.bytes.len().min(8);
        for (at, window) in run.bytes.windows(width).enumerate() {
            let rarity = rarity::of_run(window);
            if best.as_ref().is_none_or(|best| rarity > best.0) {
                best = Some((rarity, run.before_min + at, window.to_vec()));
            }
        }
    }
    let (rarity, before, window) = best?;
    let delta = add.checked_add(i64::try_from(before).ok()?)?;
    let width = u8::try_from(window.len()).ok()?;
    let fixed = Fixed { point, delta, width, key: crate::filter::fold(&window) };
    let rarity = rarity.saturating_add(FIXED_BONUS);
    Some(Trigger::new(Anchor::Fixed(fixed), sub, rarity))
}

/// Ours: bytes of a literal that are compared before a signature becomes a candidate.
pub(crate) const LITERAL_MAX: usize = 64;
/// Ours: what is rarer than 90 bits does not stand in ordinary files.
const RARE: u32 = 90 * 16;
/// Ours: a second anchor that is more common than this excludes too little.
const USEFUL: u32 = 28 * 16;
/// Ours: what many signatures have in common is common elsewhere; per doubling of their number.
const USE_PENALTY: u32 = 48;
/// Ours: bits by which windows of the next class must be rarer, in sixteenths.
const CLASS_BONUS: u32 = 8 * 16;
/// Ours: one place is looked at instead of all.
const FIXED_BONUS: u32 = 12 * 16;
