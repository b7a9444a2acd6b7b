//! XPRESS with Huffman codes, as Windows images have it.
//!
//! Promises: one call makes one chunk of at most the length asked for; what was made before an error is in the
//! output. Memory is a table of 64 KiB.
//! Sources: Microsoft, [MS-XCA] 2.1 and 2.2.

use std::io;

use super::copies::copy_back;
use super::{damaged, truncated};

const SYMBOLS: usize = 512;
const LENS_LEN: usize = SYMBOLS / 2;
const BITS: u32 = 15;

/// Words of 16 bits, highest bit first, with bytes in between where a length needs them.
struct Bits<'a> {
    input: &'a [u8],
    off: usize,
    hold: u32,
    /// Bits at hand beyond 16.
    extra: u32,
    over: bool,
}

impl<'a> Bits<'a> {
    fn new(input: &'a [u8], off: usize) -> Self {
        let mut bits = Self { input, off, hold: 0, extra: 16, over: false };
        let high = bits.word();
        bits.hold = high << 16 | bits.word();
        bits
    }

    fn word(&mut self) -> u32 {
        let raw = self.input.get(self.off..).and_then(<[u8]>::first_chunk::<2>);
        self.off = self.off.saturating_add(2);
        match raw {
            Some(raw) => u16::from_le_bytes(*raw).into(),
            None => 0,
        }
    }

    fn drop_bits(&mut self, count: u32) {
        self.hold <<= count;
        if count > self.extra {
            // A word read too early would take the bytes of a length.
            self.over |= self.off > self.input.len();
            let word = self.word();
            self.extra = self.extra.saturating_add(16).saturating_sub(count);
            self.hold |= word << 16u32.saturating_sub(self.extra);
        } else {
            self.extra = self.extra.saturating_sub(count);
        }
    }

    fn bits(&mut self, count: u32) -> usize {
        if count == 0 {
            return 0;
        }
        let value = self.hold >> 32u32.saturating_sub(count);
        self.drop_bits(count);
        usize::try_from(value).unwrap_or(0)
    }

    fn byte(&mut self) -> io::Result<usize> {
        let byte = self.input.get(self.off).copied().ok_or_else(truncated)?;
        self.off = self.off.saturating_add(1);
        Ok(byte.into())
    }
}

/// Unpacks a chunk of so many bytes and appends it.
///
/// # Errors
/// The input is cut or damaged; what was made is in `out`.
pub(crate) fn xpress(input: &[u8], len: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let lens = input.get(..LENS_LEN).ok_or_else(truncated)?;
    let table = table(lens)?;
    let mut bits = Bits::new(input, LENS_LEN);
    let start = out.len();
    let end = start.saturating_add(len);
    while out.len() < end {
        let index = usize::try_from(bits.hold >> (32 - BITS)).unwrap_or(0);
        let entry = table.get(index).copied().unwrap_or(0);
        let (symbol, code_len) = (usize::from(entry >> 4), u32::from(entry & 15));
        if code_len == 0 || bits.over {
            return Err(if bits.over { truncated() } else { damaged("xpress: code") });
        }
        bits.drop_bits(code_len);
        if let Ok(byte) = u8::try_from(symbol) {
            out.push(byte);
            continue;
        }
        let symbol = symbol.saturating_sub(256);
        let distance_bits = u32::try_from(symbol >> 4).unwrap_or(0);
        let mut match_len = symbol & 15;
        if match_len == 15 {
            match_len = bits.byte()?.saturating_add(15);
            if match_len == 270 {
                match_len = bits.byte()? | bits.byte()? << 8;
            }
        }
        let distance = 1usize << distance_bits | bits.bits(distance_bits);
        copy(out, start, distance, match_len.saturating_add(3), end)?;
    }
    Ok(())
}

fn copy(
    out: &mut Vec<u8>,
    start: usize,
    distance: usize,
    len: usize,
    end: usize,
) -> io::Result<()> {
    if distance == 0 || distance > out.len().saturating_sub(start) {
        return Err(damaged("xpress: distance"));
    }
    copy_back(out, distance, len.min(end.saturating_sub(out.len())));
    Ok(())
}

/// Returns symbol and length of the code for every 15 bits.
fn table(lens: &[u8]) -> io::Result<Vec<u16>> {
    let len_of = |symbol: usize| {
        let pair = lens.get(symbol / 2).copied().unwrap_or(0);
        if symbol.is_multiple_of(2) { pair & 15 } else { pair >> 4 }
    };
    let mut table = Vec::with_capacity(1 << BITS);
    for code_len in 1..=15u8 {
        for symbol in (0..SYMBOLS).filter(|symbol| len_of(*symbol) == code_len) {
            let entry = u16::try_from(symbol << 4).unwrap_or(0) | u16::from(code_len);
            let count = 1usize << BITS.saturating_sub(code_len.into());
            if table.len().saturating_add(count) > 1 << BITS {
                return Err(damaged("xpress: lengths"));
            }
            table.resize(table.len().saturating_add(count), entry);
        }
    }
    Ok(table)
}
