//! The loop over an object's bytes: which windows are in a bit table.

use hf_literal::Opening;

use super::pairs::Pairs;
use super::windows::Windows;
use super::{CLASSES, PAIRS, fold_key, mix};

/// A bit table of one class: those of all packs and of both targets joined.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    /// Index into [`CLASSES`].
    pub(crate) class: usize,
    table: Table,
}

#[derive(Debug, Clone)]
enum Table {
    Windows(Windows),
    Pairs(Pairs),
}

impl Bits {
    /// Joins tables; none when there is no table. `openings` are the literals of the pairs.
    pub(crate) fn join(class: usize, tables: &[&[u8]], openings: &[Opening<'_>]) -> Option<Self> {
        let table = if class == PAIRS {
            Table::Pairs(Pairs::join(tables, openings)?)
        } else {
            Table::Windows(Windows::join(tables)?)
        };
        Some(Self { class, table })
    }

    fn has(&self, window: &[u8]) -> bool {
        match &self.table {
            Table::Windows(windows) => windows.has(window),
            Table::Pairs(pairs) => {
                pairs.has(window.first_chunk().map_or(0, |pair| u16::from_le_bytes(*pair)))
            }
        }
    }
}

/// Room for the hits of a block, kept between objects because clearing it takes longer than most of them.
#[derive(Debug)]
pub(crate) struct Hits(Box<[u16; BLOCK]>);

impl Default for Hits {
    fn default() -> Self {
        Self(Box::new([0; BLOCK]))
    }
}

/// A window that is in a table.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    /// Its hash.
    pub(crate) hash: u64,
    /// Its offset.
    pub(crate) at: usize,
}

/// Calls `on` with the class and some windows at a time for every window of `data` that is in a table.
/// `block_done` is called after each block of about 16 KiB and may end it all.
pub(crate) fn for_each_survivor<E>(
    tables: &[Bits],
    data: &[u8],
    Hits(hits): &mut Hits,
    mut block_done: impl FnMut(usize) -> Result<(), E>,
    mut on: impl FnMut(usize, &[Passed]),
) -> Result<(), E> {
    let mut passed = [Passed::default(); TOGETHER];
    let mut from = 0;
    while from < data.len() {
        let upto = from.saturating_add(BLOCK).min(data.len());
        // Seven bytes of the next block, so that every window that starts here is whole.
        let block = data.get(from..upto.saturating_add(7).min(data.len())).unwrap_or_default();
        for bits in tables {
            let count = match (bits.class, &bits.table) {
                (0, Table::Windows(windows)) => windows.probe::<8, 4>(block, hits),
                (1, Table::Windows(windows)) => windows.probe::<4, 4>(block, hits),
                (_, Table::Windows(windows)) => windows.probe::<4, 2>(block, hits),
                (_, Table::Pairs(pairs)) => pairs.probe(block, hits),
            };
            let Some(class) = CLASSES.get(bits.class) else { continue };
            for hits in hits.get(..count).unwrap_or_default().chunks(TOGETHER) {
                for (passed, hit) in passed.iter_mut().zip(hits) {
                    let at = usize::from(*hit);
                    let key = key_at(block, at).unwrap_or(0);
                    *passed = Passed { hash: mix(fold_key(key, class.width)), at: from + at };
                }
                on(bits.class, passed.get(..hits.len()).unwrap_or_default());
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

/// Looks at the windows in the last bytes of an object.
fn tail(
    bits: &Bits,
    width: usize,
    stride: usize,
    data: &[u8],
    on: &mut impl FnMut(usize, &[Passed]),
) {
    let from = data.len().saturating_sub(7).next_multiple_of(stride);
    for at in (from..data.len()).step_by(stride) {
        let Some(window) = data.get(at..at.saturating_add(width)) else { return };
        if bits.has(window) {
            on(bits.class, &[Passed { hash: mix(super::fold(window)), at }]);
        }
    }
}

fn key_at(block: &[u8], at: usize) -> Option<u64> {
    block.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Ours: windows that are looked up together.
const TOGETHER: usize = 64;

/// Ours: bytes looked at by every class in turn while they are in the first-level cache.
pub(super) const BLOCK: usize = 1 << 14;
