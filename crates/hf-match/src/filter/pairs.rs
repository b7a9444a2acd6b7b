//! Pairs of bytes, all case variants written out: a byte for each of 65,536, and a vector test in front
//! of it where that lets few of them pass.

use hf_literal::{Opening, Test};

use super::build::PAIRS_LEN;
use super::probe::BLOCK;

/// A table of pairs.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    table: Box<[u8; 1 << 16]>,
    /// Set when the test excludes nearly all places.
    test: Option<Test>,
}

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
        let test = Test::new(openings.iter().copied());
        Some(Self { table: joined, test: test.filter(|test| test.passing() <= PASSING_MAX) })
    }

    pub(super) fn has(&self, pair: u16) -> bool {
        self.table[usize::from(pair)] == 1
    }

    /// Fills `hits` with the offsets of pairs that are in the table and have seven bytes behind
    /// their first; pairs with which no literal goes on may be left out.
    pub(super) fn probe(&self, block: &[u8], hits: &mut [u16; BLOCK]) -> usize {
        let Some(test) = &self.test else { return self.step(block, hits) };
        let mut count = 0;
        test.probe(block, block.len().saturating_sub(7), |place| {
            let pair = block.get(place..).and_then(|rest| rest.first_chunk());
            if pair.is_some_and(|pair| self.has(u16::from_le_bytes(*pair)))
                && let Some(slot) = hits.get_mut(count)
            {
                *slot = place as u16;
                count += 1;
            }
        });
        count
    }

    /// Looks at the pairs one by one.
    fn step(&self, block: &[u8], hits: &mut [u16; BLOCK]) -> usize {
        let mut count = 0usize;
        let starts = block.len().saturating_sub(7);
        for (at, pair) in (0..starts).zip(block.windows(2)) {
            let pair = pair.first_chunk().map_or(0, |pair| u16::from_le_bytes(*pair));
            // Written always and kept only on a hit: a branch here would be mispredicted.
            if let Some(slot) = hits.get_mut(count & (BLOCK - 1)) {
                *slot = at as u16;
            }
            count = count.wrapping_add(usize::from(self.table[usize::from(pair)]));
        }
        count
    }
}

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
            assert_eq!(pairs.test.is_some(), vectors, "{count}");
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
                let stepped = pairs.step(block, &mut all);
                let (hits, all) = (&hits[..found], &all[..stepped]);
                assert!(hits.iter().all(|hit| all.contains(hit)), "{count} {len}");
                assert!(hits.is_sorted());
                let mut whole = places.iter().filter(|place| **place + 7 < len);
                assert!(whole.all(|place| hits.contains(&(*place as u16))), "{count} {len}");
            }
        }
    }
}
