//! All words at once: where any of a list of words stands in a text.
//!
//! Promises: every occurrence of every word, overlapping ones too, in the order of their places within each
//! piece of the text. One pass of a vector test for the rarest four bytes of each word, and a comparison of
//! what passes.
//! Leaves out: patterns.

use hf_literal::{OPENING_LEN, Opening, Test};

/// A list of words, prepared.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<Word>,
    /// None when there are too many words to be told from other bytes: then all places are compared.
    test: Option<Test>,
    /// For each hash of the two bytes at a place, which of `lists` may stand there; 0 for none.
    index: Box<[u8; SLOTS]>,
    /// Words, and where in them the place is that was looked at.
    lists: Vec<Vec<(usize, usize)>>,
}

#[derive(Debug, Clone, Copy)]
struct Word {
    text: &'static [u8],
    /// Only found as it is written.
    exact: bool,
}

const SLOTS: usize = 1 << 12;
/// Text that is looked at before the next piece.
const PIECE: usize = 32 << 10;

impl Words {
    /// Prepares words of two bytes or more, and whether their case counts.
    pub(super) fn new(words: impl Iterator<Item = (&'static str, bool)>) -> Self {
        let words: Vec<Word> =
            words.map(|(text, exact)| Word { text: text.as_bytes(), exact }).collect();
        let openings: Vec<(usize, Opening<'static>)> = words.iter().map(rarest).collect();
        let mut new = Self {
            test: Test::new(openings.iter().map(|(_, opening)| *opening)),
            words,
            index: Box::new([0; SLOTS]),
            lists: vec![Vec::new()],
        };
        for (word, (off, opening)) in openings.into_iter().enumerate() {
            new.enter(word, off, opening);
        }
        new
    }

    fn enter(&mut self, word: usize, off: usize, opening: Opening<'_>) {
        let Some(entry) = slot(opening.bytes).and_then(|slot| self.index.get_mut(slot)) else {
            return;
        };
        if *entry == 0 {
            // More lists than numbers would lose words; a test counts them.
            let Ok(list) = u8::try_from(self.lists.len()) else { return };
            self.lists.push(Vec::new());
            *entry = list;
        }
        if let Some(list) = self.lists.get_mut(usize::from(*entry)) {
            list.push((word, off));
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
            let rest = text.get(start..).unwrap_or_default();
            let see = |place: usize| self.compare(text, start.saturating_add(place), &mut hits);
            match &self.test {
                Some(test) => test.probe(rest, PIECE, see),
                None => (0..PIECE.min(rest.len())).for_each(see),
            }
            hits.sort_unstable();
            hits.drain(..).for_each(|(at, word)| found(at, word));
            start = start.saturating_add(PIECE);
        }
        Ok(())
    }

    fn compare(&self, text: &[u8], place: usize, hits: &mut Vec<(usize, usize)>) {
        let slot = text.get(place..).and_then(slot);
        let list = slot.and_then(|slot| self.index.get(slot)).map_or(0, |list| usize::from(*list));
        for (word, off) in self.lists.get(list).into_iter().flatten() {
            let Some(at) = place.checked_sub(*off) else { continue };
            if self.stands(text, at, *word) {
                hits.push((at, *word));
            }
        }
    }

    fn stands(&self, text: &[u8], at: usize, word: usize) -> bool {
        let Some(word) = self.words.get(word) else { return false };
        let there = text.get(at..at.saturating_add(word.text.len()));
        there.is_some_and(|there| match word.exact {
            true => there == word.text,
            false => there.eq_ignore_ascii_case(word.text),
        })
    }
}

/// Returns the slot of the first two bytes, letters without case; none for fewer bytes.
fn slot(bytes: &[u8]) -> Option<usize> {
    let pair = u16::from_le_bytes(*bytes.first_chunk()?) | 0x2020;
    Some(usize::from(pair.wrapping_mul(0x9e35) >> 4))
}

/// Returns where in a word the bytes stand that are rarest in texts and programs, and these.
fn rarest(word: &Word) -> (usize, Opening<'static>) {
    let len = OPENING_LEN.min(word.text.len());
    let openings =
        word.text.windows(len.max(1)).map(|bytes| Opening { bytes, nocase: !word.exact });
    let rarest = openings.enumerate().min_by_key(|(_, opening)| opening.passing());
    rarest.unwrap_or((0, Opening { bytes: word.text, nocase: !word.exact }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::AhoCorasick;

    fn words() -> impl Iterator<Item = (&'static str, bool)> {
        super::super::WORDS.iter().map(|(word, _, exact)| (*word, *exact))
    }

    /// What a plain automaton finds.
    fn plainly(text: &[u8]) -> Vec<(usize, usize)> {
        let all: Vec<_> = words().collect();
        let builder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(all.iter().map(|(word, _)| word));
        let found = builder.as_ref().expect("words").find_overlapping_iter(text);
        let found = found.map(|found| (found.start(), found.pattern().as_usize()));
        let mut found: Vec<_> = found
            .filter(|(at, word)| {
                let (word, exact) = all[*word];
                !exact || text[*at..].starts_with(word.as_bytes())
            })
            .collect();
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
    fn every_word_is_looked_for() {
        let prepared = Words::new(words());
        assert!(prepared.test.is_some_and(|test| test.passing() < (1 << 24) / 100));
        assert_eq!(prepared.lists.iter().map(Vec::len).sum::<usize>(), words().count());
        assert!(prepared.lists[0].is_empty());
    }

    #[test]
    fn each_word_at_each_place() {
        let prepared = Words::new(words());
        for (word, _) in words() {
            for form in [word.to_owned(), word.to_ascii_uppercase()] {
                for before in [0, 1, 2, 3, 30, 31, 32, 33] {
                    for behind in [0, 1, 2, 3, 40] {
                        let mut text = vec![b'.'; before];
                        text.extend(form.bytes());
                        text.extend(vec![b'.'; behind]);
                        check(&prepared, &text);
                    }
                }
            }
        }
    }

    #[test]
    fn words_in_one_another_and_over_the_ends_of_pieces() {
        let prepared = Words::new(words());
        let mut state = 7u64;
        let all: Vec<&str> = words().map(|(word, _)| word).collect();
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
