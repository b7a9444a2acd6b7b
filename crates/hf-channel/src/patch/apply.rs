//! Writes the new blob from the old one and a patch.

use std::io::{self, BufReader, Read, Write};

use flate2::read::ZlibDecoder;

use super::view::{Map, View, read_views};
use super::{COPY, DIFF4, DIFF8, HEADER_LEN, INSERT, MAGIC, MAPS_MAX, STEPS_MAX, varint};
use crate::{Digest, Hasher};

/// A patch was refused, or the new blob could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Not a patch, or a damaged one.
    #[error("patch is damaged: {0}")]
    Damaged(&'static str),
    /// It is for another old blob.
    #[error("patch is for another version")]
    OtherOld,
    /// It gives another blob than the one wanted.
    #[error("patch gives another file than the one wanted")]
    OtherNew,
    /// Writing failed.
    #[error("cannot write what a patch gives")]
    Write(#[source] io::Error),
}

/// Writes what a patch makes of the old blob, whose digest the caller knows to be `old_digest`.
///
/// # Errors
/// The patch is damaged, is for another old blob, does not give the wanted one, or writing fails.
/// Then what was written is of no use.
pub fn apply(
    patch: &[u8],
    old: &[u8],
    old_digest: &Digest,
    wanted: (&Digest, u64),
    out: impl Write,
) -> Result<(), ApplyError> {
    let (header, mut rest) =
        patch.split_at_checked(HEADER_LEN).ok_or(ApplyError::Damaged("too short"))?;
    let number = |off: usize| {
        let found = header.get(off..).and_then(|rest| rest.first_chunk());
        found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    if !header.starts_with(MAGIC) {
        return Err(ApplyError::Damaged("unknown format"));
    }
    if number(8) != old.len() as u64 || header.get(24..56) != Some(&old_digest.0[..]) {
        return Err(ApplyError::OtherOld);
    }
    if number(16) != wanted.1 || header.get(56..) != Some(&wanted.0.0[..]) {
        return Err(ApplyError::OtherNew);
    }
    let [ops, bytes, differences, maps] = [(); 4].map(|()| stream(&mut rest));
    let mut maps = reader(maps?);
    let known = read_maps(&mut maps)?;
    let views = read_views(&mut maps, old.len(), known.len())?;
    let mut work = Work {
        old,
        views,
        old_at: 0,
        left: wanted.1,
        bytes: reader(bytes?),
        differences: reader(differences?),
        maps: known,
        out,
        hasher: Hasher::default(),
        buffer: vec![0; BUFFER],
        other: vec![0; BUFFER],
    };
    let mut ops = reader(ops?);
    while let Some(op) = varint::read(&mut ops).map_err(damaged)? {
        work.run(op, &mut ops)?;
    }
    if work.left != 0 || work.hasher.digest() != *wanted.0 {
        return Err(ApplyError::OtherNew);
    }
    work.out.flush().map_err(ApplyError::Write)
}

type Stream<'a> = BufReader<ZlibDecoder<&'a [u8]>>;

fn reader(bytes: &[u8]) -> Stream<'_> {
    BufReader::with_capacity(BUFFER, ZlibDecoder::new(bytes))
}

fn damaged(_: io::Error) -> ApplyError {
    ApplyError::Damaged("a stream ends early or cannot be decompressed")
}

fn stream<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ApplyError> {
    let short = ApplyError::Damaged("too short");
    let Some((len, behind)) = rest.split_first_chunk() else { return Err(short) };
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let Some((stream, behind)) = behind.split_at_checked(len) else { return Err(short) };
    *rest = behind;
    Ok(stream)
}

fn read_maps(reader: &mut Stream<'_>) -> Result<Vec<Map>, ApplyError> {
    let end = ApplyError::Damaged("a map ends early");
    let mut maps = Vec::new();
    let mut steps_left = STEPS_MAX;
    let number = varint::read(reader).map_err(damaged)?.unwrap_or(0);
    for _ in 0..number {
        let count = varint::read(reader).map_err(damaged)?.unwrap_or(u64::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if maps.len() >= MAPS_MAX || count > steps_left {
            return Err(ApplyError::Damaged("too many maps"));
        }
        steps_left -= count;
        let mut map = Map::new();
        let (mut from, mut add) = (0u32, 0u32);
        for _ in 0..count {
            let Some(step) = varint::read(reader).map_err(damaged)? else { return Err(end) };
            let Some(more) = varint::read_signed(reader).map_err(damaged)? else { return Err(end) };
            from = from.wrapping_add(step as u32);
            add = add.wrapping_add(more as u32);
            map.push((from, add));
        }
        maps.push(map);
    }
    Ok(maps)
}

struct Work<'a, W> {
    old: &'a [u8],
    views: Vec<View>,
    old_at: usize,
    /// Bytes still to be written.
    left: u64,
    bytes: Stream<'a>,
    differences: Stream<'a>,
    maps: Vec<Map>,
    out: W,
    hasher: Hasher,
    buffer: Vec<u8>,
    other: Vec<u8>,
}

impl<'a, W: Write> Work<'a, W> {
    fn run(&mut self, op: u64, ops: &mut Stream<'_>) -> Result<(), ApplyError> {
        let (len, kind) = (op >> 3, op & 7);
        if len == 0 {
            return Err(ApplyError::Damaged("an operation does nothing"));
        }
        if kind == INSERT {
            return self.insert(len);
        }
        let end = ApplyError::Damaged("an operation ends early");
        let Some(moved) = varint::read_signed(ops).map_err(damaged)? else { return Err(end) };
        let outside = ApplyError::Damaged("an operation reaches outside of the old file");
        let start = i64::try_from(self.old_at).ok().and_then(|at| at.checked_add(moved));
        let start = start.and_then(|start| usize::try_from(start).ok());
        let end_at = start.and_then(|start| start.checked_add(usize::try_from(len).ok()?));
        let (Some(start), Some(end_at)) = (start, end_at) else { return Err(outside) };
        if end_at > self.old.len() {
            return Err(outside);
        }
        self.old_at = end_at;
        let mut at = start;
        while at < end_at {
            let part = (end_at - at).min(BUFFER);
            match kind {
                COPY => self.copy(at, part)?,
                DIFF4 => self.add::<4>(at, part)?,
                DIFF8 => self.add::<8>(at, part)?,
                _ => return Err(ApplyError::Damaged("unknown operation")),
            }
            at += part;
        }
        Ok(())
    }

    /// Returns whether a view lies over some bytes of the old version.
    fn is_seen(&self, start: usize, len: usize) -> bool {
        let end = start + len;
        self.views.iter().any(|view| view.range.start < end && start < view.range.end)
    }

    /// Fills a buffer with bytes of the old version, as they are seen through the views.
    fn look(&self, start: usize, buffer: &mut [u8]) {
        if let Some(piece) = self.old.get(start..start + buffer.len()) {
            buffer.copy_from_slice(piece);
        }
        for view in &self.views {
            if let Some(map) = self.maps.get(view.map) {
                view.show(self.old, start, buffer, map);
            }
        }
    }

    fn copy(&mut self, start: usize, len: usize) -> Result<(), ApplyError> {
        if !self.is_seen(start, len) {
            let old = self.old;
            return self.put(old.get(start..start + len).unwrap_or_default());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.look(start, &mut buffer[..len]);
        self.put(&buffer[..len])?;
        self.buffer = buffer;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ApplyError> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or(ApplyError::Damaged("it gives more than it should"))?;
        // What is hashed is still in the cache when it is written.
        for piece in bytes.chunks(1 << 18) {
            self.hasher.write_all(piece).map_err(ApplyError::Write)?;
            self.out.write_all(piece).map_err(ApplyError::Write)?;
        }
        Ok(())
    }

    fn insert(&mut self, mut len: u64) -> Result<(), ApplyError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        while len > 0 {
            let part = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER);
            self.bytes.read_exact(&mut buffer[..part]).map_err(damaged)?;
            self.put(&buffer[..part])?;
            len -= part as u64;
        }
        self.buffer = buffer;
        Ok(())
    }

    fn add<const N: usize>(&mut self, start: usize, len: usize) -> Result<(), ApplyError> {
        if !len.is_multiple_of(N) {
            return Err(ApplyError::Damaged("differences of a broken word"));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut other = std::mem::take(&mut self.other);
        self.look(start, &mut other[..len]);
        let part = &mut buffer[..len];
        self.differences.read_exact(part).map_err(damaged)?;
        for (to, from) in part.chunks_exact_mut(N).zip(other[..len].chunks_exact(N)) {
            let (a, b) = (word::<N>(to), word::<N>(from));
            to.copy_from_slice(&a.wrapping_add(b).to_le_bytes()[..N]);
        }
        self.put(&buffer[..len])?;
        (self.buffer, self.other) = (buffer, other);
        Ok(())
    }
}

/// Returns a little-endian word of at most eight bytes.
fn word<const N: usize>(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..N].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// A multiple of all words.
const BUFFER: usize = 1 << 16;
