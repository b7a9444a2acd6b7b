//! The loop over an object's bytes: which windows are in a bit table.
//!
//! The loop is safe code and has no branch but its bounds. What is unsafe is to call it compiled for
//! processors with more instructions, after asking for them.
#![expect(unsafe_code, reason = "calling a function for a processor's own instructions")]

use super::pairs::{Opening, Pairs};
use super::{CLASSES, PAIRS, fold_key, has_both, index, mix};

/// A bit table of one class: those of all packs and of both targets joined.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    /// Index into [`CLASSES`].
    pub(crate) class: usize,
    words: Box<[u64]>,
    /// Pairs of bytes, instead of the words.
    pairs: Option<Pairs>,
}

impl Bits {
    /// Joins tables; none when there is no table. `openings` are the literals of the pairs.
    pub(crate) fn join(class: usize, tables: &[&[u8]], openings: &[Opening<'_>]) -> Option<Self> {
        if class == PAIRS {
            let pairs = Pairs::join(tables, openings)?;
            return Some(Self { class, words: Box::new([0; 2]), pairs: Some(pairs) });
        }
        let whole = |table: &&&[u8]| {
            let words = table.len() / 8;
            words > 1 && words.is_power_of_two() && words <= WORDS_MAX
        };
        let tables: Vec<&[u8]> = tables.iter().filter(whole).copied().collect();
        let count = tables.iter().map(|table| table.len() / 8).max()?;
        let mut words = vec![0u64; count].into_boxed_slice();
        for table in tables {
            let stored = table.as_chunks::<8>().0.iter().cycle();
            for (joined, word) in words.iter_mut().zip(stored) {
                *joined |= u64::from_le_bytes(*word);
            }
        }
        Some(Self { class, words, pairs: None })
    }

    fn has(&self, key: &[u8], hash: u64) -> bool {
        if let Some(pairs) = &self.pairs {
            let pair = key.first_chunk().map_or(0, |pair| u16::from_le_bytes(*pair));
            return pairs.has(pair);
        }
        let word = self.words.get(index(hash) & (self.words.len().wrapping_sub(1)));
        word.is_some_and(|word| has_both(*word, hash) == 1)
    }
}

/// Calls `on` with the class, the hash and the offset of every window of `data` that is in a table.
/// `block_done` is called after each block of about 16 KiB and may end it all.
pub(crate) fn for_each_survivor<E>(
    tables: &[Bits],
    data: &[u8],
    mut block_done: impl FnMut(usize) -> Result<(), E>,
    mut on: impl FnMut(usize, u64, usize),
) -> Result<(), E> {
    let mut hits = [0u16; BLOCK];
    let mut from = 0;
    while from < data.len() {
        let upto = from.saturating_add(BLOCK).min(data.len());
        // Seven bytes of the next block, so that every window that starts here is whole.
        let block = data.get(from..upto.saturating_add(7).min(data.len())).unwrap_or_default();
        for bits in tables {
            let count = match (bits.class, &bits.pairs) {
                (0, _) => probe::<8, 4>(&bits.words, block, &mut hits),
                (1, _) => probe::<4, 4>(&bits.words, block, &mut hits),
                (2, _) => probe::<4, 2>(&bits.words, block, &mut hits),
                (_, Some(pairs)) => pairs.probe(block, &mut hits),
                (_, None) => 0,
            };
            let Some(class) = CLASSES.get(bits.class) else { continue };
            for hit in hits.get(..count).unwrap_or_default() {
                let at = usize::from(*hit);
                if let Some(key) = key_at(block, at) {
                    on(bits.class, mix(fold_key(key, class.width)), from + at);
                }
            }
            if upto == data.len() {
                tail(bits, class.width, class.stride, data, &mut on);
            }
        }
        block_done(block.len())?;
        from = upto;
    }
    Ok(())
}

/// Fills `hits` with the offsets of windows that are in the table; windows behind which there are
/// fewer than eight bytes are left to [`tail`].
fn probe<const WIDTH: usize, const STRIDE: usize>(
    words: &[u64],
    block: &[u8],
    hits: &mut [u16; BLOCK],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the instructions, as was just asked.
        // WHY: shifts by a variable take one instead of three steps (`docs/performance.md`).
        return unsafe { probe_bmi2::<WIDTH, STRIDE>(words, block, hits) };
    }
    probe_any::<WIDTH, STRIDE>(words, block, hits)
}

/// [`probe_any`] for processors with BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn probe_bmi2<const WIDTH: usize, const STRIDE: usize>(
    words: &[u64],
    block: &[u8],
    hits: &mut [u16; BLOCK],
) -> usize {
    probe_any::<WIDTH, STRIDE>(words, block, hits)
}

#[inline(always)]
fn probe_any<const WIDTH: usize, const STRIDE: usize>(
    words: &[u64],
    block: &[u8],
    hits: &mut [u16; BLOCK],
) -> usize {
    let mask = words.len().wrapping_sub(1);
    let mut count = 0usize;
    let mut at = 0u16;
    for window in block.windows(8).step_by(STRIDE) {
        let key = window.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let hash = mix(fold_key(key, WIDTH));
        let word = words.get(index(hash) & mask).copied().unwrap_or(0);
        // Written always and kept only on a hit: a branch here would be mispredicted.
        if let Some(slot) = hits.get_mut(count & (BLOCK - 1)) {
            *slot = at;
        }
        count = count.wrapping_add(has_both(word, hash) as usize);
        at = at.wrapping_add(STRIDE as u16);
    }
    count
}

/// Looks at the windows in the last bytes of an object.
fn tail(
    bits: &Bits,
    width: usize,
    stride: usize,
    data: &[u8],
    on: &mut impl FnMut(usize, u64, usize),
) {
    let from = data.len().saturating_sub(7).next_multiple_of(stride);
    for at in (from..data.len()).step_by(stride) {
        let Some(window) = data.get(at..at.saturating_add(width)) else { return };
        let hash = mix(super::fold(window));
        if bits.has(window, hash) {
            on(bits.class, hash, at);
        }
    }
}

fn key_at(block: &[u8], at: usize) -> Option<u64> {
    block.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Ours: bytes looked at by every class in turn while they are in the first-level cache.
pub(super) const BLOCK: usize = 1 << 14;
/// Ours: what a pack may ask for.
const WORDS_MAX: usize = 1 << 20;
