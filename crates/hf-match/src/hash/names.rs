//! Names of hash signatures: a stem and the numbers behind it.
//!
//! Nearly all names are one of some ten thousand stems and one to three numbers
//! (`Win.Trojan.Agent-1234567-0`), so a record is about seven bytes instead of 25:
//! `varint(stem << 2 | numbers)`, then each number as a varint. A stem ends with the separators in
//! front of its numbers (0 for none). Records stand in blocks of [`BLOCK_LEN`] with their offsets.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Seek, Write};

use hf_pack::{LeArray, Pack, PackWriter};

use super::{NAME_BLOCKS, NAMES, STEM_ENDS, STEMS};

/// Collects names in order.
#[derive(Debug, Default)]
pub(super) struct NamesBuilder {
    records: Vec<u8>,
    blocks: Vec<u64>,
    count: u32,
    stems: Stems,
    scratch: Vec<u8>,
}

impl NamesBuilder {
    /// Returns how many names there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a name; false when there is no room for more.
    pub(super) fn push(&mut self, name: &str) -> bool {
        let split = Split::of(name.as_bytes());
        self.scratch.clear();
        self.scratch.extend_from_slice(split.stem);
        self.scratch.extend_from_slice(split.separators());
        let Some(stem) = self.stems.intern(&self.scratch) else { return false };
        let Some(count) = self.count.checked_add(1) else { return false };
        if self.count.is_multiple_of(BLOCK_LEN) {
            self.blocks.push(self.records.len() as u64);
        }
        put_varint(&mut self.records, (u64::from(stem) << 2) | split.number_count as u64);
        for number in split.numbers() {
            put_varint(&mut self.records, u64::from(*number));
        }
        self.count = count;
        true
    }

    /// Writes the sections.
    pub(super) fn write<W: Write + Seek>(&self, pack: &mut PackWriter<W>) -> io::Result<()> {
        pack.section(NAMES, 1).write_all(&self.records)?;
        let mut blocks = io::BufWriter::new(pack.section(NAME_BLOCKS, 8));
        self.blocks.iter().try_for_each(|off| blocks.write_all(&off.to_le_bytes()))?;
        blocks.flush()?;
        drop(blocks);
        pack.section(STEMS, 1).write_all(&self.stems.text)?;
        let mut ends = io::BufWriter::new(pack.section(STEM_ENDS, 4));
        self.stems.ends.iter().try_for_each(|end| ends.write_all(&end.to_le_bytes()))?;
        ends.flush()
    }
}

/// Returns the name with this ordinal; empty when the pack is damaged.
pub(super) fn read(pack: &Pack, ordinal: u32) -> String {
    decode(pack, ordinal).unwrap_or_default()
}

fn decode(pack: &Pack, ordinal: u32) -> Option<String> {
    let blocks = LeArray::<u64>::new(pack.section(NAME_BLOCKS));
    let off = blocks.get(usize::try_from(ordinal / BLOCK_LEN).ok()?)?;
    let mut records = pack.section(NAMES).get(usize::try_from(off).ok()?..)?;
    for _ in 0..ordinal % BLOCK_LEN {
        for _ in 0..take_varint(&mut records)? & 3 {
            take_varint(&mut records)?;
        }
    }
    let head = take_varint(&mut records)?;
    let (stem, number_count) = (usize::try_from(head >> 2).ok()?, usize::try_from(head & 3).ok()?);
    let ends = LeArray::<u32>::new(pack.section(STEM_ENDS));
    let from = stem.checked_sub(1).map_or(Some(0), |before| ends.get(before))?;
    let text = pack.section(STEMS);
    let text = text.get(usize::try_from(from).ok()?..usize::try_from(ends.get(stem)?).ok()?)?;
    let (text, separators) = text.split_at_checked(text.len().checked_sub(number_count)?)?;
    let mut name = String::from_utf8_lossy(text.get(..text.len().min(NAME_MAX))?).into_owned();
    for separator in separators {
        if *separator != 0 {
            name.push(char::from(*separator));
        }
        name.push_str(&take_varint(&mut records)?.to_string());
    }
    Some(name)
}

/// A name taken apart.
struct Split<'a> {
    stem: &'a [u8],
    separators: [u8; NUMBERS_MAX],
    numbers: [u32; NUMBERS_MAX],
    number_count: usize,
}

impl<'a> Split<'a> {
    /// Cuts up to three numbers off the end; only such as are written the same way again.
    fn of(name: &'a [u8]) -> Self {
        let mut split = Self {
            stem: name,
            separators: [0; NUMBERS_MAX],
            numbers: [0; NUMBERS_MAX],
            number_count: 0,
        };
        while split.number_count < NUMBERS_MAX {
            let digits = split.stem.iter().rev().take_while(|c| c.is_ascii_digit()).count();
            let (stem, digits) = split.stem.split_at(split.stem.len() - digits);
            let canonical = digits.len() == 1 || digits.first().is_some_and(|c| *c != b'0');
            if digits.is_empty() || digits.len() > 9 || !canonical {
                break;
            }
            let number = digits.iter().fold(0, |sum, c| sum * 10 + u32::from(c - b'0'));
            let cut = stem.split_last().filter(|(last, _)| matches!(last, b'-' | b'.' | b'_'));
            let (separator, stem) = cut.map_or((0, stem), |(last, rest)| (*last, rest));
            split.stem = stem;
            // Filled from the back, so that the numbers stand in the order of the name.
            let place = NUMBERS_MAX - 1 - split.number_count;
            split.separators[place] = separator;
            split.numbers[place] = number;
            split.number_count += 1;
            if separator == 0 {
                break;
            }
        }
        split
    }

    fn separators(&self) -> &[u8] {
        &self.separators[NUMBERS_MAX - self.number_count..]
    }

    fn numbers(&self) -> &[u32] {
        &self.numbers[NUMBERS_MAX - self.number_count..]
    }
}

/// Gives each different stem a number, in the order of their first use.
#[derive(Debug, Default)]
struct Stems {
    text: Vec<u8>,
    ends: Vec<u32>,
    /// Open addressing; 0 is free, else stem + 1. Its length is a power of two.
    slots: Vec<u32>,
}

impl Stems {
    fn intern(&mut self, stem: &[u8]) -> Option<u32> {
        if self.ends.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mut at = self.slot(stem);
        loop {
            match self.slots[at].checked_sub(1) {
                Some(found) if self.get(found) == stem => return Some(found),
                Some(_) => at = (at + 1) & (self.slots.len() - 1),
                None => break,
            }
        }
        let number = u32::try_from(self.ends.len()).ok().filter(|number| *number < u32::MAX)?;
        let end = u32::try_from(self.text.len() + stem.len()).ok()?;
        self.text.extend_from_slice(stem);
        self.ends.push(end);
        self.slots[at] = number + 1;
        Some(number)
    }

    fn get(&self, stem: u32) -> &[u8] {
        let stem = stem as usize;
        let from = if stem == 0 { 0 } else { self.ends[stem - 1] };
        &self.text[from as usize..self.ends[stem] as usize]
    }

    fn slot(&self, stem: &[u8]) -> usize {
        let mut hasher = DefaultHasher::new();
        hasher.write(stem);
        // The low bits choose; cutting the upper ones off loses nothing.
        (hasher.finish() as usize) & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(1024);
        self.slots = vec![0; len];
        for number in 0..self.ends.len() as u32 {
            let mut at = self.slot(self.get(number));
            while self.slots[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.slots[at] = number + 1;
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Ours: a block is decoded up to the wanted record, some 60 bytes on average.
const BLOCK_LEN: u32 = 16;
/// Two bits in a record.
const NUMBERS_MAX: usize = 3;
/// Ours: longer than any line of a database; bounds what a hostile pack can make us copy.
const NAME_MAX: usize = 1 << 16;
