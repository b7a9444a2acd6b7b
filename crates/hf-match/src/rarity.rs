//! How rare a run of bytes is in ordinary files, by a table of byte pairs.
//!
//! The table (`rarity.bin`, made by `examples/train_rarity.rs` from the programs, libraries and
//! texts of a Debian system) holds the information of a byte, and of a byte behind another, in
//! sixteenths of a bit. It decides only what is looked for first, never what matches.

use std::collections::HashSet;

/// Runs of bytes that stand in very many files, which byte pairs alone do not tell.
#[derive(Debug)]
pub(crate) struct Common {
    grams: HashSet<[u8; GRAM]>,
    /// One bit for each hash of a gram, which spares most questions to the set.
    bits: Vec<u64>,
}

impl Common {
    /// Reads the list.
    pub(crate) fn new() -> Self {
        let mut grams = HashSet::new();
        for word in COMMON.split(|byte| byte.is_ascii_whitespace()) {
            let narrow = word.to_ascii_lowercase();
            let wide: Vec<u8> = narrow.iter().flat_map(|byte| [*byte, 0]).collect();
            for text in [narrow, wide] {
                grams.extend(text.windows(GRAM).filter_map(|gram| gram.first_chunk().copied()));
            }
        }
        let mut bits = vec![0; 1 << 12];
        for gram in &grams {
            let (word, bit) = Self::place(gram);
            if let Some(word) = bits.get_mut(word) {
                *word |= bit;
            }
        }
        Self { grams, bits }
    }

    fn place(gram: &[u8; GRAM]) -> (usize, u64) {
        let hash = crate::filter::mix(crate::filter::fold(gram));
        (crate::filter::index(hash) & ((1 << 12) - 1), 1 << (hash >> 58))
    }

    fn has(&self, gram: &[u8; GRAM]) -> bool {
        let (word, bit) = Self::place(gram);
        self.bits.get(word).is_some_and(|word| word & bit != 0) && self.grams.contains(gram)
    }

    /// Returns how rare a run is, what is common in it counted as one byte, and the whole as no
    /// rarer than a few of its bytes.
    pub(crate) fn of_run(&self, bytes: &[u8]) -> u32 {
        let lower = bytes.to_ascii_lowercase();
        let mut covered = vec![false; lower.len()];
        for (at, gram) in lower.windows(GRAM).enumerate() {
            if gram.first_chunk().is_some_and(|gram| self.has(gram)) {
                covered.iter_mut().skip(at).take(GRAM).for_each(|covered| *covered = true);
            }
        }
        let pairs = bytes.windows(2).zip(covered.iter().skip(1));
        let rare = pairs.map(|(pair, covered)| match pair {
            [one, two] if !covered => of_pair(*one, *two),
            _ => 0,
        });
        let first = bytes.first().map_or(0, |byte| of_byte(*byte));
        rare.fold(first, u32::saturating_add)
    }
}

/// Returns how rare a byte is, in sixteenths of a bit.
pub(crate) fn of_byte(byte: u8) -> u32 {
    TABLE.get(usize::from(byte)).copied().map_or(0, u32::from)
}

/// Returns how rare a run of bytes is, in sixteenths of a bit.
pub(crate) fn of_run(bytes: &[u8]) -> u32 {
    let first = bytes.first().map_or(0, |byte| of_byte(*byte));
    let pairs = bytes.windows(2).map(|pair| match pair {
        [one, two] => of_pair(*one, *two),
        _ => 0,
    });
    pairs.fold(first, u32::saturating_add)
}

/// Returns how rare each window of a run is, in order.
pub(crate) fn of_windows(bytes: &[u8], width: usize) -> impl Iterator<Item = u32> {
    // Sums of pairs from the start on, so that a window costs the same whatever its width.
    let mut sums = Vec::with_capacity(bytes.len());
    let mut sum = 0u32;
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).and_then(|at| bytes.get(at)) {
            sum = sum.saturating_add(of_pair(*before, *byte));
        }
        sums.push(sum);
    }
    let count = (bytes.len() + 1).saturating_sub(width.max(1));
    (0..count).map(move |at| {
        let sum_at = |at: usize| sums.get(at).copied().unwrap_or(0);
        let pairs = sum_at(at + width - 1).saturating_sub(sum_at(at));
        bytes.get(at).map_or(0, |byte| of_byte(*byte)).saturating_add(pairs)
    })
}

fn of_pair(one: u8, two: u8) -> u32 {
    let idx = 256 + usize::from(one) * 256 + usize::from(two);
    TABLE.get(idx).copied().map_or(0, u32::from)
}

/// Ours: long enough to mean something, short enough to be in every literal.
const GRAM: usize = 6;
static COMMON: &[u8] = include_bytes!("rarity/common.txt");
static TABLE: &[u8; 256 + 65536] = include_bytes!("rarity.bin");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_texts_are_common() {
        let common = Common::new();
        assert!(common.of_run(b"GetProcAddress") < common.of_run(b"zQ7}xK~"));
        assert!(common.of_run(b"k\0e\0r\0n\0e\0l\x003\x002\0.\0d\0l\0l\0") < 200);
        assert_eq!(common.of_run(b"zQ7}xK~j"), of_run(b"zQ7}xK~j"));
    }

    #[test]
    fn windows_are_rated_as_runs_are() {
        let bytes = b"some text\0\x01\xff";
        for width in [1, 2, 4, 8] {
            let want: Vec<u32> = bytes.windows(width).map(of_run).collect();
            assert_eq!(of_windows(bytes, width).collect::<Vec<_>>(), want);
        }
        assert_eq!(of_windows(b"ab", 3).count(), 0);
    }

    #[test]
    fn common_runs_are_not_rare() {
        assert!(of_run(&[0; 8]) < of_run(b"the file"));
        assert!(of_run(b"the file") < of_run(b"zQ7}xK~j"));
        assert!(of_byte(0) < of_byte(0xf7));
    }
}
