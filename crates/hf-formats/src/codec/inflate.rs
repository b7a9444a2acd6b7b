//! Deflate, raw and with zlib's header (RFC 1951, RFC 1950), over flate2.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{damaged, truncated};

/// Reads one deflate stream. flate2's own readers drop what one call made before an error and take
/// the end of the input for the end of the stream; this one does neither.
pub(crate) struct Inflate<R> {
    source: R,
    state: Decompress,
    ended: Option<io::Result<()>>,
}

impl<R> fmt::Debug for Inflate<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate").field("out", &self.state.total_out()).finish_non_exhaustive()
    }
}

impl<R: BufRead> Inflate<R> {
    /// Returns a reader of raw deflate.
    pub(crate) fn raw(source: R) -> Self {
        Self { source, state: Decompress::new(false), ended: None }
    }

    /// Returns a reader of deflate with zlib's header; a wrong Adler-32 is an error behind the last byte.
    pub(crate) fn zlib(source: R) -> Self {
        Self { source, state: Decompress::new(true), ended: None }
    }

    /// Returns how many bytes of the input were used.
    pub(crate) fn used(&self) -> u64 {
        self.state.total_in()
    }

    /// Fills a buffer as far as the stream goes; what is not filled is behind its end or an error, which
    /// the next call tells. With room for all that comes, the decoder needs no window of its own.
    pub(crate) fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut made = 0;
        while self.ended.is_none() && made < buf.len() {
            let rest = buf.get_mut(made..).unwrap_or_default();
            made = made.saturating_add(self.step(rest, FlushDecompress::Finish)?);
        }
        if made > 0 { Ok(made) } else { self.end() }
    }

    fn end(&mut self) -> io::Result<usize> {
        match self.ended.replace(Ok(())) {
            Some(Err(error)) => Err(error),
            _ => Ok(0),
        }
    }

    /// One call of the decoder; returns how many bytes it made.
    fn step(&mut self, buf: &mut [u8], flush: FlushDecompress) -> io::Result<usize> {
        let input = self.source.fill_buf()?;
        let at_end = input.is_empty();
        let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, buf, flush);
        let used = self.state.total_in().saturating_sub(in_before);
        let made = self.state.total_out().saturating_sub(out_before);
        self.source.consume(usize::try_from(used).unwrap_or(usize::MAX));
        match status {
            Ok(Status::StreamEnd) => self.ended = Some(Ok(())),
            Ok(_) if made == 0 && used == 0 => {
                self.ended =
                    Some(Err(if at_end { truncated() } else { damaged("deflate: stuck") }));
            }
            Ok(_) => {}
            Err(_) => self.ended = Some(Err(damaged("deflate: invalid code"))),
        }
        Ok(usize::try_from(made).unwrap_or(usize::MAX))
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.ended.is_none() {
            let made = self.step(buf, FlushDecompress::None)?;
            if made > 0 {
                return Ok(made);
            }
        }
        self.end()
    }
}
