//! The LZSS of DOS `COMPRESS`, and the LZ77 under prefix codes that some of its versions have ("LZH").
//!
//! Promises: output grows as far as it is asked to; what was made before an error is there. Both refer to a
//! window of 4096 bytes that begins as spaces.
//! Sources: the libmspack project's "SZDD and KWAJ file formats".

use std::io;

use super::msb::{MsbBits, Order, Prefix, copy_within};
use super::{damaged, truncated};

const WINDOW_LEN: usize = 4096;

/// A decoder that is asked for more and more.
pub(crate) trait Growing {
    /// Decodes until the output has at least so many bytes; false at the end of the stream.
    ///
    /// # Errors
    /// The input is cut or damaged.
    fn grow(&mut self, to: usize) -> io::Result<bool>;

    /// Returns the output so far.
    fn into_out(self) -> Vec<u8>;

    /// Returns how long the output is.
    fn made(&self) -> usize;
}

/// LZSS with flags of eight in a byte.
#[derive(Debug)]
pub(crate) struct Lzss<'a> {
    input: &'a [u8],
    off: usize,
    start: usize,
    out: Vec<u8>,
}

impl<'a> Lzss<'a> {
    /// Returns a decoder whose first byte goes to this place of the window.
    pub(crate) fn new(input: &'a [u8], start: usize) -> Self {
        Self { input, off: 0, start, out: vec![b' '; WINDOW_LEN] }
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.input.get(self.off).copied();
        self.off = self.off.saturating_add(1);
        byte
    }
}

impl Growing for Lzss<'_> {
    fn grow(&mut self, to: usize) -> io::Result<bool> {
        while self.made() < to {
            let Some(flags) = self.byte() else { return Ok(false) };
            for bit in 0..8 {
                let Some(first) = self.byte() else { return Ok(false) };
                if flags & (1 << bit) != 0 {
                    self.out.push(first);
                    continue;
                }
                let second = self.byte().ok_or_else(truncated)?;
                let place = usize::from(first) | (usize::from(second & 0xf0) << 4);
                let at = self.made().saturating_add(self.start);
                let distance = match at.wrapping_sub(place) % WINDOW_LEN {
                    0 => WINDOW_LEN,
                    distance => distance,
                };
                copy_within(&mut self.out, distance, usize::from(second & 0xf).saturating_add(3))?;
            }
        }
        Ok(true)
    }

    fn into_out(mut self) -> Vec<u8> {
        self.out.drain(..WINDOW_LEN.min(self.out.len()));
        self.out
    }

    fn made(&self) -> usize {
        self.out.len().saturating_sub(WINDOW_LEN)
    }
}

/// LZ77 under five prefix codes.
#[derive(Debug)]
pub(crate) struct KwajLzh<'a> {
    bits: MsbBits<'a>,
    /// Match lengths, match lengths behind literals, runs of literals, high parts of offsets, literals.
    codes: [Prefix; 5],
    ready: bool,
    after_literals: bool,
    out: Vec<u8>,
}

const CODE_LENS: [usize; 5] = [16, 16, 32, 64, 256];
/// The longest run of literals: another may follow.
const RUN_MAX: u16 = 32;

impl<'a> KwajLzh<'a> {
    /// Returns a decoder at the start of the data.
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            bits: MsbBits::new(input, Order::Bytes),
            codes: Default::default(),
            ready: false,
            after_literals: false,
            out: vec![b' '; WINDOW_LEN],
        }
    }

    fn read_codes(&mut self) -> io::Result<()> {
        let mut kinds = [0u32; 6];
        kinds.fill_with(|| self.bits.bits(4));
        for ((code, len), kind) in self.codes.iter_mut().zip(CODE_LENS).zip(kinds) {
            let mut lens = vec![0u8; len];
            read_lens(&mut self.bits, kind, &mut lens)?;
            code.set(&lens)?;
        }
        self.bits.check()
    }

    fn symbol(&mut self, idx: usize) -> io::Result<u16> {
        let code = self.codes.get(idx).ok_or_else(|| damaged("kwaj: code"))?;
        let symbol = code.symbol(&mut self.bits)?;
        Ok(symbol)
    }
}

fn read_lens(bits: &mut MsbBits<'_>, kind: u32, lens: &mut [u8]) -> io::Result<()> {
    let all = match lens.len() {
        16 => 4,
        32 => 5,
        64 => 6,
        _ => 8,
    };
    let mut len = match kind {
        0 => all,
        1..=3 => bits.bits(4),
        _ => return Err(damaged("kwaj: kind of code")),
    };
    for (idx, to) in lens.iter_mut().enumerate() {
        if idx > 0 {
            len = match kind {
                1 if bits.bits(1) == 0 => len,
                1 if bits.bits(1) == 0 => len.saturating_add(1),
                1 | 3 => bits.bits(4),
                2 => match bits.bits(2) {
                    3 => bits.bits(4),
                    step => len.saturating_add(step).saturating_sub(1),
                },
                _ => len,
            };
        }
        *to = u8::try_from(len).unwrap_or(u8::MAX);
    }
    Ok(())
}

impl Growing for KwajLzh<'_> {
    fn grow(&mut self, to: usize) -> io::Result<bool> {
        if !self.ready {
            self.ready = true;
            self.read_codes()?;
        }
        while self.made() < to {
            let match_len = self.symbol(usize::from(self.after_literals));
            if self.bits.is_over() {
                return Ok(false);
            }
            let match_len = usize::from(match_len?);
            if match_len > 0 {
                self.after_literals = false;
                let high = usize::from(self.symbol(3)?) << 6;
                let low = usize::try_from(self.bits.bits(6)).unwrap_or(0);
                if self.bits.is_over() {
                    return Ok(false);
                }
                let distance = match high | low {
                    0 => WINDOW_LEN,
                    distance => distance,
                };
                copy_within(&mut self.out, distance, match_len.saturating_add(2))?;
                continue;
            }
            let run = self.symbol(2)?.saturating_add(1);
            self.after_literals = run != RUN_MAX;
            for _ in 0..run {
                let byte = self.symbol(4)?;
                if self.bits.is_over() {
                    return Ok(false);
                }
                self.out.push(u8::try_from(byte).unwrap_or(0));
            }
        }
        Ok(true)
    }

    fn into_out(mut self) -> Vec<u8> {
        self.out.drain(..WINDOW_LEN.min(self.out.len()));
        self.out
    }

    fn made(&self) -> usize {
        self.out.len().saturating_sub(WINDOW_LEN)
    }
}
