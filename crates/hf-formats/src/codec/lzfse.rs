//! LZFSE and LZVN, as Apple's file systems and disk images use them.
//!
//! Promises: output only as long as asked for; memory is that and two tables of 10 KiB; what came out before
//! damage stays.
//! Leaves out: blocks of kind `bvx1`, which no encoder writes.
//! Sources: Apple's description of the format in its published implementation (BSD), `lzfse_internal.h`.

use super::copies::copy_back;
use super::damaged;
use crate::bounded::Ended;
use crate::reader::Reader;

/// Unpacks an LZFSE stream and appends it, up to a length.
pub(crate) fn lzfse(stream: &[u8], room: usize, out: &mut Vec<u8>) -> Ended {
    let start = out.len();
    let mut reader = Reader::new(stream);
    loop {
        let left = room.saturating_sub(out.len().saturating_sub(start));
        let Ok(magic) = reader.take(4) else { return Ended::Truncated };
        let ended = match magic {
            b"bvx$" => return Ended::Whole,
            b"bvx-" => {
                let Ok(len) = reader.u32_le() else { return Ended::Truncated };
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let part = reader.take_up_to(len);
                out.extend_from_slice(part.get(..left).unwrap_or(part));
                if part.len() < len { Ended::Truncated } else { Ended::Whole }
            }
            b"bvxn" => {
                let (Ok(len), Ok(packed)) = (reader.u32_le(), reader.u32_le()) else {
                    return Ended::Truncated;
                };
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let block = reader.take_up_to(usize::try_from(packed).unwrap_or(usize::MAX));
                lzvn_from(block, len.min(left), start, out)
            }
            b"bvx2" => block(&mut reader, left, start, out),
            _ => bad("lzfse: kind of block"),
        };
        if ended != Ended::Whole {
            return ended;
        }
        if out.len().saturating_sub(start) >= room {
            return Ended::Whole;
        }
    }
}

/// Unpacks a bare LZVN stream and appends it, up to a length.
pub(crate) fn lzvn(stream: &[u8], room: usize, out: &mut Vec<u8>) -> Ended {
    let start = out.len();
    lzvn_from(stream, room, start, out)
}

fn bad(what: &'static str) -> Ended {
    Ended::of_error(&damaged(what))
}

/// Appends a copy from a distance behind the end, not before `start`, up to `end`.
fn copy(out: &mut Vec<u8>, start: usize, end: usize, distance: usize, len: usize) -> bool {
    let len = len.min(end.saturating_sub(out.len()));
    let reaches = distance > 0 && distance <= out.len().saturating_sub(start);
    if reaches {
        copy_back(out, distance, len);
    }
    reaches
}

/// One step of LZVN: literals, a match, and whether the distance is that of the match before.
struct Step {
    literals: usize,
    len: usize,
    distance: Option<usize>,
}

fn lzvn_from(stream: &[u8], room: usize, start: usize, out: &mut Vec<u8>) -> Ended {
    let end = out.len().saturating_add(room);
    let mut reader = Reader::new(stream);
    let mut distance = 0;
    while out.len() < end {
        let Ok(code) = reader.u8() else { return Ended::Truncated };
        match code {
            0x06 => return Ended::Whole,
            0x0e | 0x16 => continue,
            0x1e | 0x26 | 0x2e | 0x36 | 0x3e | 0x70..=0x7f | 0xd0..=0xdf => {
                return bad("lzvn: code");
            }
            _ => {}
        }
        let Some(step) = step(code, &mut reader) else { return Ended::Truncated };
        let literals = reader.take_up_to(step.literals);
        let room = end.saturating_sub(out.len());
        out.extend_from_slice(literals.get(..room).unwrap_or(literals));
        if literals.len() < step.literals {
            return Ended::Truncated;
        }
        distance = step.distance.unwrap_or(distance);
        if step.len > 0 && out.len() < end && !copy(out, start, end, distance, step.len) {
            return bad("lzvn: distance");
        }
    }
    Ended::Whole
}

fn step(code: u8, reader: &mut Reader<'_>) -> Option<Step> {
    let wide = usize::from(code);
    let literals = wide >> 6;
    let len = ((wide >> 3) & 7).saturating_add(3);
    Some(match code {
        0xf0 => Step {
            literals: 0,
            len: usize::from(reader.u8().ok()?).saturating_add(16),
            distance: None,
        },
        0xf1..=0xff => Step { literals: 0, len: wide & 15, distance: None },
        0xe0 => Step {
            literals: usize::from(reader.u8().ok()?).saturating_add(16),
            len: 0,
            distance: None,
        },
        0xe1..=0xef => Step { literals: wide & 15, len: 0, distance: None },
        0xa0..=0xbf => {
            let pair = usize::from(reader.u16_le().ok()?);
            let len = ((wide & 7) << 2 | pair & 3).saturating_add(3);
            Step { literals: (wide >> 3) & 3, len, distance: Some(pair >> 2) }
        }
        _ if wide & 7 == 6 => Step { literals, len, distance: None },
        _ if wide & 7 == 7 => {
            Step { literals, len, distance: Some(usize::from(reader.u16_le().ok()?)) }
        }
        _ => {
            let low = usize::from(reader.u8().ok()?);
            Step { literals, len, distance: Some((wide & 7) << 8 | low) }
        }
    })
}

/// Bits read from the end of a payload towards its start.
struct Bits<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Bits<'a> {
    /// `unused` bits at the end are passed over.
    fn new(bytes: &'a [u8], unused: usize) -> Self {
        Self { bytes, left: bytes.len().saturating_mul(8).saturating_sub(unused) }
    }

    fn pull(&mut self, count: usize) -> Option<usize> {
        self.left = self.left.checked_sub(count)?;
        let rest = self.bytes.get(self.left >> 3..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        let word = word >> (self.left & 7);
        usize::try_from(word & (1u64 << count).wrapping_sub(1)).ok()
    }
}

/// An entry of a decoder's table.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Bits of the next state, and of the value.
    bits: usize,
    value_bits: usize,
    next: usize,
    value: usize,
}

/// Makes a table for as many states as frequencies sum up to.
fn table(states: usize, frequencies: &[usize], values: &[(usize, usize)]) -> Option<Vec<State>> {
    let sum = frequencies.iter().fold(0usize, |sum, count| sum.saturating_add(*count));
    if sum > states {
        return None;
    }
    let mut table = Vec::with_capacity(states);
    for (symbol, count) in frequencies.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (value, value_bits) = values.get(symbol).copied().unwrap_or((symbol, 0));
        let bits = count.leading_zeros().checked_sub(states.leading_zeros())?;
        let bits = usize::try_from(bits).ok()?;
        let wide = (states.saturating_mul(2) >> bits).checked_sub(*count)?;
        for idx in 0..*count {
            let (bits, next) = if idx < wide {
                (bits, (count.saturating_add(idx) << bits).checked_sub(states)?)
            } else {
                let bits = bits.checked_sub(1)?;
                (bits, idx.saturating_sub(wide) << bits)
            };
            table.push(State { bits, value_bits, next, value });
        }
    }
    // States that no symbol has end a stream that asks for them.
    Some(table)
}

fn pull(table: &[State], state: &mut usize, bits: &mut Bits<'_>) -> Option<usize> {
    let entry = table.get(*state)?;
    let word = bits.pull(entry.bits.saturating_add(entry.value_bits))?;
    *state = entry.next.saturating_add(word >> entry.value_bits);
    let extra = word & (1usize << entry.value_bits).wrapping_sub(1);
    Some(entry.value.saturating_add(extra))
}

const SYMBOLS: [usize; 4] = [20, 20, 64, 256];
const LITERALS_MAX: usize = 40_000;

/// Reads the frequencies of the four tables.
fn frequencies(raw: &[u8]) -> Option<Vec<usize>> {
    const BITS: [usize; 16] = [2, 3, 2, 5, 2, 3, 2, 8, 2, 3, 2, 5, 2, 3, 2, 14];
    const VALUES: [usize; 32] = [
        0, 2, 1, 4, 0, 3, 1, 8, 0, 2, 1, 5, 0, 3, 1, 24, 0, 2, 1, 6, 0, 3, 1, 8, 0, 2, 1, 7, 0, 3,
        1, 24,
    ];
    let count = SYMBOLS.iter().sum();
    if raw.is_empty() {
        return Some(vec![0; count]);
    }
    let mut bytes = raw.iter();
    let (mut hold, mut held) = (0usize, 0usize);
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        while held <= 24 {
            let Some(byte) = bytes.next() else { break };
            hold |= usize::from(*byte) << held;
            held = held.saturating_add(8);
        }
        let bits = *BITS.get(hold & 15)?;
        let mut value = *VALUES.get(hold & 31)?;
        match bits {
            8 => value = ((hold >> 4) & 0xf).saturating_add(8),
            14 => value = ((hold >> 4) & 0x3ff).saturating_add(24),
            _ => {}
        }
        held = held.checked_sub(bits)?;
        hold >>= bits;
        list.push(value);
    }
    Some(list)
}

/// The values that symbols of a kind stand for, by their extra bits.
fn values(plain: usize, extra: &[usize]) -> Vec<(usize, usize)> {
    let mut values: Vec<_> = (0..plain).map(|value| (value, 0)).collect();
    let mut base = plain;
    for bits in extra {
        values.push((base, *bits));
        base = base.saturating_add(1 << bits);
    }
    values
}

/// The header of a block with compressed tables.
struct Header {
    literals: usize,
    literal_len: usize,
    literal_unused: usize,
    literal_states: [usize; 4],
    matches: usize,
    match_len: usize,
    match_unused: usize,
    states: [usize; 3],
    tables_len: usize,
    unpacked_len: usize,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let unpacked_len = usize::try_from(reader.u32_le().ok()?).ok()?;
        let words = [reader.u64_le().ok()?, reader.u64_le().ok()?, reader.u64_le().ok()?];
        let field = |word: usize, off: u32, bits: u32| {
            let word = words.get(word).copied().unwrap_or(0);
            usize::try_from((word >> off) & (1u64 << bits).wrapping_sub(1)).unwrap_or(0)
        };
        Some(Self {
            literals: field(0, 0, 20),
            literal_len: field(0, 20, 20),
            literal_unused: 7usize.saturating_sub(field(0, 60, 3)),
            literal_states: [field(1, 0, 10), field(1, 10, 10), field(1, 20, 10), field(1, 30, 10)],
            matches: field(0, 40, 20),
            match_len: field(1, 40, 20),
            match_unused: 7usize.saturating_sub(field(1, 60, 3)),
            states: [field(2, 32, 10), field(2, 42, 10), field(2, 52, 10)],
            tables_len: field(2, 0, 32).checked_sub(32)?,
            unpacked_len,
        })
    }
}

fn block(reader: &mut Reader<'_>, room: usize, start: usize, out: &mut Vec<u8>) -> Ended {
    let Some(header) = Header::read(reader) else { return Ended::Truncated };
    let Ok(tables) = reader.take(header.tables_len) else { return Ended::Truncated };
    let Some(frequencies) = frequencies(tables) else { return bad("lzfse: tables") };
    let Ok(literals) = reader.take(header.literal_len) else { return Ended::Truncated };
    let matches = reader.take_up_to(header.match_len);
    if matches.len() < header.match_len {
        return Ended::Truncated;
    }
    let Some(literals) = self::literals(&header, literals, frequencies.get(104..)) else {
        return bad("lzfse: literals");
    };
    let room = room.min(header.unpacked_len);
    match copies(&header, matches, &literals, &frequencies, room, start, out) {
        Some(()) => Ended::Whole,
        None => bad("lzfse: matches"),
    }
}

fn literals(header: &Header, payload: &[u8], frequencies: Option<&[usize]>) -> Option<Vec<u8>> {
    if header.literals > LITERALS_MAX {
        return None;
    }
    let table = table(1024, frequencies?, &[])?;
    let mut bits = Bits::new(payload, header.literal_unused);
    let mut states = header.literal_states;
    let mut literals = Vec::with_capacity(header.literals);
    while literals.len() < header.literals {
        for state in &mut states {
            literals.push(u8::try_from(pull(&table, state, &mut bits)?).ok()?);
        }
    }
    Some(literals)
}

fn copies(
    header: &Header,
    payload: &[u8],
    literals: &[u8],
    frequencies: &[usize],
    room: usize,
    start: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let by_four: Vec<usize> = (0..60usize).map(|idx| idx.div_euclid(4).saturating_add(1)).collect();
    let lens = table(64, frequencies.get(..20)?, &values(16, &[2, 3, 5, 8]))?;
    let match_lens = table(64, frequencies.get(20..40)?, &values(16, &[3, 5, 8, 11]))?;
    let distances = table(256, frequencies.get(40..104)?, &values(4, &by_four))?;
    let mut bits = Bits::new(payload, header.match_unused);
    let [mut len_state, mut match_state, mut distance_state] = header.states;
    let end = out.len().saturating_add(room);
    let (mut used, mut distance) = (0usize, 0usize);
    for _ in 0..header.matches {
        if out.len() >= end {
            break;
        }
        let len = pull(&lens, &mut len_state, &mut bits)?;
        let match_len = pull(&match_lens, &mut match_state, &mut bits)?;
        match pull(&distances, &mut distance_state, &mut bits)? {
            0 => {}
            other => distance = other,
        }
        let next = used.saturating_add(len);
        let part = literals.get(used..next)?;
        out.extend_from_slice(part.get(..end.saturating_sub(out.len())).unwrap_or(part));
        used = next;
        if match_len > 0 && out.len() < end && !copy(out, start, end, distance, match_len) {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bytes_of_hex;

    fn text() -> Vec<u8> {
        (0..400u32)
            .flat_map(|idx| format!("line {} of the text\n", idx % 37 * idx % 91).into_bytes())
            .collect()
    }

    #[test]
    fn what_an_encoder_made_comes_out() {
        for packed in [include_str!("lzfse/text.hex"), include_str!("lzfse/small.hex")] {
            let packed = bytes_of_hex(packed);
            let mut out = b"before".to_vec();
            assert_eq!(lzfse(&packed, 1 << 20, &mut out), Ended::Whole);
            assert!(text().starts_with(&out[6..]) && out.len() > 60);
            let mut cut = Vec::new();
            assert_eq!(lzfse(&packed, 50, &mut cut), Ended::Whole);
            assert_eq!(cut, text()[..50]);
            assert_ne!(lzfse(&packed[..packed.len() / 2], 1 << 20, &mut Vec::new()), Ended::Whole);
        }
    }

    #[test]
    fn damage_does_no_harm() {
        let whole = bytes_of_hex(include_str!("lzfse/text.hex"));
        for at in 0..whole.len() {
            for bit in [1, 0x10, 0x80] {
                let mut packed = whole.clone();
                packed[at] ^= bit;
                let mut out = Vec::new();
                lzfse(&packed, 1 << 16, &mut out);
                lzvn(packed.get(12..).unwrap_or_default(), 1 << 16, &mut out);
                assert!(out.len() <= 2 << 16);
            }
        }
    }
}
