//! The compressed section of a help book: frames of LZX that begin anew at each reset point.

use hf_core::{Reason, Sink, Stop};

use crate::bounded::Ended;
use crate::codec::{LZX_FRAME_LEN, Lzx};
use crate::containers::rolling::Source;
use crate::reader::{Reader, size};

/// What help compilers use: a window of 64 KiB and a reset every two frames.
const WINDOW_BITS: u32 = 16;
const RESET_FRAMES: u64 = 2;
/// Ours: parts known to be damaged.
const DAMAGE_MAX: usize = 1000;

/// Decodes the section.
pub(super) struct Frames<'a> {
    data: &'a [u8],
    off: usize,
    lzx: Lzx,
    reset_frames: u64,
    /// Offsets of frames in `data`, of 8 bytes each.
    table: &'a [u8],
    frame: u64,
    /// Where the last reset point was: the next must be behind it.
    reset_off: Option<usize>,
    /// Length of the output.
    end: u64,
    damage: Vec<(u64, u64, Ended)>,
    /// The parameters are those that are usual.
    pub(super) guessed: bool,
}

impl<'a> Frames<'a> {
    /// Returns a decoder of `data` with its parameters; `files_end` is where the last file ends.
    pub(super) fn new(
        data: &'a [u8],
        control: &[u8],
        reset_table: &'a [u8],
        files_end: u64,
    ) -> Option<Self> {
        let known = parameters(control);
        let (window_bits, reset_frames) = known.unwrap_or((WINDOW_BITS, RESET_FRAMES));
        let mut header = Reader::at(reset_table, 8);
        let entry_len = header.u32_le().unwrap_or(0);
        let table_off = header.u32_le().map_or(0, |off| size(u64::from(off)));
        let claimed_end = header.u64_le().unwrap_or(0);
        let table = if entry_len == 8 { reset_table.get(table_off..) } else { None };
        Some(Self {
            data,
            off: 0,
            lzx: Lzx::new(window_bits)?,
            reset_frames,
            table: table.unwrap_or_default(),
            frame: 0,
            reset_off: None,
            end: claimed_end.max(files_end),
            damage: Vec::new(),
            guessed: known.is_none(),
        })
    }

    /// Returns why a part is not all there, or not as it was.
    pub(super) fn missing(&self, start: u64, end: u64) -> Option<Reason> {
        let damage = self.damage.iter().find(|(from, to, _)| *from < end && start < *to);
        Some(match &damage?.2 {
            Ended::Damaged(why) => Reason::Damaged(why.clone().into()),
            _ => Reason::Truncated,
        })
    }

    fn table_off(&self, frame: u64) -> Option<usize> {
        let at = size(frame).checked_mul(8)?;
        let off = size(Reader::at(self.table, at).u64_le().ok()?);
        let forward = self.reset_off.is_none_or(|last| last < off);
        (forward && off < self.data.len()).then_some(off)
    }

    /// Notes damage, and moves to the next reset point that can be found.
    fn skip(&mut self, ended: Ended, from: u64, out: &mut Vec<u8>) -> bool {
        let into = self.frame % self.reset_frames;
        let next = self.frame.saturating_add(self.reset_frames.saturating_sub(into));
        let to = next.saturating_mul(to_u64(LZX_FRAME_LEN)).min(self.end);
        let found = self.table_off(next).filter(|_| to < self.end);
        if self.damage.len() < DAMAGE_MAX {
            let to = if found.is_some() { to } else { u64::MAX };
            self.damage.push((from, to, ended));
        }
        let Some(off) = found else { return false };
        // An interval is at most as long as what `parameters` lets pass.
        let zeros = size(to.saturating_sub(from));
        out.resize(out.len().saturating_add(zeros), 0);
        self.off = off;
        self.frame = next;
        true
    }
}

impl Source for Frames<'_> {
    fn more(&mut self, made: u64, out: &mut Vec<u8>, _sink: &mut dyn Sink) -> Result<bool, Stop> {
        if made >= self.end {
            return Ok(false);
        }
        if self.frame.is_multiple_of(self.reset_frames) {
            self.lzx.reset();
            self.off = self.table_off(self.frame).unwrap_or(self.off);
            self.reset_off = Some(self.off);
        }
        let len = size(self.end.saturating_sub(made)).min(LZX_FRAME_LEN);
        let had = out.len();
        let input = self.data.get(self.off..).unwrap_or_default();
        match self.lzx.frame(input, len, out) {
            Ok(used) => {
                self.off = self.off.saturating_add(used);
                self.frame = self.frame.saturating_add(1);
                Ok(true)
            }
            Err(error) => {
                let got = to_u64(out.len().saturating_sub(had));
                Ok(self.skip(Ended::of_error(&error), made.saturating_add(got), out))
            }
        }
    }
}

/// Returns the size of the window in bits and the reset interval in frames.
fn parameters(control: &[u8]) -> Option<(u32, u64)> {
    let mut reader = Reader::at(control, 4);
    if reader.take(4).ok()? != b"LZXC" {
        return None;
    }
    let version = reader.u32_le().ok()?;
    let unit = if version >= 2 { 1 } else { to_u64(LZX_FRAME_LEN) };
    let reset_frames = u64::from(reader.u32_le().ok()?) / unit;
    let window = u64::from(reader.u32_le().ok()?) / unit;
    let window_bits = window.is_power_of_two().then(|| window.trailing_zeros().saturating_add(15));
    let window_bits = window_bits.filter(|bits| (15..=21).contains(bits))?;
    (1..=1024).contains(&reset_frames).then_some((window_bits, reset_frames))
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
