//! Viruses that change their code with each file, and leave some marks that they do not change.
//!
//! Promises: the names and bounds of clamscan for `Parite.B` and `Magistr`; looks at two windows of 4 KiB.
//! Leaves out: `Kriz`, `Polipos.A` and `Swizzor`, of which too little is described, and the suffix
//! `.dam` of `Magistr`.
//! Sources: ClamAV's manual (names); runs of clamscan 1.4.6 over files made for it, which gave the bounds.

use hf_core::{ExeSection, ScanOptions};
use memchr::memmem;

use super::headers::Headers;
use crate::reader::{Reader, size};

/// Bits of the configuration databases.
const PARITE: u32 = 1;
const MAGISTR: u32 = 4;
const DLL: u16 = 0x2000;
const WRITABLE: u64 = 0x8000_0000;
/// Bytes behind the entry point that must be there, and those in which the mark of `Parite` may be.
const PARITE_WINDOW: usize = 4096;
const PARITE_MARK_END: usize = 4040;
const PARITE_MARK: &[u8] = b"GetProcAddress\0";
/// What the three pairs of numbers behind the mark differ by.
const PARITE_KEYS: [u32; 3] = [0x0050_5a4f, 0x000f_fffb, 0xb8];
/// Bytes of the last section in which the mark of `Magistr` may be.
const MAGISTR_WINDOW: usize = 4091;

/// Returns the full name of a finding.
pub(super) fn virus(
    object: &[u8],
    headers: &Headers,
    options: &ScanOptions,
) -> Option<&'static str> {
    if !options.heuristic_alerts || headers.refusal.is_some() {
        return None;
    }
    let last = headers.sections.last()?;
    if options.dconf.pe & PARITE != 0 && is_parite(object, headers, last) {
        return Some("Heuristics.W32.Parite.B");
    }
    if options.dconf.pe & MAGISTR != 0 { magistr(object, headers, last) } else { None }
}

fn is_parite(object: &[u8], headers: &Headers, last: &ExeSection) -> bool {
    if headers.entry_off != Some(last.raw_off) || headers.characteristics & DLL != 0 {
        return false;
    }
    let rest = object.get(size(last.raw_off)..).unwrap_or_default();
    let Some(window) = rest.get(..PARITE_WINDOW) else { return false };
    let marked = window.get(..PARITE_MARK_END).unwrap_or_default();
    let Some(at) = memmem::find(marked, PARITE_MARK) else { return false };
    let mut reader = Reader::at(window, at.saturating_add(PARITE_MARK.len()));
    PARITE_KEYS.iter().all(|key| match (reader.u32_le(), reader.u32_le()) {
        (Ok(a), Ok(b)) => a ^ b == *key,
        _ => false,
    })
}

/// Two variants: the low byte of the section's length in memory, the least length, where the window
/// begins before the section's end, and the call that is in it.
const MAGISTR_VARIANTS: [(u64, u64, u64, &[u8], &str); 2] = [
    (0xec, 0x612c, 0x7000, &[0xe8, 0x2c, 0x61, 0, 0], "Heuristics.W32.Magistr.A"),
    (0xed, 0x7000, 0x8000, &[0xe8, 0x04, 0x72, 0, 0], "Heuristics.W32.Magistr.B"),
];

fn magistr(object: &[u8], headers: &Headers, last: &ExeSection) -> Option<&'static str> {
    if last.flags & WRITABLE == 0 {
        return None;
    }
    let start = size(last.raw_off);
    let data = object.get(start..)?;
    let data = data.get(..data.len().min(size(last.raw_len)))?;
    let stored_len = u64::from(stored_virtual_len(object, headers)?);
    MAGISTR_VARIANTS.iter().find_map(|(low, len_min, tail_len, call, name)| {
        let fits = stored_len & 0xff == *low
            && stored_len >= *len_min
            && u64::try_from(data.len()).is_ok_and(|len| len >= *len_min);
        let window = data.get(data.len().saturating_sub(size(*tail_len))..)?;
        let window = window.get(..window.len().min(MAGISTR_WINDOW))?;
        (fits && memmem::find(window, call).is_some()).then_some(*name)
    })
}

/// Returns `VirtualSize` of the last section as stored.
fn stored_virtual_len(object: &[u8], headers: &Headers) -> Option<u32> {
    let pe_off = size(u64::from(Reader::at(object, 0x3c).u32_le().ok()?));
    let optional_len = Reader::at(object, pe_off.checked_add(20)?).u16_le().ok()?;
    let table_off = pe_off.checked_add(24)?.checked_add(usize::from(optional_len))?;
    let last = headers.sections.len().checked_sub(1)?.checked_mul(40)?;
    Reader::at(object, table_off.checked_add(last)?.checked_add(8)?).u32_le().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing_exe::{PeSection, PeSpec, pe};

    fn file(entry_rva: u32, data: Vec<u8>) -> Vec<u8> {
        let sections = vec![
            PeSection { name: b".text", rva: 0x1000, data: vec![0xc3; 16] },
            PeSection { name: b".last", rva: 0x2000, data },
        ];
        pe(&PeSpec { entry_rva, sections, ..PeSpec::default() })
    }

    #[track_caller]
    fn check(file: &[u8], want: Option<&str>) {
        let headers = Headers::read(file).unwrap();
        assert_eq!(virus(file, &headers, &ScanOptions::default()), want);
    }

    fn parite(at: usize, keys: [u32; 6]) -> Vec<u8> {
        let mut data = vec![0; 0x1400];
        data[at..at + 15].copy_from_slice(PARITE_MARK);
        let keys: Vec<u8> = keys.into_iter().flat_map(u32::to_le_bytes).collect();
        data[at + 15..at + 39].copy_from_slice(&keys);
        data
    }

    #[test]
    fn parite_as_clamscan_bounds_it() {
        let keys = [7, 7 ^ 0x50_5a4f, 9, 9 ^ 0xf_fffb, 1, 1 ^ 0xb8];
        check(&file(0x2000, parite(100, keys)), Some("Heuristics.W32.Parite.B"));
        check(&file(0x2000, parite(4025, keys)), Some("Heuristics.W32.Parite.B"));
        check(&file(0x2000, parite(4026, keys)), None);
        check(&file(0x2004, parite(100, keys)), None);
        check(&file(0x2000, parite(100, [1, 2, 3, 4, 5, 6])), None);
        check(&file(0x2000, parite(100, keys)[..0xe00].to_vec()), None);
    }

    #[test]
    fn magistr_as_clamscan_bounds_it() {
        let make = |len: usize, call: &[u8], at: usize| {
            let mut data = vec![0; len];
            data[at..at + 5].copy_from_slice(call);
            let mut file = file(0x1000, data);
            // The builder makes sections that cannot be written.
            let flags_off = 0x40 + 24 + 224 + 40 + 36;
            file[flags_off + 3] |= 0x80;
            file
        };
        let a = [0xe8, 0x2c, 0x61, 0, 0];
        let b = [0xe8, 0x04, 0x72, 0, 0];
        check(&make(0x71ec, &a, 0x200), Some("Heuristics.W32.Magistr.A"));
        check(&make(0x71ec, &a, 0x11f6), Some("Heuristics.W32.Magistr.A"));
        check(&make(0x71ec, &a, 0x11f7), None);
        check(&make(0x71ec, &a, 0x1ff), None);
        check(&make(0x71ed, &a, 0x200), None);
        check(&make(0x60ec, &a, 0x200), None);
        check(&make(0x71ed, &b, 0xff6), Some("Heuristics.W32.Magistr.B"));
        check(&make(0x71ed, &b, 0xff7), None);
    }
}
