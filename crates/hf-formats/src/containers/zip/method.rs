//! The methods of a zip: from a member's bytes to its content.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use hf_core::{Sink, Stop};

use crate::bounded::{Ended, unpack};
use crate::codec::{
    Bunzip2, Counted, Expand, Explode, Inflate, Inflate64, Lzma, LzmaHeader, PpmdI, Unpacker,
    Unshrink, XzStream, ZstdFrame, damaged, read_up_to, truncated,
};
use crate::reader::size;

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATE: u16 = 8;
/// The method is in the extra field 0x9901.
pub(super) const AES: u16 = 99;

/// Returns the name of a method for people.
pub(super) fn name(method: u16) -> Cow<'static, str> {
    Cow::Borrowed(match method {
        7 => "7 (tokenize)",
        10 => "10 (DCL implode)",
        16 => "16 (CMPSC)",
        18 => "18 (TERSE)",
        19 => "19 (LZ77)",
        94 => "94 (MP3)",
        96 => "96 (JPEG)",
        97 => "97 (WavPack)",
        99 => "99 (AES)",
        other => return Cow::Owned(other.to_string()),
    })
}

/// True for methods whose streams know their own end.
pub(super) fn ends_itself(method: u16, flags: u16) -> bool {
    match method {
        8 | 9 | 12 | 20 | 93 | 95 => true,
        14 => flags & 2 != 0,
        _ => false,
    }
}

/// True for the methods that are read here.
pub(super) fn known(method: u16) -> bool {
    matches!(method, 0..=6 | 8 | 9 | 12 | 14 | 20 | 93 | 95 | 98)
}

/// What a member's bytes gave.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) ended: Ended,
    /// Bytes of the input that were used.
    pub(super) used: usize,
    /// CRC-32 of the bytes.
    pub(super) crc32: u32,
    /// The encryption proved that the input is right.
    pub(super) authentic: bool,
}

impl<'a> Content<'a> {
    fn new(bytes: Cow<'a, [u8]>, ended: Ended, used: usize) -> Self {
        let crc32 = crc32fast::hash(&bytes);
        Self { bytes, ended, used, crc32, authentic: false }
    }
}

/// Cuts a stored member out of the object, without copying it.
pub(super) fn stored<'a>(input: &'a [u8], len: Option<u64>, sink: &dyn Sink) -> Content<'a> {
    let len = len.map_or(input.len(), size);
    let used = len.min(input.len());
    let cap = size(sink.child_cap());
    let ended = if used > cap {
        Ended::Capped
    } else if used < len {
        Ended::Truncated
    } else {
        Ended::Whole
    };
    let bytes = input.get(..used.min(cap)).unwrap_or_default();
    Content::new(Cow::Borrowed(bytes), ended, used)
}

/// Unpacks a member by its method.
///
/// # Errors
/// The scan ends here.
pub(super) fn unpack_by<'a>(
    method: u16,
    flags: u16,
    input: impl BufRead,
    unpacked_len: Option<u64>,
    sink: &mut dyn Sink,
) -> Result<Content<'a>, Stop> {
    let mut input = Counted::new(input);
    let hint = unpacked_len.unwrap_or(0);
    let (bytes, ended, unused) = match method {
        14 => match lzma_header(&mut input, flags, unpacked_len)
            .and_then(|header| Lzma::new(&mut input, header))
        {
            Ok(mut stream) => {
                let unpacked = unpack(&mut stream, hint, sink)?;
                (unpacked.bytes, unpacked.ended, stream.unused_len())
            }
            Err(error) => (Vec::new(), Ended::of_error(&error), 0),
        },
        _ => match open(method, flags, &mut input, unpacked_len) {
            Ok(decoder) => {
                let unpacked = unpack(decoder, hint, sink)?;
                (unpacked.bytes, unpacked.ended, 0)
            }
            Err(error) => (Vec::new(), Ended::of_error(&error), 0),
        },
    };
    let used = size(input.used()).saturating_sub(unused);
    Ok(Content::new(Cow::Owned(bytes), ended, used))
}

fn open<'r>(
    method: u16,
    flags: u16,
    input: impl BufRead + 'r,
    unpacked_len: Option<u64>,
) -> io::Result<Box<dyn Read + 'r>> {
    let left = unpacked_len;
    Ok(match method {
        STORED => Box::new(input),
        1 => Box::new(Exact { inner: Unpacker::new(Unshrink::new(input)), left }),
        2..=5 => {
            let factor = u32::from(method).saturating_sub(1);
            Box::new(Exact { inner: Unpacker::new(Expand::new(input, factor)), left })
        }
        6 => Box::new(Exact { inner: Unpacker::new(Explode::new(input, flags)), left }),
        DEFLATE => Box::new(Inflate::raw(input)),
        9 => Box::new(Inflate64::new(input)),
        12 => Box::new(Bunzip2::new(input)),
        20 | 93 => Box::new(ZstdFrame::new(input)?),
        95 => Box::new(XzStream::new(input)?),
        98 => Box::new(Exact { inner: PpmdI::new(input, unpacked_len)?, left }),
        _ => return Err(damaged("method")),
    })
}

/// Reads the header that LZMA members have (APPNOTE.TXT 5.8.8).
fn lzma_header(
    input: &mut impl Read,
    flags: u16,
    unpacked_len: Option<u64>,
) -> io::Result<LzmaHeader> {
    let mut header = [0u8; 9];
    if read_up_to(input, &mut header)? < header.len() {
        return Err(truncated());
    }
    let [_, _, _, _, props, dict @ ..] = header;
    let with_end_marker = flags & 2 != 0;
    Ok(LzmaHeader {
        props,
        dict_len: u32::from_le_bytes(dict),
        unpacked_len: unpacked_len.filter(|_| !with_end_marker),
    })
}

/// The output of a decoder that does not know its end, cut at the length in the header.
struct Exact<R> {
    inner: R,
    left: Option<u64>,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left else { return self.inner.read(buf) };
        let len = buf.len().min(size(left));
        if len == 0 {
            return Ok(0);
        }
        let read = self.inner.read(buf.get_mut(..len).unwrap_or_default())?;
        if read == 0 {
            return Err(truncated());
        }
        self.left = Some(left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)));
        Ok(read)
    }
}
