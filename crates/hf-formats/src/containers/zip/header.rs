//! The records of a zip: what they claim, read without believing any of it.

use crate::backwards::backwards;
use crate::reader::{Reader, size};

/// Signature of a local header.
pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// Signature of a record of the central directory.
pub(super) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
/// Signature of the end of the central directory.
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
/// Signature of a data descriptor (and of a spanned archive).
pub(super) const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

const LOCAL_LEN: usize = 30;
const CENTRAL_LEN: usize = 46;
const FULL: u32 = u32::MAX;

/// What one header says of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) name: &'a [u8],
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) time: u16,
    /// None when it comes in a data descriptor.
    pub(super) crc32: Option<u32>,
    /// None when it comes in a data descriptor.
    pub(super) packed_len: Option<u64>,
    /// None when it comes in a data descriptor.
    pub(super) unpacked_len: Option<u64>,
    pub(super) extra: &'a [u8],
}

impl Claims<'_> {
    /// Bit 0: encrypted.
    pub(super) fn encrypted(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// A local header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local<'a> {
    pub(super) claims: Claims<'a>,
    /// Where its data starts.
    pub(super) data_off: usize,
}

impl<'a> Local<'a> {
    /// Reads the header at an offset, which must have its signature.
    pub(super) fn read(object: &'a [u8], off: usize) -> Option<Self> {
        object.get(off..)?.starts_with(&LOCAL).then(|| Self::read_unsigned(object, off))?
    }

    /// Reads the header at an offset, whatever its signature.
    pub(super) fn read_unsigned(object: &'a [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        if reader.left() < LOCAL_LEN {
            return None;
        }
        reader.skip(6).ok()?;
        let flags = reader.u16_le().ok()?;
        let method = reader.u16_le().ok()?;
        let time = reader.u16_le().ok()?;
        reader.skip(2).ok()?;
        let crc32 = reader.u32_le().ok()?;
        let packed_len = reader.u32_le().ok()?;
        let unpacked_len = reader.u32_le().ok()?;
        let name_len = reader.u16_le().ok()?;
        let extra_len = reader.u16_le().ok()?;
        let name = reader.take_up_to(usize::from(name_len));
        let extra = reader.take_up_to(usize::from(extra_len));
        let mut large = field(extra, 1).map(Reader::new);
        let unpacked_len = widen(unpacked_len, &mut large);
        let packed_len = widen(packed_len, &mut large);
        let later = flags & 8 != 0;
        let claims = Claims {
            name,
            flags,
            method,
            time,
            crc32: (!later || crc32 != 0).then_some(crc32),
            packed_len: (!later || packed_len != 0).then_some(packed_len),
            unpacked_len: (!later || unpacked_len != 0).then_some(unpacked_len),
            extra,
        };
        Some(Self { claims, data_off: reader.off() })
    }
}

/// A record of the central directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Central<'a> {
    pub(super) claims: Claims<'a>,
    /// Offset of the local header, as stored.
    pub(super) local_off: u64,
    /// Where the next record starts.
    pub(super) end_off: usize,
}

impl<'a> Central<'a> {
    /// Reads the record at an offset.
    pub(super) fn read(object: &'a [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, off);
        if reader.left() < CENTRAL_LEN || !reader.rest().starts_with(&CENTRAL) {
            return None;
        }
        reader.skip(8).ok()?;
        let flags = reader.u16_le().ok()?;
        let method = reader.u16_le().ok()?;
        let time = reader.u16_le().ok()?;
        reader.skip(2).ok()?;
        let crc32 = reader.u32_le().ok()?;
        let packed_len = reader.u32_le().ok()?;
        let unpacked_len = reader.u32_le().ok()?;
        let name_len = reader.u16_le().ok()?;
        let extra_len = reader.u16_le().ok()?;
        let comment_len = reader.u16_le().ok()?;
        reader.skip(8).ok()?;
        let local_off = reader.u32_le().ok()?;
        let name = reader.take_up_to(usize::from(name_len));
        let extra = reader.take_up_to(usize::from(extra_len));
        reader.take_up_to(usize::from(comment_len));
        let mut large = field(extra, 1).map(Reader::new);
        let unpacked_len = Some(widen(unpacked_len, &mut large));
        let packed_len = Some(widen(packed_len, &mut large));
        let local_off = widen(local_off, &mut large);
        let crc32 = Some(crc32);
        let claims = Claims { name, flags, method, time, crc32, packed_len, unpacked_len, extra };
        Some(Self { claims, local_off, end_off: reader.off() })
    }
}

/// Takes the next 64-bit value of a Zip64 field when the 32-bit one says so.
fn widen(value: u32, large: &mut Option<Reader<'_>>) -> u64 {
    if value != FULL {
        return u64::from(value);
    }
    large.as_mut().and_then(|large| large.u64_le().ok()).unwrap_or(u64::from(value))
}

/// Returns the extra field with this id.
pub(super) fn field(extra: &[u8], id: u16) -> Option<&[u8]> {
    let mut reader = Reader::new(extra);
    loop {
        let found = reader.u16_le().ok()?;
        let len = usize::from(reader.u16_le().ok()?);
        let data = reader.take_up_to(len);
        if found == id {
            return Some(data);
        }
    }
}

/// Where a central directory is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory {
    /// Offset of its first record.
    pub(super) off: usize,
    /// What must be added to stored offsets, modulo 2^64.
    pub(super) base: u64,
    /// The archive says that it has other volumes.
    pub(super) other_volumes: bool,
}

impl Directory {
    /// Reads the end record at an offset and returns the directory that it means, when there is one.
    pub(super) fn of_end(object: &[u8], end_off: usize) -> Option<Self> {
        let mut reader = Reader::at(object, end_off.checked_add(4)?);
        let disk = reader.u16_le().ok()?;
        reader.skip(6).ok()?;
        let len = u64::from(reader.u32_le().ok()?);
        let off = u64::from(reader.u32_le().ok()?);
        let large = large_end(object, end_off);
        let readings = [large, Some((end_off, len, off))];
        readings.into_iter().flatten().find_map(|(directory_end, len, off)| {
            let before_end = directory_end.checked_sub(size(len));
            let found = [before_end, Some(size(off))]
                .into_iter()
                .flatten()
                .find(|at| Central::read(object, *at).is_some())?;
            let base = u64::try_from(found).ok()?.wrapping_sub(off);
            Some(Self { off: found, base, other_volumes: disk != 0 && disk != u16::MAX })
        })
    }

    /// Returns the directory meant by the last end record that means one.
    pub(super) fn find(object: &[u8]) -> Option<Self> {
        backwards(object, &END).take(ENDS_TRIED).find_map(|end_off| Self::of_end(object, end_off))
    }
}

/// Ours: end records tried from the end of the object; others are found when the rest is walked.
const ENDS_TRIED: usize = 8;

/// Returns where the directory ends, its length and its offset from the Zip64 end record in front of an end record.
fn large_end(object: &[u8], end_off: usize) -> Option<(usize, u64, u64)> {
    let locator_off = end_off.checked_sub(20)?;
    let mut locator = Reader::at(object, locator_off);
    if locator.take(4).ok()? != b"PK\x06\x07" {
        return None;
    }
    locator.skip(4).ok()?;
    let stored = size(locator.u64_le().ok()?);
    let candidates = [Some(stored), locator_off.checked_sub(56)];
    let record_off = candidates
        .into_iter()
        .flatten()
        .find(|at| object.get(*at..).is_some_and(|rest| rest.starts_with(b"PK\x06\x06")))?;
    let mut record = Reader::at(object, record_off.checked_add(40)?);
    let len = record.u64_le().ok()?;
    let off = record.u64_le().ok()?;
    Some((record_off, len, off))
}
