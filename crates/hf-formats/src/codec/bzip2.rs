//! bzip2, over the `bzip2` crate (a Rust libbz2).

use std::fmt;
use std::io::{self, BufRead, Read};

use bzip2::{Decompress, Status};

use super::{damaged, too_much_memory, truncated};

/// Reads one bzip2 stream.
pub(crate) struct Bunzip2<R> {
    source: R,
    state: Decompress,
    ended: Option<io::Result<()>>,
}

impl<R> fmt::Debug for Bunzip2<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bunzip2").field("out", &self.state.total_out()).finish_non_exhaustive()
    }
}

impl<R: BufRead> Bunzip2<R> {
    /// Returns a reader at the start of a stream (`BZh`).
    pub(crate) fn new(source: R) -> Self {
        Self { source, state: Decompress::new(false), ended: None }
    }

    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let input = self.source.fill_buf()?;
        let at_end = input.is_empty();
        let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, buf);
        let used = self.state.total_in().saturating_sub(in_before);
        let made = self.state.total_out().saturating_sub(out_before);
        self.source.consume(usize::try_from(used).unwrap_or(usize::MAX));
        match status {
            Ok(Status::StreamEnd) => self.ended = Some(Ok(())),
            Ok(Status::MemNeeded) => self.ended = Some(Err(too_much_memory())),
            Ok(_) if made == 0 && used == 0 => {
                self.ended = Some(Err(if at_end { truncated() } else { damaged("bzip2: stuck") }));
            }
            Ok(_) => {}
            Err(_) => self.ended = Some(Err(damaged("bzip2: invalid data"))),
        }
        Ok(usize::try_from(made).unwrap_or(usize::MAX))
    }
}

impl<R: BufRead> Read for Bunzip2<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.ended.is_none() {
            let made = self.step(buf)?;
            if made > 0 {
                return Ok(made);
            }
        }
        match self.ended.replace(Ok(())) {
            Some(Err(error)) => Err(error),
            _ => Ok(0),
        }
    }
}
