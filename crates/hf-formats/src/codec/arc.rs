//! The methods of ARC: runs, Huffman ("squeezed"), and LZW with hashed codes ("crunched", old); and ZOO's LZW.
//!
//! Sources: the documentation of ARC 5 and 6 (System Enhancement Associates), of `marc`, and of ZOO 2.

use hf_core::{Sink, Stop};

use super::grow::Grow;
use super::prefix::Broken;
use crate::bounded::Unpacked;

/// Bits, the lowest of a byte first; none behind the end.
struct Low<'a> {
    data: &'a [u8],
    off: usize,
    acc: u32,
    have: u32,
}

impl<'a> Low<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, off: 0, acc: 0, have: 0 }
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        while self.have < count {
            self.acc |= u32::from(*self.data.get(self.off)?) << self.have;
            self.off = self.off.saturating_add(1);
            self.have += 8;
        }
        let value = self.acc & ((1 << count) - 1);
        self.acc >>= count;
        self.have -= count;
        Some(value)
    }
}

/// Undoes runs: 0x90 and a count repeat the byte before, 0x90 and zero is 0x90.
pub(super) struct Runs {
    last: u8,
    marked: bool,
    /// Bytes come as they are.
    plain: bool,
}

impl Runs {
    fn new(plain: bool) -> Self {
        Self { last: 0, marked: false, plain }
    }

    fn push(&mut self, byte: u8, out: &mut Grow<'_>) {
        if self.plain {
            out.literal(byte);
        } else if std::mem::replace(&mut self.marked, false) {
            match byte {
                0 => {
                    self.last = 0x90;
                    out.literal(0x90);
                }
                count => (1..count).for_each(|_| out.literal(self.last)),
            }
        } else if byte == 0x90 {
            self.marked = true;
        } else {
            self.last = byte;
            out.literal(byte);
        }
    }
}

/// Unpacks method 3: runs.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unpack_runs(
    input: &[u8],
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, 0);
    let ended = runs(input.iter().copied(), &mut out);
    out.finish(ended)
}

fn runs(bytes: impl Iterator<Item = u8>, out: &mut Grow<'_>) -> Result<(), Broken> {
    let mut runs = Runs::new(false);
    for byte in bytes {
        if out.is_full() {
            break;
        }
        runs.push(byte, out);
        out.poll()?;
    }
    Ok(())
}

/// Undoes runs in what another decoder gave.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unpack_runs_of(
    inner: Unpacked,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut unpacked = unpack_runs(&inner.bytes, claimed_len, sink)?;
    let short = unpacked.ended == crate::bounded::Ended::Truncated;
    if short && inner.ended != crate::bounded::Ended::Whole {
        unpacked.ended = inner.ended;
    }
    Ok(unpacked)
}

/// Unpacks method 4: a Huffman tree, then runs.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unsqueeze(
    input: &[u8],
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, 0);
    let ended = squeezed(input, &mut out);
    out.finish(ended)
}

fn squeezed(input: &[u8], out: &mut Grow<'_>) -> Result<(), Broken> {
    const END: i16 = 256;
    let mut bits = Low::new(input);
    let mut runs = Runs::new(false);
    let count = bits.take(16).ok_or(Broken::Truncated)?;
    if count > 256 {
        return Err(Broken::Damaged("squeezed: tree"));
    }
    let mut tree: Vec<[i16; 2]> = Vec::new();
    let mut child = || -> Option<i16> { u16::try_from(bits.take(16)?).ok().map(u16::cast_signed) };
    for _ in 0..count {
        tree.push([child().ok_or(Broken::Truncated)?, child().ok_or(Broken::Truncated)?]);
    }
    while !out.is_full() && !tree.is_empty() {
        let mut node = 0i16;
        for _ in 0..=256 {
            let bit = usize::try_from(bits.take(1).ok_or(Broken::Truncated)?).unwrap_or(0);
            let pair = usize::try_from(node).ok().and_then(|node| tree.get(node));
            node = pair
                .and_then(|pair| pair.get(bit))
                .copied()
                .ok_or(Broken::Damaged("squeezed: tree"))?;
            if node < 0 {
                break;
            }
        }
        match (-1i16).wrapping_sub(node) {
            END => break,
            symbol => match u8::try_from(symbol) {
                Ok(byte) => runs.push(byte, out),
                Err(_) => return Err(Broken::Damaged("squeezed: symbol")),
            },
        }
        out.poll()?;
    }
    Ok(())
}

/// Which hash numbers the codes of old "crunched" members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Methods 5 and 6.
    Square,
    /// Method 7.
    Product,
}

impl Hash {
    fn of(self, parent: u16, byte: u8) -> usize {
        let sum = u32::from(parent).wrapping_add(u32::from(byte));
        let hash = match self {
            Self::Square => {
                let odd = (sum & 0xffff) | 0x0800;
                odd.wrapping_mul(odd) >> 6
            }
            Self::Product => (sum & 0xffff).wrapping_mul(15_073),
        };
        usize::try_from(hash & 0xfff).unwrap_or(0)
    }
}

const NONE: u16 = u16::MAX;
const TABLE_LEN: usize = 4096;

/// A string of an old "crunched" member.
#[derive(Clone, Copy)]
struct Slot {
    used: bool,
    parent: u16,
    byte: u8,
    next: u16,
}

/// Unpacks methods 5, 6 and 7: LZW of 12 bits whose codes are places of a hash table.
///
/// # Errors
/// The scan ends here.
pub(crate) fn uncrunch_old(
    input: &[u8],
    hash: Hash,
    with_runs: bool,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, 0);
    let ended = crunched_old(input, hash, with_runs, &mut out);
    out.finish(ended)
}

struct Hashed {
    slots: Vec<Slot>,
    hash: Hash,
    count: usize,
}

impl Hashed {
    fn new(hash: Hash) -> Self {
        let empty = Slot { used: false, parent: NONE, byte: 0, next: 0 };
        let mut table = Self { slots: vec![empty; TABLE_LEN], hash, count: 0 };
        for byte in 0..=u8::MAX {
            table.add(NONE, byte);
        }
        table
    }

    fn slot(&self, at: usize) -> Option<Slot> {
        self.slots.get(at).copied()
    }

    /// Adds a string where the packer put it.
    fn add(&mut self, parent: u16, byte: u8) {
        if self.count >= TABLE_LEN {
            return;
        }
        let mut at = self.hash.of(parent, byte);
        if self.slot(at).is_some_and(|slot| slot.used) {
            for _ in 0..TABLE_LEN {
                match self.slot(at) {
                    Some(slot) if slot.next != 0 => at = usize::from(slot.next),
                    _ => break,
                }
            }
            let last = at;
            at = at.wrapping_add(101) & (TABLE_LEN - 1);
            for _ in 0..TABLE_LEN {
                if !self.slot(at).is_some_and(|slot| slot.used) {
                    break;
                }
                at = at.wrapping_add(1) & (TABLE_LEN - 1);
            }
            if let Some(slot) = self.slots.get_mut(last) {
                slot.next = u16::try_from(at).unwrap_or(0);
            }
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { used: true, parent, byte, next: 0 };
            self.count += 1;
        }
    }

    /// Writes a string backwards and returns its first byte.
    fn string(&self, code: u16, to: &mut Vec<u8>) -> Option<u8> {
        let mut code = code;
        for _ in 0..TABLE_LEN {
            let slot = self.slot(usize::from(code)).filter(|slot| slot.used)?;
            to.push(slot.byte);
            if slot.parent == NONE {
                return Some(slot.byte);
            }
            code = slot.parent;
        }
        None
    }
}

fn crunched_old(
    input: &[u8],
    hash: Hash,
    with_runs: bool,
    out: &mut Grow<'_>,
) -> Result<(), Broken> {
    let mut table = Hashed::new(hash);
    let mut runs = Runs::new(!with_runs);
    let mut previous: Option<(u16, u8)> = None;
    let mut string = Vec::new();
    // Codes of 12 bits: the high ones first.
    let mut half: Option<u16> = None;
    let mut bytes = input.iter().map(|byte| u16::from(*byte));
    while !out.is_full() {
        let Some(first) = bytes.next() else { return Ok(()) };
        let code = match half.take() {
            Some(high) => high << 8 | first,
            None => {
                let Some(second) = bytes.next() else { return Ok(()) };
                half = Some(second & 15);
                first << 4 | second >> 4
            }
        };
        string.clear();
        let known = table.slot(usize::from(code)).is_some_and(|slot| slot.used);
        let first = if known {
            table.string(code, &mut string)
        } else {
            let (before, byte) = previous.ok_or(Broken::Damaged("crunched: code"))?;
            string.push(byte);
            table.string(before, &mut string)
        };
        let first = first.ok_or(Broken::Damaged("crunched: code"))?;
        string.iter().rev().for_each(|byte| runs.push(*byte, out));
        if let Some((before, _)) = previous {
            table.add(before, first);
        }
        previous = Some((code, first));
        out.poll()?;
    }
    Ok(())
}

/// Unpacks ZOO's LZW: 9 to 13 bits, 256 clears, 257 ends.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unzoo(input: &[u8], claimed_len: u64, sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, 0);
    let ended = zoo(input, &mut out);
    out.finish(ended)
}

fn zoo(input: &[u8], out: &mut Grow<'_>) -> Result<(), Broken> {
    const FIRST: usize = 258;
    const MAX: usize = 1 << 13;
    let mut bits = Low::new(input);
    let mut table: Vec<(u32, u8)> = Vec::new();
    let mut code_len = 9u32;
    let mut previous: Option<(u32, u8)> = None;
    let mut string = Vec::new();
    while !out.is_full() {
        let code = bits.take(code_len).ok_or(Broken::Truncated)?;
        match code {
            256 => {
                table.clear();
                code_len = 9;
                previous = None;
                continue;
            }
            257 => break,
            _ => {}
        }
        string.clear();
        let free = FIRST.saturating_add(table.len());
        let mut at = code;
        let wanted = usize::try_from(code).unwrap_or(usize::MAX);
        // A code beyond the next one would let an entry lead to itself.
        if wanted > free {
            return Err(Broken::Damaged("zoo: code"));
        }
        if wanted == free {
            let (before, byte) = previous.ok_or(Broken::Damaged("zoo: code"))?;
            string.push(byte);
            at = before;
        }
        let first = loop {
            match u8::try_from(at) {
                Ok(byte) => {
                    string.push(byte);
                    break byte;
                }
                Err(_) => {
                    let place = usize::try_from(at).unwrap_or(0).wrapping_sub(FIRST);
                    let entry = table.get(place).ok_or(Broken::Damaged("zoo: code"))?;
                    string.push(entry.1);
                    at = entry.0;
                }
            }
        };
        string.iter().rev().for_each(|byte| out.literal(*byte));
        if let Some((before, _)) = previous
            && free < MAX
        {
            table.push((before, first));
            if free + 1 >= 1 << code_len && code_len < 13 {
                code_len += 1;
            }
        }
        previous = Some((code, first));
        out.poll()?;
    }
    Ok(())
}
