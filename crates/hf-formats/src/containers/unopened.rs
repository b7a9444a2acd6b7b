//! Types that are recognised and whose content is hidden, but which have no reader yet.
//!
//! Yields: nothing.
//! Leaves out: everything, and says so: the object's verdict cannot be *clean*.
//! Limits: none.
//! Hostile input: only a magic is looked at, to name the type.
//! Sources: none.
//!
//! A type leaves by its line in [`UNOPENED`] when its reader comes.

use hf_core::{FileType, Halt, Reason, Sink};

use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "unopened",
    types: &TYPES,
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive,
    extract,
    doc: FormatDoc {
        recognised_by: "the magic of each type",
        yields: "nothing",
        leaves_out: "everything: the object is reported as not looked at",
        limits: "none",
        sources: "none",
    },
};

/// Type, name, and the magic by which [`extract`] knows which it was given.
const UNOPENED: &[(FileType, &str, Magic)] = &[
    (FileType::Ha, "HA", Magic::At(0, b"HA")),
    (FileType::IshieldZ, "InstallShield 3", Magic::At(0, b"\x13\x5d\x65\x8c")),
    (FileType::SetupFactory, "Setup Factory", Magic::At(0, SETUP_FACTORY)),
    (FileType::SetupFactory, "Setup Factory", Magic::At(0, SETUP_FACTORY_7)),
    (FileType::Apfs, "APFS", Magic::At(32, b"NXSB")),
    (FileType::Luks, "LUKS", Magic::At(0, b"LUKS")),
    (FileType::F2fs, "F2FS", Magic::At(1024, F2FS)),
    (FileType::Lvm, "LVM", Magic::At(512, b"LABELONE")),
    (FileType::Lrzip, "lrzip", Magic::At(0, b"LRZI")),
    (FileType::Rzip, "rzip", Magic::At(0, b"RZIP")),
    (FileType::Zpaq, "ZPAQ", Magic::At(0, b"7kSt")),
    (FileType::Zpaq, "ZPAQ", Magic::At(0, b"zPQ")),
    (FileType::Dar, "dar", Magic::At(0, DAR)),
    (FileType::Ewf, "Expert Witness", Magic::At(0, b"EVF\x09\x0d\x0a\xff\0")),
    (FileType::OpensslSalted, "encrypted data of OpenSSL", Magic::At(0, b"Salted__")),
    (FileType::Pst, "Outlook data file", Magic::At(0, b"!BDN")),
];

/// What stands behind the program: up to version 6, and from 7 on.
pub(crate) const SETUP_FACTORY: &[u8] = &[0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7];
pub(crate) const SETUP_FACTORY_7: &[u8] = &[
    0xe0, 0xe0, 0xe1, 0xe1, 0xe2, 0xe2, 0xe3, 0xe3, 0xe4, 0xe4, 0xe5, 0xe5, 0xe6, 0xe6, 0xe7, 0xe7,
];

/// Magics of a superblock and of a first slice.
pub(crate) const F2FS: &[u8] = &[0x10, 0x20, 0xf5, 0xf2];
pub(crate) const DAR: &[u8] = &[0, 0, 0, 0x7b];

#[derive(Debug, Clone, Copy)]
enum Magic {
    At(usize, &'static [u8]),
}

const TYPES: [FileType; UNOPENED.len()] = types();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn types() -> [FileType; UNOPENED.len()] {
    let mut types = [FileType::Any; UNOPENED.len()];
    let mut idx = 0;
    while idx < types.len() {
        types[idx] = UNOPENED[idx].0;
        idx += 1;
    }
    types
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let found = UNOPENED.iter().find(|(_, _, magic)| {
        let Magic::At(off, bytes) = *magic;
        object.get(off..).is_some_and(|rest| rest.starts_with(bytes))
    });
    let name = found.map_or("this type", |(_, name, _)| *name);
    sink.unscanned(b"", Reason::NoReader(name.into()));
    Ok(())
}
