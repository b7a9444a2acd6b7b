//! The LZ77 and Huffman coding of LHA (`-lh4-` to `-lh7-`, `-lhx-`), of ARJ (methods 1 to 3) and of ZOO; ARJ's
//! method 4; and, over the crate `delharc`, the older methods of LHA, LArc and PMarc.
//!
//! Sources: the public descriptions of `ar002` by Okumura; ARJ's technical notes (UNARJ's public description);
//! libarchive's reader of LHA (BSD).

use delharc::decode::{Decoder, Lh1Decoder, Lz5Decoder, LzsDecoder, Pm1Decoder, Pm2Decoder};
use hf_core::{Sink, Stop};

use super::grow::Grow;
use super::prefix::{Bits, Broken, Huffman};
use crate::bounded::Unpacked;

/// What differs between the methods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lzh {
    /// Bits of a number of distance codes.
    distance_bits: u32,
    /// An empty block ends the stream, as in ZOO.
    ends: bool,
}

impl Lzh {
    /// `-lh4-` and `-lh5-`.
    pub(crate) const SMALL: Self = Self { distance_bits: 4, ends: false };
    /// `-lh6-`, `-lh7-`, `-lhx-`, and ARJ.
    pub(crate) const LARGE: Self = Self { distance_bits: 5, ends: false };
    /// ZOO.
    pub(crate) const ZOO: Self = Self { distance_bits: 4, ends: true };
}

/// A code that may have only one symbol, which then takes no bits.
#[derive(Default)]
struct Code {
    one: Option<usize>,
    many: Huffman,
}

impl Code {
    #[inline]
    fn decode(&self, bits: &mut Bits<'_>) -> Result<usize, Broken> {
        match self.one {
            Some(symbol) => Ok(symbol),
            None => self.many.decode(bits),
        }
    }

    /// Reads a code of small lengths: three bits each, or ones behind seven.
    fn read_short(
        &mut self,
        bits: &mut Bits<'_>,
        count_bits: u32,
        gap_at: Option<usize>,
    ) -> Result<(), Broken> {
        let count = take(bits, count_bits);
        self.one = (count == 0).then(|| take(bits, count_bits));
        let mut lens = [0u8; 32];
        let mut at = 0usize;
        while at < count {
            bits.check()?;
            let mut len = bits.take(3);
            if len == 7 {
                while bits.take(1) == 1 {
                    len += 1;
                    if len > 16 {
                        return Err(Broken::Damaged("lzh: code length"));
                    }
                }
            }
            let place = lens.get_mut(at).ok_or(Broken::Damaged("lzh: codes"))?;
            *place = u8::try_from(len).unwrap_or(0);
            at += 1;
            if Some(at) == gap_at {
                at = at.saturating_add(take(bits, 2));
            }
        }
        self.many.build(&lens);
        Ok(())
    }

    /// Reads the code of literals and lengths, whose lengths are coded by another.
    fn read_long(&mut self, bits: &mut Bits<'_>, short: &Self) -> Result<(), Broken> {
        let count = take(bits, 9);
        self.one = (count == 0).then(|| take(bits, 9));
        let mut lens = [0u8; 512];
        let mut at = 0usize;
        while at < count {
            bits.check()?;
            match short.decode(bits)? {
                0 => at = at.saturating_add(1),
                1 => at = at.saturating_add(take(bits, 4)).saturating_add(3),
                2 => at = at.saturating_add(take(bits, 9)).saturating_add(20),
                len => {
                    if let Some(place) = lens.get_mut(at) {
                        *place = u8::try_from(len.saturating_sub(2)).unwrap_or(0);
                    }
                    at = at.saturating_add(1);
                }
            }
        }
        self.many.build(&lens);
        Ok(())
    }
}

fn take(bits: &mut Bits<'_>, count: u32) -> usize {
    usize::try_from(bits.take(count)).unwrap_or(0)
}

/// Unpacks a member.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unlzh(
    input: &[u8],
    kind: Lzh,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, b' ');
    let ended = blocks(input, kind, &mut out);
    out.finish(ended)
}

fn blocks(input: &[u8], kind: Lzh, out: &mut Grow<'_>) -> Result<(), Broken> {
    let mut bits = Bits::new(input);
    let (mut symbols, mut short, mut distances) =
        (Code::default(), Code::default(), Code::default());
    while !out.is_full() {
        let count = bits.take(16);
        bits.check()?;
        if count == 0 && kind.ends {
            return Ok(());
        }
        short.read_short(&mut bits, 5, Some(3))?;
        symbols.read_long(&mut bits, &short)?;
        distances.read_short(&mut bits, kind.distance_bits, None)?;
        let count = if count == 0 { 0x1_0000 } else { count };
        for _ in 0..count {
            let symbol = symbols.decode(&mut bits)?;
            if symbol < 256 {
                out.literal(u8::try_from(symbol).unwrap_or(0));
            } else {
                let slot = u32::try_from(distances.decode(&mut bits)?).unwrap_or(0);
                let distance = match slot {
                    0 | 1 => usize::try_from(slot).unwrap_or(0),
                    2..=24 => 1usize << (slot - 1) | take(&mut bits, slot - 1),
                    _ => return Err(Broken::Damaged("lzh: distance")),
                };
                out.copy(distance.saturating_add(1), symbol - 253);
                out.poll()?;
            }
            if out.is_full() {
                return Ok(());
            }
            if bits.over() {
                return Err(Broken::Truncated);
            }
        }
        out.poll()?;
    }
    Ok(())
}

/// Unpacks a member of ARJ's method 4.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unarj_fastest(
    input: &[u8],
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, 0);
    let ended = fastest(input, &mut out);
    out.finish(ended)
}

fn fastest(input: &[u8], out: &mut Grow<'_>) -> Result<(), Broken> {
    /// Reads a number: ones tell how many bits it has beyond the least.
    fn number(bits: &mut Bits<'_>, least: u32, most: u32) -> usize {
        let (mut width, mut base) = (least, 0usize);
        while width < most && bits.take(1) == 1 {
            base += 1 << width;
            width += 1;
        }
        base + take(bits, width)
    }
    let mut bits = Bits::new(input);
    while !out.is_full() {
        match number(&mut bits, 0, 7) {
            0 => out.literal(u8::try_from(bits.take(8)).unwrap_or(0)),
            len => {
                let distance = number(&mut bits, 9, 13);
                out.copy(distance.saturating_add(1), len.saturating_add(2));
            }
        }
        bits.check()?;
        out.poll()?;
    }
    Ok(())
}

/// Which of the older methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    /// `-lh1-`.
    Lh1,
    /// `-lzs-`.
    Lzs,
    /// `-lz5-`.
    Lz5,
    /// `-pm1-`.
    Pm1,
    /// `-pm2-`.
    Pm2,
}

/// Unpacks a member of an older method.
///
/// # Errors
/// The scan ends here.
pub(crate) fn unlzh_older(
    input: &[u8],
    kind: Older,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let input = Slice(input);
    match kind {
        Older::Lh1 => drive(&mut Lh1Decoder::new(input), claimed_len, sink),
        Older::Lzs => drive(&mut LzsDecoder::new(input), claimed_len, sink),
        Older::Lz5 => drive(&mut Lz5Decoder::new(input), claimed_len, sink),
        Older::Pm1 => drive(&mut Pm1Decoder::new(input), claimed_len, sink),
        Older::Pm2 => drive(&mut Pm2Decoder::new(input), claimed_len, sink),
    }
}

/// Reads a byte at a time, as the decoders drop what one call made before its error.
fn drive<'i>(
    decoder: &mut impl Decoder<Slice<'i>>,
    claimed_len: u64,
    sink: &mut dyn Sink,
) -> Result<Unpacked, Stop> {
    let mut out = Grow::new(sink, claimed_len, b' ');
    let mut ended = Ok(());
    while ended.is_ok() && !out.is_full() {
        let mut byte = [0u8];
        ended = decoder.fill_buffer(&mut byte).map_err(|_| Broken::Truncated);
        if ended.is_ok() {
            out.literal(byte[0]);
            ended = out.poll();
        }
    }
    out.finish(ended)
}

/// Input of `delharc`.
struct Slice<'i>(&'i [u8]);

/// The input of `delharc` ended.
#[derive(Debug, thiserror::Error)]
#[error("truncated")]
struct Ended;

impl delharc::stub_io::Read for Slice<'_> {
    type Error = Ended;

    fn unexpected_eof() -> Ended {
        Ended
    }

    fn read_all(&mut self, buf: &mut [u8]) -> Result<usize, Ended> {
        let len = buf.len().min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        buf.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
        Ok(len)
    }
}
