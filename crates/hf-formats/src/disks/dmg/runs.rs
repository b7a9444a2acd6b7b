//! From runs to the bytes of a partition.

use std::borrow::Cow;
use std::io::Read;

use hf_core::{Reason, Stop};

use super::tables::Run;
use crate::bounded::{Ended, unpack_into};
use crate::codec::{Bunzip2, Inflate, XzStream, lzfse};
use crate::disks::files::{Extent, Files, gather};
use crate::reader::size;

/// An assembled partition.
pub(super) struct Content<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Why it is not all.
    pub(super) missing: Vec<Reason>,
}

const SECTOR_LEN: u64 = 512;
const RAW: u32 = 1;
const ADC: u32 = 0x8000_0004;
const ZLIB: u32 = 0x8000_0005;
const BZIP2: u32 = 0x8000_0006;
const LZFSE: u32 = 0x8000_0007;
const LZMA: u32 = 0x8000_0008;

/// Assembles runs, which are in order of their start.
///
/// # Errors
/// The scan ends here.
pub(super) fn assemble<'a>(
    runs: &[Run],
    base: u64,
    files: &mut Files<'a, '_>,
) -> Result<Content<'a>, Stop> {
    if runs.iter().all(|run| matches!(run.kind, RAW | 0 | 2)) {
        return stored(runs, base, files);
    }
    let cap = files.sink.child_cap();
    let mut bytes: Vec<u8> = Vec::new();
    let mut missing = Vec::new();
    for run in runs.iter().filter(|run| !matches!(run.kind, 0 | 2)) {
        files.sink.poll()?;
        let (start, len) =
            (run.start.saturating_mul(SECTOR_LEN), run.count.saturating_mul(SECTOR_LEN));
        if start.saturating_add(len) > cap {
            missing.push(files.sink.cap_reason());
            if start >= cap {
                break;
            }
        }
        let room = size(len.min(cap.saturating_sub(start)));
        let off = size(base.saturating_add(run.off));
        let rest = files.object.get(off..).unwrap_or_default();
        let packed = rest.get(..size(run.len)).unwrap_or(rest);
        if !files.may_give(u64::try_from(packed.len()).unwrap_or(u64::MAX)) {
            break;
        }
        let mut part = Vec::new();
        let mut ended = unpack(run.kind, packed, room, &mut part, files)?;
        if ended == Ended::Whole && (packed.len() < size(run.len) || part.len() < room) {
            ended = Ended::Truncated;
        }
        if run.kind != RAW && method(run.kind).is_none() {
            missing.push(Reason::UnknownMethod(format!("{:#x}", run.kind).into()));
        } else if let Some(reason) = ended.reason(files.sink) {
            missing.push(reason);
        }
        place(&mut bytes, size(start), &part);
    }
    missing.dedup();
    Ok(Content { bytes: Cow::Owned(bytes), missing })
}

/// A partition of which nothing is packed: a slice of the image where it is in one piece.
fn stored<'a>(runs: &[Run], base: u64, files: &mut Files<'a, '_>) -> Result<Content<'a>, Stop> {
    let mut extents = Vec::new();
    let mut end = 0u64;
    for run in runs {
        let start = run.start.saturating_mul(SECTOR_LEN);
        if start > end {
            extents.push(Extent::hole(start.saturating_sub(end)));
        }
        let skip = end.saturating_sub(start);
        let len = run.count.saturating_mul(SECTOR_LEN).saturating_sub(skip);
        end = end.max(start.saturating_add(run.count.saturating_mul(SECTOR_LEN)));
        extents.push(if run.kind == RAW {
            Extent::at(base.saturating_add(run.off).saturating_add(skip), len)
        } else {
            Extent::hole(len)
        });
    }
    // Zeros at the end need not be there.
    while extents.last().is_some_and(|extent| extent.off.is_none()) {
        extents.pop();
    }
    let len = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
    let content = gather(files.object, &extents, len, files.sink)?;
    Ok(Content { bytes: content.bytes, missing: content.missing.into_iter().collect() })
}

fn method(kind: u32) -> Option<u32> {
    matches!(kind, ADC | ZLIB | BZIP2 | LZFSE | LZMA).then_some(kind)
}

fn unpack(
    kind: u32,
    packed: &[u8],
    room: usize,
    part: &mut Vec<u8>,
    files: &mut Files<'_, '_>,
) -> Result<Ended, Stop> {
    let limit = u64::try_from(room).unwrap_or(u64::MAX);
    Ok(match kind {
        RAW => {
            part.extend_from_slice(packed.get(..room).unwrap_or(packed));
            Ended::Whole
        }
        ADC => adc(packed, room, part),
        ZLIB => unpack_into(Inflate::zlib(packed).take(limit), part, files.sink)?,
        BZIP2 => unpack_into(Bunzip2::new(packed).take(limit), part, files.sink)?,
        LZFSE => lzfse(packed, room, part),
        LZMA => match XzStream::new(packed) {
            Ok(stream) => unpack_into(stream.take(limit), part, files.sink)?,
            Err(error) => Ended::of_error(&error),
        },
        _ => Ended::Whole,
    })
}

/// Puts a part where it belongs; what is not there yet in front of it is zeros.
fn place(bytes: &mut Vec<u8>, start: usize, part: &[u8]) {
    let end = start.saturating_add(part.len());
    if bytes.len() == start {
        bytes.extend_from_slice(part);
        return;
    }
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(there) = bytes.get_mut(start..end) {
        there.copy_from_slice(part);
    }
}

/// Apple Data Compression: literals, and copies with two or three bytes.
fn adc(packed: &[u8], room: usize, out: &mut Vec<u8>) -> Ended {
    let mut rest = packed;
    while out.len() < room {
        let (len, distance) = match rest {
            [] => return Ended::Truncated,
            [code @ 0x80..=0xff, behind @ ..] => {
                let len = usize::from(code & 0x7f).saturating_add(1);
                let part = behind.get(..len).unwrap_or(behind);
                out.extend_from_slice(part);
                rest = behind.get(len..).unwrap_or_default();
                continue;
            }
            [code @ 0x40..=0x7f, high, low, behind @ ..] => {
                rest = behind;
                let distance = usize::from(*high) << 8 | usize::from(*low);
                (usize::from(code & 0x3f).saturating_add(4), distance.saturating_add(1))
            }
            [code @ 0..=0x3f, low, behind @ ..] => {
                rest = behind;
                let distance = usize::from(code & 3) << 8 | usize::from(*low);
                (usize::from((code >> 2) & 0xf).saturating_add(3), distance.saturating_add(1))
            }
            _ => return Ended::Truncated,
        };
        let Some(from) = out.len().checked_sub(distance) else {
            return Ended::Damaged("adc: distance".to_owned());
        };
        for at in from..from.saturating_add(len) {
            let byte = out.get(at).copied().unwrap_or(0);
            out.push(byte);
        }
    }
    out.truncate(room);
    Ended::Whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adc_copies() {
        let mut out = Vec::new();
        let packed = [0x82, b'a', b'b', b'c', 0x00, 2, 0x40, 0, 0, 0x80, b'!'];
        assert_eq!(adc(&packed, 11, &mut out), Ended::Whole);
        assert_eq!(out, b"abcabccccc!");
        assert_eq!(
            adc(&[0x00, 9], 20, &mut Vec::new()),
            Ended::Damaged("adc: distance".to_owned())
        );
    }
}
