//! xz streams (the .xz file format 1.2.1), with delta and branch filters.
//!
//! The container is read here so that a wrong check or a broken index costs nothing but a note.
//! Leaves out: checks other than CRC-32 and CRC-64; sizes in block headers and the index.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use super::{Counted, Filter, Lzma2, MEMORY_MAX, damaged, read_up_to, too_much_memory, truncated};

/// Magic of a stream header.
const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// Bytes of a check, by its id.
const CHECK_LENS: [usize; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// Reads one stream, up to and with its footer.
pub(crate) struct XzStream<'s, R> {
    source: Rc<RefCell<Counted<R>>>,
    check: Check,
    block: Option<Block<'s>>,
    made: u64,
    note: Option<&'static str>,
    ended: Option<io::Result<()>>,
}

struct Block<'s> {
    chain: Box<dyn Read + 's>,
    data_off: u64,
    clamped: bool,
}

impl<R> fmt::Debug for XzStream<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XzStream").field("made", &self.made).finish_non_exhaustive()
    }
}

impl<'s, R: BufRead + 's> XzStream<'s, R> {
    /// Reads the stream header and returns a reader of the content.
    ///
    /// # Errors
    /// The header is cut or impossible.
    pub(crate) fn new(source: R) -> io::Result<Self> {
        let mut source = Counted::new(source);
        let header: [u8; 12] = exactly(&mut source)?;
        let [magic @ .., reserved, flags, _, _, _, _] = header;
        if magic != MAGIC {
            return Err(damaged("xz: magic"));
        }
        let note = (reserved != 0 || flags > 15).then_some("Stream Flags");
        let source = Rc::new(RefCell::new(source));
        let check = Check::new(flags & 15);
        Ok(Self { source, check, block: None, made: 0, note, ended: None })
    }

    /// Returns what was wrong without costing content.
    pub(crate) fn note(&self) -> Option<&'static str> {
        self.note
    }

    /// Returns how many bytes of the input were used.
    pub(crate) fn used(&self) -> u64 {
        self.source.borrow().used()
    }

    fn open_block(&mut self) -> io::Result<()> {
        let [size] = exactly(&mut *self.source.borrow_mut())?;
        if size == 0 {
            if self.skip_index().is_err() {
                self.note = Some("Index");
            }
            self.ended = Some(Ok(()));
            return Ok(());
        }
        let mut header = vec![0u8; usize::from(size).saturating_mul(4).saturating_add(3)];
        if read_up_to(&mut *self.source.borrow_mut(), &mut header)? < header.len() {
            return Err(truncated());
        }
        let data_off = self.used();
        let (chain, clamped) = chain(Shared(Rc::clone(&self.source)), &header)?;
        self.block = Some(Block { chain, data_off, clamped });
        Ok(())
    }

    fn close_block(&mut self, data_off: u64) -> io::Result<()> {
        let packed_len = self.used().saturating_sub(data_off);
        let mut source = self.source.borrow_mut();
        let mut padding = [0u8; 4];
        let padding_len = usize::try_from(packed_len.wrapping_neg() & 3).unwrap_or(0);
        read_up_to(&mut *source, padding.get_mut(..padding_len).unwrap_or_default())?;
        let mut stored = [0u8; 64];
        let stored = stored.get_mut(..self.check.len()).unwrap_or_default();
        if read_up_to(&mut *source, stored)? < stored.len() {
            self.note = Some("Check truncated");
        } else if !self.check.finish_equals(stored) {
            self.note = Some("Check");
        }
        Ok(())
    }

    fn skip_index(&self) -> io::Result<()> {
        let mut source = self.source.borrow_mut();
        let before = source.used();
        for _ in 0..number(&mut *source)?.saturating_mul(2) {
            number(&mut *source)?;
        }
        let len = source.used().saturating_sub(before).saturating_add(1);
        for _ in 0..(len.wrapping_neg() & 3) {
            let [_] = exactly(&mut *source)?;
        }
        let tail: [u8; 16] = exactly(&mut *source)?;
        if tail.ends_with(b"YZ") { Ok(()) } else { Err(damaged("xz: footer")) }
    }

    fn read_block(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(block) = &mut self.block else { return Ok(0) };
        match block.chain.read(buf) {
            Ok(0) => {
                let data_off = block.data_off;
                self.block = None;
                self.close_block(data_off)?;
                Ok(0)
            }
            Ok(made) => {
                self.check.update(buf.get(..made).unwrap_or_default());
                self.made = self.made.saturating_add(u64::try_from(made).unwrap_or(u64::MAX));
                Ok(made)
            }
            Err(_) => {
                let clamped = block.clamped;
                self.block = None;
                Err(if self.source.borrow_mut().fill_buf()?.is_empty() {
                    truncated()
                } else if clamped && self.made >= u64::from(MEMORY_MAX) {
                    too_much_memory()
                } else {
                    damaged("xz: invalid block")
                })
            }
        }
    }
}

impl<'s, R: BufRead + 's> Read for XzStream<'s, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        while self.ended.is_none() {
            let step = if self.block.is_some() {
                self.read_block(buf)
            } else {
                self.open_block().map(|()| 0)
            };
            match step {
                Ok(0) => {}
                Ok(made) => return Ok(made),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        match self.ended.replace(Ok(())) {
            Some(Err(error)) => Err(error),
            _ => Ok(0),
        }
    }
}

struct Shared<R>(Rc<RefCell<R>>);

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buf)
    }
}

/// Builds the decoders of a block from its header behind the size byte, and says whether the
/// dictionary was made smaller.
fn chain<'s>(source: impl Read + 's, header: &[u8]) -> io::Result<(Box<dyn Read + 's>, bool)> {
    let mut fields = header;
    let [flags] = exactly(&mut fields)?;
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            number(&mut fields)?;
        }
    }
    let mut filters = Vec::new();
    for _ in 0..=(flags & 3) {
        let id = number(&mut fields)?;
        let props_len = usize::try_from(number(&mut fields)?).unwrap_or(usize::MAX);
        let props = fields.get(..props_len).ok_or_else(|| damaged("xz: filter properties"))?;
        fields = fields.get(props_len..).unwrap_or_default();
        filters.push((id, props));
    }
    let Some((0x21, &[dict])) = filters.pop() else {
        return Err(damaged("xz: last filter"));
    };
    let dict_len = Lzma2::<&[u8]>::dict_len(dict);
    let mut chain: Box<dyn Read + 's> = Box::new(Lzma2::new(source, dict_len));
    for (id, props) in filters.into_iter().rev() {
        chain = filter(chain, id, props)?;
    }
    Ok((chain, dict_len > MEMORY_MAX))
}

fn filter<'s>(inner: Box<dyn Read + 's>, id: u64, props: &[u8]) -> io::Result<Box<dyn Read + 's>> {
    let mut raw = [0u8; 4];
    if let Some(to) = raw.get_mut(..props.len()) {
        to.copy_from_slice(props);
    }
    let value = usize::try_from(u32::from_le_bytes(raw)).unwrap_or(0);
    let filter = match id {
        0x03 => Filter::Delta((value & 0xff).saturating_add(1)),
        0x04 => Filter::X86,
        0x05 => Filter::Ppc,
        0x06 => Filter::Ia64,
        0x07 => Filter::Arm,
        0x08 => Filter::ArmThumb,
        0x09 => Filter::Sparc,
        0x0a => Filter::Arm64,
        0x0b => Filter::RiscV,
        _ => return Err(damaged("xz: unknown filter")),
    };
    Ok(filter.undo(inner, value))
}

/// The running check of a block.
enum Check {
    Crc32(crc32fast::Hasher),
    Crc64(u64),
    Other(usize),
}

impl Check {
    fn new(id: u8) -> Self {
        match id {
            1 => Self::Crc32(crc32fast::Hasher::new()),
            4 => Self::Crc64(0),
            _ => Self::Other(CHECK_LENS.get(usize::from(id)).copied().unwrap_or(0)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Crc32(_) => 4,
            Self::Crc64(_) => 8,
            Self::Other(len) => *len,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc64(crc) => *crc = crc64(*crc, bytes),
            Self::Other(_) => {}
        }
    }

    /// Compares with what is stored and starts anew.
    fn finish_equals(&mut self, stored: &[u8]) -> bool {
        match self {
            Self::Crc32(hasher) => std::mem::take(hasher).finalize().to_le_bytes() == stored,
            Self::Crc64(crc) => std::mem::take(crc).to_le_bytes() == stored,
            Self::Other(_) => true,
        }
    }
}

/// CRC-64 of ECMA-182, reflected.
fn crc64(crc: u64, bytes: &[u8]) -> u64 {
    let mut crc = !crc;
    for byte in bytes {
        let index = usize::try_from((crc ^ u64::from(*byte)) & 0xff).unwrap_or(0);
        crc = CRC64_TABLE.get(index).copied().unwrap_or(0) ^ (crc >> 8);
    }
    !crc
}

static CRC64_TABLE: [u64; 256] = crc64_table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn crc64_table() -> [u64; 256] {
    let mut table = [0u64; 256];
    let mut index = 0;
    let mut start = 0u64;
    while index < table.len() {
        let mut value = start;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xc96c_5795_d787_0f42 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
        start += 1;
    }
    table
}

/// Reads a variable-length integer.
fn number(source: &mut impl Read) -> io::Result<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let [byte] = exactly(source)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("xz: integer"))
}

fn exactly<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0u8; N];
    if read_up_to(source, &mut bytes)? < N { Err(truncated()) } else { Ok(bytes) }
}
