//! The data of one folder: blocks that are decoded in order, once, with a window of the output in memory.

use std::io;

use hf_core::{Defect, Reason, Sink, Stop};

use crate::bounded::Ended;
use crate::codec::{Lzx, MSZIP_BLOCK_LEN, Mszip, Quantum};
use crate::reader::{Reader, size};

/// An entry of the table of folders.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) off: usize,
    pub(super) blocks: u16,
    pub(super) method: u16,
}

#[derive(Debug)]
enum Coder {
    Stored,
    Mszip(Mszip),
    Quantum(Quantum),
    Lzx(Box<Lzx>),
    Unknown,
}

impl Coder {
    fn of(method: u16) -> Self {
        let window_bits = u32::from((method >> 8) & 0x1f);
        match method & 0xf {
            0 => Self::Stored,
            1 => Self::Mszip(Mszip::new()),
            2 => Quantum::new(window_bits).map_or(Self::Unknown, Self::Quantum),
            3 if window_bits <= 21 => {
                Lzx::new(window_bits).map_or(Self::Unknown, |lzx| Self::Lzx(Box::new(lzx)))
            }
            _ => Self::Unknown,
        }
    }
}

/// Reads a folder's blocks.
pub(super) struct Blocks<'a> {
    reader: Reader<'a>,
    reserve_len: usize,
    left: u16,
    coder: Coder,
    method: u16,
    /// Output that is kept: it starts at `base`.
    kept: Vec<u8>,
    base: u64,
    /// Output before this position is not asked for again by a gap.
    pub(super) used_to: u64,
    /// Why there is no more.
    ended: Option<Ended>,
    limited: bool,
    /// Positions of output that is not what was packed.
    damage: Vec<(u64, u64, Ended)>,
    pub(super) next_cabinet: bool,
    /// Blocks behind those that are counted are looked for: a file wants them.
    pub(super) greedy: bool,
    pub(super) spent: u64,
    pub(super) spend_max: u64,
    defects: u32,
}

/// The largest block of the format: what does not shrink grows by this much at most [1].
const BLOCK_LEN_MAX: usize = MSZIP_BLOCK_LEN + 6144;
/// Ours: parts of a folder known to be damaged.
const DAMAGE_MAX: usize = 1000;

impl<'a> Blocks<'a> {
    pub(super) fn new(object: &'a [u8], reserve_len: usize, folder: &Folder) -> Self {
        Self {
            reader: Reader::at(object, folder.off),
            reserve_len,
            left: folder.blocks,
            coder: Coder::of(folder.method),
            method: folder.method,
            kept: Vec::new(),
            base: 0,
            used_to: 0,
            ended: None,
            limited: false,
            damage: Vec::new(),
            next_cabinet: false,
            greedy: false,
            spent: 0,
            spend_max: u64::MAX,
            defects: 0,
        }
    }

    /// Returns why the folder cannot be opened at all.
    pub(super) fn closed(&self) -> Option<Reason> {
        matches!(self.coder, Coder::Unknown)
            .then(|| Reason::UnknownMethod(format!("{:#06x}", self.method).into()))
    }

    /// Returns how many bytes were made.
    pub(super) fn made(&self) -> u64 {
        self.base.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    pub(super) fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || self.ended.as_ref().is_some_and(|ended| *ended != Ended::Whole)
    }

    /// Returns a part of the output, as far as it is there. Parts are asked for in the order of their starts.
    pub(super) fn range(&self, start: u64, len: u64) -> &[u8] {
        let from = size(start.saturating_sub(self.base)).min(self.kept.len());
        let end = from.saturating_add(size(len)).min(self.kept.len());
        self.kept.get(from..end).unwrap_or_default()
    }

    /// Returns why a part is not all there, or not as it was.
    pub(super) fn missing(&self, start: u64, len: u64) -> Option<Reason> {
        let end = start.saturating_add(len);
        let damage = self.damage.iter().find(|(from, to, _)| *from < end && start < *to);
        let ended = damage.map(|(_, _, ended)| ended);
        let ended = ended.or_else(|| self.ended.as_ref().filter(|_| self.made() < end));
        match ended? {
            _ if damage.is_none() && self.limited => {
                Some(Reason::FormatLimit("folders that overlap".into()))
            }
            Ended::Damaged(why) => Some(Reason::Damaged(why.clone().into())),
            _ if self.next_cabinet => Some(Reason::OtherVolume),
            _ => Some(Reason::Truncated),
        }
    }

    /// Decodes until the output reaches a position, or there is no more. What lies before both the part
    /// that is asked for and [`Blocks::used_to`] may go.
    pub(super) fn fill_to(&mut self, end: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
        while self.made() < end && self.ended.is_none() {
            sink.poll()?;
            self.drop_used();
            self.block(sink);
        }
        Ok(())
    }

    fn drop_used(&mut self) {
        let droppable = size(self.used_to.saturating_sub(self.base)).min(self.kept.len());
        if droppable > 1 << 20 || droppable == self.kept.len() {
            self.kept.drain(..droppable);
            self.base = self.base.saturating_add(u64::try_from(droppable).unwrap_or(0));
        }
    }

    fn block(&mut self, sink: &mut dyn Sink) {
        // A count that is too small does not hide what the files still want.
        if self.left == 0 && (!self.greedy || !self.more_behind()) {
            self.ended = Some(Ended::Whole);
            return;
        }
        self.left = self.left.saturating_sub(1);
        if self.spent >= self.spend_max {
            self.limited = true;
            self.ended = Some(Ended::Capped);
            return;
        }
        let at = u64::try_from(self.reader.off()).unwrap_or(u64::MAX);
        let fields = (self.reader.u32_le(), self.reader.u16_le(), self.reader.u16_le());
        let (Ok(csum), Ok(packed_len), Ok(len)) = fields else {
            self.ended = Some(Ended::Truncated);
            return;
        };
        let reserve = self.reader.take_up_to(self.reserve_len);
        let data = self.reader.take_up_to(usize::from(packed_len));
        let cut = data.len() < usize::from(packed_len);
        self.spent = self.spent.saturating_add(u64::from(packed_len)).saturating_add(8);
        let right = |seed| checksum(data, seed) ^ u32::from(packed_len) ^ (u32::from(len) << 16);
        if csum != 0 && !cut && right(0) != csum && right(checksum(reserve, 0)) != csum {
            self.defect(Defect::new(at, "csum"), sink);
        }
        if len == 0 && self.next_cabinet {
            self.ended = Some(Ended::Truncated);
            return;
        }
        let start = self.made();
        let result = self.decode(data, usize::from(len));
        let made = size(self.made().saturating_sub(start));
        let ended = match result {
            Err(_) if cut => Some(Ended::Truncated),
            Err(error) => Some(Ended::of_error(&error)),
            Ok(()) if made < usize::from(len) => Some(Ended::Truncated),
            Ok(()) => None,
        };
        if let Some(ended) = ended {
            self.lost(ended, start, made, usize::from(len), cut);
        }
    }

    /// Goes on behind a damaged block where that is possible.
    fn lost(&mut self, ended: Ended, start: u64, made: usize, len: usize, cut: bool) {
        let Coder::Mszip(mszip) = &mut self.coder else {
            self.ended = Some(ended);
            return;
        };
        if cut {
            self.ended = Some(ended);
            return;
        }
        let zeros = vec![0; len.min(MSZIP_BLOCK_LEN).saturating_sub(made)];
        mszip.remember(&zeros);
        self.kept.extend_from_slice(&zeros);
        if self.damage.len() < DAMAGE_MAX {
            let from = start.saturating_add(u64::try_from(made).unwrap_or(0));
            let to = self.made().max(from.saturating_add(1));
            let ended = match ended {
                Ended::Damaged(_) => ended,
                _ => Ended::Damaged("block".into()),
            };
            self.damage.push((from, to, ended));
        }
    }

    fn decode(&mut self, data: &[u8], len: usize) -> io::Result<()> {
        match &mut self.coder {
            Coder::Stored => self.kept.extend_from_slice(data),
            Coder::Mszip(mszip) => {
                mszip.block(data, len, &mut self.kept)?;
            }
            Coder::Quantum(quantum) => quantum.frame(data, len, &mut self.kept)?,
            Coder::Lzx(lzx) => {
                lzx.frame(data, len, &mut self.kept)?;
            }
            Coder::Unknown => {}
        }
        Ok(())
    }

    /// True when what follows is a block, though the count of blocks is used up.
    fn more_behind(&self) -> bool {
        let mut ahead = self.reader;
        let fields = (ahead.u32_le(), ahead.u16_le(), ahead.u16_le());
        let (Ok(csum), Ok(packed_len @ 1..), Ok(len @ 1..)) = fields else { return false };
        let reserve = ahead.take_up_to(self.reserve_len);
        let Ok(data) = ahead.take(usize::from(packed_len)) else { return false };
        let sizes = u32::from(packed_len) ^ (u32::from(len) << 16);
        usize::from(len) <= MSZIP_BLOCK_LEN
            && data.len() <= BLOCK_LEN_MAX
            && (checksum(data, sizes) == csum
                || checksum(data, sizes) ^ checksum(reserve, 0) == csum
                || csum == 0 && data.starts_with(b"CK"))
    }

    fn defect(&mut self, defect: Defect, sink: &mut dyn Sink) {
        self.defects = self.defects.saturating_add(1);
        if self.defects <= 16 {
            sink.defect(defect);
        }
    }
}

/// The format's checksum of bytes [1]: words of 32 bits, and the last one to three bytes the other way.
fn checksum(data: &[u8], seed: u32) -> u32 {
    let (words, tail) = data.as_chunks::<4>();
    let sum = words.iter().fold(seed, |sum, word| sum ^ u32::from_le_bytes(*word));
    tail.iter().fold(0u32, |tail, byte| (tail << 8) | u32::from(*byte)) ^ sum
}
