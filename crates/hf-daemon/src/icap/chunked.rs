//! Bodies in chunks, with the extension by which ICAP ends a preview.
//!
//! Promises: takes bytes as they come, in pieces of any size; a size line is at most [`LINE_MAX`] bytes,
//! and so are all trailers together; nothing is allocated by a size that a peer states.
//! Leaves out: trailers, and chunk extensions but `ieof`, which are read and forgotten.
//! Sources: RFC 9112 §7.1; RFC 3507 §4.5.

/// Takes a body apart.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Before a size line.
    #[default]
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// Before the end of line behind a chunk.
    DataEnd,
    /// Before a line of the trailers.
    Trailer { ieof: bool },
    /// Behind everything.
    End { ieof: bool },
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that were used up.
    pub used: usize,
    /// Set at the end of the body.
    pub end: Option<End>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a zero chunk: of a preview, there may be more.
    Plain,
    /// With a zero chunk that says `ieof`: a preview that was the whole body.
    WholeInPreview,
}

/// Why bytes are no body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    /// The size is no hexadecimal number below 2^63.
    #[error("a malformed chunk size")]
    Size,
    /// No end of line behind a chunk.
    #[error("a chunk longer than its size says")]
    End,
    /// A line or the trailers are longer than [`LINE_MAX`].
    #[error("a line of more than {LINE_MAX} bytes between chunks")]
    Long,
}

impl Chunks {
    /// Reads on: adds data to `out`, and says how much of the input was used. What was not used
    /// is to be given again, with what comes after it.
    ///
    /// # Errors
    /// See [`BadChunk`]; the body cannot be read on.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, BadChunk> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.state {
                State::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    out.extend_from_slice(rest.get(..take).unwrap_or_default());
                    used += take;
                    let left = left - u64::try_from(take).unwrap_or(left);
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    if left > 0 {
                        return Ok(Step { used, end: None });
                    }
                }
                State::End { ieof } => {
                    let end = if ieof { End::WholeInPreview } else { End::Plain };
                    return Ok(Step { used, end: Some(end) });
                }
                State::DataEnd
                    if !matches!(rest, [] | [b'\r'] | [b'\n', ..] | [b'\r', b'\n', ..]) =>
                {
                    return Err(BadChunk::End);
                }
                State::Size | State::DataEnd | State::Trailer { .. } => {
                    let Some((line, len)) = line(rest)? else {
                        return Ok(Step { used, end: None });
                    };
                    used += len;
                    self.line(line)?;
                }
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), BadChunk> {
        self.state = match self.state {
            State::Size => match size(line)? {
                (0, ieof) => State::Trailer { ieof },
                (bytes, _) => State::Data(bytes),
            },
            State::DataEnd => State::Size,
            State::Trailer { ieof } if line.is_empty() => State::End { ieof },
            other => {
                self.trailer_bytes = self.trailer_bytes.saturating_add(line.len() + 1);
                if self.trailer_bytes > LINE_MAX {
                    return Err(BadChunk::Long);
                }
                other
            }
        };
        Ok(())
    }
}

/// Returns a line without its end, and how long it is with it.
fn line(rest: &[u8]) -> Result<Option<(&[u8], usize)>, BadChunk> {
    let within = rest.get(..LINE_MAX.min(rest.len())).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if rest.len() < LINE_MAX { Ok(None) } else { Err(BadChunk::Long) };
    };
    let line = rest.get(..end).unwrap_or_default();
    Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1)))
}

/// Returns the size that a line states, and whether it says `ieof`.
fn size(line: &[u8]) -> Result<(u64, bool), BadChunk> {
    let mut parts = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let digits = parts.next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadChunk::Size);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BadChunk::Size)?;
    let bytes = u64::from_str_radix(digits, 16).map_err(|_| BadChunk::Size)?;
    if bytes > i64::MAX.unsigned_abs() {
        return Err(BadChunk::Size);
    }
    Ok((bytes, parts.any(|part| part.eq_ignore_ascii_case(b"ieof"))))
}

/// Writes one chunk; nothing for no data, since an empty chunk would be the end.
pub fn put(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// The end of a body in chunks.
pub const LAST: &[u8] = b"0\r\n\r\n";

/// Ours: as long as a line of HTTP is commonly let be.
pub const LINE_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], piece: usize) -> Result<(Vec<u8>, Option<End>, usize), BadChunk> {
        let (mut chunks, mut out, mut held, mut at) =
            (Chunks::default(), Vec::new(), Vec::new(), 0);
        while at < input.len() {
            let next = (at + piece).min(input.len());
            held.extend_from_slice(&input[at..next]);
            at = next;
            let step = chunks.read(&held, &mut out)?;
            held.drain(..step.used);
            if step.end.is_some() {
                return Ok((out, step.end, at - held.len()));
            }
        }
        Ok((out, None, at - held.len()))
    }

    #[track_caller]
    fn check(input: &[u8], want: Result<(&[u8], Option<End>), BadChunk>) {
        for piece in [1, 2, 3, 7, 4096] {
            let got = read(input, piece).map(|(data, end, _)| (data, end));
            assert_eq!(got, want.map(|(data, end)| (data.to_vec(), end)), "pieces of {piece}");
        }
    }

    #[test]
    fn bodies() {
        check(b"3\r\nabc\r\n0\r\n\r\n", Ok((b"abc", Some(End::Plain))));
        check(b"0\r\n\r\n", Ok((b"", Some(End::Plain))));
        check(b"0; ieof\r\n\r\n", Ok((b"", Some(End::WholeInPreview))));
        check(b"1;a=\"x\";b\r\nz\r\n00;IEOF\r\n\r\n", Ok((b"z", Some(End::WholeInPreview))));
        check(b"A\n0123456789\n0\nTrailer: x\n\n", Ok((b"0123456789", Some(End::Plain))));
        check(b"5\r\nab", Ok((b"ab", None)));
    }

    #[test]
    fn bad_bodies() {
        for text in [b"\r\n".as_slice(), b"x\r\n", b"-1\r\n", b"0x1\r\n", b"8000000000000000\r\n"] {
            check(text, Err(BadChunk::Size));
        }
        check(b"11111111111111111\r\n", Err(BadChunk::Size));
        check(b"1\r\nabc\r\n", Err(BadChunk::End));
        check(&[b"1;".as_slice(), &[b'a'; LINE_MAX]].concat(), Err(BadChunk::Long));
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(LINE_MAX / 4)].concat();
        check(&trailers, Err(BadChunk::Long));
    }

    #[test]
    fn what_follows_is_left() {
        let (_, end, used) = read(b"1\r\na\r\n0\r\n\r\nOPTIONS", 4096).expect("a body");
        assert_eq!((end, used), (Some(End::Plain), 11));
    }

    #[test]
    fn written_chunks_are_read() {
        let mut out = Vec::new();
        put(b"", &mut out);
        put(&[7; 300], &mut out);
        out.extend_from_slice(LAST);
        check(&out, Ok((&[7; 300], Some(End::Plain))));
    }
}
