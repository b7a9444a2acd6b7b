//! LZMA streams without a container, and LZMA2.
//!
//! Ours and not `lzma-rust2`'s: that is two to three times slower than the LZMA SDK, loses what a chunk held
//! before its damage, and checks overflow in its inner loop in releases as ours are built.
//! A dictionary that is claimed larger than [`super::MEMORY_MAX`] is cut to it; only output that is larger can
//! then fail, and does so as [`io::ErrorKind::OutOfMemory`].
//! Sources: LZMA SDK, `lzma-specification.txt` (public domain); "The .xz File Format" 1.2.1.

mod model;
mod window;

use std::fmt;
use std::io::{self, BufRead, Read};

use model::{INPUT_LEN, Model, RangeState, SYMBOL_LEN_MAX, Stopped};
use window::Window;

use super::{MEMORY_MAX, damaged, read_up_to, too_much_memory, truncated};

/// Properties of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LzmaHeader {
    /// lc, lp and pb as packed in the first byte.
    pub(crate) props: u8,
    /// Bytes of dictionary as claimed.
    pub(crate) dict_len: u32,
    /// Bytes unpacked; none when an end marker says where the end is.
    pub(crate) unpacked_len: Option<u64>,
}

/// Bytes made in one go.
const STEP_LEN: usize = 128 * 1024;
/// Bytes of input that are read in one go, at most: a chunk of LZMA2.
const FILL_LEN: usize = 64 * 1024;

/// Compressed bytes, with zeros behind them.
struct Input {
    bytes: Box<[u8; INPUT_LEN]>,
    filled: usize,
    at_end: bool,
}

impl Input {
    fn new() -> Self {
        let bytes = vec![0u8; INPUT_LEN].into_boxed_slice();
        let bytes = bytes.try_into().unwrap_or_else(|_| Box::new([0; INPUT_LEN]));
        Self { bytes, filled: 0, at_end: false }
    }

    /// Drops what was used and reads more.
    fn refill(&mut self, source: &mut impl Read, range: &mut RangeState) -> io::Result<()> {
        self.bytes.copy_within(range.at.min(self.filled)..self.filled, 0);
        self.filled = self.filled.saturating_sub(range.at);
        range.at = 0;
        let filled = self.filled;
        self.filled = filled.saturating_add(self.fill(source, filled, FILL_LEN)?);
        self.at_end = self.filled < FILL_LEN;
        Ok(())
    }

    /// Reads up to `to` bytes behind the first `from`, and puts zeros behind them.
    fn fill(&mut self, source: &mut impl Read, from: usize, to: usize) -> io::Result<usize> {
        let space = self.bytes.get_mut(from..to).unwrap_or_default();
        let read = read_up_to(source, space)?;
        let end = from.saturating_add(read);
        let padding = self.bytes.get_mut(end..end.saturating_add(2 * SYMBOL_LEN_MAX));
        padding.unwrap_or_default().fill(0);
        Ok(read)
    }

    /// Where the decoder has to stop and ask.
    fn soft_end(&self) -> usize {
        if self.at_end { self.filled } else { self.filled.saturating_sub(SYMBOL_LEN_MAX) }
    }
}

/// Reads one LZMA stream; reads ahead of its end.
pub(crate) struct Lzma<R> {
    source: R,
    input: Input,
    range: RangeState,
    model: Model,
    window: Window,
    left: Option<u64>,
    clamped: bool,
    ended: Option<io::Result<()>>,
}

impl<R> fmt::Debug for Lzma<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lzma").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<R: BufRead> Lzma<R> {
    /// Returns a reader of the stream behind its header.
    ///
    /// # Errors
    /// The properties are impossible, or the first five bytes are missing.
    pub(crate) fn new(mut source: R, header: LzmaHeader) -> io::Result<Self> {
        let model = Model::new(header.props).ok_or_else(|| damaged("lzma: properties"))?;
        let mut head = [0u8; 5];
        if read_up_to(&mut source, &mut head)? < head.len() {
            return Err(truncated());
        }
        let [first, ..] = head;
        if first != 0 {
            return Err(damaged("lzma: first byte"));
        }
        let mut range = RangeState::new(head);
        range.at = 0;
        let dict_len = usize::try_from(header.dict_len.clamp(4096, MEMORY_MAX)).unwrap_or(4096);
        let needed = header.unpacked_len.and_then(|len| usize::try_from(len).ok());
        let window = Window::new(dict_len.min(needed.unwrap_or(usize::MAX)));
        Ok(Self {
            source,
            input: Input::new(),
            range,
            model,
            window,
            left: header.unpacked_len,
            clamped: header.dict_len > MEMORY_MAX,
            ended: None,
        })
    }

    /// Returns how many bytes were read from the source and not used.
    pub(crate) fn unused_len(self) -> usize {
        self.input.filled.saturating_sub(self.range.at)
    }

    fn step(&mut self) -> io::Result<()> {
        if self.left == Some(0) {
            self.finish()?;
            self.ended = Some(Ok(()));
            return Ok(());
        }
        if !self.input.at_end && self.range.at >= self.input.soft_end() {
            self.input.refill(&mut self.source, &mut self.range)?;
        }
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let want = STEP_LEN.min(left);
        self.window.make_room(want);
        let start = self.window.at;
        let full_at = start.saturating_add(want);
        let end = self.input.soft_end();
        let stopped =
            self.model.run(&mut self.range, &self.input.bytes, end, &mut self.window, full_at);
        if let Stopped::Input { last } = stopped
            && self.input.at_end
        {
            self.window.at = last;
            self.ended = Some(Err(truncated()));
        }
        self.window.at = self.window.at.min(start.saturating_add(left));
        match stopped {
            Stopped::Full | Stopped::Input { .. } => {}
            Stopped::Marker => {
                self.normalise();
                self.ended = Some(Ok(()));
            }
            Stopped::Far if self.clamped && self.window.dropped() => {
                self.ended = Some(Err(too_much_memory()));
            }
            Stopped::Far => self.ended = Some(Err(damaged("lzma: invalid data"))),
        }
        if let Some(left) = &mut self.left {
            let made = self.window.at.saturating_sub(start);
            *left = left.saturating_sub(u64::try_from(made).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Takes an end marker behind the last byte, when there is one.
    fn finish(&mut self) -> io::Result<()> {
        if !self.input.at_end && self.range.at >= self.input.soft_end() {
            self.input.refill(&mut self.source, &mut self.range)?;
        }
        self.normalise();
        if self.range.code == 0 {
            return Ok(());
        }
        let (mut range, at) = (self.range, self.window.at);
        self.window.make_room(1);
        let (end, full_at) = (self.input.filled, self.window.at.saturating_add(1));
        let stopped = self.model.run(&mut range, &self.input.bytes, end, &mut self.window, full_at);
        self.window.at = at.min(self.window.at);
        if stopped == Stopped::Marker {
            self.range = range;
            self.normalise();
        }
        Ok(())
    }

    fn normalise(&mut self) {
        if self.range.range < 1 << 24 {
            let byte = self.input.bytes.get(self.range.at).copied().unwrap_or(0);
            self.range.range <<= 8;
            self.range.code = self.range.code << 8 | u32::from(byte);
            self.range.at = self.range.at.saturating_add(1).min(self.input.filled);
        }
    }
}

impl<R: BufRead> Read for Lzma<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.ended.is_none() && self.window.ready() == 0 && !buf.is_empty() {
            if let Err(error) = self.step() {
                self.ended = Some(Err(error));
            }
        }
        deliver(&mut self.window, &mut self.ended, buf)
    }
}

fn deliver(
    window: &mut Window,
    ended: &mut Option<io::Result<()>>,
    buf: &mut [u8],
) -> io::Result<usize> {
    let taken = window.take(buf);
    if taken == 0
        && !buf.is_empty()
        && let Some(Err(error)) = ended.replace(Ok(()))
    {
        return Err(error);
    }
    Ok(taken)
}

/// Reads LZMA2 chunks up to the end mark; consumes nothing behind it.
pub(crate) struct Lzma2<R> {
    source: R,
    input: Input,
    range: RangeState,
    model: Option<Model>,
    window: Window,
    clamped: bool,
    /// Bytes that the current chunk has still to make.
    left: usize,
    ended: Option<io::Result<()>>,
}

impl<R> fmt::Debug for Lzma2<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lzma2").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<R: Read> Lzma2<R> {
    /// Returns a reader of the chunks, with a dictionary as claimed.
    pub(crate) fn new(source: R, dict_len: u32) -> Self {
        let keep_len = usize::try_from(dict_len.clamp(4096, MEMORY_MAX)).unwrap_or(4096);
        Self {
            source,
            input: Input::new(),
            range: RangeState::default(),
            model: None,
            window: Window::new(keep_len),
            clamped: dict_len > MEMORY_MAX,
            left: 0,
            ended: None,
        }
    }

    /// Returns the dictionary's length for its byte of properties.
    pub(crate) fn dict_len(props: u8) -> u32 {
        match u32::from(props) {
            bits @ 0..40 => (2 | (bits & 1)).checked_shl((bits >> 1).saturating_add(11)),
            _ => Some(u32::MAX),
        }
        .unwrap_or(u32::MAX)
    }

    fn step(&mut self) -> io::Result<()> {
        if self.left == 0 {
            return self.open_chunk();
        }
        let want = self.left.min(STEP_LEN);
        self.window.make_room(want);
        let Some(model) = &mut self.model else { return Err(damaged("lzma2: no properties")) };
        let start = self.window.at;
        let (end, full_at) = (self.input.filled, start.saturating_add(want));
        let stopped = model.run(&mut self.range, &self.input.bytes, end, &mut self.window, full_at);
        match stopped {
            Stopped::Full => {
                self.window.at = self.window.at.min(start.saturating_add(self.left));
                self.left = self.left.saturating_sub(self.window.at.saturating_sub(start));
                Ok(())
            }
            Stopped::Input { last } => {
                self.window.at = last;
                Err(if self.input.at_end { truncated() } else { damaged("lzma2: chunk size") })
            }
            Stopped::Far if self.clamped && self.window.dropped() => Err(too_much_memory()),
            Stopped::Far | Stopped::Marker => Err(damaged("lzma2: invalid data")),
        }
    }

    fn open_chunk(&mut self) -> io::Result<()> {
        let [control] = self.exactly()?;
        if control == 0 {
            self.ended = Some(Ok(()));
            return Ok(());
        }
        if matches!(control, 1 | 0xe0..) {
            self.window.reset();
        }
        let [high, low] = self.exactly()?;
        let len = usize::from(u16::from_be_bytes([high, low])).saturating_add(1);
        if control < 0x80 {
            return if control > 2 { Err(damaged("lzma2: control byte")) } else { self.copy(len) };
        }
        let [high, low] = self.exactly()?;
        let packed_len = usize::from(u16::from_be_bytes([high, low])).saturating_add(1);
        if control >= 0xc0 {
            let [props] = self.exactly()?;
            self.model = Some(Model::new(props).ok_or_else(|| damaged("lzma2: properties"))?);
        } else if control >= 0xa0
            && let Some(model) = &mut self.model
        {
            model.reset();
        }
        self.left = len.saturating_add(usize::from(control & 0x1f) << 16);
        let read = self.input.fill(&mut self.source, 0, packed_len)?;
        self.input.filled = read;
        self.input.at_end = read < packed_len;
        let head = self.input.bytes.first_chunk::<5>().copied().unwrap_or_default();
        if read < head.len() {
            return Err(if self.input.at_end { truncated() } else { damaged("lzma2: chunk size") });
        }
        self.range = RangeState::new(head);
        Ok(())
    }

    /// A chunk that is not compressed.
    fn copy(&mut self, len: usize) -> io::Result<()> {
        let read = self.input.fill(&mut self.source, 0, len)?;
        self.window.make_room(read);
        self.window.extend(self.input.bytes.get(..read).unwrap_or_default());
        if read < len { Err(truncated()) } else { Ok(()) }
    }

    fn exactly<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0u8; N];
        let read = read_up_to(&mut self.source, &mut bytes)?;
        if read < N { Err(truncated()) } else { Ok(bytes) }
    }
}

impl<R: Read> Read for Lzma2<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.ended.is_none() && self.window.ready() == 0 && !buf.is_empty() {
            if let Err(error) = self.step() {
                self.ended = Some(Err(error));
            }
        }
        deliver(&mut self.window, &mut self.ended, buf)
    }
}
