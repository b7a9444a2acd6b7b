//! Anchors at fixed places: read some bytes there, look them up.
//!
//! ```text
//! place, 24 bytes   kind, width, 0, 0, section, distance (i64), first key, number of keys
//! key, 12 bytes     folded bytes (u64), signature; sorted within a place
//! ```

use hf_core::Facts;

use super::{Lead, fold};
use crate::stored::u32_at;

/// The fixed points of one object.
#[derive(Debug)]
pub(crate) struct Points<'a> {
    data: &'a [u8],
    entry: Option<u64>,
    sections: Vec<u64>,
}

impl<'a> Points<'a> {
    pub(crate) fn new(data: &'a [u8], facts: &dyn Facts) -> Self {
        let exe = facts.exe();
        Self {
            data,
            entry: exe.and_then(|exe| exe.entry_off),
            sections: exe.map_or_else(Vec::new, |exe| {
                exe.sections.iter().map(|section| section.raw_off).collect()
            }),
        }
    }

    /// Calls `on_lead` for every signature whose bytes stand at their place.
    pub(crate) fn look(&self, places: &[u8], keys: &[u8], on_lead: &mut dyn FnMut(Lead)) {
        for place in places.as_chunks::<24>().0 {
            let Some(found) = self.bytes(place) else { continue };
            let key = fold(found);
            let first = usize::try_from(u32_at(place, 16)).unwrap_or(usize::MAX);
            let count = usize::try_from(u32_at(place, 20)).unwrap_or(0);
            let all = keys.as_chunks::<12>().0;
            let own = all.get(first..first.saturating_add(count)).unwrap_or_default();
            let from = own.partition_point(|entry| key_of(entry) < key);
            for entry in own.iter().skip(from).take_while(|entry| key_of(entry) == key) {
                on_lead(Lead(u32_at(entry, 8)));
            }
        }
    }

    fn bytes(&self, place: &[u8; 24]) -> Option<&'a [u8]> {
        let base = match place.first()? {
            0 => 0,
            1 => self.data.len() as u64,
            2 => self.entry?,
            3 => *self.sections.get(usize::try_from(u32_at(place, 4)).ok()?)?,
            _ => *self.sections.last()?,
        };
        let delta = place.get(8..)?.first_chunk().map(|delta| i64::from_le_bytes(*delta))?;
        let at = usize::try_from(base.checked_add_signed(delta)?).ok()?;
        let width = usize::from(*place.get(1)?);
        self.data.get(at..at.checked_add(width)?)
    }
}

fn key_of(entry: &[u8; 12]) -> u64 {
    entry.first_chunk().map_or(0, |key| u64::from_le_bytes(*key))
}
