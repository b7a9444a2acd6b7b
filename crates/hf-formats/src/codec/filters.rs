//! Filters in front of a compressor: delta, branch conversion of eight processors, BCJ2, over `lzma-rust2`.
//!
//! Those readers drop what a call made when their input fails, so they never see an error: it is kept
//! apart by [`Deferred`] and given behind the last byte by [`Ending`].

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::filter::bcj2::Bcj2Reader;
use lzma_rust2::filter::delta::DeltaReader;

use super::damaged;

/// A filter without its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Differences to the byte so far before.
    Delta(usize),
    /// Words of two or four bytes, turned round.
    Swap(usize),
    /// Branches of x86.
    X86,
    /// Branches of PowerPC.
    Ppc,
    /// Branches of Itanium.
    Ia64,
    /// Branches of ARM.
    Arm,
    /// Branches of ARM's Thumb.
    ArmThumb,
    /// Branches of SPARC.
    Sparc,
    /// Branches of 64-bit ARM.
    Arm64,
    /// Branches of RISC-V.
    RiscV,
}

impl Filter {
    /// Returns a reader of what was before the filter; `start` is where branches count from.
    pub(crate) fn undo<'s>(self, inner: Box<dyn Read + 's>, start: usize) -> Box<dyn Read + 's> {
        let error = Rc::new(RefCell::new(None));
        let inner = Deferred { inner, error: Rc::clone(&error) };
        let chain: Box<dyn Read + 's> = match self {
            Self::Delta(distance) => Box::new(DeltaReader::new(inner, distance.clamp(1, 256))),
            Self::Swap(word_len) => Box::new(Swap { inner, word_len, word: Vec::new(), at: 0 }),
            Self::X86 => Box::new(BcjReader::new_x86(inner, start)),
            Self::Ppc => Box::new(BcjReader::new_ppc(inner, start)),
            Self::Ia64 => Box::new(BcjReader::new_ia64(inner, start)),
            Self::Arm => Box::new(BcjReader::new_arm(inner, start)),
            Self::ArmThumb => Box::new(BcjReader::new_arm_thumb(inner, start)),
            Self::Sparc => Box::new(BcjReader::new_sparc(inner, start)),
            Self::Arm64 => Box::new(BcjReader::new_arm64(inner, start)),
            Self::RiscV => Box::new(BcjReader::new_riscv(inner, start)),
        };
        Box::new(Ending { chain, error })
    }
}

/// Returns a reader of the program behind the four streams of BCJ2.
///
/// # Errors
/// The filter does not take them.
pub(crate) fn bcj2<'s>(
    streams: Vec<Box<dyn Read + 's>>,
    unpacked_len: u64,
) -> io::Result<Box<dyn Read + 's>> {
    let error = Rc::new(RefCell::new(None));
    let streams =
        streams.into_iter().map(|inner| Deferred { inner, error: Rc::clone(&error) }).collect();
    let chain = Bcj2Reader::try_new(streams, unpacked_len).map_err(|_| damaged("bcj2"))?;
    Ok(Box::new(Ending { chain: Box::new(chain), error }))
}

type Kept = Rc<RefCell<Option<io::Error>>>;

struct Deferred<R> {
    inner: R,
    error: Kept,
}

impl<R: Read> Read for Deferred<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).or_else(|error| {
            self.error.borrow_mut().get_or_insert(error);
            Ok(0)
        })
    }
}

struct Ending<'s> {
    chain: Box<dyn Read + 's>,
    error: Kept,
}

impl Read for Ending<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.chain.read(buf);
        match self.error.borrow_mut().take_if(|_| !matches!(read, Ok(1..)) && !buf.is_empty()) {
            Some(error) => Err(error),
            None => read.map_err(|_| damaged("filter")),
        }
    }
}

/// Turns words round; the bytes of an unfinished last word stay as they are.
struct Swap<R> {
    inner: R,
    word_len: usize,
    word: Vec<u8>,
    at: usize,
}

impl<R: Read> Read for Swap<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut made = 0usize;
        for byte in buf.iter_mut() {
            if self.at >= self.word.len() {
                self.word.clear();
                self.at = 0;
                let len = u64::try_from(self.word_len).unwrap_or(4);
                (&mut self.inner).take(len).read_to_end(&mut self.word)?;
                if self.word.len() == self.word_len {
                    self.word.reverse();
                }
            }
            let Some(next) = self.word.get(self.at) else { break };
            *byte = *next;
            self.at = self.at.saturating_add(1);
            made = made.saturating_add(1);
        }
        Ok(made)
    }
}
