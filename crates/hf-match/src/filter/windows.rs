//! Windows of four or eight bytes: two bits of a word for each that is in a literal.
//!
//! The hash is made of 32-bit multiplications, so that eight windows are hashed and looked up at once
//! where the processor can. All that is unsafe is to call it compiled for such processors, after
//! asking for them, and to let it load words whose index was masked.
#![expect(unsafe_code, reason = "calling a function for a processor's own instructions")]

use super::probe::BLOCK;

/// The bit tables of one class joined.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    words: Box<[u32]>,
}

impl Windows {
    /// Joins stored tables; none when there is no table.
    pub(super) fn join(tables: &[&[u8]]) -> Option<Self> {
        let whole = |table: &&&[u8]| {
            let words = table.len() / 4;
            words > 1 && words.is_power_of_two() && words <= WORDS_MAX
        };
        let tables: Vec<&[u8]> = tables.iter().filter(whole).copied().collect();
        let count = tables.iter().map(|table| table.len() / 4).max()?;
        let mut words = vec![0u32; count].into_boxed_slice();
        for table in tables {
            let stored = table.as_chunks::<4>().0.iter().cycle();
            for (joined, word) in words.iter_mut().zip(stored) {
                *joined |= u32::from_le_bytes(*word);
            }
        }
        Some(Self { words })
    }

    /// True when a window may be in a literal.
    pub(super) fn has(&self, window: &[u8]) -> bool {
        let hash = hash_of(window);
        let word = self.words.get(hash as usize & self.words.len().wrapping_sub(1));
        word.is_some_and(|word| has_both(*word, hash) == 1)
    }

    /// Fills `hits` with the offsets of windows that are in the table and have eight bytes from
    /// their start on.
    pub(super) fn probe<const WIDTH: usize, const STRIDE: usize>(
        &self,
        block: &[u8],
        hits: &mut [u16; BLOCK],
    ) -> usize {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions, as was just asked.
            // WHY: a third of the time that single steps take (`docs/performance.md`).
            return unsafe { self.probe_avx2::<WIDTH, STRIDE>(block, hits) };
        }
        self.probe_from::<WIDTH, STRIDE>(0, 0, block, hits)
    }

    /// Looks at the windows from `from` on, one by one; `count` are in `hits` already.
    fn probe_from<const WIDTH: usize, const STRIDE: usize>(
        &self,
        from: usize,
        mut count: usize,
        block: &[u8],
        hits: &mut [u16; BLOCK],
    ) -> usize {
        let mask = self.words.len().wrapping_sub(1);
        let mut at = from as u16;
        let behind = block.get(from..).unwrap_or_default();
        for window in behind.windows(8).step_by(STRIDE) {
            let (low, high) = split(window);
            let hash = hash(low, if WIDTH > 4 { high } else { 0 });
            let word = self.words.get(hash as usize & mask).copied().unwrap_or(0);
            // Written always and kept only on a hit: a branch here would be mispredicted.
            if let Some(slot) = hits.get_mut(count & (BLOCK - 1)) {
                *slot = at;
            }
            count = count.wrapping_add(has_both(word, hash) as usize);
            at = at.wrapping_add(STRIDE as u16);
        }
        count
    }

    /// Looks at eight windows at once, each four bytes behind the one before; with a stride of two,
    /// at those between them next.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn probe_avx2<const WIDTH: usize, const STRIDE: usize>(
        &self,
        block: &[u8],
        hits: &mut [u16; BLOCK],
    ) -> usize {
        let (mut count, mut at) = (0usize, 0usize);
        // Eight bytes from the last of these windows on, the one between included.
        while let Some(bytes) = block.get(at..).and_then(|rest| rest.first_chunk::<40>()) {
            for shift in (0..4).step_by(STRIDE) {
                let mut found = self.eight::<WIDTH>(bytes, shift);
                while found != 0 {
                    if let Some(slot) = hits.get_mut(count & (BLOCK - 1)) {
                        *slot = (at + shift) as u16 + 4 * found.trailing_zeros() as u16;
                    }
                    count += 1;
                    found &= found - 1;
                }
            }
            at += 32;
        }
        self.probe_from::<WIDTH, STRIDE>(at, count, block, hits)
    }

    /// Returns a bit for each of eight windows that is in the table.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn eight<const WIDTH: usize>(&self, bytes: &[u8; 40], shift: usize) -> u32 {
        use std::arch::x86_64::{
            _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_i32gather_epi32,
            _mm256_movemask_ps, _mm256_mullo_epi32, _mm256_or_si256, _mm256_set1_epi32,
            _mm256_slli_epi32, _mm256_srli_epi32, _mm256_srlv_epi32, _mm256_xor_si256,
        };
        let load = |shift: usize| {
            let bytes = bytes.get(shift..).and_then(|bytes| bytes.first_chunk());
            _mm256_or_si256(
                hf_literal::vector(bytes.unwrap_or(&[0; 32])),
                _mm256_set1_epi32(FOLD.cast_signed()),
            )
        };
        let mut hash = _mm256_mullo_epi32(load(shift), _mm256_set1_epi32(LOW.cast_signed()));
        if WIDTH > 4 {
            let high = _mm256_mullo_epi32(load(shift + 4), _mm256_set1_epi32(HIGH.cast_signed()));
            hash = _mm256_add_epi32(hash, high);
        }
        let hash = _mm256_xor_si256(hash, _mm256_srli_epi32::<15>(hash));
        let mask = self.words.len().wrapping_sub(1) as u32;
        let places = _mm256_and_si256(hash, _mm256_set1_epi32(mask.cast_signed()));
        // SAFETY: the number of words is a power of two of at most 2^21, and each place is masked to be below it.
        // WHY: eight look-ups in one instruction.
        let words = unsafe { _mm256_i32gather_epi32::<4>(self.words.as_ptr().cast(), places) };
        let one = _mm256_srlv_epi32(words, _mm256_srli_epi32::<27>(hash));
        let five = _mm256_and_si256(_mm256_srli_epi32::<22>(hash), _mm256_set1_epi32(31));
        let both = _mm256_and_si256(one, _mm256_srlv_epi32(words, five));
        // The lowest bit of each word becomes its sign.
        let signs = _mm256_castsi256_ps(_mm256_slli_epi32::<31>(both));
        _mm256_movemask_ps(signs).cast_unsigned()
    }
}

/// Makes the table of windows.
pub(super) fn table<'w>(windows: impl ExactSizeIterator<Item = &'w [u8]>) -> Vec<u8> {
    let words = (windows.len() * BITS_PER_KEY / 32).clamp(WORDS_MIN, WORDS_MADE_MAX);
    let words = words.next_power_of_two();
    let mut table = vec![0u32; words];
    for window in windows {
        let hash = hash_of(window);
        if let Some(word) = table.get_mut(hash as usize & (words - 1)) {
            *word |= 1 << (hash >> 27) | 1 << (hash >> 22 & 31);
        }
    }
    table.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The first four bytes and the next, the first byte lowest, letters without case.
fn split(window: &[u8]) -> (u32, u32) {
    let word = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) | FOLD);
    let rest = window.get(4..).unwrap_or_default();
    (word(window.first_chunk()), word(rest.first_chunk()))
}

fn hash_of(window: &[u8]) -> u32 {
    let (low, high) = split(window);
    hash(low, high)
}

fn hash(low: u32, high: u32) -> u32 {
    let hash = low.wrapping_mul(LOW).wrapping_add(high.wrapping_mul(HIGH));
    hash ^ hash >> 15
}

/// True when both bits of a key are set in its word.
fn has_both(word: u32, hash: u32) -> u32 {
    (word >> (hash >> 27)) & (word >> (hash >> 22 & 31)) & 1
}

/// Bytes without the case of letters; it joins other bytes too, which the comparison tells apart.
const FOLD: u32 = 0x2020_2020;
/// Ours: odd, with bits spread evenly.
const LOW: u32 = 0x9e37_79b1;
/// Ours: as [`LOW`].
const HIGH: u32 = 0x85eb_ca6b;
/// Ours: two of sixteen bits are set, so that one of fifty windows passes by chance.
const BITS_PER_KEY: usize = 16;
/// Ours: 16 KiB stay in the first-level cache.
const WORDS_MIN: usize = 1 << 12;
/// Ours: 4 MiB; larger tables miss the second-level cache more than they spare.
const WORDS_MADE_MAX: usize = 1 << 20;
/// Ours: what a pack may ask for.
const WORDS_MAX: usize = 1 << 21;

#[cfg(test)]
mod tests {
    use super::*;

    fn compare<const WIDTH: usize, const STRIDE: usize>() {
        let literals: Vec<Vec<u8>> =
            (0..900u32).map(|at| (at.wrapping_mul(0x0101_6b2f)).to_le_bytes().repeat(2)).collect();
        let large = table(literals.iter().map(|literal| &literal[..WIDTH]));
        let small = table(literals.iter().take(3).map(|literal| &literal[..WIDTH]));
        let windows = Windows::join(&[&small, &[], &large]).unwrap();
        let mut block: Vec<u8> = (0..BLOCK + 7).map(|at| (at * at / 5) as u8).collect();
        for (at, literal) in (0..BLOCK - 8).step_by(20).zip(literals.iter().cycle()) {
            block[at..at + 8].copy_from_slice(&literal.to_ascii_uppercase());
        }
        for len in [0, 5, 8, 39, 40, 41, 71, 72, 100, BLOCK + 7] {
            let block = &block[..len];
            let (mut hits, mut wanted) = ([0; BLOCK], [0; BLOCK]);
            let found = windows.probe::<WIDTH, STRIDE>(block, &mut hits);
            let want = windows.probe_from::<WIDTH, STRIDE>(0, 0, block, &mut wanted);
            let hits = &mut hits[..found];
            hits.sort_unstable();
            assert_eq!(hits, &wanted[..want], "{WIDTH} {STRIDE} {len}");
            let whole = (0..len.saturating_sub(7).min(BLOCK - 8)).step_by(20);
            for at in whole {
                assert!(hits.contains(&(at as u16)), "{WIDTH} {STRIDE} {len} {at}");
                assert!(windows.has(&block[at..at + WIDTH]));
            }
            assert!(found < len / STRIDE + 1);
        }
    }

    #[test]
    fn vectors_find_what_single_steps_find() {
        compare::<8, 4>();
        compare::<4, 4>();
        compare::<4, 2>();
    }
}
