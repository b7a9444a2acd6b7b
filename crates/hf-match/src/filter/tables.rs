//! One target's tables in one pack, read with checks.

use std::ops::Range;

use hf_literal::Opening;
use hf_pack::Pack;

use super::{
    ALWAYS, CLASSES, FIRST_CLASS, FREE, IMAGES, LITERALS, Lead, MEMBERS, PAIRS, PLACE_KEYS, PLACES,
    Passed, Points, SITE_SIGS, SITES, index, section, tag,
};
use crate::anchor::Check;
use crate::stored::{u16_at, u32_at};

/// Views of the sections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tables<'a> {
    literals: &'a [u8],
    sites: &'a [u8],
    site_sigs: &'a [u8],
    always: &'a [u8],
    images: &'a [u8],
    places: &'a [u8],
    place_keys: &'a [u8],
    members: &'a [u8],
    slots: [Slots<'a>; CLASSES.len()],
}

#[derive(Debug, Clone, Copy)]
struct Slots<'a> {
    table: &'a [[u8; 8]],
}

/// Where the sections of one target are in one pack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    parts: [Range<usize>; MEMBERS as usize + 1],
    slots: [Range<usize>; CLASSES.len()],
}

impl Places {
    pub(crate) fn find(pack: &Pack, target: u8) -> Self {
        let part = |part: u32| pack.section_range(section(target, part));
        let number = |idx: usize| u32::try_from(idx).unwrap_or(0);
        Self {
            parts: std::array::from_fn(|idx| part(number(idx))),
            slots: std::array::from_fn(|class| part(FIRST_CLASS + 2 * number(class) + 1)),
        }
    }
}

impl<'a> Tables<'a> {
    pub(crate) fn open(pack: &'a Pack, target: u8) -> Self {
        Self::at(pack, &Places::find(pack, target))
    }

    /// Opens the tables that are at these places.
    pub(crate) fn at(pack: &'a Pack, places: &Places) -> Self {
        let bytes = pack.as_bytes();
        let at = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        let part = |part: u32| places.parts.get(size(part)).map_or(&[][..], at);
        let slots = places.slots.each_ref().map(|range| {
            let table = at(range).as_chunks::<8>().0;
            let table = if table.len().is_power_of_two() { table } else { &[] };
            Slots { table }
        });
        Self {
            literals: part(LITERALS),
            sites: part(SITES),
            site_sigs: part(SITE_SIGS),
            always: part(ALWAYS),
            images: part(IMAGES),
            places: part(PLACES),
            place_keys: part(PLACE_KEYS),
            members: part(MEMBERS),
            slots,
        }
    }

    /// Returns the bit table of a class as it is stored.
    pub(crate) fn stored_bits(pack: &'a Pack, target: u8, class: usize) -> &'a [u8] {
        let class = u32::try_from(class).unwrap_or(0);
        pack.section(section(target, FIRST_CLASS + 2 * class))
    }

    /// Returns the literals that are seen through pairs, from their pair on.
    pub(crate) fn openings(&self) -> impl Iterator<Item = Opening<'a>> + use<'a> {
        let Self { literals, sites, .. } = *self;
        let table = self.slots.get(PAIRS).map_or(&[][..], |slots| slots.table);
        let found = table.iter().map(|slot| u32_at(slot, 4)).filter(|site| *site != FREE);
        found.filter_map(move |site| {
            let record = sites.as_chunks::<SITE_LEN>().0.get(size(site >> 2))?;
            let [.., len, lead, nocase, _] = *record;
            let from = size(u32_at(record, 0));
            let literal = literals.get(from..from.saturating_add(usize::from(len)))?;
            Some(Opening { bytes: literal.get(usize::from(lead)..)?, nocase: nocase != 0 })
        })
    }

    /// Returns the members of a signature whose anchors are here when they are of several.
    pub(crate) fn members(&self, sig: u32) -> Option<u64> {
        let all = self.members.as_chunks::<12>().0;
        let idx = all.partition_point(|entry| u32_at(entry, 0) < sig);
        let entry = all.get(idx).filter(|entry| u32_at(*entry, 0) == sig)?;
        entry.last_chunk().map(|mask| u64::from_le_bytes(*mask))
    }

    /// Calls `on_lead` for signatures that windows of a class lead to, the literal compared and `verify`
    /// asked about the part around it; for each literal once.
    pub(crate) fn look(
        &self,
        class: usize,
        passed: &[Passed],
        data: &[u8],
        seen: &mut Seen,
        verify: &mut dyn FnMut(Check, usize) -> bool,
        on_lead: &mut dyn FnMut(Lead),
    ) {
        let table = self.slots.get(class).map_or(&[][..], |slots| slots.table);
        if table.is_empty() {
            return;
        }
        let mask = table.len().wrapping_sub(1);
        for group in passed.chunks(GROUP_LEN) {
            // All first slots are read before any is followed: most are not in the caches, and so all
            // of them are waited for together.
            let mut sites = [FREE; GROUP_LEN];
            for (site, passed) in sites.iter_mut().zip(group) {
                let slot = table.get(index(passed.hash) & mask);
                *site = slot.map_or(FREE, |slot| u32_at(slot, 4));
            }
            for (passed, _) in group.iter().zip(sites).filter(|(_, site)| *site != FREE) {
                self.follow(table, *passed, data, seen, verify, on_lead);
            }
        }
    }

    /// Looks at the slots of a window.
    fn follow(
        &self,
        table: &[[u8; 8]],
        Passed { hash, at }: Passed,
        data: &[u8],
        seen: &mut Seen,
        verify: &mut dyn FnMut(Check, usize) -> bool,
        on_lead: &mut dyn FnMut(Lead),
    ) {
        let mask = table.len().wrapping_sub(1);
        let mut idx = index(hash);
        for _ in 0..PROBES_MAX.min(table.len()) {
            let Some(slot) = table.get(idx & mask) else { return };
            let site = u32_at(slot, 4);
            if site == FREE {
                return;
            }
            if u32_at(slot, 0) == tag(hash) {
                let (site, shift) = (site >> 2, site & 3);
                if !seen.has(site) && self.is_at(site, shift, data, at, verify) && seen.insert(site)
                {
                    self.leads(site, on_lead);
                }
            }
            idx = idx.wrapping_add(1);
        }
    }

    /// True when the literal of a site stands where the window says, and the part around it.
    fn is_at(
        &self,
        site: u32,
        shift: u32,
        data: &[u8],
        at: usize,
        verify: &mut dyn FnMut(Check, usize) -> bool,
    ) -> bool {
        let Some(record) = self.sites.as_chunks::<SITE_LEN>().0.get(size(site)) else {
            return false;
        };
        let [.., len, lead, nocase, _] = *record;
        let Some(start) = at.checked_sub(size(shift) + usize::from(lead)) else { return false };
        let from = size(u32_at(record, 0));
        let literal = self.literals.get(from..from.saturating_add(usize::from(len)));
        let found = data.get(start..start.saturating_add(usize::from(len)));
        let (Some(literal), Some(found)) = (literal, found) else { return false };
        let same = if nocase == 0 { found == literal } else { found.eq_ignore_ascii_case(literal) };
        let [.., form, part, _, _, _, _] = *record;
        let check = Check { sub: u32_at(record, 12), before: u16_at(record, 16), form, part };
        same && (check.sub == FREE
            || start
                .checked_sub(usize::from(check.before))
                .is_some_and(|start| verify(check, start)))
    }

    fn leads(&self, site: u32, on_lead: &mut dyn FnMut(Lead)) {
        let Some(record) = self.sites.as_chunks::<SITE_LEN>().0.get(size(site)) else { return };
        let first = size(u32_at(record, 4));
        let sigs = self.site_sigs.as_chunks::<4>().0;
        let own = sigs.get(first..first.saturating_add(size(u32_at(record, 8))));
        own.unwrap_or_default().iter().for_each(|sig| on_lead(Lead(u32::from_le_bytes(*sig))));
    }

    /// Calls `on_lead` for signatures without an anchor, and for those whose place or image fits.
    pub(crate) fn look_elsewhere(
        &self,
        points: &Points<'_>,
        image: impl FnOnce() -> Option<[u8; 8]>,
        on_lead: &mut dyn FnMut(Lead),
    ) {
        for sig in self.always.as_chunks::<4>().0 {
            on_lead(Lead(u32::from_le_bytes(*sig)));
        }
        points.look(self.places, self.place_keys, on_lead);
        if !self.images.is_empty()
            && let Some(hash) = image()
        {
            let all = self.images.as_chunks::<12>().0;
            let from = all.partition_point(|entry| entry.first_chunk::<8>() < Some(&hash));
            let own = all.iter().skip(from);
            for entry in own.take_while(|entry| entry.first_chunk::<8>() == Some(&hash)) {
                on_lead(Lead(u32_at(entry, 8)));
            }
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The sites of one target in one pack that were found in an object. Emptying it costs as much as
/// there is in it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bits: Vec<u64>,
    sites: Vec<u32>,
}

impl Seen {
    /// Forgets the sites, and makes room for those of a table.
    pub(crate) fn reset(&mut self, tables: &Tables<'_>) {
        for site in self.sites.drain(..) {
            if let Some(word) = self.bits.get_mut(size(site / 64)) {
                *word = 0;
            }
        }
        let words = (tables.sites.len() / SITE_LEN).div_ceil(64);
        self.bits.resize(words.max(self.bits.len()), 0);
    }

    fn has(&self, site: u32) -> bool {
        self.bits.get(size(site / 64)).is_some_and(|word| word >> (site % 64) & 1 == 1)
    }

    /// Takes note of a site; true when it is new.
    fn insert(&mut self, site: u32) -> bool {
        let bit = 1 << (site % 64);
        let new = self.bits.get_mut(size(site / 64)).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        });
        if new {
            self.sites.push(site);
        }
        new
    }
}

/// The format's: literal, signatures, their number, member to verify, bytes in front, form, part,
/// length of the literal, where its stretch begins, whether case matters.
pub(crate) const SITE_LEN: usize = 24;
/// Ours: reads of memory that a processor does at a time, and some more.
const GROUP_LEN: usize = 16;
/// Ours: more entries in a row occur in no table that was made by us.
const PROBES_MAX: usize = 4096;
