//! Archives and compressed streams.

mod ar;
mod bzip2;
mod compress;
mod cpio;
mod cryptff;
mod gzip;
mod lz4;
mod lzma;
mod streams;
mod tar;
mod unopened;
mod xz;
mod zip;
mod zstd;

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[
    zip::FORMAT,
    gzip::FORMAT,
    bzip2::FORMAT,
    xz::FORMAT,
    lzma::FORMAT,
    zstd::FORMAT,
    lz4::FORMAT,
    compress::FORMAT,
    tar::FORMAT,
    cpio::FORMAT,
    ar::FORMAT,
    cryptff::FORMAT,
    unopened::FORMAT,
];
