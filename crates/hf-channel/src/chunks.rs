//! Content-defined chunks: a blob cut where its bytes say so, each chunk compressed by itself.
//!
//! The *data* of a blob are its chunks one after the other, the *index* says where each begins and
//! which bytes it must give. So a first download is one request that can be resumed, and one with an
//! old version at hand asks for the ranges that it lacks. Cutting is FastCDC's: a rolling "gear" hash,
//! a stricter mask below the wanted size and a laxer one above.
//!
//! Index: `HFCHUNK1`, length of the blob (`u64`), number of chunks (`u32`), then for each its length
//! (`u32`), its stored length (`u32`, top bit: stored as it is) and its SHA-256. Little endian.
//!
//! Sources: Xia et al., "FastCDC" (USENIX ATC 2016), sections 3.2 to 3.5.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::{Digest, Hasher};

/// Least bytes of a chunk but the last.
pub const CHUNK_LEN_MIN: usize = 16 << 10;
/// Bytes of a chunk that are aimed at.
pub const CHUNK_LEN_USUAL: usize = 64 << 10;
/// Most bytes of a chunk.
pub const CHUNK_LEN_MAX: usize = 256 << 10;

const MAGIC: &[u8; 8] = b"HFCHUNK1";
const HEADER_LEN: usize = 20;
const ENTRY_LEN: usize = 40;
/// In the stored length: the chunk is not compressed.
const PLAIN: u32 = 1 << 31;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the blob.
    pub off: u64,
    /// Its bytes.
    pub len: u32,
    /// Where it begins in the data.
    pub stored_off: u64,
    /// Bytes that it has there.
    pub stored_len: u32,
    /// Not compressed.
    pub plain: bool,
    /// What it must give.
    pub digest: Digest,
}

/// The index of a blob's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// In order.
    pub chunks: Vec<Chunk>,
}

/// An index or a chunk was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The index is not well formed.
    #[error("index of chunks: {0}")]
    Index(&'static str),
    /// A chunk does not give the bytes that it must.
    #[error("chunk at {off} is damaged: {why}")]
    Damaged {
        /// Where it begins in the blob.
        off: u64,
        /// How it shows.
        why: &'static str,
    },
}

impl Index {
    /// Returns the length of the blob.
    #[must_use]
    pub fn blob_len(&self) -> u64 {
        self.chunks.last().map_or(0, |last| last.off.saturating_add(u64::from(last.len)))
    }

    /// Returns the length of the data.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        let end = |last: &Chunk| last.stored_off.saturating_add(u64::from(last.stored_len));
        self.chunks.last().map_or(0, end)
    }

    /// Returns the bytes to publish.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.chunks.len() * ENTRY_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.blob_len().to_le_bytes());
        bytes
            .extend_from_slice(&u32::try_from(self.chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
        for chunk in &self.chunks {
            bytes.extend_from_slice(&chunk.len.to_le_bytes());
            let flag = if chunk.plain { PLAIN } else { 0 };
            bytes.extend_from_slice(&(chunk.stored_len | flag).to_le_bytes());
            bytes.extend_from_slice(&chunk.digest.0);
        }
        bytes
    }

    /// Reads an index.
    ///
    /// # Errors
    /// It is not well formed, or its numbers do not agree.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChunkError> {
        let bad = |why| Err(ChunkError::Index(why));
        let Some((header, entries)) = bytes.split_at_checked(HEADER_LEN) else {
            return bad("too short");
        };
        if !header.starts_with(MAGIC) {
            return bad("unknown format");
        }
        let blob_len = header.get(8..).and_then(|rest| rest.first_chunk());
        let count = header.get(16..).and_then(|rest| rest.first_chunk());
        let (Some(blob_len), Some(count)) = (blob_len, count) else { return bad("too short") };
        let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
        if count.checked_mul(ENTRY_LEN) != Some(entries.len()) {
            return bad("its length does not fit the number of chunks");
        }
        let mut index = Self { chunks: Vec::with_capacity(count) };
        for entry in entries.chunks_exact(ENTRY_LEN) {
            let number = |off: usize| {
                let found = entry.get(off..).and_then(|rest| rest.first_chunk());
                found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
            };
            let (len, stored) = (number(0), number(4));
            let stored_len = stored & !PLAIN;
            let len_fits = len > 0 && len as usize <= CHUNK_LEN_MAX;
            if !len_fits || stored_len == 0 || stored_len as usize > CHUNK_LEN_MAX {
                return bad("a chunk has an impossible length");
            }
            let digest = entry.get(8..).and_then(|rest| rest.first_chunk()).copied();
            index.chunks.push(Chunk {
                off: index.blob_len(),
                len,
                stored_off: index.data_len(),
                stored_len,
                plain: stored & PLAIN != 0,
                digest: Digest(digest.unwrap_or_default()),
            });
        }
        if index.blob_len() != u64::from_le_bytes(*blob_len) {
            return bad("its chunks do not make up the blob");
        }
        Ok(index)
    }
}

/// Cuts and compresses a blob, and writes its data.
///
/// # Errors
/// The writer fails.
pub fn write(blob: &[u8], mut out: impl Write) -> io::Result<Index> {
    let mut index = Index::default();
    let mut rest = blob;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(cut(rest));
        rest = behind;
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
        packed.write_all(chunk)?;
        let packed = packed.finish()?;
        let plain = packed.len() >= chunk.len();
        let stored = if plain { chunk } else { &packed };
        out.write_all(stored)?;
        index.chunks.push(Chunk {
            off: index.blob_len(),
            len: u32::try_from(chunk.len()).unwrap_or(u32::MAX),
            stored_off: index.data_len(),
            stored_len: u32::try_from(stored.len()).unwrap_or(u32::MAX),
            plain,
            digest: Digest::of(chunk),
        });
    }
    Ok(index)
}

/// Returns the bytes of a chunk from what is stored of it.
///
/// # Errors
/// They are not those that the index promises.
pub fn read(chunk: &Chunk, stored: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let bad = |why| Err(ChunkError::Damaged { off: chunk.off, why });
    let len = chunk.len as usize;
    let mut bytes = Vec::with_capacity(len.min(CHUNK_LEN_MAX));
    if chunk.plain {
        bytes.extend_from_slice(stored);
    } else {
        let mut reader = ZlibDecoder::new(stored).take(u64::from(chunk.len).saturating_add(1));
        if reader.read_to_end(&mut bytes).is_err() {
            return bad("it cannot be decompressed");
        }
    }
    if bytes.len() != len {
        return bad("it has another length");
    }
    if Digest::of(&bytes) != chunk.digest {
        return bad("it has another digest");
    }
    Ok(bytes)
}

/// Cuts a blob that is at hand, without compressing: the digests and places of its chunks.
#[must_use]
pub fn digests(blob: &[u8]) -> Vec<(Digest, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = blob.get(at..).filter(|rest| !rest.is_empty()) {
        let len = cut(rest);
        let mut hasher = Hasher::default();
        // A hasher takes all.
        let _ = hasher.write_all(rest.get(..len).unwrap_or_default());
        found.push((hasher.digest(), at..at.saturating_add(len)));
        at = at.saturating_add(len);
    }
    found
}

/// Returns how long the first chunk of some bytes is; at least 1, at most all.
fn cut(bytes: &[u8]) -> usize {
    let end = bytes.len().min(CHUNK_LEN_MAX);
    if end <= CHUNK_LEN_MIN {
        return end;
    }
    let usual = end.min(CHUNK_LEN_USUAL);
    let mut hash = 0u64;
    let mut look = |range: std::ops::Range<usize>, mask: u64| {
        let start = range.start;
        let found = bytes.get(range)?.iter().position(|byte| {
            hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
            hash & mask == 0
        });
        found.map(|at| start + at + 1)
    };
    look(CHUNK_LEN_MIN..usual, MASK_STRICT).or_else(|| look(usual..end, MASK_LAX)).unwrap_or(end)
}

/// Ours: 18 and 14 bits around the 16 of the usual length, spread over the upper half as in [1] §3.5.
const MASK_STRICT: u64 = 0x0003_5907_0353_0000 | (1 << 61) | (1 << 57);
const MASK_LAX: u64 = 0x0000_d903_0353_0000;
/// Ours: most of a pack is digests, which no level makes shorter.
const LEVEL: u32 = 6;

/// A random number for each byte. Ours: SplitMix64 from a fixed seed, so that nobody copies a table.
static GEAR: [u64; 256] = gear();

const fn gear() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state = 0x686f_6c64_6661_7374u64;
    let mut at = 0;
    while at < table.len() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[at] = mixed ^ (mixed >> 31);
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, mut state: u64) -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn rebuilt(index: &Index, data: &[u8]) -> Vec<u8> {
        let mut blob = Vec::new();
        for chunk in &index.chunks {
            let (start, len) = (chunk.stored_off as usize, chunk.stored_len as usize);
            blob.extend(read(chunk, &data[start..start + len]).unwrap());
        }
        blob
    }

    #[test]
    fn blobs_come_back() {
        let text = b"one line of many, ".repeat(40_000);
        for blob in [Vec::new(), vec![7], noise(3_000_000, 1), text] {
            let mut data = Vec::new();
            let index = write(&blob, &mut data).unwrap();
            assert_eq!(index.data_len(), data.len() as u64);
            assert_eq!(Index::parse(&index.to_bytes()), Ok(index.clone()));
            assert_eq!(rebuilt(&index, &data), blob);
            let cut: Vec<Digest> = digests(&blob).into_iter().map(|(digest, _)| digest).collect();
            assert_eq!(cut, index.chunks.iter().map(|c| c.digest).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_insertion_leaves_other_chunks() {
        let old = noise(6_000_000, 2);
        let mut new = old.clone();
        new.splice(3_000_000..3_000_000, *b"inserted");
        let known: Vec<Digest> = digests(&old).into_iter().map(|(digest, _)| digest).collect();
        let chunks = digests(&new);
        let lost = chunks.iter().filter(|(digest, _)| !known.contains(digest)).count();
        assert!((1..=3).contains(&lost), "{lost}");
        let usual = new.len() / chunks.len();
        assert!((40_000..120_000).contains(&usual), "{usual}");
    }

    #[test]
    fn damage_is_seen() {
        let mut data = Vec::new();
        let index = write(&b"some text ".repeat(50), &mut data).unwrap();
        let bytes = index.to_bytes();
        assert!(Index::parse(&bytes[..bytes.len() - 1]).is_err());
        assert!(Index::parse(b"").is_err());
        let mut longer = bytes.clone();
        longer[8] ^= 1;
        assert!(Index::parse(&longer).is_err());
        for at in 0..data.len() {
            let mut damaged = data.clone();
            damaged[at] ^= 0x10;
            // The last bytes of zlib are a checksum that the digest makes superfluous.
            if let Ok(bytes) = read(&index.chunks[0], &damaged) {
                assert_eq!(Digest::of(&bytes), index.chunks[0].digest);
            }
        }
        assert!(read(&index.chunks[0], &[]).is_err());
    }
}
