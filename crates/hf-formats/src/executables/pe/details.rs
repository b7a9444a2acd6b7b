//! What the headers of a PE say, as facts for people: fields, imports, resources, and who built it.
//!
//! Leaves out: what cannot be read.
//! Limits: [`IMPORTS_MAX`] imports and [`RESOURCES_MAX`] resources.
//! Sources: [1] Microsoft, "PE Format"; the names of types and subsystems are those of ClamAV's metadata.

use hf_core::Sink;
use md5::{Digest as _, Md5};

use super::headers::Headers;
use super::{imports, resources};
use crate::reader::{Reader, size};

/// Tells the fields of the headers.
pub(super) fn tell(object: &[u8], headers: &Headers, sink: &mut dyn Sink) {
    sink.fact("pe.machine", &machine(headers.machine));
    let is_library = headers.characteristics & 0x2000 != 0;
    sink.fact("pe.kind", if is_library { "DLL" } else { "EXE" });
    sink.fact("pe.arch", &arch(headers.machine));
    let pe_off = Reader::at(object, 0x3c).u32_le().map_or(0, |off| size(u64::from(off)));
    let u16_at = |off: usize| Reader::at(object, pe_off.saturating_add(off)).u16_le().unwrap_or(0);
    let u32_at = |off: usize| Reader::at(object, pe_off.saturating_add(off)).u32_le().unwrap_or(0);
    let byte = |off: usize| object.get(pe_off.saturating_add(off)).copied().unwrap_or(0);
    sink.fact("pe.sections", &u16_at(6).to_string());
    sink.fact("pe.date", &date(headers.timestamp));
    sink.fact("pe.optional_len", &u16_at(20).to_string());
    sink.fact("pe.linker_major", &byte(26).to_string());
    sink.fact("pe.linker_minor", &byte(27).to_string());
    sink.fact("pe.code_len", &u32_at(28).to_string());
    sink.fact("pe.initialised_len", &u32_at(32).to_string());
    sink.fact("pe.uninitialised_len", &u32_at(36).to_string());
    let directories = if headers.is_64 { 132 } else { 116 };
    sink.fact("pe.directories", &u32_at(directories).to_string());
    sink.fact("pe.subsystem_major", &u16_at(72).to_string());
    sink.fact("pe.subsystem_minor", &u16_at(74).to_string());
    sink.fact("pe.code_rva", &format!("{:#x}", u32_at(44)));
    sink.fact("pe.section_align", &format!("{:#x}", u32_at(56)));
    sink.fact("pe.file_align", &format!("{:#x}", u32_at(60)));
    sink.fact("pe.image_len", &format!("{:#x}", u32_at(80)));
    sink.fact("pe.headers_len", &format!("{:#x}", u32_at(84)));
    sink.fact("pe.subsystem_name", subsystem(headers.subsystem));
}

/// Tells imports, resources and the record of the tools that built it.
pub(super) fn rest(object: &[u8], headers: &Headers, sink: &mut dyn Sink) {
    let imports = imports::import_string(object, headers).unwrap_or_default();
    let names = imports.split(|byte| *byte == b',').filter(|name| !name.is_empty());
    for (idx, name) in names.take(IMPORTS_MAX).enumerate() {
        sink.fact(&format!("pe.import.{idx}"), &String::from_utf8_lossy(name));
    }
    let resources = resources::resources(object, headers);
    for (idx, resource) in resources.iter().take(RESOURCES_MAX).enumerate() {
        let value = format!(
            "{}/{} off={} len={}",
            super::label(resource.kind),
            super::label(resource.id),
            resource.off,
            resource.len
        );
        sink.fact(&format!("pe.resource.{idx}"), &value);
    }
    if let Some(record) = tools(object) {
        let hex: String = Md5::digest(&record).iter().map(|byte| format!("{byte:02x}")).collect();
        sink.fact("pe.rich_md5", &hex);
    }
}

/// Returns the record of tools in front of the headers (between `DanS` and `Rich`), decoded: what others hash too.
fn tools(object: &[u8]) -> Option<Vec<u8>> {
    let pe_off = size(u64::from(Reader::at(object, 0x3c).u32_le().ok()?));
    let stub = object.get(..pe_off.min(STUB_LEN_MAX))?;
    let end = memchr::memmem::rfind(stub, b"Rich")?;
    let key: [u8; 4] = *stub.get(end.checked_add(4)?..)?.first_chunk()?;
    let words = stub.get(0x40..end)?;
    let decoded: Vec<u8> =
        words.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let start = memchr::memmem::find(&decoded, b"DanS").filter(|start| start % 4 == 0)?;
    decoded.get(start..).map(<[u8]>::to_vec)
}

/// Returns a date as `ctime` writes it, in UTC.
fn date(seconds: u32) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let days = seconds / 86_400;
    // Days since the first of March of year 0: an era has 146,097 of them.
    let since = days + 719_468;
    let era = since / 146_097;
    let of_era = since % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 2, year) } else { (month - 10, year + 1) };
    let year = year + era * 400;
    let name = |list: &[&'static str], at: u32| {
        usize::try_from(at).ok().and_then(|at| list.get(at).copied()).unwrap_or_default()
    };
    let of_day = seconds % 86_400;
    format!(
        "{} {} {day:2} {:02}:{:02}:{:02} {year}\n",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
    )
}

fn machine(number: u16) -> String {
    match number {
        0x014c => "i386".to_owned(),
        0x8664 => "x86-64".to_owned(),
        0x01c0 | 0x01c4 => "arm".to_owned(),
        0xaa64 => "arm64".to_owned(),
        0x0200 => "ia64".to_owned(),
        0x0ebc => "efi".to_owned(),
        other => format!("{other:#06x}"),
    }
}

fn arch(number: u16) -> String {
    match number {
        0x014c => "80386".to_owned(),
        0x8664 => "AMD64".to_owned(),
        0x01c0 => "ARM".to_owned(),
        0xaa64 => "ARM64".to_owned(),
        0x0200 => "IA64".to_owned(),
        other => format!("{other:#06x}"),
    }
}

fn subsystem(number: u16) -> &'static str {
    match number {
        0 => "Unknown",
        1 => "Native (svc)",
        2 => "Win32 GUI",
        3 => "Win32 console",
        5 => "OS/2 console",
        7 => "POSIX console",
        8 => "Win9x driver",
        9 => "WinCE GUI",
        10 => "EFI application",
        11 => "EFI driver",
        12 => "EFI runtime driver",
        13 => "EFI ROM image",
        14 => "Xbox",
        16 => "Boot application",
        _ => "Unknown",
    }
}

const IMPORTS_MAX: usize = 256;
const RESOURCES_MAX: usize = 32;
/// Ours: the record is some hundred bytes in front of the headers.
const STUB_LEN_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970\n");
        assert_eq!(date(1_113_670_497), "Sat Apr 16 16:54:57 2005\n");
        assert_eq!(date(951_825_601), "Tue Feb 29 12:00:01 2000\n");
        assert_eq!(date(u32::MAX), "Sun Feb  7 06:28:15 2106\n");
    }
}
