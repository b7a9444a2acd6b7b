//! Implode, method 6 of zip: sliding dictionary and Shannon-Fano trees (APPNOTE.TXT 5.3).

use std::io::{self, BufRead};

use super::bits::Bits;
use super::damaged;
use super::history::{History, Symbols};

/// Decodes imploded data; it does not know its end.
#[derive(Debug)]
pub(crate) struct Explode<R> {
    bits: Bits<R>,
    large_window: bool,
    with_literals: bool,
    trees: Option<Trees>,
}

#[derive(Debug)]
struct Trees {
    literals: Option<Tree>,
    lengths: Tree,
    distances: Tree,
}

impl<R: BufRead> Explode<R> {
    /// Returns a decoder at the start of the stream, for the general-purpose flags of the member.
    pub(crate) fn new(source: R, flags: u16) -> Self {
        Self {
            bits: Bits::new(source),
            large_window: flags & 2 != 0,
            with_literals: flags & 4 != 0,
            trees: None,
        }
    }

    fn read_trees(&mut self) -> io::Result<Trees> {
        let literals = match self.with_literals {
            true => Some(Tree::read(&mut self.bits, 256)?),
            false => None,
        };
        let lengths = Tree::read(&mut self.bits, 64)?;
        let distances = Tree::read(&mut self.bits, 64)?;
        Ok(Trees { literals, lengths, distances })
    }
}

impl<R: BufRead> Symbols for Explode<R> {
    fn symbol(&mut self, out: &mut History) -> io::Result<bool> {
        let trees = match self.trees.take() {
            Some(trees) => trees,
            None => self.read_trees()?,
        };
        let trees = self.trees.insert(trees);
        let bits = &mut self.bits;
        let Some(literal) = bits.bits_or_end(1)? else { return Ok(false) };
        if literal == 1 {
            let byte = match &trees.literals {
                Some(tree) => u8::try_from(tree.symbol(bits)?).unwrap_or_default(),
                None => bits.byte()?,
            };
            out.push(byte);
            return Ok(true);
        }
        let low_len = if self.large_window { 7 } else { 6 };
        let low = bits.bits(low_len)?;
        let high = u32::from(trees.distances.symbol(bits)?);
        let len_code = usize::from(trees.lengths.symbol(bits)?);
        let extra = if len_code == 63 { usize::from(bits.byte()?) } else { 0 };
        let len_min = if trees.literals.is_some() { 3 } else { 2 };
        let distance = usize::try_from((high << low_len) | low).unwrap_or(usize::MAX);
        out.copy_zero_padded(distance.saturating_add(1), len_code.saturating_add(extra + len_min));
        Ok(true)
    }
}

/// A Shannon-Fano tree. Codes of one length are consecutive; longer codes have smaller values.
#[derive(Debug, Default)]
struct Tree {
    /// For each length from 1 to 16: its first code, and its symbols in the order of their codes.
    lengths: Vec<(u32, Vec<u16>)>,
}

impl Tree {
    fn read(bits: &mut Bits<impl BufRead>, symbols: u16) -> io::Result<Self> {
        let bad = || damaged("implode: tree");
        let mut lens: Vec<u32> = Vec::new();
        for _ in 0..=bits.byte()? {
            let packed = u32::from(bits.byte()?);
            lens.extend((0..=(packed >> 4)).map(|_| (packed & 15).saturating_add(1)));
        }
        if lens.len() != usize::from(symbols) {
            return Err(bad());
        }
        let mut tree = Self { lengths: vec![(0, Vec::new()); 16] };
        let mut code = 0u32; // aligned to 16 bits
        for len in (1..=16u32).rev() {
            let unit = 1u32 << 16u32.saturating_sub(len);
            let row = tree.lengths.get_mut(usize::try_from(len).unwrap_or(0).saturating_sub(1));
            let Some((first, of_len)) = row else { return Err(bad()) };
            let wanted = (0..symbols).zip(&lens).filter(|(_, have)| **have == len);
            of_len.extend(wanted.map(|(symbol, _)| symbol));
            of_len.reverse();
            if of_len.is_empty() {
                continue;
            }
            if !code.is_multiple_of(unit) {
                return Err(bad());
            }
            *first = code.checked_div(unit).unwrap_or(0);
            let count = u32::try_from(of_len.len()).unwrap_or(u32::MAX);
            code = code.saturating_add(count.saturating_mul(unit));
        }
        if code > 1 << 16 { Err(bad()) } else { Ok(tree) }
    }

    fn symbol(&self, bits: &mut Bits<impl BufRead>) -> io::Result<u16> {
        let mut code = 0u32;
        for (first, symbols) in &self.lengths {
            code = (code << 1) | bits.bits(1)?;
            let idx = code.checked_sub(*first).and_then(|idx| usize::try_from(idx).ok());
            if let Some(symbol) = idx.and_then(|idx| symbols.get(idx)) {
                return Ok(*symbol);
            }
        }
        Err(damaged("implode: code"))
    }
}
