//! Programs that unpack themselves: what they hide is in no byte of the file.
//!
//! Promises: names the packer of a PE by what every program of that packer has: names of sections, the
//! header, or the first instructions.
//! Leaves out: unpacking (`unpack` does it); packers that leave no such mark (FSG, and any that is made not to be found).
//! Sources: the packers' own section names as `objdump -h` shows them; samples of Debian's
//! `clamav-testfiles`; the documentation of UPX.

use super::headers::Headers;
use crate::reader::size;

/// Returns the packer of a program.
pub(crate) fn packer(object: &[u8], headers: &Headers) -> Option<&'static str> {
    // Names are without padding here, and the end of some is part of the mark.
    let has_section = |mark: &[u8]| {
        headers.sections.iter().any(|section| {
            let name = [section.name.as_slice(), b"\0"].concat();
            name.starts_with(mark)
        })
    };
    if let Some((_, packer)) = SECTIONS.iter().find(|(name, _)| has_section(name)) {
        return Some(packer);
    }
    if object.starts_with(UPACK_HEADER) {
        return Some("Upack");
    }
    let entry = object.get(headers.entry_off.map(size)?..)?;
    entry.starts_with(PESPIN_ENTRY).then_some("PESpin")
}

/// Beginnings of section names; a zero is the end of one. What wraps another packer comes before it.
const SECTIONS: &[(&[u8], &str)] = &[
    (b"yC\0", "yoda's Crypter"),
    (b"UPX0", "UPX"),
    (b"UPX1", "UPX"),
    (b".aspack", "ASPack"),
    (b".petite", "Petite"),
    (b".WWP32", "WWPack32"),
    (b"MEW\0", "MEW"),
    (b".MPRESS1", "MPRESS"),
    (b".nsp0", "NSPack"),
    (b".nsp1", "NSPack"),
    (b"pec1\0", "PECompact"),
    (b"PEC2", "PECompact"),
    (b".Upack", "Upack"),
    (b".themida", "Themida"),
    (b".winlice", "Themida"),
    (b".vmp0", "VMProtect"),
    (b".vmp1", "VMProtect"),
    (b".enigma1", "Enigma"),
];

/// The DOS header is the table of imports.
const UPACK_HEADER: &[u8] = b"MZKERNEL32.DLL\0\0PE\0\0";

/// A jump into its own operand, and the call behind it.
const PESPIN_ENTRY: &[u8] = &[0xeb, 0x01, 0x68, 0x60, 0xe8, 0, 0, 0, 0, 0x8b, 0x1c, 0x24];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing_exe::{PeSection, PeSpec, pe};

    #[track_caller]
    fn check(name: &'static [u8; 8], code: &[u8], want: Option<&str>) {
        let section = PeSection { name, rva: 0x1000, data: code.to_vec() };
        let file = pe(&PeSpec { entry_rva: 0x1000, sections: vec![section], ..PeSpec::default() });
        assert_eq!(packer(&file, &Headers::read(&file).unwrap()), want);
    }

    #[test]
    fn packers_by_section_and_entry() {
        check(b".text\0\0\0", b"\x90\x90", None);
        check(b"UPX1\0\0\0\0", b"\x90\x90", Some("UPX"));
        check(b".aspack\0", b"\x90\x90", Some("ASPack"));
        check(b"yC\0\0\0\0\0\0", b"\x90\x90", Some("yoda's Crypter"));
        check(b"yCode\0\0\0", b"\x90\x90", None);
        check(b".text\0\0\0", PESPIN_ENTRY, Some("PESpin"));
        check(b".text\0\0\0", &PESPIN_ENTRY[..8], None);
    }
}
