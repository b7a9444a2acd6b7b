//! MSZIP: blocks of deflate, each of which may refer to the 32 KiB before it.
//!
//! Promises: one call makes one block of at most 32 KiB; what was made before an error is in the output.
//! Sources: MS-MCI; RFC 1951.

use std::fmt;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use super::{damaged, truncated};

/// Bytes of a block, and of the history that the next may refer to.
pub(crate) const MSZIP_BLOCK_LEN: usize = 32 * 1024;
const SIGNATURE: &[u8] = b"CK";

/// The state of a stream between its blocks.
pub(crate) struct Mszip {
    inflate: Decompress,
    history: Vec<u8>,
}

impl fmt::Debug for Mszip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mszip").field("history_len", &self.history.len()).finish_non_exhaustive()
    }
}

impl Mszip {
    /// Returns a decoder at the start of a stream.
    pub(crate) fn new() -> Self {
        Self { inflate: Decompress::new(false), history: Vec::new() }
    }

    /// Decodes a block, of at most so many bytes, and returns how much of the input it used. A missing
    /// signature is no error here.
    ///
    /// # Errors
    /// The input is cut or damaged; what was made is in `out`.
    pub(crate) fn block(
        &mut self,
        input: &[u8],
        len: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let body = input.strip_prefix(SIGNATURE).unwrap_or(input);
        let signature_len = input.len().saturating_sub(body.len());
        self.inflate.reset(false);
        if !self.history.is_empty() && self.inflate.set_dictionary(&self.history).is_err() {
            return Err(damaged("mszip: history"));
        }
        let from = out.len();
        let room = len.min(MSZIP_BLOCK_LEN);
        out.resize(from.saturating_add(room), 0);
        let ended = self.fill(body, out.get_mut(from..).unwrap_or_default());
        let made = usize::try_from(self.inflate.total_out()).unwrap_or(0);
        out.truncate(from.saturating_add(made));
        self.remember(out.get(from..).unwrap_or_default());
        ended?;
        let used = usize::try_from(self.inflate.total_in()).unwrap_or(0);
        Ok(used.saturating_add(signature_len))
    }

    /// Takes bytes into the history that stand where a block was lost.
    pub(crate) fn remember(&mut self, made: &[u8]) {
        self.history.extend_from_slice(made);
        let surplus = self.history.len().saturating_sub(MSZIP_BLOCK_LEN);
        self.history.drain(..surplus);
    }

    fn fill(&mut self, body: &[u8], room: &mut [u8]) -> io::Result<()> {
        loop {
            let (used, made) = (self.inflate.total_in(), self.inflate.total_out());
            let input = body.get(usize::try_from(used).unwrap_or(0)..).unwrap_or_default();
            let to = room.get_mut(usize::try_from(made).unwrap_or(0)..).unwrap_or_default();
            match self.inflate.decompress(input, to, FlushDecompress::None) {
                Ok(Status::StreamEnd) => return Ok(()),
                Ok(_) if self.inflate.total_out() >= u64::try_from(room.len()).unwrap_or(0) => {
                    return Ok(());
                }
                Ok(_) if self.inflate.total_in() == used && self.inflate.total_out() == made => {
                    return Err(truncated());
                }
                Ok(_) => {}
                Err(_) => return Err(damaged("mszip: invalid code")),
            }
        }
    }
}
