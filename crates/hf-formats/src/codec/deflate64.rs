//! Deflate64, method 9 of zip, over the `deflate64` crate.

use std::io::{self, BufRead, Read};

use deflate64::InflaterManaged;

use super::{damaged, truncated};

/// Reads one Deflate64 stream; consumes up to four bytes behind its end.
#[derive(Debug)]
pub(crate) struct Inflate64<R> {
    source: R,
    state: Box<InflaterManaged>,
    ended: Option<io::Result<()>>,
}

impl<R: BufRead> Inflate64<R> {
    /// Returns a reader at the start of the stream.
    pub(crate) fn new(source: R) -> Self {
        Self { source, state: Box::new(InflaterManaged::new()), ended: None }
    }

    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let input = self.source.fill_buf()?;
        let at_end = input.is_empty();
        let result = self.state.inflate(input, buf);
        self.source.consume(result.bytes_consumed);
        if result.bytes_written == 0 {
            if result.data_error || self.state.errored() {
                self.ended = Some(Err(damaged("deflate64: invalid code")));
            } else if self.state.finished() {
                self.ended = Some(Ok(()));
            } else if at_end {
                self.ended = Some(Err(truncated()));
            } else if result.bytes_consumed == 0 {
                self.ended = Some(Err(damaged("deflate64: stuck")));
            }
        }
        Ok(result.bytes_written)
    }
}

impl<R: BufRead> Read for Inflate64<R> {
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
