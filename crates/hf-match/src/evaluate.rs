//! Evaluates signatures on one object: members on demand, cheap tests first, every result kept.

mod body;
mod icon;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use hf_core::signature::{Offset, TargetDesc};
use hf_core::{FileType, Stop};

use crate::anchor::Check;
use crate::byte_compare;
use crate::filter::mix;
use crate::logic::Logic;
use crate::matcher::{Matcher, Span, Subject};
use crate::pattern::{Found, Work};
use crate::pcre::{Haystack, Pcre};
use crate::place::Place;
use crate::store::{CompiledSub, Store, Unit};
use hf_core::signature::PcreFlags;

pub(crate) use body::BodyMatches;

/// What is known of one object so far, and what is kept between objects.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The matcher whose signatures these are.
    owner: Option<Arc<()>>,
    units: IdMap<Arc<Unit>>,
    subs: IdMap<Option<Arc<CompiledSub>>>,
    weight: usize,
    /// Expressions that were run, by their member.
    regexes: IdMap<Option<Arc<Pcre>>>,
    ends: Vec<usize>,
    /// An expression was not searched for to the end in this object.
    pub(crate) gave_up: bool,
    /// Counts of bodies in this object, with the cap under which they were counted.
    counts: IdMap<(u64, u64)>,
}

/// A map by pack and number in it.
type IdMap<T> = HashMap<(u32, u32), T, BuildHasherDefault<IdHasher>>;

/// Mixes numbers of signatures; they are ours, so nobody chooses them to collide.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        mix(self.0)
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }
    fn write_u32(&mut self, number: u32) {
        self.0 = self.0.rotate_left(32) ^ u64::from(number);
    }
}

impl Memo {
    /// Forgets the object; what was decoded stays, unless it is too much.
    pub(crate) fn next_object(&mut self, matcher: &Arc<()>) {
        self.counts.clear();
        self.gave_up = false;
        let same = self.owner.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, matcher));
        if !same {
            self.regexes.clear();
        }
        if !same || self.weight > WEIGHT_MAX {
            self.owner = Some(Arc::clone(matcher));
            self.units.clear();
            self.subs.clear();
            self.weight = 0;
        }
    }

    fn sub(&mut self, store: &Store, pack: u32, id: u32) -> Option<Arc<CompiledSub>> {
        if let Some(known) = self.subs.get(&(pack, id)) {
            return known.clone();
        }
        let sub = store.compiled_sub(id).map(Arc::new);
        self.weight += sub.as_ref().map_or(16, |sub| sub.weight());
        self.subs.insert((pack, id), sub.clone());
        sub
    }

    fn regex(&mut self, key: (u32, u32), pattern: &[u8], flags: PcreFlags) -> Option<Arc<Pcre>> {
        if self.regexes.len() >= REGEXES_MAX && !self.regexes.contains_key(&key) {
            self.regexes.clear();
        }
        let made = || Pcre::new(pattern, flags).ok().map(Arc::new);
        self.regexes.entry(key).or_insert_with(made).clone()
    }

    /// True when the part of a member matches with its items at `start`.
    pub(crate) fn part_at(
        &mut self,
        store: &Store,
        pack: u32,
        check: Check,
        data: &[u8],
        start: usize,
    ) -> bool {
        let sub = self.sub(store, pack, check.sub);
        let Some(CompiledSub::Body { forms, .. }) = sub.as_deref() else { return true };
        let form = forms.get(usize::from(check.form));
        let Some(part) = form.and_then(|form| form.parts.get(usize::from(check.part))) else {
            return true;
        };
        part.ends(data, start, &mut self.ends);
        !self.ends.is_empty()
    }

    fn unit(&mut self, store: &Store, pack: u32, sig: u32) -> Option<Arc<Unit>> {
        if let Some(known) = self.units.get(&(pack, sig)) {
            return Some(Arc::clone(known));
        }
        let head = store.head(sig)?;
        let mut unit = store.unit(&head)?;
        let mut ranked: Vec<((u32, u32), u8)> = Vec::new();
        for idx in &unit.required {
            let id = unit.subs.get(usize::from(*idx)).copied()?;
            ranked.push((self.sub(store, pack, id).map_or((0, 0), |sub| sub.rank()), *idx));
        }
        ranked.sort_unstable();
        unit.required = ranked.into_iter().map(|(_, idx)| idx).collect();
        self.weight += 256 + unit.subs.len() * 8;
        let unit = Arc::new(unit);
        self.units.insert((pack, sig), Arc::clone(&unit));
        Some(unit)
    }
}

/// Evaluates signatures of one pack on one object.
pub(crate) struct Evaluator<'a, 'w> {
    pub(crate) matcher: &'a Matcher,
    pub(crate) store: &'a Store,
    pub(crate) pack: u32,
    pub(crate) subject: &'a Subject<'a>,
    pub(crate) memo: &'a mut Memo,
    pub(crate) work: &'a mut Work<'w>,
}

impl Evaluator<'_, '_> {
    /// Returns where a signature matches; none when it does not. `absent` has a bit for each member
    /// that is known not to match.
    pub(crate) fn matches(
        &mut self,
        sig: u32,
        target: u8,
        absent: u64,
    ) -> Result<Option<Vec<Span>>, Stop> {
        let Some(unit) = self.memo.unit(self.store, self.pack, sig) else { return Ok(None) };
        if !unit.tdb.as_ref().is_none_or(|tdb| self.described(tdb)) {
            return Ok(None);
        }
        let mut members = Members { unit: &unit, target, counts: vec![None; unit.subs.len()] };
        for (count, bit) in members.counts.iter_mut().zip(0..64) {
            *count = (absent >> bit & 1 == 1).then_some((0, u64::MAX));
        }
        for idx in &unit.required {
            if self.count(&mut members, *idx, 1)? == 0 {
                return Ok(None);
            }
        }
        let mut count = |idx: u8, cap: u64| self.count(&mut members, idx, cap);
        if !unit.logic.eval(0, &mut count)?.holds {
            return Ok(None);
        }
        if let Some(tdb) = &unit.tdb
            && !self.icons_fit(tdb)
        {
            return Ok(None);
        }
        self.spans(&mut members).map(Some)
    }

    /// Tests what a target description says of the object, icons left out.
    fn described(&self, tdb: &TargetDesc) -> bool {
        let facts = self.subject.facts;
        let len = self.subject.told_size();
        let within = |range: Option<(u32, u32)>, value: Option<u64>| {
            range.is_none_or(|(min, max)| {
                value.is_some_and(|value| u64::from(min) <= value && value <= u64::from(max))
            })
        };
        within(tdb.file_size, Some(len))
            && (tdb.entry_point.is_none()
                || within(tdb.entry_point, facts.exe().and_then(|exe| exe.entry_off)))
            && (tdb.sections.is_none()
                || within(tdb.sections, facts.exe().map(|exe| exe.sections.len() as u64)))
            && tdb.container.is_none_or(|kind| match facts.ancestors().last() {
                Some(parent) => *parent == kind,
                None => kind == FileType::Any,
            })
            && tdb.intermediates.len() <= facts.levels()
            && intermediates_fit(&tdb.intermediates, facts.ancestors())
    }

    fn icons_fit(&self, tdb: &TargetDesc) -> bool {
        if tdb.icon_group1.is_none() && tdb.icon_group2.is_none() {
            return true;
        }
        let groups = (tdb.icon_group1.as_deref(), tdb.icon_group2.as_deref());
        let known = self.matcher.icon_signatures();
        known.iter().any(|sig| {
            icon::in_groups(&sig.sig, groups) && self.subject.facts.has_icon_like(&sig.sig.metrics)
        })
    }

    /// Returns the number of matches of a member, at most about `cap`.
    fn count(&mut self, members: &mut Members<'_>, idx: u8, cap: u64) -> Result<u64, Stop> {
        let at = usize::from(idx);
        if let Some(Some((count, under))) = members.counts.get(at)
            && (*under >= cap || count < under)
        {
            return Ok(*count);
        }
        let count = self.count_anew(members, idx, cap)?;
        if let Some(known) = members.counts.get_mut(at) {
            *known = Some((count, cap));
        }
        Ok(count)
    }

    fn count_anew(&mut self, members: &mut Members<'_>, idx: u8, cap: u64) -> Result<u64, Stop> {
        let Some(id) = members.unit.subs.get(usize::from(idx)).copied() else { return Ok(0) };
        let Some(sub) = self.memo.sub(self.store, self.pack, id) else { return Ok(0) };
        match &*sub {
            CompiledSub::Body { .. } => self.count_body(id, &sub, cap),
            CompiledSub::ImageHash(hash) => {
                Ok(u64::from(self.subject.facts.image_hash() == Some(*hash)))
            }
            CompiledSub::ByteCompare(compare) => {
                if self.subject.clamav_quirks && !self.matcher.has_multi_part(members.target) {
                    return Ok(0);
                }
                if compare.reference == idx {
                    return Ok(0);
                }
                let place = self.last_start(members, compare.reference)?;
                let holds =
                    place.is_some_and(|at| byte_compare::holds(compare, self.subject.bytes, at));
                Ok(u64::from(holds))
            }
            CompiledSub::Macro { min, max, group } => {
                let Some(before) = idx.checked_sub(1) else { return Ok(0) };
                self.count_macro(members, before, (*min, *max), *group)
            }
            CompiledSub::Pcre { offset, trigger, pattern, flags } => {
                if !self.triggered(members, trigger, idx)? {
                    return Ok(0);
                }
                let regex = self.memo.regex((self.pack, id), pattern, *flags);
                let Some(regex) = regex else { return Ok(0) };
                self.count_pcre(&regex, *offset, *flags, cap).map(|found| found.0)
            }
        }
    }

    fn count_body(&mut self, id: u32, sub: &CompiledSub, cap: u64) -> Result<u64, Stop> {
        let key = (self.pack, id);
        if let Some((count, under)) = self.memo.counts.get(&key)
            && (*under >= cap || count < under)
        {
            return Ok(*count);
        }
        let CompiledSub::Body { offset, forms } = sub else { return Ok(0) };
        let mut count = 0;
        let anywhere = offset.base == Offset::ANY.base;
        let mut may_match = !anywhere;
        for form in forms {
            may_match = may_match || form.may_match(self.subject.bytes, self.work)?;
        }
        let mut matches = self.body_matches(*offset, forms);
        while may_match && count < cap && matches.next(self.work)?.is_some() {
            count += 1;
        }
        self.memo.counts.insert(key, (count, cap));
        Ok(count)
    }

    fn body_matches<'b>(
        &self,
        offset: Offset,
        forms: &'b [crate::pattern::Pattern],
    ) -> BodyMatches<'b>
    where
        Self: 'b,
    {
        let (bytes, quirks) = (self.subject.bytes, self.subject.clamav_quirks);
        let place = Place::of(offset, bytes.len(), self.subject.facts);
        BodyMatches::new(bytes, forms, &place, quirks)
    }

    /// True when the condition of an expression holds; it may only look at members before it.
    fn triggered(
        &mut self,
        members: &mut Members<'_>,
        trigger: &Logic,
        own: u8,
    ) -> Result<bool, Stop> {
        let mut count = |idx: u8, cap: u64| {
            if idx < own { self.count(members, idx, cap) } else { Ok(0) }
        };
        Ok(trigger.eval(0, &mut count)?.holds)
    }

    /// Returns the number of matches of an expression and the last of them.
    fn count_pcre(
        &mut self,
        regex: &Pcre,
        offset: Offset,
        flags: PcreFlags,
        cap: u64,
    ) -> Result<(u64, Option<(usize, usize)>), Stop> {
        let bytes = self.subject.bytes;
        if bytes.len() as u64 > self.subject.pcre_max_bytes {
            return Ok((0, None));
        }
        let anywhere = offset.base == Offset::ANY.base;
        let starts: Vec<usize> = match Place::of(offset, bytes.len(), self.subject.facts) {
            Place::Nowhere => Vec::new(),
            Place::Between(from, _) => vec![from],
            Place::At(offs) => offs,
        };
        let shift = usize::try_from(offset.max_shift).unwrap_or(usize::MAX);
        let exact = !anywhere && offset.max_shift == 0 && !flags.rolling;
        let bounded = !anywhere && offset.max_shift > 0 && !flags.encompass;
        let (mut count, mut last) = (0, None);
        for from in starts {
            let upto = if flags.encompass && offset.max_shift > 0 && !anywhere {
                from.saturating_add(shift).min(bytes.len())
            } else {
                bytes.len()
            };
            let Some(window) = bytes.get(from..upto) else { continue };
            let mut haystack = Haystack::new(window);
            let mut at = 0;
            while count < cap && at <= window.len() {
                self.work.spend(window.len().saturating_sub(at).min(1 << 20))?;
                let Some((start, end)) = regex.find(&mut haystack, at, exact) else { break };
                if bounded && start > shift {
                    break;
                }
                count += 1;
                last = Some((from + start, from + end));
                if !flags.global {
                    break;
                }
                at = if end > at { end } else { at + 1 };
            }
            self.memo.gave_up |= haystack.gave_up;
        }
        Ok((count, last))
    }

    /// Returns the start of the last match of a member: of several with the same last part, the
    /// smallest.
    fn last_start(&mut self, members: &mut Members<'_>, idx: u8) -> Result<Option<usize>, Stop> {
        let Some(id) = members.unit.subs.get(usize::from(idx)).copied() else { return Ok(None) };
        let Some(sub) = self.memo.sub(self.store, self.pack, id) else { return Ok(None) };
        match &*sub {
            CompiledSub::Body { offset, forms } => {
                let mut matches = self.body_matches(*offset, forms);
                let mut last = None;
                while let Some(found) = matches.next(self.work)? {
                    last = Some(found.start);
                }
                Ok(last)
            }
            // clamscan compares bytes before it runs expressions, so that one refers to nothing.
            CompiledSub::Pcre { .. } if self.subject.clamav_quirks => Ok(None),
            CompiledSub::Pcre { offset, trigger, pattern, flags } => {
                if !self.triggered(members, trigger, idx)? {
                    return Ok(None);
                }
                let regex = self.memo.regex((self.pack, id), pattern, *flags);
                let Some(regex) = regex else { return Ok(None) };
                let (_, last) = self.count_pcre(&regex, *offset, *flags, u64::MAX)?;
                Ok(last.map(|(start, _)| start))
            }
            _ => Ok(None),
        }
    }

    /// Counts the places where a signature of a macro group matches at a distance from a match of
    /// the member before. Under the quirk the distance is only looked at when that member matches
    /// again, and only for the group's last match so far.
    fn count_macro(
        &mut self,
        members: &Members<'_>,
        before: u8,
        distance: (u32, u32),
        group: u8,
    ) -> Result<u64, Stop> {
        let Some(id) = members.unit.subs.get(usize::from(before)).copied() else { return Ok(0) };
        let anchors = self.starts_of(self.store, self.pack, id)?;
        if anchors.is_empty() {
            return Ok(0);
        }
        let matcher = self.matcher;
        let mut places = Vec::new();
        for (pack, sub) in matcher.macro_bodies(members.target, group) {
            if let Some(store) = matcher.store(pack) {
                places.extend(self.starts_of(store, pack, sub)?);
            }
        }
        places.sort_unstable();
        places.dedup();
        let fits = |anchor: usize, place: usize| {
            place.checked_sub(anchor).is_some_and(|far| {
                far as u64 >= u64::from(distance.0) && far as u64 <= u64::from(distance.1)
            })
        };
        let count = if self.subject.clamav_quirks {
            let pairs = anchors.windows(2).filter(|pair| match pair {
                [one, two] => {
                    let until = places.partition_point(|place| place < two);
                    let last = until.checked_sub(1).and_then(|idx| places.get(idx));
                    last.is_some_and(|last| fits(*one, *last))
                }
                _ => false,
            });
            pairs.count()
        } else {
            let near = |place: &usize| {
                let least = place.saturating_sub(usize::try_from(distance.1).unwrap_or(usize::MAX));
                let idx = anchors.partition_point(|anchor| *anchor < least);
                anchors.get(idx).is_some_and(|anchor| fits(*anchor, *place))
            };
            places.iter().filter(|place| near(place)).count()
        };
        Ok(count as u64)
    }

    /// Returns the starts of a body, ascending; at most [`STARTS_MAX`].
    fn starts_of(&mut self, store: &Store, pack: u32, id: u32) -> Result<Vec<usize>, Stop> {
        let sub = self.memo.sub(store, pack, id);
        let Some(CompiledSub::Body { offset, forms }) = sub.as_deref() else {
            return Ok(Vec::new());
        };
        let mut matches = self.body_matches(*offset, forms);
        let mut starts = Vec::new();
        while starts.len() < STARTS_MAX
            && let Some(found) = matches.next(self.work)?
        {
            starts.push(found.start);
        }
        starts.sort_unstable();
        starts.dedup();
        Ok(starts)
    }

    /// Returns where the members matched: all of them to explain a hit, else the first of one.
    fn spans(&mut self, members: &mut Members<'_>) -> Result<Vec<Span>, Stop> {
        let mut spans = Vec::new();
        let unit = members.unit;
        for (idx, id) in unit.subs.iter().enumerate() {
            let Some(sub) = self.memo.sub(self.store, self.pack, *id) else { continue };
            let sub_idx = u8::try_from(idx).unwrap_or(u8::MAX);
            let most = if self.subject.explain { SPANS_MAX } else { 1 };
            match &*sub {
                CompiledSub::Body { offset, forms } => {
                    let mut matches = self.body_matches(*offset, forms);
                    for _ in 0..most {
                        let Some(Found { start, last, end }) = matches.next(self.work)? else {
                            break;
                        };
                        spans.push(Span { sub: sub_idx, start, last, end });
                    }
                }
                CompiledSub::Pcre { offset, trigger, pattern, flags }
                    if self.triggered(members, trigger, sub_idx)? =>
                {
                    let regex = self.memo.regex((self.pack, *id), pattern, *flags);
                    let Some(regex) = regex else { continue };
                    let (_, last) = self.count_pcre(&regex, *offset, *flags, 1)?;
                    spans.extend(last.map(|(start, end)| Span {
                        sub: sub_idx,
                        start,
                        last: start,
                        end,
                    }));
                }
                _ => {}
            }
            if !self.subject.explain && !spans.is_empty() {
                break;
            }
        }
        Ok(spans)
    }
}

/// The members of the signature that is being evaluated, with their counts.
struct Members<'u> {
    unit: &'u Unit,
    target: u8,
    counts: Vec<Option<(u64, u64)>>,
}

/// Tests the types around an object, innermost last. [`FileType::Any`] stands for no level.
fn intermediates_fit(wanted: &[FileType], ancestors: &[FileType]) -> bool {
    let mut around = ancestors.iter().rev();
    wanted
        .iter()
        .rev()
        .filter(|kind| **kind != FileType::Any)
        .all(|kind| around.next() == Some(kind))
}

/// Ours: memory for decoded signatures that is kept from one object to the next.
const WEIGHT_MAX: usize = 8 << 20;
/// Ours: compiled expressions that are kept, which take some MiB each at worst.
const REGEXES_MAX: usize = 64;
/// Ours: matches of a macro that are looked at; more only repeat.
const STARTS_MAX: usize = 1 << 16;
/// Ours: matches of one member that an explanation shows.
const SPANS_MAX: usize = 8;
