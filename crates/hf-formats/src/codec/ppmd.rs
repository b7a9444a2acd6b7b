//! PPMd: variant I revision 1 (method 98 of zip) and variant H with the 7z range coder, over `ppmd-rust`.
//!
//! The library writes zeros over the whole model when it starts. An archive of thousands of small members,
//! each of which asks for a large model, would cost a fill of memory each; so a stream that is said to be
//! short gets a model that is as large as it can use, which makes no other output.

use std::io::{self, BufRead, Read};

use ppmd_rust::{Ppmd7Decoder, Ppmd8Decoder, RestoreMethod};

use super::{MEMORY_MAX, Small, damaged, next_byte, too_much_memory, truncated};

/// Least memory that any model gets, in bytes: what zip's parameters can name.
const MODEL_MIN: u32 = 1 << 20;

/// Returns how many of the bytes asked for a model of this order can use for an output of so many bytes.
///
/// Memory matters only once it is full. A symbol adds at most one context (12 bytes) in each order, and a
/// table of symbols (6 bytes each, of at most 256 or as many as there were) in each, of which a rounding to
/// block sizes makes no more than half as much again. Blocks lie in seven eighths of the memory, raw text in
/// the rest.
fn useful_memory(order: u32, asked: u32, unpacked_len: Option<u64>) -> u32 {
    let Some(symbols) = unpacked_len else { return asked };
    let table = symbols.min(256).saturating_add(2).saturating_mul(9);
    let step = u64::from(order).saturating_mul(table.saturating_add(12));
    let blocks = symbols.saturating_mul(step).saturating_add(1 << 12);
    let used = (blocks.saturating_mul(8) / 7).max(symbols.saturating_mul(8));
    // The layout is in eighths of what there is.
    let useful = u32::try_from(used.saturating_add(1 << 10)).unwrap_or(u32::MAX).max(MODEL_MIN);
    asked.min(useful)
}

/// Reads one PPMd stream behind its two bytes of parameters; it does not know its end.
pub(crate) struct PpmdI<R: BufRead>(Small<Ppmd8Decoder<R>>);

impl<R: BufRead> std::fmt::Debug for PpmdI<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PpmdI").finish_non_exhaustive()
    }
}

impl<R: BufRead> PpmdI<R> {
    /// Reads the parameters and returns a reader of the stream, of which no more than `unpacked_len` bytes,
    /// where that is known, are to be read.
    ///
    /// # Errors
    /// The parameters are impossible, or the model is larger than [`MEMORY_MAX`].
    pub(crate) fn new(mut source: R, unpacked_len: Option<u64>) -> io::Result<Self> {
        let mut byte = || next_byte(&mut source)?.ok_or_else(truncated);
        let params = u32::from(u16::from_le_bytes([byte()?, byte()?]));
        let order = (params & 0xf).saturating_add(1);
        let memory = ((params >> 4) & 0xff).saturating_add(1) << 20;
        if memory > MEMORY_MAX {
            return Err(too_much_memory());
        }
        let memory = useful_memory(order, memory, unpacked_len);
        let restore = match params >> 12 {
            0 => RestoreMethod::Restart,
            1 => RestoreMethod::CutOff,
            _ => return Err(damaged("ppmd: restoration method")),
        };
        let decoder = Ppmd8Decoder::new(source, order, memory, restore)
            .map_err(|_| damaged("ppmd: parameters"))?;
        Ok(Self(Small::new(decoder, 16)))
    }
}

impl<R: BufRead> Read for PpmdI<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|_| damaged("ppmd: invalid data"))
    }
}

/// Reads one stream of PPMd variant H as 7z has it; it does not know its end.
pub(crate) struct PpmdH<R: Read>(Small<Ppmd7Decoder<R>>);

impl<R: Read> std::fmt::Debug for PpmdH<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PpmdH").finish_non_exhaustive()
    }
}

impl<R: Read> PpmdH<R> {
    /// Returns a reader of a stream with this order and this many bytes of model, of which no more than
    /// `unpacked_len` bytes are to be read.
    ///
    /// # Errors
    /// The parameters are impossible, or the model is larger than [`MEMORY_MAX`].
    pub(crate) fn new(source: R, order: u32, memory: u32, unpacked_len: u64) -> io::Result<Self> {
        if memory > MEMORY_MAX {
            return Err(too_much_memory());
        }
        let memory = useful_memory(order, memory, Some(unpacked_len));
        let decoder =
            Ppmd7Decoder::new(source, order, memory).map_err(|_| damaged("ppmd: parameters"))?;
        Ok(Self(Small::new(decoder, 16)))
    }
}

impl<R: Read> Read for PpmdH<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                truncated()
            } else {
                damaged("ppmd: invalid data")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use ppmd_rust::{Ppmd7Encoder, Ppmd8Encoder};

    use super::*;

    /// Output that makes many contexts: noise over an alphabet of so many letters, with repeats.
    fn text(len: usize, letters: u64) -> Vec<u8> {
        let mut state = letters.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut text: Vec<u8> = Vec::new();
        while text.len() < len {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(state >> 40).unwrap();
            if pick.is_multiple_of(5) && !text.is_empty() {
                let from = pick % text.len();
                let piece = text[from..].iter().take(12).copied().collect::<Vec<_>>();
                text.extend(piece);
            } else {
                text.push(u8::try_from((state >> 33) % letters).unwrap());
            }
        }
        text.truncate(len);
        text
    }

    #[test]
    fn a_short_stream_reads_the_same_with_as_much_memory_as_it_can_use() {
        let full = 64 << 20;
        for (len, letters) in [(1, 1), (40, 256), (300, 256), (300, 3), (2000, 256), (9000, 20)] {
            let plain = text(len, letters);
            let told = u64::try_from(len).unwrap();
            for order in [2, 6, 16] {
                let mut packed =
                    u16::to_le_bytes(u16::try_from(order - 1 + (63 << 4)).unwrap()).to_vec();
                let mut writer =
                    Ppmd8Encoder::new(&mut packed, order, full, RestoreMethod::Restart).unwrap();
                writer.write_all(&plain).unwrap();
                writer.finish(false).unwrap();
                let mut read = vec![0; len];
                PpmdI::new(Cursor::new(&packed), Some(told))
                    .unwrap()
                    .read_exact(&mut read)
                    .unwrap();
                assert!(read == plain, "variant I, {len} bytes, {letters} letters, order {order}");

                let mut packed = Vec::new();
                let mut writer = Ppmd7Encoder::new(&mut packed, order * 4, full).unwrap();
                writer.write_all(&plain).unwrap();
                writer.finish(false).unwrap();
                let mut stream = PpmdH::new(&packed[..], order * 4, full, told).unwrap();
                stream.read_exact(&mut read).unwrap();
                assert!(read == plain, "variant H, {len} bytes, {letters} letters, order {order}");
            }
        }
        assert_eq!(useful_memory(16, 256 << 20, Some(40)), MODEL_MIN);
        assert_eq!(useful_memory(16, 256 << 20, None), 256 << 20);
        assert_eq!(useful_memory(16, 3 << 20, Some(1 << 30)), 3 << 20);
    }
}
