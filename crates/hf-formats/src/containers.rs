//! Archives and compressed streams.

mod ace;
mod alz;
mod ar;
pub(crate) mod arc;
mod arj;
mod asar;
mod autoit;
mod bzip2;
mod cab;
mod chm;
mod compress;
mod cpio;
mod cryptff;
mod egg;
mod git_pack;
mod gzip;
mod http;
mod inno;
mod ishield_cab;
pub(crate) mod ishield_msi;
pub(crate) mod ishield_setup;
mod kwaj;
mod lha;
mod lz4;
mod lzfse;
mod lzip;
mod lzma;
mod lzop;
mod macbinary;
mod next;
mod nsis;
pub(crate) mod openpgp;
mod pyinstaller;
mod rar;
mod rolling;
mod rpm;
mod script_archive;
mod sevenzip;
mod sis;
mod streams;
mod szdd;
mod tar;
pub(crate) mod unopened;
mod xar;
mod xz;
mod zip;
mod zlib;
mod zoo;
mod zstd;

use crate::Format;

/// The formats of this group.
pub(crate) static FORMATS: &[Format] = &[
    zip::FORMAT,
    sevenzip::FORMAT,
    rar::FORMAT,
    arj::FORMAT,
    lha::FORMAT,
    alz::FORMAT,
    egg::FORMAT,
    arc::FORMAT,
    zoo::FORMAT,
    ace::FORMAT,
    sis::FORMAT,
    gzip::FORMAT,
    bzip2::FORMAT,
    xz::FORMAT,
    lzma::FORMAT,
    zstd::FORMAT,
    lz4::FORMAT,
    lzip::FORMAT,
    lzop::FORMAT,
    zlib::FORMAT,
    compress::FORMAT,
    tar::FORMAT,
    cpio::FORMAT,
    ar::FORMAT,
    rpm::FORMAT,
    xar::FORMAT,
    asar::FORMAT,
    pyinstaller::FORMAT,
    cab::FORMAT,
    chm::FORMAT,
    szdd::FORMAT,
    kwaj::FORMAT,
    ishield_cab::FORMAT,
    ishield_setup::FORMAT,
    ishield_msi::FORMAT,
    nsis::FORMAT,
    autoit::FORMAT,
    inno::FORMAT,
    inno::SLICE_FORMAT,
    cryptff::FORMAT,
    lzfse::FORMAT,
    macbinary::FORMAT,
    openpgp::FORMAT,
    git_pack::FORMAT,
    http::FORMAT,
    script_archive::FORMAT,
    unopened::FORMAT,
];
