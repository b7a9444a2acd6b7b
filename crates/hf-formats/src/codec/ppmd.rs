//! PPMd: variant I revision 1 (method 98 of zip) and variant H with the 7z range coder, over `ppmd-rust`.

use std::io::{self, BufRead, Read};

use ppmd_rust::{Ppmd7Decoder, Ppmd8Decoder, RestoreMethod};

use super::{MEMORY_MAX, Small, damaged, next_byte, too_much_memory, truncated};

/// Reads one PPMd stream behind its two bytes of parameters; it does not know its end.
pub(crate) struct PpmdI<R: BufRead>(Small<Ppmd8Decoder<R>>);

impl<R: BufRead> std::fmt::Debug for PpmdI<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PpmdI").finish_non_exhaustive()
    }
}

impl<R: BufRead> PpmdI<R> {
    /// Reads the parameters and returns a reader of the stream.
    ///
    /// # Errors
    /// The parameters are impossible, or the model is larger than [`MEMORY_MAX`].
    pub(crate) fn new(mut source: R) -> io::Result<Self> {
        let mut byte = || next_byte(&mut source)?.ok_or_else(truncated);
        let params = u32::from(u16::from_le_bytes([byte()?, byte()?]));
        let order = (params & 0xf).saturating_add(1);
        let memory = ((params >> 4) & 0xff).saturating_add(1) << 20;
        if memory > MEMORY_MAX {
            return Err(too_much_memory());
        }
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
    /// Returns a reader of a stream with this order and this many bytes of model.
    ///
    /// # Errors
    /// The parameters are impossible, or the model is larger than [`MEMORY_MAX`].
    pub(crate) fn new(source: R, order: u32, memory: u32) -> io::Result<Self> {
        if memory > MEMORY_MAX {
            return Err(too_much_memory());
        }
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
