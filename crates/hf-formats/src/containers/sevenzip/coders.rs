//! From the packed streams of a folder to its bytes: the chain of coders.

use std::io::{self, BufRead, BufReader, Read};

use hf_core::Reason;

use super::crypto::{Decrypting, Keys, Settings};
use super::header::{Coder, Folder};
use crate::codec::{
    Bunzip2, Filter, Inflate, Inflate64, Lz4Frame, Lzma, Lzma2, LzmaHeader, PpmdH, ZstdFrame, bcj2,
};
use crate::reader::{Reader, size};

/// The method of the coder 7zAES.
pub(super) const AES: u64 = 0x06f1_0701;
const LZMA: u64 = 0x03_0101;
const BCJ2: u64 = 0x0303_011b;

/// What opening folders may still cost, in bytes hashed or initialised.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    /// Returns the budget of an archive.
    pub(super) fn new() -> Self {
        Self(1 << 30)
    }

    fn take(&mut self, cost: u64) -> Result<(), Reason> {
        let left = self.0.checked_sub(cost);
        left.map(|left| self.0 = left).ok_or(Reason::FormatLimit("work of decoders".into()))
    }
}

/// What a chain is opened with.
#[derive(Debug)]
pub(super) struct Opening<'k> {
    pub(super) password: &'k [u8],
    pub(super) keys: &'k mut Keys,
    pub(super) budget: &'k mut Budget,
}

/// Returns a reader of a folder's bytes.
///
/// # Errors
/// Why it cannot be read at all.
pub(super) fn open<'a>(
    folder: &Folder<'_>,
    packed: &[&'a [u8]],
    opening: &mut Opening<'_>,
) -> Result<Box<dyn Read + 'a>, Reason> {
    let main = folder.main_output().ok_or(Reason::Damaged("coders feed each other".into()))?;
    let mut used = vec![false; folder.coders.len()];
    output(folder, main, packed, opening, &mut used)
}

/// Opens the coder whose output this is; each once, so that the graph is a tree.
fn output<'a>(
    folder: &Folder<'_>,
    out: usize,
    packed: &[&'a [u8]],
    opening: &mut Opening<'_>,
    used: &mut [bool],
) -> Result<Box<dyn Read + 'a>, Reason> {
    let broken = || Reason::Damaged("bind pairs".into());
    let coder = folder.coders.get(out).ok_or_else(broken)?;
    if std::mem::replace(used.get_mut(out).ok_or_else(broken)?, true) {
        return Err(broken());
    }
    let unpacked_len = folder.unpacked_lens.get(out).copied().unwrap_or(0);
    let mut inputs: Vec<Box<dyn BufRead + 'a>> = Vec::new();
    for input in (coder.first_in..).take(coder.in_count) {
        let pair = folder.pairs.iter().find(|(to, _)| *to == input);
        inputs.push(if let Some((_, from)) = pair {
            let inner = output(folder, *from, packed, opening, used)?;
            Box::new(BufReader::with_capacity(1 << 16, inner))
        } else {
            let at = folder.packed.iter().position(|packed| *packed == input);
            Box::new(at.and_then(|at| packed.get(at)).copied().ok_or_else(broken)?)
        });
    }
    if coder.method == BCJ2 {
        let streams = inputs.into_iter().map(|input| Box::new(input) as Box<dyn Read + 'a>);
        return bcj2(streams.collect(), unpacked_len).map_err(|error| reason(&error));
    }
    let input = inputs.pop().ok_or_else(broken)?;
    if !inputs.is_empty() {
        return Err(broken());
    }
    decoder(coder, input, unpacked_len, opening)
}

fn decoder<'a>(
    coder: &Coder<'_>,
    input: Box<dyn BufRead + 'a>,
    unpacked_len: u64,
    opening: &mut Opening<'_>,
) -> Result<Box<dyn Read + 'a>, Reason> {
    let short = |_| Reason::Damaged("coder properties".into());
    let mut props = Reader::new(coder.props);
    let made: io::Result<Box<dyn Read + 'a>> = match coder.method {
        0x00 => Ok(Box::new(input)),
        LZMA => {
            let (props, dict_len) = (props.u8().map_err(short)?, props.u32_le().map_err(short)?);
            let (lc, lp) = (u32::from(props % 9), u32::from(props / 9 % 5));
            opening.budget.take(0x600 << (lc + lp))?;
            let header = LzmaHeader { props, dict_len, unpacked_len: Some(unpacked_len) };
            Lzma::new(input, header).map(|lzma| Box::new(lzma) as Box<dyn Read>)
        }
        0x21 => {
            let dict_len = Lzma2::<&[u8]>::dict_len(props.u8().map_err(short)?);
            Ok(Box::new(Lzma2::new(input, dict_len)))
        }
        0x03_0401 => {
            opening.budget.take(1 << 15)?;
            let order = u32::from(props.u8().map_err(short)?);
            let memory = props.u32_le().map_err(short)?;
            PpmdH::new(input, order, memory, unpacked_len)
                .map(|ppmd| Box::new(ppmd) as Box<dyn Read>)
        }
        0x04_0108 => Ok(Box::new(Inflate::raw(input))),
        0x04_0109 => Ok(Box::new(Inflate64::new(input))),
        0x04_0202 => Ok(Box::new(Bunzip2::new(input))),
        0x04f7_1101 => Ok(Box::new(Frames { input, frame: Frame::None, zstd: true })),
        0x04f7_1104 => Ok(Box::new(Frames { input, frame: Frame::None, zstd: false })),
        AES => return decrypting(coder.props, input, opening),
        method => return filter(method, coder.props, input),
    };
    made.map_err(|error| reason(&error))
}

fn decrypting<'a>(
    props: &[u8],
    input: Box<dyn BufRead + 'a>,
    opening: &mut Opening<'_>,
) -> Result<Box<dyn Read + 'a>, Reason> {
    let settings = Settings::read(props).ok_or(Reason::Encrypted)?;
    if !opening.keys.knows(&settings, opening.password) {
        opening.budget.take(settings.cost(opening.password))?;
    }
    let key = opening.keys.key(&settings, opening.password);
    Ok(Box::new(Decrypting::new(input, key, &settings)))
}

fn filter<'a>(
    method: u64,
    props: &[u8],
    input: Box<dyn BufRead + 'a>,
) -> Result<Box<dyn Read + 'a>, Reason> {
    let start = props.first_chunk::<4>().map_or(0, |raw| u32::from_le_bytes(*raw));
    let filter = match method {
        0x0002_0302 => Filter::Swap(2),
        0x0002_0304 => Filter::Swap(4),
        0x03 => Filter::Delta(usize::from(props.first().copied().unwrap_or(0)).saturating_add(1)),
        0x04 | 0x0303_0103 => Filter::X86,
        0x05 | 0x0303_0205 => Filter::Ppc,
        0x06 | 0x0303_0401 => Filter::Ia64,
        0x07 | 0x0303_0501 => Filter::Arm,
        0x08 | 0x0303_0701 => Filter::ArmThumb,
        0x09 | 0x0303_0805 => Filter::Sparc,
        0x0a => Filter::Arm64,
        0x0b => Filter::RiscV,
        _ => return Err(Reason::UnknownMethod(format!("{method:x}").into())),
    };
    Ok(filter.undo(Box::new(input), size(u64::from(start))))
}

/// Returns the reason for an error of a decoder.
pub(super) fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Reason::Truncated,
        io::ErrorKind::OutOfMemory => Reason::Memory,
        _ => Reason::Damaged(error.to_string().into()),
    }
}

/// Frames of Zstandard or LZ4 one behind the other, with skippable ones between: the methods of
/// 7-Zip-zstd.
struct Frames<'a> {
    input: Box<dyn BufRead + 'a>,
    frame: Frame<'a>,
    zstd: bool,
}

enum Frame<'a> {
    None,
    Zstd(Box<ZstdFrame<Box<dyn BufRead + 'a>>>),
    /// Unpacked as a whole: our reader of LZ4 wants its input in one piece.
    Lz4(io::Cursor<Vec<u8>>, Option<io::Error>),
}

/// Ours: bytes of packed and of unpacked LZ4 of one folder.
const LZ4_LEN_MAX: u64 = 64 << 20;

impl Frames<'_> {
    /// Opens the next frame; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            let head = self.input.fill_buf()?;
            let Some(magic) = head.first_chunk::<4>() else { return Ok(false) };
            if u32::from_le_bytes(*magic) >> 4 != 0x0184_d2a5 {
                break;
            }
            let len = head.get(4..8).and_then(|raw| raw.first_chunk::<4>());
            let len = len.map_or(0, |raw| u64::from(u32::from_le_bytes(*raw)));
            io::copy(&mut (&mut self.input).take(len.saturating_add(8)), &mut io::sink())?;
        }
        let input = std::mem::replace(&mut self.input, Box::new(io::empty()));
        if self.zstd {
            self.frame = Frame::Zstd(Box::new(ZstdFrame::new(input)?));
        } else {
            self.frame = lz4(input)?;
        }
        Ok(true)
    }
}

fn lz4<'a>(input: Box<dyn BufRead + 'a>) -> io::Result<Frame<'a>> {
    let mut packed = Vec::new();
    input.take(LZ4_LEN_MAX).read_to_end(&mut packed)?;
    let (mut bytes, mut rest, mut error) = (Vec::new(), packed.as_slice(), None);
    while !rest.is_empty() && error.is_none() {
        let skip = super::super::zstd::skippable_len(rest);
        let used = if let Some(len) = skip {
            len
        } else {
            let mut frame = Lz4Frame::new(rest)?;
            error = (&mut frame).take(LZ4_LEN_MAX).read_to_end(&mut bytes).err();
            frame.used()
        };
        rest = rest.get(used.max(1)..).unwrap_or_default();
    }
    Ok(Frame::Lz4(io::Cursor::new(bytes), error))
}

impl Read for Frames<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.frame {
                Frame::None => 0,
                Frame::Zstd(frame) => frame.read(buf)?,
                Frame::Lz4(bytes, error) => match bytes.read(buf)? {
                    0 => match error.take() {
                        Some(error) => return Err(error),
                        None => 0,
                    },
                    read => read,
                },
            };
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            if let Frame::Zstd(frame) = std::mem::replace(&mut self.frame, Frame::None) {
                self.input = frame.into_source();
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}
