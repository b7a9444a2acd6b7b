//! Disks: partition tables, file systems and images of disks.
//!
//! A file system is one file here as any format; what several share is in [`files`] (files made of
//! extents) and [`partitions`].

mod apm;
mod cramfs;
mod dmg;
mod ext;
mod fat;
mod files;
mod gpt;
mod hfs;
mod hfsplus;
mod iso9660;
mod mbr;
mod ntfs;
mod partitions;
mod romfs;
mod squashfs;
mod udf;

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[
    mbr::FORMAT,
    gpt::FORMAT,
    apm::FORMAT,
    iso9660::FORMAT,
    udf::FORMAT,
    dmg::FORMAT,
    hfsplus::FORMAT,
    hfs::FORMAT,
    ext::FORMAT,
    fat::FORMAT,
    ntfs::FORMAT,
    squashfs::FORMAT,
    cramfs::FORMAT,
    romfs::FORMAT,
];
