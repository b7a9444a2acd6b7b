//! Zstandard frames (RFC 8878), over `ruzstd`.
//!
//! The frame header is read here and a plain one is given to the decoder: the claimed content size is
//! dropped and the window cut to [`super::MEMORY_MAX`], so that neither can refuse a small frame. What
//! was decoded before an error is drained by an empty last block of our own.
//! Leaves out: the content checksum; dictionaries.

use std::fmt;
use std::io::{self, BufRead, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{MEMORY_MAX, damaged, read_up_to, too_much_memory, truncated};

/// Reads one frame.
pub(crate) struct ZstdFrame<R> {
    source: R,
    decoder: FrameDecoder,
    clamped: bool,
    made: u64,
    ended: Option<io::Result<()>>,
}

impl<R> fmt::Debug for ZstdFrame<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdFrame").field("made", &self.made).finish_non_exhaustive()
    }
}

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Exponent 17: 128 MiB.
const LARGEST_EXPONENT: u8 = 17;
/// A last block of no bytes, and a checksum for frames that have one.
const EMPTY_END: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> ZstdFrame<R> {
    /// Reads the frame header and returns a reader of the content.
    ///
    /// # Errors
    /// The header is cut or impossible, or the frame needs a dictionary.
    pub(crate) fn new(mut source: R) -> io::Result<Self> {
        let (header, clamped) = plain_header(&mut source)?;
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(u64::from(MEMORY_MAX));
        decoder.reset(header.as_slice()).map_err(|_| damaged("zstd: frame header"))?;
        Ok(Self { source, decoder, clamped, made: 0, ended: None })
    }

    /// Returns the input, behind the frame when that was read to its end.
    pub(crate) fn into_source(self) -> R {
        self.source
    }

    fn step(&mut self) -> io::Result<()> {
        match self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1)) {
            Ok(false) => {}
            Ok(true) => self.ended = Some(Ok(())),
            Err(_) => {
                let error = if self.source.fill_buf()?.is_empty() {
                    truncated()
                } else if self.clamped && self.made >= u64::from(MEMORY_MAX) {
                    too_much_memory()
                } else {
                    damaged("zstd: invalid block")
                };
                self.ended = Some(Err(error));
                let drain = BlockDecodingStrategy::UptoBlocks(1);
                // When even this fails there is nothing to drain.
                let _ = self.decoder.decode_blocks(EMPTY_END.as_slice(), drain);
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.ended.is_none() && self.decoder.can_collect() == 0 {
            self.step()?;
        }
        let read = self.decoder.read(buf)?;
        self.made = self.made.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if read == 0
            && let Some(Err(error)) = self.ended.replace(Ok(()))
        {
            return Err(error);
        }
        Ok(read)
    }
}

/// Reads a frame header and returns one without a content size and with a window of at most
/// [`MEMORY_MAX`], and whether that made the window smaller.
fn plain_header(source: &mut impl BufRead) -> io::Result<(Vec<u8>, bool)> {
    let mut fixed = [0u8; 5];
    if read_up_to(source, &mut fixed)? < fixed.len() {
        return Err(truncated());
    }
    let [a, b, c, d, descriptor] = fixed;
    if [a, b, c, d] != MAGIC {
        return Err(damaged("zstd: magic"));
    }
    let single_segment = descriptor & 0x20 != 0;
    let mut field = |len: usize| -> io::Result<u64> {
        let mut raw = [0u8; 8];
        let have = read_up_to(source, raw.get_mut(..len).unwrap_or_default())?;
        if have < len { Err(truncated()) } else { Ok(u64::from_le_bytes(raw)) }
    };
    let mut window_byte = 0u8;
    if !single_segment {
        window_byte = u8::try_from(field(1)?).unwrap_or(u8::MAX);
    }
    if field([0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0))? != 0 {
        return Err(damaged("zstd: needs a dictionary"));
    }
    let content_len = match descriptor >> 6 {
        0 if single_segment => field(1)?,
        0 => 0,
        1 => field(2)?.saturating_add(256),
        2 => field(4)?,
        _ => field(8)?,
    };
    let mut clamped = false;
    if single_segment {
        let exponent = content_len.max(1024).checked_next_power_of_two().map_or(64, u64::ilog2);
        let exponent = u8::try_from(exponent.saturating_sub(10)).unwrap_or(u8::MAX);
        clamped = exponent > LARGEST_EXPONENT;
        window_byte = exponent.min(LARGEST_EXPONENT) << 3;
    } else if window_byte > LARGEST_EXPONENT << 3 {
        clamped = true;
        window_byte = LARGEST_EXPONENT << 3;
    }
    let mut header = MAGIC.to_vec();
    header.extend([descriptor & 0x04, window_byte]);
    Ok((header, clamped))
}
