//! Chunks of data: what is behind their magic, how it is compressed, and the files in it.

use std::collections::BTreeMap;
use std::io::Read;

use hf_core::{Child, ChildRole, Defect, Member, Reason, Sink, Stop};
use md5::{Digest as _, Md5};
use memchr::memmem;
use sha1::Sha1;
use sha2::Sha256;

use super::locations::{Check, Location};
use super::{lzma1, numbered, place};
use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::{Bunzip2, Inflate, Lzma2};

pub(super) const MAGIC: &[u8] = b"zlb\x1a";
/// Ours.
const CHUNKS_MAX: usize = 10_000;
/// Ours: a chunk without a file must give this much before it counts as one.
const STRAY_LEN_MIN: usize = 1;

/// The chunks of an object.
pub(super) struct Chunks<'a> {
    object: &'a [u8],
    /// Offsets, and whether a chunk was opened.
    list: BTreeMap<usize, bool>,
}

impl<'a> Chunks<'a> {
    pub(super) fn find(object: &'a [u8], sink: &mut dyn Sink) -> Result<Self, Stop> {
        sink.poll()?;
        let found = memmem::find_iter(object, MAGIC).take(CHUNKS_MAX.saturating_add(1));
        let mut list: BTreeMap<usize, bool> = found.map(|at| (at, false)).collect();
        if list.len() > CHUNKS_MAX {
            list.pop_last();
            sink.unscanned(b"", Reason::FormatLimit("chunks of an installer".into()));
        }
        Ok(Self { object, list })
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.list.contains_key(&at)
    }

    pub(super) fn first(&self) -> Option<usize> {
        self.list.keys().next().copied()
    }

    /// Returns the bytes of a chunk: up to the next one, or all when that is not the end.
    fn bytes(&self, at: usize) -> &'a [u8] {
        let start = at.saturating_add(MAGIC.len());
        self.object.get(start..).unwrap_or_default()
    }

    /// Opens a chunk and hands over its files; what is behind the last of them too, when the table of
    /// locations is not whole.
    pub(super) fn open(
        &mut self,
        at: usize,
        files: &[Location],
        whole_table: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        self.list.insert(at, true);
        let end = files.iter().map(|file| file.off.saturating_add(file.len)).max().unwrap_or(0);
        let bound = Some(end).filter(|_| whole_table || method(self.bytes(at)).is_none());
        let unpacked = unpack_chunk(self.bytes(at), bound, sink)?;
        let mut handed = 0u64;
        let mut wrong = true;
        let made = u64::try_from(unpacked.bytes.len()).unwrap_or(u64::MAX);
        for file in files {
            let name = place(file);
            sink.member(&Member {
                name: &name,
                unpacked_len: file.len,
                position: u32::try_from(file.number).unwrap_or(u32::MAX).saturating_add(1),
                ..Member::default()
            })?;
            handed = handed.saturating_add(file.len);
            if handed > made.saturating_mul(8).saturating_add(1 << 20) {
                sink.unscanned(&name, Reason::FormatLimit("files that overlap".into()));
                continue;
            }
            let start = crate::reader::size(file.off).min(unpacked.bytes.len());
            let end = start.saturating_add(crate::reader::size(file.len));
            let end = end.min(unpacked.bytes.len());
            let data = unpacked.bytes.get(start..end).unwrap_or_default();
            let whole = u64::try_from(data.len()).unwrap_or(u64::MAX) >= file.len;
            if !whole {
                let reason = unpacked.ended.reason(sink).unwrap_or(Reason::Truncated);
                sink.unscanned(&name, reason);
            }
            if !data.is_empty() {
                wrong &= !hand_over_file(&name, data, file, whole, sink)?;
            }
        }
        let rest = unpacked.bytes.get(crate::reader::size(end)..).unwrap_or_default();
        if bound.is_none() && !rest.is_empty() {
            let name = numbered("chunk", at);
            sink.child(Child { name: &name, data: rest, role: ChildRole::Member })?;
        }
        if wrong && method(self.bytes(at)).is_none() {
            sink.unscanned(&numbered("chunk", at), Reason::Encrypted);
        }
        Ok(())
    }

    /// Opens the chunks that no file was in; when there is no file at all, those that cannot be opened
    /// are told.
    pub(super) fn open_rest(&self, alone: bool, sink: &mut dyn Sink) -> Result<(), Stop> {
        let mut told = !alone;
        let rest = self.list.iter().filter(|(_, opened)| !**opened).enumerate();
        for (number, (at, _)) in rest {
            let data = self.bytes(*at);
            if method(data).is_none() {
                if !told {
                    told = true;
                    sink.unscanned(b"", Reason::UnknownMethod("of a chunk".into()));
                }
                continue;
            }
            let unpacked = unpack_chunk(data, None, sink)?;
            if unpacked.bytes.len() >= STRAY_LEN_MIN {
                hand_over(&unpacked, &numbered("chunk", number), ChildRole::Member, sink)?;
            }
        }
        Ok(())
    }
}

/// Hands a file over in the form in which its checksum fits, or as it is; false when none fits.
fn hand_over_file(
    name: &[u8],
    data: &[u8],
    file: &Location,
    whole: bool,
    sink: &mut dyn Sink,
) -> Result<bool, Stop> {
    sink.poll()?;
    if !whole || fits(data, file) {
        sink.child(Child { name, data, role: ChildRole::Member })?;
        return Ok(true);
    }
    let filters: [fn(&mut [u8]); 3] =
        [|data| calls(data, true), |data| calls(data, false), calls_of_4_1];
    for filter in filters {
        sink.poll()?;
        let mut copy = data.to_vec();
        filter(&mut copy);
        if fits(&copy, file) {
            sink.child(Child { name, data: &copy, role: ChildRole::Member })?;
            return Ok(true);
        }
    }
    let number = u64::try_from(file.number).unwrap_or(u64::MAX);
    sink.defect(Defect::new(number, "checksum of a file, by its number"));
    sink.child(Child { name, data, role: ChildRole::Member })?;
    Ok(false)
}

fn fits(data: &[u8], file: &Location) -> bool {
    let sum = file.sum.as_slice();
    match file.check {
        Check::Sha1 => Sha1::digest(data)[..] == *sum,
        Check::Sha256 => Sha256::digest(data)[..] == *sum,
        Check::Md5 => Md5::digest(data)[..] == *sum,
        Check::Adler32OrCrc32 => crc32fast::hash(data).to_le_bytes() == *sum,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Zlib,
    Bzip2,
    Lzma1,
    Lzma2,
}

/// Tells the compression by the first bytes; none when they are no stream's.
fn method(data: &[u8]) -> Option<Method> {
    match data {
        [0x78, second, ..] if (0x7800 | u16::from(*second)) % 31 == 0 => Some(Method::Zlib),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Method::Bzip2),
        [0..=40, 1 | 0xe0..=0xff, ..] => Some(Method::Lzma2),
        [props, _, _, _, _, 0, ..] if *props < 225 && *props != 0 => Some(Method::Lzma1),
        _ => None,
    }
}

/// Unpacks a chunk, up to where its last file ends when that is known.
fn unpack_chunk(data: &[u8], end: Option<u64>, sink: &mut dyn Sink) -> Result<Unpacked, Stop> {
    let len = end.unwrap_or(u64::MAX);
    let stream: Box<dyn Read + '_> = match method(data) {
        Some(Method::Zlib) => Box::new(Inflate::zlib(data)),
        Some(Method::Bzip2) => Box::new(Bunzip2::new(data)),
        Some(Method::Lzma1) => match lzma1(data) {
            Some(stream) => Box::new(stream),
            None => Box::new(data),
        },
        Some(Method::Lzma2) => {
            let (props, rest) = data.split_first().unwrap_or((&0, &[]));
            Box::new(Lzma2::new(rest, Lzma2::<&[u8]>::dict_len(*props)))
        }
        // Stored, or encrypted: the checksum of its files tells.
        None => Box::new(data),
    };
    let mut unpacked = unpack(stream.take(len), end.unwrap_or(0), sink)?;
    let made = u64::try_from(unpacked.bytes.len()).unwrap_or(u64::MAX);
    if end.is_some_and(|end| made >= end) {
        unpacked.ended = Ended::Whole;
    }
    Ok(unpacked)
}

/// Makes targets of calls and jumps relative again, as versions from 5.2 on; from 5.3.9 on the highest byte
/// is turned too. An instruction over the border of 64 KiB is left.
fn calls(data: &mut [u8], flip: bool) {
    const BLOCK_LEN: usize = 0x1_0000;
    let mut at = 0usize;
    while at < data.len() {
        let Some(found) = memchr::memchr2(0xe8, 0xe9, data.get(at..).unwrap_or_default()) else {
            break;
        };
        at = at.saturating_add(found);
        let left = BLOCK_LEN.saturating_sub(at % BLOCK_LEN);
        let operand = data.get_mut(at.saturating_add(1)..).and_then(<[u8]>::first_chunk_mut::<4>);
        let Some([a, b, c, d]) = operand.filter(|_| left >= 5) else {
            at = at.saturating_add(1);
            continue;
        };
        if matches!(d, 0 | 0xff) {
            let next = u32::try_from(at.saturating_add(5) & 0xff_ffff).unwrap_or(0);
            let target = u32::from_le_bytes([*a, *b, *c, 0]);
            let [x, y, z, _] = target.wrapping_sub(next).to_le_bytes();
            (*a, *b, *c) = (x, y, z);
            if flip && z & 0x80 != 0 {
                *d = !*d;
            }
        }
        at = at.saturating_add(5);
    }
}

/// The same as versions from 4.1.8 to 5.1 do it: each target, in whichever block.
fn calls_of_4_1(data: &mut [u8]) {
    let mut at = 0usize;
    while at < data.len() {
        let Some(found) = memchr::memchr2(0xe8, 0xe9, data.get(at..).unwrap_or_default()) else {
            break;
        };
        at = at.saturating_add(found).saturating_add(1);
        let next = u32::try_from(at.saturating_add(4) & 0xffff_ffff).unwrap_or(0);
        let operand = data.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>);
        let Some(operand) = operand else { break };
        *operand = u32::from_le_bytes(*operand).wrapping_sub(next).to_le_bytes();
        at = at.saturating_add(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_relative() {
        let mut data = vec![0x90, 0xe8, 0x16, 0, 0, 0, 0x90];
        calls(&mut data, true);
        assert_eq!(data, [0x90, 0xe8, 0x10, 0, 0, 0, 0x90]);
        let mut data = vec![0xe8, 1, 0, 0, 0];
        calls(&mut data, true);
        assert_eq!(data, [0xe8, 0xfc, 0xff, 0xff, 0xff]);
    }
}
