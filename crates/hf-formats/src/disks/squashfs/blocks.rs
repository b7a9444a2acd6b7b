//! Blocks of a squashfs: tables of metadata, fragments, and data of files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use hf_core::{Reason, Sink, Stop};

use crate::codec::{Inflate, Lzma, LzmaHeader, XzStream, ZstdFrame, lz4_block, lzo1x};
use crate::reader::{Reader, size};

/// Unpacked bytes of a block of metadata.
const METADATA_LEN: usize = 8192;
/// A word of a block that is not compressed.
const STORED: u32 = 1 << 24;
/// Ours: fragments of one image.
const FRAGMENTS_MAX: usize = 1 << 20;
/// Ours: fragments that are kept.
const CACHE_COUNT: usize = 8;

/// The compression of all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd,
}

impl Codec {
    /// Returns the codec of an id.
    pub(super) fn new(id: u16) -> Option<Self> {
        Some(match id {
            1 => Self::Gzip,
            2 => Self::Lzma,
            3 => Self::Lzo,
            4 => Self::Xz,
            5 => Self::Lz4,
            6 => Self::Zstd,
            _ => return None,
        })
    }

    /// Appends what a block holds; what came out before an error stays.
    fn unpack(self, data: &[u8], out: &mut Vec<u8>, len_max: usize) -> io::Result<()> {
        let most = u64::try_from(len_max).unwrap_or(u64::MAX);
        match self {
            Self::Gzip => Inflate::zlib(data).take(most).read_to_end(out),
            Self::Xz => XzStream::new(data)?.take(most).read_to_end(out),
            Self::Zstd => ZstdFrame::new(data)?.take(most).read_to_end(out),
            Self::Lzma => {
                let mut reader = Reader::new(data);
                let cut = |_| io::Error::from(io::ErrorKind::UnexpectedEof);
                let (props, dict_len) = (reader.u8().map_err(cut)?, reader.u32_le().map_err(cut)?);
                let unpacked_len = reader.u64_le().ok().filter(|len| *len != u64::MAX);
                let header = LzmaHeader { props, dict_len, unpacked_len };
                Lzma::new(reader.rest(), header)?.take(most).read_to_end(out)
            }
            Self::Lzo => return lzo1x(data, out, len_max),
            Self::Lz4 => return lz4_block(data, out, len_max),
        }
        .map(|_| ())
    }
}

/// Metadata, unpacked, with the place of each block.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) bytes: Vec<u8>,
    /// Offsets of blocks, counted from the start of the table, and of what they hold in `bytes`.
    starts: BTreeMap<u64, usize>,
    /// Why it is not all.
    pub(super) missing: Option<Reason>,
}

impl Table {
    /// Reads the blocks of a range of the image.
    pub(super) fn read(
        object: &[u8],
        off: usize,
        end: usize,
        codec: Codec,
        len_max: usize,
        sink: &mut dyn Sink,
    ) -> Result<Self, Stop> {
        let mut table = Self::default();
        let mut reader = Reader::at(object.get(..end).unwrap_or(object), off);
        if off >= end {
            table.missing = Some(Reason::Truncated);
        }
        while reader.left() > 0 {
            sink.poll()?;
            let start = u64::try_from(reader.off().saturating_sub(off)).unwrap_or(u64::MAX);
            table.starts.insert(start, table.bytes.len());
            if let Some(reason) = metadata(&mut reader, codec, &mut table.bytes) {
                table.missing = Some(reason);
                break;
            }
            if table.bytes.len() >= len_max {
                table.missing = Some(Reason::FormatLimit("squashfs table".into()));
                break;
            }
        }
        Ok(table)
    }

    /// Returns the place of an offset in a block.
    pub(super) fn place(&self, block: u64, off: u64) -> Option<usize> {
        let place = self.starts.get(&block)?.checked_add(size(off))?;
        (place < self.bytes.len()).then_some(place)
    }
}

/// Reads one block of metadata and returns why that failed.
fn metadata(reader: &mut Reader<'_>, codec: Codec, out: &mut Vec<u8>) -> Option<Reason> {
    let Ok(word) = reader.u16_le() else { return Some(Reason::Truncated) };
    let len = usize::from(word & 0x7fff);
    let data = reader.take_up_to(len);
    if word & 0x8000 != 0 {
        out.extend_from_slice(data);
    } else if codec.unpack(data, out, METADATA_LEN).is_err() && data.len() == len {
        return Some(Reason::Damaged("squashfs metadata".into()));
    }
    (data.len() < len).then_some(Reason::Truncated)
}

/// Reads the table of fragments: offsets and words.
pub(super) fn fragments(
    object: &[u8],
    off: usize,
    count: u32,
    codec: Codec,
    sink: &mut dyn Sink,
) -> Result<Vec<(u64, u32)>, Stop> {
    const PER_BLOCK: usize = METADATA_LEN / 16;
    let mut pointers = Reader::at(object, off);
    let mut fragments = Vec::new();
    for _ in 0..size(u64::from(count)).min(FRAGMENTS_MAX).div_ceil(PER_BLOCK) {
        sink.poll()?;
        let Ok(pointer) = pointers.u64_le() else { break };
        let mut bytes = Vec::new();
        metadata(&mut Reader::at(object, size(pointer)), codec, &mut bytes);
        let mut reader = Reader::new(&bytes);
        while let (Ok(start), Ok(word), Ok(_)) = (reader.u64_le(), reader.u32_le(), reader.u32_le())
        {
            fragments.push((start, word));
        }
        // Places count from the start of their block.
        fragments.resize(fragments.len().next_multiple_of(PER_BLOCK), (0, 0));
    }
    Ok(fragments)
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Why it is not all.
    pub(super) missing: Option<Reason>,
}

/// Blocks and fragments of files.
#[derive(Debug)]
pub(super) struct Data<'a> {
    object: &'a [u8],
    codec: Codec,
    block_len: usize,
    fragments: Vec<(u64, u32)>,
    /// Fragments by their offset, latest last.
    cache: Vec<(u64, Vec<u8>)>,
    decoded: BTreeSet<u64>,
    /// Bytes of fragments that may still be decoded again.
    again: usize,
}

impl<'a> Data<'a> {
    /// Returns the data of an image.
    pub(super) fn new(
        object: &'a [u8],
        codec: Codec,
        block_len: usize,
        fragments: Vec<(u64, u32)>,
    ) -> Self {
        let again = object.len().saturating_mul(4).saturating_add(64 << 20);
        let (cache, decoded) = (Vec::new(), BTreeSet::new());
        Self { object, codec, block_len, fragments, cache, decoded, again }
    }

    /// Returns the data of a file that is stored in one piece.
    pub(super) fn slice(
        &self,
        start: u64,
        len: u64,
        fragment: u32,
        words: &[u32],
    ) -> Option<&'a [u8]> {
        let stored = |word: &u32| word & STORED != 0;
        if fragment != u32::MAX || !words.iter().all(stored) {
            return None;
        }
        let sum = words.iter().map(|word| u64::from(word & !STORED)).sum::<u64>();
        let whole = words.split_last().is_none_or(|(_, full)| {
            full.iter().all(|word| size(u64::from(word & !STORED)) == self.block_len)
        });
        let end = start.checked_add(len)?;
        (sum == len && whole).then(|| self.object.get(size(start)..size(end))).flatten()
    }

    /// Unpacks the data of a file.
    pub(super) fn read(
        &mut self,
        start: u64,
        len: u64,
        fragment: Option<(u32, u32)>,
        words: &[u32],
        sink: &mut dyn Sink,
    ) -> Result<Content<'a>, Stop> {
        let cap = sink.child_cap();
        let wanted = size(len.min(cap));
        let mut missing = (len > cap).then(|| sink.cap_reason());
        let mut bytes = Vec::with_capacity(wanted.min(1 << 20));
        let mut off = start;
        for word in words {
            if bytes.len() >= wanted {
                break;
            }
            sink.poll()?;
            let end = bytes.len().saturating_add(self.block_len).min(wanted);
            if word & !STORED != 0 {
                let reason = self.block(off, *word, &mut bytes);
                missing = missing.or(reason);
                off = off.saturating_add(u64::from(word & !STORED));
            }
            bytes.resize(end, 0);
        }
        if let Some((idx, fragment_off)) = fragment
            && bytes.len() < wanted
        {
            let left = wanted.saturating_sub(bytes.len());
            let from = size(u64::from(fragment_off));
            match self.fragment(idx) {
                Ok(fragment) => {
                    let part = fragment.get(from..).unwrap_or_default();
                    bytes.extend_from_slice(part.get(..left).unwrap_or(part));
                }
                Err(reason) => missing = missing.or(Some(reason)),
            }
        }
        if bytes.len() < wanted {
            missing = missing.or(Some(Reason::Truncated));
        }
        Ok(Content { bytes: Cow::Owned(bytes), missing })
    }

    /// Appends a block and returns why that failed.
    fn block(&self, off: u64, word: u32, out: &mut Vec<u8>) -> Option<Reason> {
        let len = size(u64::from(word & !STORED));
        let data = Reader::at(self.object, size(off)).take_up_to(len);
        if word & STORED != 0 {
            out.extend_from_slice(data.get(..self.block_len).unwrap_or(data));
        } else if self.codec.unpack(data, out, self.block_len).is_err() && data.len() == len {
            return Some(Reason::Damaged("squashfs block".into()));
        }
        (data.len() < len).then_some(Reason::Truncated)
    }

    fn fragment(&mut self, idx: u32) -> Result<&[u8], Reason> {
        let place = self.fragments.get(size(u64::from(idx))).copied();
        let (start, word) = place.ok_or(Reason::Damaged("squashfs fragment".into()))?;
        let at = self.cache.iter().position(|(other, _)| *other == start);
        if at.is_none() {
            if !self.decoded.insert(start) {
                let left = self.again.checked_sub(self.block_len);
                self.again = left.ok_or(Reason::FormatLimit("fragments decoded again".into()))?;
            }
            let mut bytes = Vec::new();
            if let Some(reason) = self.block(start, word, &mut bytes)
                && bytes.is_empty()
            {
                return Err(reason);
            }
            if self.cache.len() >= CACHE_COUNT {
                self.cache.remove(0);
            }
            self.cache.push((start, bytes));
        }
        let at = at.unwrap_or(self.cache.len().saturating_sub(1));
        Ok(self.cache.get(at).map(|(_, bytes)| bytes.as_slice()).unwrap_or_default())
    }
}
