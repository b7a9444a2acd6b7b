//! All words at once: where any of a list of words stands in a text.
//!
//! Promises: every occurrence of every word, overlapping ones too, in the order of their places; letters of either
//! case. One step for every second byte: of each word of four bytes or more, two windows of three bytes that
//! follow each other are entered in a table of bits, so that one of them begins at an even place. Shorter words
//! are looked for by a byte or two that are rare.
//! Leaves out: patterns; whether case counts is the caller's question.

use memchr::memmem;

/// A list of words, prepared.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<&'static [u8]>,
    /// One bit for each hash of a window that a word has.
    bits: Box<[u64; SLOTS / 64]>,
    /// For each hash, which of `windows` it may be; 0 for none.
    index: Box<[u8; SLOTS]>,
    /// Words, and where in them the window stands.
    windows: Vec<Vec<(usize, usize)>>,
    /// Words of fewer than four bytes.
    short: Vec<Short>,
}

/// A word that is found by its rare bytes.
#[derive(Debug)]
struct Short {
    word: usize,
    /// Where the rare byte stands in it.
    off: usize,
    rare: u8,
}

const SLOTS: usize = 1 << 15;
/// Bytes of a window.
const WINDOW: usize = 3;
/// Text that is looked at by all searches before the next piece, so that it stays in a near cache.
const PIECE: usize = 32 << 10;

impl Words {
    /// Prepares words, which have two bytes or more.
    pub(super) fn new(words: impl Iterator<Item = &'static str>) -> Self {
        let mut new = Self {
            words: words.map(str::as_bytes).collect(),
            bits: Box::new([0; SLOTS / 64]),
            index: Box::new([0; SLOTS]),
            windows: vec![Vec::new()],
            short: Vec::new(),
        };
        for (word, text) in new.words.clone().into_iter().enumerate() {
            match rarest_windows(text) {
                Some(off) => (off..off.saturating_add(2)).for_each(|off| new.enter(word, off)),
                None => new.short.extend(Short::of(word, text)),
            }
        }
        new
    }

    fn enter(&mut self, word: usize, off: usize) {
        let window =
            self.words.get(word).and_then(|word| word.get(off..off.saturating_add(WINDOW)));
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(window.unwrap_or_default()) {
            *to = *from;
        }
        let slot = slot(u32::from_le_bytes(bytes) | FOLD);
        let id = match self.index.get(slot).copied() {
            Some(0) | None => self.windows.len(),
            Some(id) => usize::from(id),
        };
        // More windows than ids would lose words; a test counts them.
        let Ok(short_id) = u8::try_from(id) else { return };
        if id == self.windows.len() {
            self.windows.push(Vec::new());
        }
        if let Some(entry) = self.index.get_mut(slot) {
            *entry = short_id;
        }
        if let Some(bits) = self.bits.get_mut(slot / 64) {
            *bits |= 1 << (slot % 64);
        }
        if let Some(entries) = self.windows.get_mut(id) {
            entries.push((word, off));
        }
    }

    /// Calls `found(place, word)` for every occurrence, in the order of places within each piece of the text.
    pub(super) fn find<E>(
        &self,
        text: &[u8],
        mut poll: impl FnMut() -> Result<(), E>,
        mut found: impl FnMut(usize, usize),
    ) -> Result<(), E> {
        let mut hits = Vec::new();
        let mut start = 0usize;
        while start < text.len() {
            poll()?;
            let end = start.saturating_add(PIECE).min(text.len());
            self.long(text, start, end, &mut hits);
            self.short(text, start, end, &mut hits);
            hits.sort_unstable();
            hits.drain(..).for_each(|(at, word)| found(at, word));
            start = end;
        }
        Ok(())
    }

    /// Looks at windows that begin in a range; the range begins at an even place.
    fn long(&self, text: &[u8], start: usize, end: usize, hits: &mut Vec<(usize, usize)>) {
        let mut at = start;
        while at < end {
            let word = match text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                Some(bytes) => u64::from_le_bytes(*bytes),
                None => {
                    let mut bytes = [0; 8];
                    let rest = text.get(at..).unwrap_or_default();
                    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    u64::from_le_bytes(bytes)
                }
            };
            let slots = [0u32, 16, 32].map(|shift| slot(low(word >> shift)));
            let passed = slots.map(|slot| {
                self.bits.get(slot / 64).is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
            });
            if passed[0] | passed[1] | passed[2] {
                for (slot, place) in slots.into_iter().zip((at..end).step_by(2)) {
                    self.verify(text, slot, place, hits);
                }
            }
            at = at.saturating_add(6);
        }
    }

    #[cold]
    fn verify(&self, text: &[u8], slot: usize, place: usize, hits: &mut Vec<(usize, usize)>) {
        let id = self.index.get(slot).map_or(0, |id| usize::from(*id));
        for (word, off) in self.windows.get(id).into_iter().flatten() {
            let Some(at) = place.checked_sub(*off) else { continue };
            if self.stands(text, at, *word) {
                hits.push((at, *word));
            }
        }
    }

    fn stands(&self, text: &[u8], at: usize, word: usize) -> bool {
        let Some(word) = self.words.get(word) else { return false };
        let there = text.get(at..at.saturating_add(word.len()));
        there.is_some_and(|there| there.eq_ignore_ascii_case(word))
    }

    /// Looks for the short words whose rare byte stands in a range.
    fn short(&self, text: &[u8], start: usize, end: usize, hits: &mut Vec<(usize, usize)>) {
        let piece = text.get(start..end).unwrap_or_default();
        let mut see = |place: usize| {
            let place = start.saturating_add(place);
            let byte = text.get(place).map_or(0, u8::to_ascii_lowercase);
            for short in self.short.iter().filter(|short| short.rare == byte) {
                let Some(at) = place.checked_sub(short.off) else { continue };
                if self.stands(text, at, short.word) {
                    hits.push((at, short.word));
                }
            }
        };
        memchr::memchr3_iter(b'~', b'^', b'`', piece).for_each(&mut see);
        memchr::memchr2_iter(b'x', b'X', piece).for_each(&mut see);
        // These are not rare, with the letter behind them they are; it may stand behind the piece.
        let behind = text.get(start..end.saturating_add(1).min(text.len())).unwrap_or_default();
        for pair in [b"-f", b"-F", b"\\x", b"\\X"] {
            memmem::find_iter(behind, pair).for_each(&mut see);
        }
    }
}

impl Short {
    fn of(word: usize, text: &[u8]) -> Option<Self> {
        let off = text.iter().position(|byte| SHORT_RARE.contains(byte))?;
        Some(Self { word, off, rare: *text.get(off)? })
    }
}

/// Bytes by which short words are found, the first of a word counts.
const SHORT_RARE: &[u8] = b"\\^`~x-";

/// Letters of either case are one; some signs too, which costs a comparison.
const FOLD: u32 = 0x0020_2020;

/// Returns the slot of a window in the low three bytes, folded already or not.
fn slot(window: u32) -> usize {
    let hash = ((window | FOLD) & 0x00ff_ffff).wrapping_mul(0x9e37_79b1) >> 17;
    usize::try_from(hash).unwrap_or(0)
}

fn low(word: u64) -> u32 {
    let [a, b, c, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, 0])
}

/// Returns where in a word the two rarest windows that follow each other begin; none for a short word.
fn rarest_windows(word: &[u8]) -> Option<usize> {
    let weight = |window: &[u8]| window.iter().map(|byte| share(*byte)).product::<u64>();
    let both = word.windows(WINDOW.saturating_add(1)).map(|both| {
        let [first, second] = [both.get(..WINDOW), both.get(1..)];
        weight(first.unwrap_or_default()).saturating_add(weight(second.unwrap_or_default()))
    });
    both.enumerate().min_by_key(|(_, weight)| *weight).map(|(off, _)| off)
}

/// Returns about how often a byte stands in texts and programs, in thousandths.
fn share(byte: u8) -> u64 {
    match byte.to_ascii_lowercase() {
        b' ' => 150,
        b'e' | b't' => 90,
        b'a' | b'i' | b'n' | b'o' | b'r' | b's' => 70,
        b'c' | b'd' | b'l' | b'p' => 40,
        b'b' | b'f' | b'g' | b'h' | b'm' | b'u' => 25,
        b'k' | b'v' | b'w' | b'y' => 12,
        b'j' | b'q' | b'x' | b'z' => 5,
        b'0'..=b'9' => 15,
        b'-' | b'.' | b'_' | b',' | b'"' | b'\'' | b'(' | b')' => 15,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::AhoCorasick;

    fn words() -> impl Iterator<Item = &'static str> {
        super::super::WORDS.iter().map(|(word, _, _)| *word)
    }

    /// What a plain automaton finds.
    fn plainly(text: &[u8]) -> Vec<(usize, usize)> {
        let builder = AhoCorasick::builder().ascii_case_insensitive(true).build(words());
        let found = builder.as_ref().expect("words").find_overlapping_iter(text);
        let mut found: Vec<_> =
            found.map(|found| (found.start(), found.pattern().as_usize())).collect();
        found.sort_unstable();
        found
    }

    #[track_caller]
    fn check(words: &Words, text: &[u8]) {
        let mut found = Vec::new();
        let never = || Ok::<_, std::convert::Infallible>(());
        let Ok(()) = words.find(text, never, |at, word| found.push((at, word)));
        found.sort_unstable();
        assert_eq!(found, plainly(text), "{:?}", String::from_utf8_lossy(text));
    }

    #[test]
    fn every_word_has_its_windows() {
        let words = Words::new(words());
        assert!(words.windows.len() < 256, "{} windows", words.windows.len());
        for short in &words.short {
            assert!(SHORT_RARE.contains(&short.rare));
        }
        let long = words.words.iter().filter(|word| word.len() > WINDOW).count();
        assert_eq!(long + words.short.len(), words.words.len());
    }

    #[test]
    fn each_word_at_each_place() {
        let prepared = Words::new(words());
        for word in words() {
            for before in 0..9 {
                for behind in 0..4 {
                    let mut text = vec![b'.'; before];
                    text.extend(word.to_ascii_uppercase().bytes());
                    text.extend(vec![b'.'; behind]);
                    check(&prepared, &text);
                }
            }
        }
    }

    #[test]
    fn words_in_one_another_and_over_the_ends_of_pieces() {
        let prepared = Words::new(words());
        let mut state = 7u64;
        let all: Vec<&str> = words().collect();
        let mut text = Vec::new();
        while text.len() < 3 * PIECE {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let word = all[usize::try_from(state >> 33).expect("fits") % all.len()];
            let cut = usize::try_from(state >> 20 & 7).expect("fits");
            text.extend(word.bytes().skip(if cut == 1 { 1 } else { 0 }));
        }
        check(&prepared, &text);
        for end in [PIECE, 2 * PIECE] {
            for word in &all {
                for before in 0..word.len() + 1 {
                    let mut text = vec![b'.'; end - before];
                    text.extend(word.bytes());
                    check(&prepared, &text);
                }
            }
        }
    }
}
