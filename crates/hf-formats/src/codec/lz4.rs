//! LZ4 frames, current and legacy (lz4_Frame_format.md 1.6.4, lz4_Block_format.md).
//!
//! Ours and not `lz4_flex`'s, because that gives nothing of a block that is cut or damaged.
//! Leaves out: checksums; dictionaries (a copy from one is an error).

use std::io::{self, Read};

use super::copies::{copy_back, literals};
use super::history::{History, Symbols, Unpacker};
use super::{damaged, truncated};
use crate::reader::{Reader, size};

/// Magic of a frame.
pub(crate) const MAGIC: u32 = 0x184d_2204;
/// Magic of a legacy frame.
pub(crate) const LEGACY_MAGIC: u32 = 0x184c_2102;

/// Sequences that are decoded before what they made is taken.
const SEQUENCES_AT_ONCE: usize = 64;

/// Reads one frame.
#[derive(Debug)]
pub(crate) struct Lz4Frame<'a>(Unpacker<Blocks<'a>>);

#[derive(Debug)]
struct Blocks<'a> {
    input: Reader<'a>,
    legacy: bool,
    block_checksums: bool,
    content_checksum: bool,
    block_len_max: usize,
    /// The block that is being decoded.
    block: Option<Block<'a>>,
}

#[derive(Debug)]
struct Block<'a> {
    data: Reader<'a>,
    made: usize,
    cut: bool,
}

impl<'a> Lz4Frame<'a> {
    /// Reads the frame header and returns a reader of the content.
    ///
    /// # Errors
    /// The header is cut, or of an unknown version.
    pub(crate) fn new(input: &'a [u8]) -> io::Result<Self> {
        let mut reader = Reader::new(input);
        let magic = reader.u32_le().map_err(|_| truncated())?;
        let mut blocks = Blocks {
            input: reader,
            legacy: magic == LEGACY_MAGIC,
            block_checksums: false,
            content_checksum: false,
            block_len_max: 8 << 20,
            block: None,
        };
        if !blocks.legacy {
            blocks.header()?;
        }
        Ok(Self(Unpacker::new(blocks)))
    }

    /// Returns how many bytes of the input were used.
    pub(crate) fn used(&self) -> usize {
        self.0.symbols().input.off()
    }
}

impl Read for Lz4Frame<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<'a> Blocks<'a> {
    fn header(&mut self) -> io::Result<()> {
        let mut byte = || self.input.u8().map_err(|_| truncated());
        let (flags, descriptor) = (byte()?, byte()?);
        if flags >> 6 != 1 {
            return Err(damaged("lz4: version"));
        }
        self.block_checksums = flags & 0x10 != 0;
        self.content_checksum = flags & 0x04 != 0;
        let size_id = u32::from(descriptor >> 4) & 7;
        self.block_len_max = 1usize << size_id.max(4).saturating_mul(2).saturating_add(8);
        let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
        let dictionary = if flags & 0x01 != 0 { 4 } else { 0 };
        self.input.skip(content_size + dictionary + 1).map_err(|_| truncated())
    }

    /// Opens the next block; false at the end of the frame.
    fn next_block(&mut self, out: &mut History) -> io::Result<bool> {
        if self.legacy && self.input.left() == 0 {
            return Ok(false);
        }
        let before = self.input;
        let word = self.input.u32_le().map_err(|_| truncated())?;
        if self.legacy && (word == LEGACY_MAGIC || word == MAGIC || word >> 4 == 0x0184_d2a5) {
            self.input = before;
            return Ok(false);
        }
        if word == 0 && !self.legacy {
            let checksum_len = if self.content_checksum { 4 } else { 0 };
            self.input.take_up_to(checksum_len);
            return Ok(false);
        }
        let stored = word >> 31 == 1 && !self.legacy;
        let len = if self.legacy { word } else { word & 0x7fff_ffff };
        let len = size(u64::from(len));
        if len > self.block_len_max.saturating_add(self.block_len_max >> 7).saturating_add(64) {
            return Err(damaged("lz4: block size"));
        }
        let data = self.input.take_up_to(len);
        let cut = data.len() < len;
        if stored {
            out.extend(data);
            if cut {
                return Err(truncated());
            }
            self.close_block();
        } else {
            self.block = Some(Block { data: Reader::new(data), made: 0, cut });
        }
        Ok(true)
    }

    fn close_block(&mut self) {
        self.block = None;
        self.input.take_up_to(if self.block_checksums { 4 } else { 0 });
    }
}

impl Symbols for Blocks<'_> {
    fn symbol(&mut self, out: &mut History) -> io::Result<bool> {
        let Some(block) = &mut self.block else { return self.next_block(out) };
        for _ in 0..SEQUENCES_AT_ONCE {
            match block.sequence(out, self.block_len_max) {
                Ok(true) => {}
                Ok(false) => {
                    self.close_block();
                    return Ok(true);
                }
                Err(_) if block.cut => return Err(truncated()),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Block<'_> {
    /// Decodes one sequence; false behind the last of the block.
    fn sequence(&mut self, out: &mut History, len_max: usize) -> io::Result<bool> {
        let ends_early = |_| damaged("lz4: block ends early");
        if self.data.left() == 0 {
            return if self.cut { Err(truncated()) } else { Ok(false) };
        }
        let token = usize::from(self.data.u8().map_err(ends_early)?);
        let literal_len = self.len(token >> 4)?;
        out.extend_short(self.data.rest(), literal_len);
        let taken = self.data.take_up_to(literal_len).len();
        self.made = self.made.saturating_add(taken);
        if taken < literal_len {
            return Err(damaged("lz4: block ends early"));
        }
        if self.data.left() == 0 {
            return Ok(true);
        }
        let distance = usize::from(self.data.u16_le().map_err(ends_early)?);
        let copy_len = self.len(token & 15)?.saturating_add(4);
        self.made = self.made.saturating_add(copy_len);
        if self.made > len_max {
            return Err(damaged("lz4: block too large"));
        }
        out.copy(distance, copy_len)?;
        Ok(true)
    }

    fn len(&mut self, nibble: usize) -> io::Result<usize> {
        let mut len = nibble;
        if nibble == 15 {
            loop {
                let more = self.data.u8().map_err(|_| damaged("lz4: block ends early"))?;
                len = len.saturating_add(usize::from(more));
                if more != 255 {
                    break;
                }
            }
        }
        Ok(len)
    }
}

/// Appends what a block without a frame holds, at most so many bytes; what came out before an error stays.
///
/// # Errors
/// The block is cut or damaged, or makes more.
pub(crate) fn lz4_block(input: &[u8], out: &mut Vec<u8>, len_max: usize) -> io::Result<()> {
    let start = out.len();
    let mut block = Block { data: Reader::new(input), made: 0, cut: false };
    let room = |out: &Vec<u8>, len: usize| {
        let made = out.len().saturating_sub(start);
        if made.saturating_add(len) > len_max {
            Err(damaged("lz4: block too large"))
        } else {
            Ok(())
        }
    };
    while block.data.left() > 0 {
        let token = usize::from(block.data.u8().map_err(|_| truncated())?);
        let literal_len = block.len(token >> 4)?;
        room(out, literal_len)?;
        literals(out, block.data.rest(), literal_len);
        if block.data.take_up_to(literal_len).len() < literal_len {
            return Err(truncated());
        }
        if block.data.left() == 0 {
            break;
        }
        let distance = usize::from(block.data.u16_le().map_err(|_| truncated())?);
        let copy_len = block.len(token & 15)?.saturating_add(4);
        room(out, copy_len)?;
        if distance == 0 || distance > out.len().saturating_sub(start) {
            return Err(damaged("distance before the start"));
        }
        copy_back(out, distance, copy_len);
    }
    Ok(())
}
