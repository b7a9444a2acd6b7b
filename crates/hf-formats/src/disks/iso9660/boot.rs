//! Boot images of El Torito.

use hf_core::Stop;

use super::SECTOR_LEN;
use crate::disks::files::{Extent, Files};
use crate::reader::{Reader, size};

/// Ours: entries of a catalogue.
const ENTRIES_MAX: usize = 64;

/// Hands over the boot images that a boot record's catalogue names.
///
/// # Errors
/// The scan ends here.
pub(super) fn images(descriptor: &[u8], files: &mut Files<'_, '_>) -> Result<(), Stop> {
    if !descriptor.get(7..).is_some_and(|rest| rest.starts_with(b"EL TORITO SPECIFICATION")) {
        return Ok(());
    }
    let Ok(block) = Reader::at(descriptor, 71).u32_le() else { return Ok(()) };
    let off = u64::from(block).saturating_mul(u64::try_from(SECTOR_LEN).unwrap_or(2048));
    let catalogue = files.object.get(size(off)..).unwrap_or_default();
    for (idx, entry) in catalogue.chunks_exact(32).take(ENTRIES_MAX).enumerate() {
        let Some([mark, media]) = entry.first_chunk::<2>() else { break };
        match mark {
            // Validation entry, and headers of sections.
            0x01 | 0x90 | 0x91 | 0x44 => {}
            0x88 => image(idx, media & 0x0f, entry, files)?,
            0x00 if idx == 1 || Reader::at(entry, 8).u32_le().is_ok_and(|block| block > 0) => {
                image(idx, media & 0x0f, entry, files)?;
            }
            _ => break,
        }
    }
    Ok(())
}

fn image(idx: usize, media: u8, entry: &[u8], files: &mut Files<'_, '_>) -> Result<(), Stop> {
    let (Ok(count), Ok(block)) = (Reader::at(entry, 6).u16_le(), Reader::at(entry, 8).u32_le())
    else {
        return Ok(());
    };
    let off = u64::from(block).saturating_mul(u64::try_from(SECTOR_LEN).unwrap_or(2048));
    let there = files.object.get(size(off)..).unwrap_or_default();
    if block == 0 || there.is_empty() {
        return Ok(());
    }
    let told = u64::from(count).saturating_mul(512);
    let len = match media {
        1 => 1_228_800,
        2 => 1_474_560,
        3 => 2_949_120,
        4 => disk_len(there).unwrap_or(told),
        _ => told,
    };
    // Loaders count what the firmware loads; the image that is there may go on.
    let len = len.max(volume_len(there).unwrap_or(0));
    let len = len.min(u64::try_from(there.len()).unwrap_or(u64::MAX));
    let name = format!("[boot {idx}]");
    files.file(name.as_bytes(), &[Extent::at(off, len)], len)
}

/// Returns the length of a disk: where its last partition ends.
fn disk_len(disk: &[u8]) -> Option<u64> {
    let ends = (0..4usize).filter_map(|idx| {
        let mut entry = Reader::at(disk, idx.saturating_mul(16).saturating_add(446 + 8));
        let (start, count) = (entry.u32_le().ok()?, entry.u32_le().ok()?);
        Some(u64::from(start).saturating_add(count.into()).saturating_mul(512))
    });
    ends.max()
}

/// Returns the length of a FAT volume, from its boot sector.
fn volume_len(volume: &[u8]) -> Option<u64> {
    if volume.get(510..512)? != [0x55, 0xaa] || !matches!(volume.first()?, 0xeb | 0xe9) {
        return None;
    }
    let sector_len =
        Reader::at(volume, 11).u16_le().ok().filter(|len| matches!(len, 512..=4096))?;
    let small = u64::from(Reader::at(volume, 19).u16_le().ok()?);
    let large = u64::from(Reader::at(volume, 32).u32_le().ok()?);
    Some((if small > 0 { small } else { large }).saturating_mul(sector_len.into()))
}
