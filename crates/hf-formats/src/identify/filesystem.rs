//! File systems: what their superblocks look like.
//!
//! Promises: a few looks at fixed places, where several fields have to be plausible.
//! Sources: the formats' own specifications (see their readers).

use hf_core::FileType;

use crate::reader::{Reader, size};

/// Returns the file system that begins with this magic.
pub(super) fn at_start(head: &[u8]) -> Option<FileType> {
    if head.starts_with(b"hsqs") && is_squashfs(head) || head.starts_with(b"sqsh") {
        return Some(FileType::Squashfs);
    }
    let is_cramfs = head.get(16..32) == Some(b"Compressed ROMFS");
    if is_cramfs && matches!(head, [0x45, 0x3d, 0xcd, 0x28, ..] | [0x28, 0xcd, 0x3d, 0x45, ..]) {
        return Some(FileType::Cramfs);
    }
    if crate::disks::jffs2::is_image(head) {
        return Some(FileType::Jffs2);
    }
    head.starts_with(b"-rom1fs-").then_some(FileType::Romfs)
}

/// A superblock of version 4.0.
pub(super) fn is_squashfs(bytes: &[u8]) -> bool {
    let half = |off: usize| Reader::at(bytes, off).u16_le().unwrap_or(0);
    let block_len = Reader::at(bytes, 12).u32_le().unwrap_or(0);
    let log = u32::from(half(22));
    matches!(half(28), 1..=4)
        && (12..=20).contains(&log)
        && block_len == 1 << log
        && matches!(half(20), 1..=6)
}

/// A superblock of ext2, ext3 or ext4.
pub(super) fn is_ext(bytes: &[u8]) -> bool {
    let word = |off: usize| Reader::at(bytes, 1024 + off).u32_le().unwrap_or(0);
    bytes.get(1080..1082) == Some(&[0x53, 0xef])
        && word(24) <= 6
        && word(40) > 0
        && word(76) <= 1
        && word(0) > 0
}

/// A boot sector of NTFS.
pub(super) fn is_ntfs(bytes: &[u8]) -> bool {
    bytes.get(3..11) == Some(b"NTFS    ")
}

/// A boot sector of FAT whose fields fit each other, or of exFAT.
pub(super) fn is_fat(bytes: &[u8]) -> bool {
    let half = |off: usize| Reader::at(bytes, off).u16_le().unwrap_or(0);
    let byte = |off: usize| bytes.get(off).copied().unwrap_or(0);
    if !matches!(bytes, [0xe9 | 0xeb, ..]) {
        return false;
    }
    if bytes.get(3..11) == Some(b"EXFAT   ") {
        return (9..=12).contains(&byte(108)) && byte(109) <= 25;
    }
    let word = |off: usize| size(u64::from(Reader::at(bytes, off).u32_le().unwrap_or(0)));
    matches!(half(11), 512 | 1024 | 2048 | 4096)
        && byte(13).is_power_of_two()
        && half(14) > 0
        && matches!(byte(16), 1..=4)
        && byte(21) >= 0xf0
        && (half(22) > 0 || word(36) > 0)
        && (half(19) > 0 || word(32) > 0)
}
