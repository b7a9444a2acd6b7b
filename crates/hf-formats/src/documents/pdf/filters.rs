//! Filters of PDF streams, and the predictors behind two of them.
//!
//! Promises: each filter gives what it could decode before damage; a filter never gives more than the
//! sink's cap.
//! Sources: [1] ISO 32000-1 §7.4 (filters), §7.4.4.4 (predictors); [2] TIFF 6.0 §13 (LZW).

use hf_core::{Sink, Stop};

use super::value::{Dict, hex_bytes, is_space};
use crate::bounded::{Ended, Unpacked, unpack};
use crate::codec::Inflate;
use crate::reader::size;

/// What a filter did.
#[derive(Debug)]
pub(super) enum Filtered {
    /// Decoded, perhaps with damage.
    Done(Unpacked),
    /// An image codec: the data is left as it is, and is an image of its own.
    Image,
    /// Decryption by name, which has happened already.
    Crypt,
    /// Nobody knows it.
    Unknown,
}

/// Undoes one filter.
///
/// # Errors
/// The scan ends here.
pub(super) fn undo(
    filter: &[u8],
    params: Option<&Dict>,
    data: &[u8],
    sink: &mut dyn Sink,
) -> Result<Filtered, Stop> {
    let cap = size(sink.child_cap());
    Ok(Filtered::Done(match filter {
        b"FlateDecode" | b"Fl" => predicted(params, flate(data, sink)?, cap),
        b"LZWDecode" | b"LZW" => {
            let early = params.and_then(|params| params.int("EarlyChange")) != Some(0);
            sink.poll()?;
            predicted(params, lzw(data, early, cap), cap)
        }
        b"ASCIIHexDecode" | b"AHx" => {
            let end = memchr::memchr(b'>', data).unwrap_or(data.len());
            let digits = data.get(..end).unwrap_or_default();
            Unpacked { bytes: hex_bytes(digits), ended: Ended::Whole }
        }
        b"ASCII85Decode" | b"A85" => ascii85(data, cap),
        b"RunLengthDecode" | b"RL" => run_length(data, cap),
        b"Crypt" => return Ok(Filtered::Crypt),
        b"DCTDecode" | b"DCT" | b"JPXDecode" | b"CCITTFaxDecode" | b"CCF" | b"JBIG2Decode" => {
            return Ok(Filtered::Image);
        }
        _ => return Ok(Filtered::Unknown),
    }))
}

/// Inflates: as zlib, else as bare deflate with and without the two bytes of a header.
fn flate(data: &[u8], sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    let start = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let trimmed = data.get(start..).unwrap_or_default();
    let mut best = unpack(Inflate::zlib(data), 0, sink)?;
    if best.ended == Ended::Whole {
        return Ok(best);
    }
    for variant in [trimmed, data.get(2..).unwrap_or_default(), data] {
        if !best.bytes.is_empty() {
            break;
        }
        let bare = unpack(Inflate::raw(variant), 0, sink)?;
        let wrapped = unpack(Inflate::zlib(variant), 0, sink)?;
        let other = if wrapped.bytes.len() >= bare.bytes.len() { wrapped } else { bare };
        if other.bytes.len() > best.bytes.len() {
            best = other;
        }
    }
    Ok(best)
}

/// Undoes LZW with codes of 9 to 12 bits, most significant bit first ([2] §13).
fn lzw(data: &[u8], early: bool, cap: usize) -> Unpacked {
    const CLEAR: usize = 256;
    const END: usize = 257;
    const TABLE_MAX: usize = 4096;
    let mut out: Vec<u8> = Vec::new();
    // A code stands for a run of the output: where it starts and how long it is.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let mut previous: Option<(usize, usize)> = None;
    let (mut bits, mut bit_count, mut width) = (0u32, 0u32, 9u32);
    let mut input = data.iter();
    loop {
        while bit_count < width {
            let Some(byte) = input.next() else {
                return Unpacked { bytes: out, ended: Ended::Whole };
            };
            bits = (bits & 0x00ff_ffff) << 8 | u32::from(*byte);
            bit_count = bit_count.saturating_add(8);
        }
        bit_count = bit_count.saturating_sub(width);
        let mask = 1u32.checked_shl(width).unwrap_or(0).wrapping_sub(1);
        let code = size(u64::from(bits.checked_shr(bit_count).unwrap_or(0) & mask));
        if code == CLEAR {
            table.clear();
            (previous, width) = (None, 9);
            continue;
        }
        if code == END {
            return Unpacked { bytes: out, ended: Ended::Whole };
        }
        let start = out.len();
        if code < CLEAR {
            out.extend(u8::try_from(code));
        } else {
            let known = table.get(code.saturating_sub(258)).copied();
            // The code that is about to be defined: the previous run and its own first byte.
            let next = code.saturating_sub(258) == table.len();
            let run = known.or_else(|| {
                previous.filter(|_| next).map(|(off, len)| (off, len.saturating_add(1)))
            });
            let Some((off, len)) = run else {
                return Unpacked { bytes: out, ended: Ended::Damaged("LZW code".to_owned()) };
            };
            for idx in off..off.saturating_add(len) {
                let Some(byte) = out.get(idx).copied() else { break };
                out.push(byte);
            }
        }
        if let Some((off, len)) = previous
            && table.len() < TABLE_MAX.saturating_sub(258)
        {
            table.push((off, len.saturating_add(1)));
        }
        previous = Some((start, out.len().saturating_sub(start)));
        let used = table.len().saturating_add(258).saturating_add(usize::from(early));
        width = match used {
            0..=511 => 9,
            512..=1023 => 10,
            1024..=2047 => 11,
            _ => 12,
        };
        if out.len() > cap {
            out.truncate(cap);
            return Unpacked { bytes: out, ended: Ended::Capped };
        }
    }
}

/// Undoes ASCII85 ([1] §7.4.3); other characters are skipped.
fn ascii85(data: &[u8], cap: usize) -> Unpacked {
    let data = data.strip_prefix(b"<~").unwrap_or(data);
    let mut out = Vec::new();
    let (mut value, mut count) = (0u64, 0u32);
    for byte in data {
        match byte {
            b'~' => break,
            b'z' if count == 0 => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => {
                value =
                    value.saturating_mul(85).saturating_add(u64::from(byte.saturating_sub(b'!')));
                count = count.saturating_add(1);
                if count == 5 {
                    out.extend_from_slice(&low_word(value));
                    (value, count) = (0, 0);
                }
            }
            _ => {}
        }
        if out.len() > cap {
            out.truncate(cap);
            return Unpacked { bytes: out, ended: Ended::Capped };
        }
    }
    if count > 1 {
        for _ in count..5 {
            value = value.saturating_mul(85).saturating_add(84);
        }
        let keep = size(u64::from(count.saturating_sub(1)));
        out.extend_from_slice(low_word(value).get(..keep).unwrap_or_default());
    }
    Unpacked { bytes: out, ended: Ended::Whole }
}

fn low_word(value: u64) -> [u8; 4] {
    let [.., a, b, c, d] = value.to_be_bytes();
    [a, b, c, d]
}

/// Undoes run-length encoding ([1] §7.4.5).
fn run_length(data: &[u8], cap: usize) -> Unpacked {
    let mut out = Vec::new();
    let mut rest = data;
    while let Some((len, behind)) = rest.split_first() {
        let len = usize::from(*len);
        if len == 128 {
            break;
        }
        if len < 128 {
            let count = len.saturating_add(1).min(behind.len());
            out.extend_from_slice(behind.get(..count).unwrap_or_default());
            rest = behind.get(count..).unwrap_or_default();
        } else {
            let Some((byte, behind)) = behind.split_first() else { break };
            out.resize(out.len().saturating_add(257usize.saturating_sub(len)), *byte);
            rest = behind;
        }
        if out.len() > cap {
            out.truncate(cap);
            return Unpacked { bytes: out, ended: Ended::Capped };
        }
    }
    Unpacked { bytes: out, ended: Ended::Whole }
}

/// Undoes a predictor ([1] §7.4.4.4); nonsense parameters leave the data as it is.
fn predicted(params: Option<&Dict>, unpacked: Unpacked, cap: usize) -> Unpacked {
    let Some(params) = params else { return unpacked };
    let number = |key: &str, default: usize| {
        let value = params.int(key).and_then(|value| usize::try_from(value).ok());
        value.filter(|value| (1..=1 << 20).contains(value)).unwrap_or(default)
    };
    let predictor = number("Predictor", 1);
    let bits = number("Colors", 1).min(64).saturating_mul(number("BitsPerComponent", 8).min(32));
    let pixel_len = bits.div_ceil(8).max(1);
    let row_len = bits.saturating_mul(number("Columns", 1)).div_ceil(8).max(1);
    let Unpacked { mut bytes, ended } = unpacked;
    match predictor {
        2 if number("BitsPerComponent", 8) == 8 => {
            for row in bytes.chunks_mut(row_len) {
                for idx in pixel_len..row.len() {
                    let left = row.get(idx.saturating_sub(pixel_len)).copied().unwrap_or(0);
                    if let Some(byte) = row.get_mut(idx) {
                        *byte = byte.wrapping_add(left);
                    }
                }
            }
        }
        10..=15 => bytes = png(&bytes, row_len, pixel_len),
        _ => {}
    }
    bytes.truncate(cap);
    Unpacked { bytes, ended }
}

fn png(bytes: &[u8], row_len: usize, pixel_len: usize) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut above: Vec<u8> = vec![0; row_len.min(bytes.len())];
    for raw in bytes.chunks(row_len.saturating_add(1)) {
        let Some((kind, raw)) = raw.split_first() else { break };
        let mut row: Vec<u8> = Vec::with_capacity(raw.len());
        for (idx, byte) in raw.iter().enumerate() {
            let at = |row: &[u8]| {
                idx.checked_sub(pixel_len).and_then(|idx| row.get(idx).copied()).unwrap_or(0)
            };
            let (left, up, corner) = (at(&row), above.get(idx).copied().unwrap_or(0), at(&above));
            let guess = match kind {
                1 => left,
                2 => up,
                3 => {
                    let sum = u16::from(left).saturating_add(u16::from(up));
                    u8::try_from(sum / 2).unwrap_or(u8::MAX)
                }
                4 => paeth(left, up, corner),
                _ => 0,
            };
            row.push(byte.wrapping_add(guess));
        }
        out.extend_from_slice(&row);
        above = row;
    }
    out
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let estimate = a.saturating_add(b).saturating_sub(c);
    let off = |value: i16| estimate.saturating_sub(value).saturating_abs();
    if off(a) <= off(b) && off(a) <= off(c) {
        left
    } else if off(b) <= off(c) {
        up
    } else {
        corner
    }
}

/// Returns white space and letters only, as text signatures expect them: control characters and bytes
/// above 7f are dropped, a run of white space is one space, letters are lower case.
pub(super) fn normalised_text(data: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(data.len());
    for byte in data {
        match byte {
            0x09..=0x0d | b' ' if out.last() == Some(&b' ') => {}
            0x09..=0x0d | b' ' => out.push(b' '),
            0x21..=0x7f => out.push(byte.to_ascii_lowercase()),
            _ => {}
        }
    }
    out
}

/// True when most of the data is printable.
pub(super) fn is_text(data: &[u8]) -> bool {
    let head = data.get(..data.len().min(1024)).unwrap_or_default();
    let odd = head.iter().filter(|byte| !(0x20..0x7f).contains(*byte) && !is_space(**byte)).count();
    odd.saturating_mul(4) < head.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_filters() {
        let all = ascii85(b"<~87cURD]i,\"Ebo80~>", 99);
        assert_eq!(all.bytes, b"Hello World!");
        assert_eq!(ascii85(b"87cUR z", 99).bytes, b"Hell\0\0\0\0");
        assert_eq!(run_length(&[2, b'a', b'b', b'c', 254, b'x', 128, 9], 99).bytes, b"abcxxx");
    }

    #[test]
    fn the_specifications_lzw_example() {
        // [1] §7.4.4.2: 45 45 45 45 45 65 45 45 45 66.
        let data = [0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01];
        let want = [45, 45, 45, 45, 45, 65, 45, 45, 45, 66];
        assert_eq!(lzw(&data, true, 99).bytes, want);
    }

    #[test]
    fn png_rows() {
        assert_eq!(png(&[1, 1, 1, 1, 2, 1, 1, 1], 3, 1), [1, 2, 3, 2, 3, 4]);
        assert_eq!(png(&[4, 5, 3, 2, 4], 2, 1), [5, 8, 9]);
    }
}
