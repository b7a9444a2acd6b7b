//! Pairs of bytes, all case variants written out: a byte for each of 65,536, and a vector test in front
//! of it where that lets few of them pass.
//!
//! The test sorts the literals that are seen through pairs into sixteen groups and keeps, for each group,
//! which lower and upper halves their first four bytes have. Thirty-two places are looked at with sixteen
//! shuffles; what passes is looked up in the table. Source of the idea: Langdale's "Teddy" in Hyperscan,
//! as the documentation of the aho-corasick crate describes it.
#![expect(unsafe_code, reason = "calling a function for a processor's own instructions")]

use super::build::PAIRS_LEN;
use super::probe::BLOCK;

/// The bytes of a literal from its pair on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) bytes: &'a [u8],
    /// In lower case, and found in both.
    pub(crate) nocase: bool,
}

/// A table of pairs.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    table: Box<[u8; 1 << 16]>,
    /// Set when the vector test excludes nearly all places.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for vectors only"))]
    halves: Option<Box<[Halves; 2]>>,
}

/// For each half of the first four bytes, lower before upper: a bit for each of eight groups, in two
/// lanes.
type Halves = [[u8; 32]; HALVES];

impl Pairs {
    /// Joins stored tables, of which `openings` are the literals; none when there is no table.
    pub(super) fn join(tables: &[&[u8]], openings: &[Opening<'_>]) -> Option<Self> {
        let mut tables = tables.iter().filter(|table| table.len() == PAIRS_LEN).peekable();
        tables.peek()?;
        let mut joined = Box::new([0u8; 1 << 16]);
        for table in tables {
            for (group, byte) in joined.chunks_exact_mut(8).zip(*table) {
                for (pair, bit) in group.iter_mut().zip(0..) {
                    *pair |= byte >> bit & 1;
                }
            }
        }
        Some(Self { table: joined, halves: halves(openings) })
    }

    pub(super) fn has(&self, pair: u16) -> bool {
        self.table[usize::from(pair)] == 1
    }

    /// Fills `hits` with the offsets of pairs that are in the table and have seven bytes behind
    /// their first; pairs with which no literal goes on may be left out.
    pub(super) fn probe(&self, block: &[u8], hits: &mut [u16; BLOCK]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if let Some(halves) = &self.halves
            && std::arch::is_x86_feature_detected!("avx2")
        {
            // SAFETY: the processor has the instructions, as was just asked.
            // WHY: a quarter of the time that single steps take (`docs/performance.md`).
            return unsafe { self.probe_avx2(halves, block, hits) };
        }
        self.probe_from(0, 0, block, hits)
    }

    /// Looks at the pairs from `from` on, one by one; `count` are in `hits` already.
    fn probe_from(
        &self,
        from: usize,
        mut count: usize,
        block: &[u8],
        hits: &mut [u16; BLOCK],
    ) -> usize {
        let starts = block.len().saturating_sub(7);
        let behind = block.get(from..).unwrap_or_default();
        for (at, pair) in (from..starts).zip(behind.windows(2)) {
            let pair = pair.first_chunk().map_or(0, |pair| u16::from_le_bytes(*pair));
            // Written always and kept only on a hit: a branch here would be mispredicted.
            if let Some(slot) = hits.get_mut(count & (BLOCK - 1)) {
                *slot = at as u16;
            }
            count = count.wrapping_add(usize::from(self.table[usize::from(pair)]));
        }
        count
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn probe_avx2(&self, halves: &[Halves; 2], block: &[u8], hits: &mut [u16; BLOCK]) -> usize {
        use std::arch::x86_64::{
            _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256,
            _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
        };
        let [few, more] = halves.each_ref().map(|set| set.each_ref().map(|half| vector(half)));
        let half = _mm256_set1_epi8(0x0f);
        let starts = block.len().saturating_sub(7);
        let (mut count, mut at) = (0usize, 0usize);
        // Vectors, each a byte behind the one before, are within these.
        while let Some(bytes) = block.get(at..).and_then(|rest| rest.first_chunk::<35>())
            && at + 32 <= starts
        {
            // The same byte all along, as often in programs, would pass everywhere.
            let all = |from: usize| {
                let bytes = bytes.get(from..).and_then(|bytes| bytes.first_chunk());
                vector(bytes.unwrap_or(&[0; 32]))
            };
            let same = _mm256_cmpeq_epi8(all(0), all(1));
            if _mm256_movemask_epi8(same) == -1 && !self.has(u16::from_le_bytes([bytes[0]; 2])) {
                at += 32;
                continue;
            }
            let (mut fits, mut fits_more) = (_mm256_set1_epi8(-1), _mm256_set1_epi8(-1));
            for shift in 0..OPENING_LEN {
                let bytes = bytes.get(shift..).and_then(|bytes| bytes.first_chunk());
                let bytes = vector(bytes.unwrap_or(&[0; 32]));
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
                let place = at + found.trailing_zeros() as usize;
                let pair = block.get(place..).and_then(|rest| rest.first_chunk());
                if pair.is_some_and(|pair| self.has(u16::from_le_bytes(*pair)))
                    && let Some(slot) = hits.get_mut(count)
                {
                    *slot = place as u16;
                    count += 1;
                }
                found &= found - 1;
            }
            at += 32;
        }
        self.probe_from(at, count, block, hits)
    }
}

/// Loads a vector; the compiler makes one load of it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) fn vector(bytes: &[u8; 32]) -> std::arch::x86_64::__m256i {
    let word = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| i64::from_le_bytes(*bytes))
    };
    std::arch::x86_64::_mm256_setr_epi64x(word(0), word(8), word(16), word(24))
}

/// Which halves the first bytes of some literals have: bit `h` of a number for half `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group([u16; HALVES]);

impl Group {
    fn of(opening: &Opening<'_>) -> Self {
        let mut group = Self([0; HALVES]);
        for (halves, at) in group.0.as_chunks_mut::<2>().0.iter_mut().zip(0..) {
            let Some(byte) = opening.bytes.get(at) else {
                *halves = [u16::MAX; 2];
                continue;
            };
            let cases = match opening.nocase {
                true => [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()],
                false => [*byte; 2],
            };
            for byte in cases {
                halves[0] |= 1 << (byte & 15);
                halves[1] |= 1 << (byte >> 4);
            }
        }
        group
    }

    fn with(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(one, two)| *one |= two);
        both
    }

    /// About how many of all places pass, of 2^24.
    fn passing(self) -> u64 {
        let share = |halves: &[u16; 2]| {
            let [low, mut high] = *halves;
            let mut passing = 0;
            while high != 0 {
                passing += UPPER_HALVES[high.trailing_zeros() as usize & 15];
                high &= high - 1;
            }
            u64::from(low.count_ones() * passing)
        };
        self.0
            .as_chunks::<2>()
            .0
            .iter()
            .fold(1 << 24, |passing, halves| (passing * share(halves)) >> 12)
    }
}

/// Sorts literals into sixteen groups that let few places pass; none when too many would.
fn halves(openings: &[Opening<'_>]) -> Option<Box<[Halves; 2]>> {
    let mut groups: Vec<Group> = openings.iter().map(Group::of).collect();
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > OPENINGS_MAX {
        return None;
    }
    let groups = join_groups(groups)?;
    if groups.iter().map(|group| group.passing()).sum::<u64>() > PASSING_MAX {
        return None;
    }
    let mut halves = Box::new([[[0u8; 32]; HALVES]; 2]);
    for (groups, set) in groups.chunks(8).zip(halves.iter_mut()) {
        for (group, bit) in groups.iter().zip(0..) {
            for (half, values) in set.iter_mut().zip(group.0) {
                for value in (0..16).filter(|value| values >> value & 1 == 1) {
                    half[value] |= 1 << bit;
                    half[value + 16] |= 1 << bit;
                }
            }
        }
    }
    Some(halves)
}

/// Joins those two groups of which both together let the fewest more places pass, until there are
/// sixteen. What each pair would cost is kept, since one of them changes little.
fn join_groups(mut groups: Vec<Group>) -> Option<Vec<Group>> {
    let growth = |one: Group, two: Group| {
        one.with(two).passing().saturating_sub(one.passing().max(two.passing()))
    };
    let row = |groups: &[Group], two: usize| -> Vec<u64> {
        groups[..two].iter().map(|one| growth(*one, groups[two])).collect()
    };
    let least = |row: &[u64]| row.iter().copied().zip(0usize..).min();
    // The row of a group has one number for each group in front of it, and the least of them.
    let rows = (0..groups.len()).map(|two| row(&groups, two));
    let mut rows: Vec<_> = rows.map(|row| (least(&row), row)).collect();
    while groups.len() > 16 {
        let each = rows.iter().zip(0usize..);
        let (_, one, two) =
            each.filter_map(|((least, _), two)| least.map(|(cost, one)| (cost, one, two))).min()?;
        groups[one] = groups[one].with(groups[two]);
        groups.remove(two);
        rows.remove(two);
        let own = row(&groups, one);
        rows[one] = (least(&own), own);
        for later in one + 1..groups.len() {
            let (known, row) = &mut rows[later];
            if later >= two {
                row.remove(two);
            }
            row[one] = growth(groups[one], groups[later]);
            *known = match *known {
                Some((cost, at)) if at != one && at != two => {
                    Some((cost, if at > two { at - 1 } else { at }).min((row[one], one)))
                }
                _ => least(row),
            };
        }
    }
    Some(groups)
}

/// Bytes of a literal that the vector test looks at.
pub(crate) const OPENING_LEN: usize = 4;
const HALVES: usize = 2 * OPENING_LEN;
/// Ours: of 256 bytes of texts, about so many have this upper half.
const UPPER_HALVES: [u32; 16] = [12, 2, 48, 16, 12, 12, 88, 48, 3, 2, 2, 2, 2, 2, 2, 3];
/// Ours: sorting takes time that grows with the cube of their number.
const OPENINGS_MAX: usize = 256;
/// Ours: one place in fifty; where more pass, single steps are as fast.
const PASSING_MAX: u64 = (1 << 24) / 50;

#[cfg(test)]
mod tests {
    use super::*;

    /// Literals, every other one found in both cases, of two, three and more bytes.
    fn literals(count: usize) -> Vec<(Vec<u8>, bool)> {
        let bytes = |number: usize| ((number + 1) * 2_654_435_761).to_le_bytes();
        let each = (0..count).map(|number| (bytes(number)[..2 + number % 4].to_vec(), number));
        each.map(|(bytes, number)| match number % 2 {
            0 => (bytes, false),
            _ => (bytes.to_ascii_lowercase(), true),
        })
        .collect()
    }

    fn stored(literals: &[(Vec<u8>, bool)]) -> Vec<u8> {
        let mut stored = vec![0u8; PAIRS_LEN];
        for (bytes, nocase) in literals {
            for case in 0..4 {
                let turn = |byte: u8, upper: bool| match upper && *nocase {
                    true => byte.to_ascii_uppercase(),
                    false => byte,
                };
                let pair = [turn(bytes[0], case & 1 == 1), turn(bytes[1], case & 2 == 2)];
                let pair = usize::from(u16::from_le_bytes(pair));
                stored[pair / 8] |= 1 << (pair % 8);
            }
        }
        stored
    }

    #[test]
    fn vectors_find_every_literal_that_single_steps_find() {
        for (count, vectors) in [(1usize, true), (3, true), (40, true), (400, false)] {
            let literals = literals(count);
            let openings: Vec<Opening<'_>> =
                literals.iter().map(|(bytes, nocase)| Opening { bytes, nocase: *nocase }).collect();
            let pairs = Pairs::join(&[&stored(&literals), &[]], &openings).unwrap();
            assert_eq!(pairs.halves.is_some(), vectors, "{count}");
            let mut block: Vec<u8> = (0..BLOCK + 7).map(|at| (at * at / 7) as u8).collect();
            let mut places = Vec::new();
            for (idx, place) in (0..block.len() - 16).step_by(13).enumerate() {
                let (bytes, nocase) = &literals[idx % count];
                let upper = *nocase && idx % 3 == 0;
                let bytes = if upper { bytes.to_ascii_uppercase() } else { bytes.clone() };
                block[place..place + bytes.len()].copy_from_slice(&bytes);
                places.push(place);
            }
            for len in [0, 5, 8, 39, 40, 41, 100, BLOCK + 7] {
                let block = &block[..len];
                let (mut hits, mut all) = ([0; BLOCK], [0; BLOCK]);
                let found = pairs.probe(block, &mut hits);
                let stepped = pairs.probe_from(0, 0, block, &mut all);
                let (hits, all) = (&hits[..found], &all[..stepped]);
                assert!(hits.iter().all(|hit| all.contains(hit)), "{count} {len}");
                assert!(hits.is_sorted());
                let mut whole = places.iter().filter(|place| **place + 7 < len);
                assert!(whole.all(|place| hits.contains(&(*place as u16))), "{count} {len}");
            }
        }
    }
}
