//! The test: which places of a block can begin one of the literals.
//!
//! Promises: no place at which a literal begins is left out; about one of [`Test::passing`] others passes.
//! Thirty-two places are looked at with sixteen shuffles where the processor has them, else one by one.
//! Leaves out: comparing; the caller knows what he looks for.
#![expect(unsafe_code, reason = "calling a function for a processor's own instructions")]

use crate::groups::{GROUPS, HALVES, OPENING_LEN, Opening, sort};

/// Some literals, prepared.
#[derive(Debug, Clone)]
pub struct Test {
    /// For each of the first bytes and each value: the groups that have it there.
    bytes: Box<[[u16; 256]; OPENING_LEN]>,
    /// For each half of the first bytes, lower before upper: a bit for each of eight groups, in two
    /// lanes.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for vectors only"))]
    halves: Box<[[[u8; 32]; HALVES]; 2]>,
    /// True for bytes of which nothing but themselves begins a literal.
    runs: Box<[bool; 256]>,
    passing: u64,
}

impl Test {
    /// Prepares literals; none when they are too many to be told from other bytes.
    #[must_use]
    pub fn new<'a>(openings: impl Iterator<Item = Opening<'a>> + Clone) -> Option<Self> {
        let mut runs = Box::new([false; 256]);
        for (byte, run) in (0..=u8::MAX).zip(runs.iter_mut()) {
            let fits = |opening: Opening<'_>| {
                let mut first = opening.bytes.iter().take(OPENING_LEN);
                first.all(|own| opening.cases(*own).contains(&byte))
            };
            *run = openings.clone().any(fits);
        }
        let groups = sort(openings)?;
        let mut halves = Box::new([[[0u8; 32]; HALVES]; 2]);
        let mut bytes = Box::new([[0u16; 256]; OPENING_LEN]);
        for (group, bit) in groups.iter().zip(0..GROUPS) {
            let set = halves.get_mut(bit / 8)?;
            for (half, values) in set.iter_mut().zip(group.0) {
                let (low, high) = half.split_at_mut(16);
                for (value, (low, high)) in low.iter_mut().zip(high).enumerate() {
                    let own = u8::from(values >> value & 1 == 1) << (bit % 8);
                    *low |= own;
                    *high |= own;
                }
            }
            for (table, halves) in bytes.iter_mut().zip(group.0.as_chunks::<2>().0) {
                let [low, high] = *halves;
                for (value, groups) in table.iter_mut().enumerate() {
                    let has = low >> (value & 15) & high >> (value >> 4) & 1;
                    *groups |= has << bit;
                }
            }
        }
        let passing = groups.iter().map(|group| group.passing()).sum();
        Some(Self { bytes, halves, runs, passing })
    }

    /// About how many of 2^24 places of texts and programs pass.
    #[must_use]
    pub fn passing(&self) -> u64 {
        self.passing
    }

    /// Calls `pass` with each of the first `places` offsets of a block at which a literal may begin,
    /// ascending. Bytes behind the block count as zeros.
    pub fn probe(&self, block: &[u8], places: usize, mut pass: impl FnMut(usize)) {
        let places = places.min(block.len());
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions, as was just asked.
            // WHY: a quarter of the time that single steps take (`docs/performance.md`).
            unsafe { self.probe_avx2(block, places, &mut pass) };
            return;
        }
        self.probe_from(0, block, places, &mut pass);
    }

    /// Looks at places from `from` on, one by one.
    fn probe_from(&self, from: usize, block: &[u8], places: usize, pass: &mut impl FnMut(usize)) {
        let groups = |at: usize, place: usize| {
            let byte = block.get(place.wrapping_add(at)).copied().unwrap_or(0);
            self.bytes.get(at).map_or(0, |table| table[usize::from(byte)])
        };
        for place in from..places {
            let first = groups(0, place) & groups(1, place);
            if first != 0 && first & groups(2, place) & groups(3, place) != 0 {
                pass(place);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn probe_avx2(&self, block: &[u8], places: usize, pass: &mut impl FnMut(usize)) {
        use std::arch::x86_64::{
            _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256,
            _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
        };
        let [few, more] = self.halves.each_ref().map(|set| set.each_ref().map(|half| vector(half)));
        let half = _mm256_set1_epi8(0x0f);
        let mut at = 0usize;
        // Vectors, each a byte behind the one before, are within these.
        while let Some(bytes) = block.get(at..).and_then(|rest| rest.first_chunk::<35>())
            && at + 32 <= places
        {
            // The same byte all along, as often in programs, would pass everywhere.
            let all = |from: usize| {
                let bytes = bytes.get(from..).and_then(|bytes| bytes.first_chunk());
                vector(bytes.unwrap_or(&[0; 32]))
            };
            let same = _mm256_cmpeq_epi8(all(0), all(1));
            if _mm256_movemask_epi8(same) == -1 && !self.runs[usize::from(bytes[0])] {
                // Of the last places something else may stand behind.
                self.probe_from(at + 29, block, at + 32, pass);
                at += 32;
                continue;
            }
            let (mut fits, mut fits_more) = (_mm256_set1_epi8(-1), _mm256_set1_epi8(-1));
            for shift in 0..OPENING_LEN {
                let bytes = all(shift);
                let low = _mm256_and_si256(bytes, half);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half);
                let groups = |set: &[_; HALVES]| {
                    let low = _mm256_shuffle_epi8(set[2 * shift], low);
                    _mm256_and_si256(low, _mm256_shuffle_epi8(set[2 * shift + 1], high))
                };
                fits = _mm256_and_si256(fits, groups(&few));
                fits_more = _mm256_and_si256(fits_more, groups(&more));
            }
            let fits = _mm256_or_si256(fits, fits_more);
            let none = _mm256_cmpeq_epi8(fits, _mm256_setzero_si256());
            let mut found = !_mm256_movemask_epi8(none).cast_unsigned();
            while found != 0 {
                pass(at + found.trailing_zeros() as usize);
                found &= found - 1;
            }
            at += 32;
        }
        self.probe_from(at, block, places, pass);
    }
}

/// Loads a vector; the compiler makes one load of it.
///
/// # Safety
/// The processor has AVX2; from code compiled for it, the call is safe.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
#[must_use]
pub fn vector(bytes: &[u8; 32]) -> std::arch::x86_64::__m256i {
    let word = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| i64::from_le_bytes(*bytes))
    };
    std::arch::x86_64::_mm256_setr_epi64x(word(0), word(8), word(16), word(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Literals, every other one found in both cases, of one to five bytes.
    fn literals(count: usize) -> Vec<(Vec<u8>, bool)> {
        let bytes = |number: usize| ((number + 1) * 2_654_435_761).to_le_bytes();
        let each = (0..count).map(|number| (bytes(number)[..1 + number % 5].to_vec(), number));
        let each = each.map(|(bytes, number)| match number % 2 {
            0 => (bytes, false),
            _ => (bytes.to_ascii_lowercase(), true),
        });
        each.chain([(b"\0\0\0A".to_vec(), false)]).collect()
    }

    fn stands(block: &[u8], place: usize, (bytes, nocase): &(Vec<u8>, bool)) -> bool {
        let first = &bytes[..bytes.len().min(OPENING_LEN)];
        let there = block[place..].get(..first.len()).unwrap_or_default();
        if *nocase { there.eq_ignore_ascii_case(first) } else { there == first }
    }

    #[test]
    fn every_literal_passes_and_vectors_see_what_single_steps_see() {
        for count in [0usize, 1, 3, 40, 200] {
            let literals = literals(count);
            let openings =
                literals.iter().map(|(bytes, nocase)| Opening { bytes, nocase: *nocase });
            let test = Test::new(openings).unwrap();
            let mut block: Vec<u8> = (0..1000).map(|at| (at * at / 7) as u8).collect();
            block[300..520].fill(0);
            block[520] = b'A';
            for (idx, place) in (0..block.len() - 16).step_by(13).enumerate() {
                let (bytes, nocase) = &literals[idx % literals.len()];
                if (290..530).contains(&place) {
                    continue;
                }
                let upper = *nocase && idx % 3 == 0;
                let bytes = if upper { bytes.to_ascii_uppercase() } else { bytes.clone() };
                block[place..place + bytes.len()].copy_from_slice(&bytes);
            }
            for len in [0, 1, 3, 5, 34, 35, 36, 67, 100, 600, 1000] {
                let block = &block[..len];
                for places in [0, len / 2, len.saturating_sub(7), len, len + 9] {
                    let (mut passed, mut stepped) = (Vec::new(), Vec::new());
                    test.probe(block, places, |place| passed.push(place));
                    let upto = places.min(len);
                    test.probe_from(0, block, upto, &mut |place| stepped.push(place));
                    assert!(passed.is_sorted() && passed.iter().all(|place| *place < upto));
                    assert!(passed.iter().all(|place| stepped.contains(place)), "{count} {len}");
                    for place in 0..upto {
                        if literals.iter().any(|literal| stands(block, place, literal)) {
                            assert!(passed.contains(&place), "{count} {len} {places} {place}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn too_many_literals_are_refused() {
        let literals: Vec<_> =
            (0..300u32).map(|at| at.wrapping_mul(0x0101_6b2f).to_le_bytes()).collect();
        let openings = literals.iter().map(|bytes| Opening { bytes, nocase: false });
        assert!(Test::new(openings).is_none());
    }
}
