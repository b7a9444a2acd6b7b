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
mod guest;
mod hfs;
mod hfsplus;
mod iso9660;
mod mbr;
mod ntfs;
mod partitions;
mod qcow;
mod romfs;
mod squashfs;
mod udf;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod wim;

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
    vhd::FORMAT,
    vhdx::FORMAT,
    vmdk::FORMAT,
    qcow::FORMAT,
    vdi::FORMAT,
    wim::FORMAT,
];
