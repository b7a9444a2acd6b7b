//! zisofs: files that are compressed block by block, for readers to unpack.

use hf_core::Stop;

use crate::bounded::{Ended, unpack_into};
use crate::codec::Inflate;
use crate::disks::files::{Extent, Files, gather};
use crate::reader::Reader;

const MAGIC: [u8; 8] = [0x37, 0xe4, 0x53, 0x96, 0xc9, 0xdb, 0xd6, 0x07];

/// True when a file starts as a compressed one does.
pub(super) fn is(object: &[u8], extents: &[Extent]) -> bool {
    let start =
        extents.first().and_then(|extent| extent.off).and_then(|off| usize::try_from(off).ok());
    start.and_then(|start| object.get(start..)).is_some_and(|rest| rest.starts_with(&MAGIC))
}

/// Unpacks a file and hands it over; what is not compressed is left alone.
///
/// # Errors
/// The scan ends here.
pub(super) fn unpack(
    name: &[u8],
    extents: &[Extent],
    files: &mut Files<'_, '_>,
) -> Result<(), Stop> {
    let len = extents.iter().fold(0u64, |sum, extent| sum.saturating_add(extent.len));
    let packed = gather(files.object, extents, len, files.sink)?;
    let packed = packed.bytes.as_ref();
    let mut header = Reader::at(packed, 8);
    let (Ok(unpacked_len), Ok(header_len), Ok(shift)) = (header.u32_le(), header.u8(), header.u8())
    else {
        return Ok(());
    };
    if !packed.starts_with(&MAGIC) || !(15..=17).contains(&shift) {
        return Ok(());
    }
    let block_len = 1usize << shift;
    let unpacked_len = usize::try_from(unpacked_len).unwrap_or(usize::MAX);
    let mut table = Reader::at(packed, usize::from(header_len).saturating_mul(4));
    let mut data = Vec::new();
    let mut ended = Ended::Whole;
    let Ok(mut from) = table.u32_le() else { return Ok(()) };
    while data.len() < unpacked_len {
        let Ok(to) = table.u32_le() else {
            ended = Ended::Truncated;
            break;
        };
        let want = data.len().saturating_add(block_len).min(unpacked_len);
        let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(0);
        let block = packed.get(range).unwrap_or_default();
        if block.is_empty() && from != to {
            ended = Ended::Truncated;
        }
        if u64::try_from(want).unwrap_or(u64::MAX) > files.sink.child_cap() {
            ended = Ended::Capped;
            break;
        }
        if !block.is_empty() {
            let limited =
                std::io::Read::take(Inflate::zlib(block), u64::try_from(block_len).unwrap_or(0));
            let block_ended = unpack_into(limited, &mut data, files.sink)?;
            if block_ended != Ended::Whole {
                ended = block_ended;
            }
        }
        data.resize(want, 0);
        from = to;
    }
    if let Some(reason) = ended.reason(files.sink) {
        files.sink.unscanned(name, reason);
    }
    files.child(name, &data)
}
