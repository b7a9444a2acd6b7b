//! A search from the end of an object, which is where archives and disks keep their last word.
//!
//! Promises: as fast as a search forwards, in bounded memory: blocks are taken from the end, and each is searched
//! forwards (`memmem::rfind` goes byte by byte, which is twenty times slower over a disk image of zeros).
//! Leaves out: occurrences that overlap one another.

use memchr::memmem::Finder;

/// Bytes searched at once, small enough for a processor's nearest caches.
const BLOCK_LEN: usize = 1 << 16;

/// Returns where a needle stands, the last place first.
pub(crate) fn backwards<'h>(object: &'h [u8], needle: &'h [u8]) -> Backwards<'h> {
    Backwards { object, finder: Finder::new(needle), end: object.len(), places: Vec::new() }
}

/// Places from the last to the first; see [`backwards`].
#[derive(Debug)]
pub(crate) struct Backwards<'h> {
    object: &'h [u8],
    finder: Finder<'h>,
    /// Where what is not yet searched ends: no place from here on is still to come but those in `places`.
    end: usize,
    /// Places in the block that was searched last, in order.
    places: Vec<usize>,
}

impl Iterator for Backwards<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.places.is_empty() && self.end > 0 {
            let start = self.end.saturating_sub(BLOCK_LEN);
            // What begins in this block may end in the next.
            let overlap = self.finder.needle().len().saturating_sub(1);
            let end = self.end.saturating_add(overlap).min(self.object.len());
            let block = self.object.get(start..end)?;
            let found = self.finder.find_iter(block).map(|at| start.saturating_add(at));
            self.places.extend(found.filter(|at| *at < self.end));
            self.end = start;
        }
        self.places.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_search_byte_by_byte_finds() {
        let mut object = vec![0u8; 3 * BLOCK_LEN + 17];
        let len = object.len();
        let places = [
            0,
            5,
            BLOCK_LEN - 2,
            2 * BLOCK_LEN + 14,
            2 * BLOCK_LEN + 18,
            len - BLOCK_LEN - 1,
            len - 4,
        ];
        for at in places {
            object[at..at + 4].copy_from_slice(b"PK\x05\x06");
        }
        for needle in [&b"PK\x05\x06"[..], b"PK", b"K", b"PKX"] {
            for cut in [0, 1, 3, BLOCK_LEN] {
                let object = &object[..len - cut];
                let want: Vec<usize> = memchr::memmem::rfind_iter(object, needle).collect();
                assert_eq!(
                    backwards(object, needle).collect::<Vec<_>>(),
                    want,
                    "{needle:?}, {cut}"
                );
            }
        }
        assert_eq!(backwards(b"", b"PK").next(), None);
        assert_eq!(backwards(b"P", b"PK").next(), None);
    }
}
