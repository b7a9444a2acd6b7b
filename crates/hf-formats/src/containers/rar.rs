//! RAR archives of 1.5 to 7, alone or behind a self-extracting program.
//!
//! Yields: one child per file, also of solid archives and of those with encrypted headers; comments;
//! NTFS streams and services that are not known; of a file that goes on in another volume the part
//! that is here, when it can be unpacked alone.
//! Leaves out: directories and links; recovery records, quick-open copies of headers, owners and
//! signatures; the format `RE~^` of 1.4; what is behind the end of the archive. Encrypted data without
//! a password that fits, parts in other volumes, and unknown methods are reported.
//! Limits: through `Sink`; 128 MiB of dictionary or model; 2^22 rounds of key derivation; 64 MiB read to
//! find headers behind damage.
//! Hostile input: no size is believed; behind a damaged header the next one with a right checksum is
//! looked for, also inside the data that the damaged one claims; what was unpacked before an error is a
//! child; wrong checksums are defects; a solid member behind a broken one is also tried alone.
//! Sources: RAR 5.0 archive format (rarlab.com technote); libarchive's readers of RAR and RAR 5 (BSD);
//! the crate `rars` (Apache-2.0).

mod keys;
mod member;
mod v4;
mod v5;

use hf_core::{FileType, Halt, Sink};

use crate::{Format, FormatDoc, Stage};
use member::Archive;

pub(super) const FORMAT: Format = Format {
    name: "rar",
    types: &[FileType::Rar, FileType::RarSfx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x1 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`Rar!` at the start, or `Rar! 1A 07` anywhere in a program",
        yields: "one child per file, comment and NTFS stream: RAR 1.5, 2.0, 2.9 to 4.x (LZ, PPMd, \
                 filters), 5.0 and 7.0, solid or not, encrypted with the passwords of the content",
        leaves_out: "directories, links, recovery records, owners, signatures; other volumes (reported)",
        limits: "128 MiB of dictionary or model; 2^22 rounds of key derivation",
        sources: "RAR 5.0 archive format; libarchive; rars",
    },
};

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut archive = Archive::new(object, sink);
    if object.starts_with(b"Rar!\x1a\x07\x01\0") {
        v5::walk(&mut archive, 8)?;
    } else if object.starts_with(b"Rar!\x1a\x07\0") {
        v4::walk(&mut archive, 7)?;
    } else {
        v4::walk(&mut archive, 7)?;
        v5::walk(&mut archive, 8)?;
        if archive.position == 0 {
            archive.tell_damage();
        }
    }
    Ok(())
}
