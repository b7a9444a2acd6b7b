//! Disks that an object is as a whole, known by bytes far from its start.
//!
//! Promises: a few looks at fixed places; types that ClamAV gives stay as they are, since these are forms under
//! which the object is opened too.
//! Sources: the formats' own specifications (see their readers); clamscan 1.4.6 as an oracle for ISO and DMG.

use hf_core::FileType;

use super::filesystem;
use crate::containers::unopened::F2FS;
use crate::reader::{Reader, size};

/// A type, and how it is known.
type Form = (FileType, fn(&[u8]) -> bool);

/// Returns the disks as which an object of this type can also be read, from its first byte.
#[must_use]
pub fn disk_forms(bytes: &[u8], own: FileType) -> Vec<FileType> {
    let forms: [Form; 13] = [
        (FileType::Iso9660, is_iso),
        (FileType::Udf, is_udf),
        (FileType::Dmg, is_dmg),
        (FileType::PartHfsPlus, is_hfs_plus),
        (FileType::Hfs, is_hfs),
        (FileType::Vhd, is_vhd),
        (FileType::Vmdk, |bytes| bytes.starts_with(b"# Disk DescriptorFile")),
        (FileType::Ext, filesystem::is_ext),
        (FileType::Ntfs, filesystem::is_ntfs),
        (FileType::Fat, filesystem::is_fat),
        (FileType::Btrfs, |bytes| has(bytes, 0x1_0040, b"_BHRfS_M")),
        (FileType::Erofs, |bytes| has(bytes, 1024, &[0xe2, 0xe1, 0xf5, 0xe0])),
        (FileType::F2fs, |bytes| has(bytes, 1024, F2FS)),
    ];
    let fits = |(kind, test): &Form| *kind != own && test(bytes);
    forms.iter().filter(|form| fits(form)).map(|(kind, _)| *kind).collect()
}

/// Offset of the first descriptor of a CD of plain sectors.
pub(super) const FIRST_DESCRIPTOR_OFF: usize = 32_768;
/// Bytes in which the descriptors of one CD stand.
pub(super) const DESCRIPTORS_LEN: usize = 100 * 2048;

fn has(bytes: &[u8], off: usize, magic: &[u8]) -> bool {
    bytes.get(off..).is_some_and(|rest| rest.starts_with(magic))
}

/// A descriptor in sector 16, of sectors of any length.
fn is_iso(bytes: &[u8]) -> bool {
    const SYNC: [u8; 6] = [0, 255, 255, 255, 255, 255];
    let raw = |len: usize| {
        [0usize, 8, 16, 24].iter().any(|off| {
            has(bytes, len.saturating_mul(16).saturating_add(*off).saturating_add(1), b"CD001")
        })
    };
    has(bytes, FIRST_DESCRIPTOR_OFF + 1, b"CD001")
        || bytes.starts_with(&SYNC) && (raw(2352) || raw(2448))
        || raw(2336)
        || has(bytes, FIRST_DESCRIPTOR_OFF + 9, b"CDROM")
}

/// A volume recognition sequence, or an anchor at sector 256 or the last.
fn is_udf(bytes: &[u8]) -> bool {
    let near = bytes.get(FIRST_DESCRIPTOR_OFF..).unwrap_or_default();
    let near = near.get(..near.len().min(DESCRIPTORS_LEN)).unwrap_or_default();
    let sequence = near.chunks(2048).any(|sector| {
        sector.get(1..6).is_some_and(|id| matches!(id, b"BEA01" | b"NSR02" | b"NSR03"))
    });
    sequence || [2048u64, 512, 4096].iter().any(|len| is_anchor(bytes, 256, *len))
}

/// An anchor volume descriptor pointer in this sector.
fn is_anchor(bytes: &[u8], sector: u64, sector_len: u64) -> bool {
    let Some(tag) = bytes.get(size(sector.saturating_mul(sector_len))..) else { return false };
    let Some(tag) = tag.get(..16) else { return false };
    let sum = tag.iter().enumerate().filter(|(at, _)| *at != 4);
    let sum = sum.fold(0u8, |sum, (_, byte)| sum.wrapping_add(*byte));
    tag.starts_with(&[2, 0])
        && tag.get(4) == Some(&sum)
        && Reader::at(tag, 12).u32_le().is_ok_and(|at| u64::from(at) == sector)
}

/// A trailer at the end, or an encrypted image.
fn is_dmg(bytes: &[u8]) -> bool {
    let koly = bytes.len().checked_sub(512).is_some_and(|off| has(bytes, off, b"koly"));
    koly || bytes.starts_with(b"encrcdsa")
        || bytes.len().checked_sub(8).is_some_and(|off| has(bytes, off, b"cdsaencr"))
}

/// A volume header of HFS+ or HFSX.
fn is_hfs_plus(bytes: &[u8]) -> bool {
    has(bytes, 1024, b"H+\0\x04") || has(bytes, 1024, b"HX\0\x05")
}

/// A master directory block whose blocks have a possible length.
fn is_hfs(bytes: &[u8]) -> bool {
    let blocks = || Reader::at(bytes, 1024 + 18).u16_be().is_ok_and(|count| count > 0);
    let len = || Reader::at(bytes, 1024 + 20).u32_be().is_ok_and(|len| len > 0 && len & 0x1ff == 0);
    has(bytes, 1024, b"BD") && blocks() && len()
}

/// A footer at the end, of 512 bytes or of 511 as old programs wrote it.
fn is_vhd(bytes: &[u8]) -> bool {
    let at =
        |len: usize| bytes.len().checked_sub(len).is_some_and(|off| has(bytes, off, b"conectix"));
    at(512) || at(511)
}
