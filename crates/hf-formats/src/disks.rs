//! Disks: partition tables, file systems and images of disks.
//!
//! A file system is one file here as any format; what several share is in [`files`] (files made of
//! extents) and [`partitions`].

mod android_sparse;
mod apm;
mod btrfs;
mod cramfs;
mod cso;
mod dmg;
mod erofs;
mod ext;
mod fat;
mod files;
mod gpt;
mod guest;
mod hfs;
mod hfsplus;
mod iso9660;
pub(crate) mod jffs2;
mod mbr;
mod ntfs;
mod parallels;
mod partitions;
mod pieces;
mod qcow;
mod qed;
mod romfs;
mod squashfs;
mod ubifs;
mod udf;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod wim;
mod xfs;

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
    erofs::FORMAT,
    jffs2::FORMAT,
    ubifs::FORMAT,
    btrfs::FORMAT,
    xfs::FORMAT,
    vhd::FORMAT,
    vhdx::FORMAT,
    vmdk::FORMAT,
    qcow::FORMAT,
    qed::FORMAT,
    parallels::FORMAT,
    vdi::FORMAT,
    android_sparse::FORMAT,
    cso::FORMAT,
    wim::FORMAT,
];
