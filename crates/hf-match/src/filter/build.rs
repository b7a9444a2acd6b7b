//! Makes the tables of one target's filter.

use std::io::{Seek, Write};

use hf_pack::{PackWriter, WritePackError};

use super::{
    ALWAYS, CLASSES, FIRST_CLASS, FREE, IMAGES, LITERALS, Lead, MEMBERS, PAIRS, PLACE_KEYS, PLACES,
    SITE_SIGS, SITES, fold, index, mix, section, tag, windows,
};
use crate::anchor::{Anchor, Check, Fixed, Literal, Point, Tagged, Trigger};

/// Collects the anchors of one target.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    literals: Vec<(Literal, u32)>,
    fixed: Vec<(Fixed, u32)>,
    images: Vec<([u8; 8], u32)>,
    always: Vec<u32>,
    members: Vec<(u32, u64)>,
}

impl FilterBuilder {
    /// Adds a signature; without a trigger it is evaluated on every object.
    pub(crate) fn add(&mut self, sig: u32, trigger: Option<Trigger>) {
        let Some(trigger) = trigger else { return self.always.push(Lead::new(sig, 63, 0).0) };
        let members = trigger.members();
        if members.count_ones() > 1 {
            self.members.push((sig, members));
        }
        let both = if trigger.also.is_empty() { 0 } else { Lead::BOTH };
        let first = trigger.anchors.into_iter().map(|tagged| (tagged, both));
        let second = trigger.also.into_iter().map(|tagged| (tagged, both | Lead::SECOND));
        for (Tagged { anchor, sub }, flags) in first.chain(second) {
            let lead = Lead::new(sig, sub, flags).0;
            match anchor {
                Anchor::Literal(literal) => self.literals.push((literal, lead)),
                Anchor::Fixed(fixed) => self.fixed.push((fixed, lead)),
                Anchor::Image(hash) => self.images.push((hash, lead)),
            }
        }
    }

    /// Leaves out classes with few literals: a pass over the object for them alone costs more than
    /// the windows that they add to the next class.
    fn demote(&mut self) {
        for (class, to, below) in DEMOTE {
            let is_in = |literal: &Literal| usize::from(literal.class) == class;
            if self.literals.iter().filter(|(literal, _)| is_in(literal)).count() < below {
                for (literal, _) in self.literals.iter_mut().filter(|(literal, _)| is_in(literal)) {
                    literal.see_as(to);
                }
            }
        }
    }

    /// Writes the sections.
    pub(crate) fn write<W: Write + Seek>(
        mut self,
        target: u8,
        pack: &mut PackWriter<W>,
    ) -> Result<(), WritePackError> {
        self.demote();
        self.literals.sort_unstable();
        self.literals.dedup();
        self.fixed.sort_unstable();
        self.fixed.dedup();
        self.images.sort_unstable();
        self.images.dedup();
        let mut put = |part: u32, bytes: Vec<u8>| {
            if bytes.is_empty() {
                return Ok(());
            }
            pack.section(section(target, part), 64).write_all(&bytes).map_err(WritePackError::from)
        };
        put(ALWAYS, self.always.iter().flat_map(|sig| sig.to_le_bytes()).collect())?;
        let image = |(hash, sig): &([u8; 8], u32)| {
            hash.iter().copied().chain(sig.to_le_bytes()).collect::<Vec<u8>>()
        };
        put(IMAGES, self.images.iter().flat_map(image).collect())?;
        let member = |(sig, mask): &(u32, u64)| {
            sig.to_le_bytes().into_iter().chain(mask.to_le_bytes()).collect::<Vec<u8>>()
        };
        put(MEMBERS, self.members.iter().flat_map(member).collect())?;
        let (places, keys) = places(&self.fixed)?;
        put(PLACES, places)?;
        put(PLACE_KEYS, keys)?;
        let sites = Sites::of(&self.literals)?;
        for (class, part) in (0u8..).zip((FIRST_CLASS..).step_by(2)).take(CLASSES.len()) {
            let entries = sites.entries(class);
            if !entries.is_empty() {
                let pairs = usize::from(class) == PAIRS;
                put(part, if pairs { sites.pairs() } else { sites.windows(class) })?;
                put(part + 1, slots(&entries))?;
            }
        }
        put(LITERALS, sites.literals)?;
        put(SITE_SIGS, sites.sigs)?;
        put(SITES, sites.records)
    }
}

/// Groups keys by place. Records: see [`super::place`].
fn places(fixed: &[(Fixed, u32)]) -> Result<(Vec<u8>, Vec<u8>), WritePackError> {
    let (mut places, mut keys) = (Vec::new(), Vec::new());
    let same = |one: &(Fixed, u32), two: &(Fixed, u32)| {
        let place = |fixed: Fixed| (fixed.point, fixed.delta, fixed.width);
        place(one.0) == place(two.0)
    };
    let mut first = 0u32;
    for group in fixed.chunk_by(same) {
        let Some((place, _)) = group.first() else { continue };
        let count = u32::try_from(group.len()).map_err(|_| WritePackError::TooMany)?;
        let (kind, idx) = match place.point {
            Point::Start => (0u8, 0u32),
            Point::End => (1, 0),
            Point::Entry => (2, 0),
            Point::Section(idx) => (3, idx),
            Point::LastSection => (4, 0),
        };
        places.extend([kind, place.width, 0, 0]);
        places.extend(idx.to_le_bytes());
        places.extend(place.delta.to_le_bytes());
        places.extend(first.to_le_bytes());
        places.extend(count.to_le_bytes());
        for (fixed, sig) in group {
            keys.extend(fixed.key.to_le_bytes());
            keys.extend(sig.to_le_bytes());
        }
        first = first.checked_add(count).ok_or(WritePackError::TooMany)?;
    }
    Ok((places, keys))
}

/// Literals, each once, with the signatures that it leads to.
#[derive(Debug, Default)]
struct Sites<'a> {
    literals: Vec<u8>,
    sigs: Vec<u8>,
    records: Vec<u8>,
    each: Vec<&'a Literal>,
}

impl<'a> Sites<'a> {
    fn of(all: &'a [(Literal, u32)]) -> Result<Self, WritePackError> {
        let mut sites = Self::default();
        for group in all.chunk_by(|one, two| one.0 == two.0) {
            let Some((literal, _)) = group.first() else { continue };
            let number = |len: usize| u32::try_from(len).map_err(|_| WritePackError::TooMany);
            sites.records.extend(number(sites.literals.len())?.to_le_bytes());
            sites.records.extend(number(sites.sigs.len() / 4)?.to_le_bytes());
            sites.records.extend(number(group.len())?.to_le_bytes());
            let len = u8::try_from(literal.bytes.len()).unwrap_or(u8::MAX);
            let none = Check { sub: FREE, form: 0, part: 0, before: 0 };
            let check = literal.check.unwrap_or(none);
            sites.records.extend(check.sub.to_le_bytes());
            sites.records.extend(check.before.to_le_bytes());
            sites.records.extend([check.form, check.part]);
            sites.records.extend([len, literal.lead, u8::from(literal.nocase), 0]);
            sites.literals.extend_from_slice(&literal.bytes);
            sites.sigs.extend(group.iter().flat_map(|(_, sig)| sig.to_le_bytes()));
            sites.each.push(literal);
        }
        Ok(sites)
    }

    /// Makes the table of pairs: a bit for each, in both cases where case does not matter.
    fn pairs(&self) -> Vec<u8> {
        let mut table = vec![0u8; PAIRS_LEN];
        let literals = self.each.iter().filter(|literal| usize::from(literal.class) == PAIRS);
        for literal in literals {
            let window = literal.bytes.get(usize::from(literal.lead)..).unwrap_or_default();
            let Some([one, two]) = window.first_chunk().copied() else { continue };
            let cases = |byte: u8| match literal.nocase {
                true => [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()],
                false => [byte; 2],
            };
            for (one, two) in cases(one).iter().flat_map(|one| cases(two).map(|two| (*one, two))) {
                let pair = usize::from(u16::from_le_bytes([one, two]));
                if let Some(byte) = table.get_mut(pair / 8) {
                    *byte |= 1 << (pair % 8);
                }
            }
        }
        table
    }

    /// Returns the windows of a class, with their site and number in its stretch.
    fn stretches(&self, class: u8) -> Vec<(&'a [u8], u32)> {
        let Some(shape) = CLASSES.get(usize::from(class)) else { return Vec::new() };
        let own = (0u32..).zip(&self.each).filter(|(_, literal)| literal.class == class);
        let windows = own.flat_map(|(site, literal)| {
            let windows = literal.bytes.windows(shape.width).skip(usize::from(literal.lead));
            (0u32..)
                .zip(windows.take(shape.stride))
                .map(move |(shift, window)| (window, site << 2 | shift))
        });
        windows.collect()
    }

    /// Makes the bit table of a class.
    fn windows(&self, class: u8) -> Vec<u8> {
        windows::table(self.stretches(class).iter().map(|(window, _)| *window))
    }

    /// Returns the windows of a class, hashed, in order.
    fn entries(&self, class: u8) -> Vec<(u64, u32)> {
        let hashed = |(window, site): (&[u8], u32)| (mix(fold(window)), site);
        let mut entries: Vec<(u64, u32)> = self.stretches(class).into_iter().map(hashed).collect();
        entries.sort_unstable();
        entries
    }
}

/// Makes the hash table: open addressing, each slot the upper half of the hash and the site.
fn slots(entries: &[(u64, u32)]) -> Vec<u8> {
    let count = (entries.len() * 3 / 2).max(16).next_power_of_two();
    let mut table = vec![(0u32, FREE); count];
    for (hash, site) in entries {
        let mut at = index(*hash) & (count - 1);
        while let Some(slot) = table.get_mut(at) {
            if slot.1 == FREE {
                *slot = (tag(*hash), *site);
                break;
            }
            at = (at + 1) & (count - 1);
        }
    }
    let bytes = table.iter().flat_map(|(tag, site)| [tag.to_le_bytes(), site.to_le_bytes()]);
    bytes.flatten().collect()
}

/// The format's: a bit for each pair of bytes.
pub(crate) const PAIRS_LEN: usize = 1 << 13;
/// Ours, measured with the real signatures: a class, the one that takes its literals, and how many of
/// them are too many for that.
const DEMOTE: [(usize, usize, usize); 2] = [(0, 1, 1500), (2, PAIRS, 1000)];
