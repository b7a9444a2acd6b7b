//! LZO1X blocks.
//!
//! Sources: the description of the stream in Linux (`lzo.rst`), by observation of lzop's output.

use std::io;

use super::copies::{copy_back, literals};
use super::{damaged, truncated};
use crate::reader::Reader;

/// Appends what a block holds, at most so many bytes; what came out before an error stays.
///
/// # Errors
/// The block is cut or damaged, or makes more.
pub(crate) fn lzo1x(input: &[u8], out: &mut Vec<u8>, len_max: usize) -> io::Result<()> {
    let mut block = Block { input: Reader::new(input), start: out.len(), len_max, out };
    // How many literals the last instruction brought; 4 stands for more.
    let mut state = 0usize;
    if let Some(first @ 18..) = input.first() {
        block.input.skip(1).map_err(|_| truncated())?;
        let len = usize::from(*first).saturating_sub(17);
        block.literals(len)?;
        state = len.min(4);
    }
    while let Some(next) = block.instruction(state)? {
        state = next;
    }
    Ok(())
}

struct Block<'i, 'o> {
    input: Reader<'i>,
    out: &'o mut Vec<u8>,
    start: usize,
    len_max: usize,
}

impl Block<'_, '_> {
    /// Runs one instruction and returns the next state; none at the end.
    fn instruction(&mut self, state: usize) -> io::Result<Option<usize>> {
        let byte = usize::from(self.byte()?);
        let (distance, len, literal_len) = match byte {
            0..16 if state == 0 => {
                let len = self.len(byte, 15)?.saturating_add(3);
                self.literals(len)?;
                return Ok(Some(4));
            }
            0..16 => {
                let far = usize::from(self.byte()?) << 2;
                let (base, len) = if state < 4 { (1, 2) } else { (2049, 3) };
                (far + (byte >> 2) + base, len, byte & 3)
            }
            16..32 => {
                let len = self.len(byte & 7, 7)?.saturating_add(2);
                let word = self.word()?;
                let distance = ((byte & 8) << 11) + (word >> 2) + 16_384;
                if distance == 16_384 {
                    return Ok(None);
                }
                (distance, len, word & 3)
            }
            32..64 => {
                let len = self.len(byte & 31, 31)?.saturating_add(2);
                let word = self.word()?;
                ((word >> 2) + 1, len, word & 3)
            }
            _ => {
                let far = usize::from(self.byte()?) << 3;
                (far + (byte >> 2 & 7) + 1, (byte >> 5) + 1, byte & 3)
            }
        };
        self.copy(distance, len)?;
        self.literals(literal_len)?;
        Ok(Some(literal_len))
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.input.u8().map_err(|_| truncated())
    }

    fn word(&mut self) -> io::Result<usize> {
        self.input.u16_le().map(usize::from).map_err(|_| truncated())
    }

    /// A length that is continued when its bits in the instruction are zero.
    fn len(&mut self, bits: usize, base: usize) -> io::Result<usize> {
        if bits > 0 {
            return Ok(bits);
        }
        let mut len = base;
        loop {
            match self.byte()? {
                0 => len = len.saturating_add(255),
                last => return Ok(len.saturating_add(usize::from(last))),
            }
        }
    }

    fn room(&self, len: usize) -> io::Result<()> {
        let made = self.out.len().saturating_sub(self.start);
        if made.saturating_add(len) > self.len_max {
            return Err(damaged("lzo: block too large"));
        }
        Ok(())
    }

    fn literals(&mut self, len: usize) -> io::Result<()> {
        self.room(len)?;
        literals(self.out, self.input.rest(), len);
        let bytes = self.input.take_up_to(len);
        if bytes.len() < len { Err(truncated()) } else { Ok(()) }
    }

    fn copy(&mut self, distance: usize, len: usize) -> io::Result<()> {
        self.room(len)?;
        if distance > self.out.len().saturating_sub(self.start) {
            return Err(damaged("lzo: distance before the start"));
        }
        copy_back(self.out, distance, len);
        Ok(())
    }
}
