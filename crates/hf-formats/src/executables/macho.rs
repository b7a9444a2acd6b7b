//! Mach-O files of one architecture, 32 and 64 bits, both byte orders.
//!
//! Yields: no children; facts: CPU, file type, entry, sections.
//! Leaves out: symbols, code signatures, dynamic loader information; what UPX packed, which is told.
//! Limits: [`COMMANDS_MAX`] load commands, [`SECTIONS_MAX`] sections.
//! Hostile input: a broken load command ends the walk; what was read stays.
//! Surprise: ClamAV knows the entry point of PowerPC programs only; for all others it is 0 there [2].
//! Sources: [1] Apple, `mach-o/loader.h` and "Mach-O File Format Reference"; [2] black-box runs of
//! clamscan 1.4.6.

use hf_core::{Defect, ExeKind, ExeSection, ExeView, FileType, Halt, Reason, Sink};

use super::endian::{Endian, Fields};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "macho",
    types: &[FileType::Macho],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_elf,
    extract,
    doc: FormatDoc {
        recognised_by: "`fe ed fa ce`, `fe ed fa cf` in either byte order",
        yields: "facts only",
        leaves_out: "symbols, signatures, loader information; what UPX packed is told",
        limits: "1024 load commands, 8192 sections",
        sources: "Apple, mach-o/loader.h",
    },
};

/// Load commands read; as ClamAV [2].
const COMMANDS_MAX: u64 = 1024;
/// Sections of one segment; as ClamAV [2].
const SEGMENT_SECTIONS_MAX: u64 = 255;
/// Sections in all; ours.
const SECTIONS_MAX: usize = 8192;

const HEADER_64_LEN: u64 = 32;

const LC_SEGMENT: u64 = 0x1;
const LC_THREAD: u64 = 0x4;
const LC_UNIXTHREAD: u64 = 0x5;
const LC_SEGMENT_64: u64 = 0x19;
const LC_MAIN: u64 = 0x8000_0028;

const CPU_I386: u64 = 7;
const CPU_ARM: u64 = 12;
const CPU_POWERPC: u64 = 18;
const CPU_64: u64 = 0x0100_0000;

struct MachO {
    is_64: bool,
    cpu: u64,
    kind: u64,
    entry: Entry,
    sections: Vec<ExeSection>,
    refusal: Option<Defect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    None,
    Address(u64),
    FileOff(u64),
}

/// Returns the loader's view, and why ClamAV gives the file up, if it does.
///
/// # Errors
/// It is not a Mach-O file, or its header is cut.
pub(crate) fn view(bytes: &[u8]) -> Result<(ExeView, Option<Defect>), Defect> {
    let macho = MachO::read(bytes)?;
    let entry_off = macho.entry_off();
    let view = ExeView {
        kind: ExeKind::MachO,
        is_64: macho.is_64,
        entry_off,
        sections: macho.sections,
        version_key_offs: Vec::new(),
        overlay_off: None,
        import_string: None,
    };
    Ok((view, macho.refusal))
}

/// Returns the entry point as ClamAV sees it: 0 unless the file is for PowerPC [2].
///
/// # Errors
/// It is not a Mach-O file, or ClamAV gives it up.
pub(crate) fn clamav_entry_off(bytes: &[u8]) -> Result<u64, Defect> {
    let macho = MachO::read(bytes)?;
    match macho.entry {
        Entry::Address(_) if macho.cpu & !CPU_64 == CPU_POWERPC => {
            macho.entry_off().ok_or_else(|| Defect::new(0, "entry point"))
        }
        _ => Ok(0),
    }
}

impl MachO {
    fn read(bytes: &[u8]) -> Result<Self, Defect> {
        let (endian, is_64) = match bytes.get(..4) {
            Some(b"\xce\xfa\xed\xfe") => (Endian::Little, false),
            Some(b"\xcf\xfa\xed\xfe") => (Endian::Little, true),
            Some(b"\xfe\xed\xfa\xce") => (Endian::Big, false),
            Some(b"\xfe\xed\xfa\xcf") => (Endian::Big, true),
            _ => return Err(Defect::new(0, "magic")),
        };
        let mut fields = Fields::at(bytes, 4, endian, is_64);
        let cpu = fields.u32()?;
        fields.u32()?;
        let kind = fields.u32()?;
        let count = fields.u32()?;
        fields.u32()?;
        fields.u32()?;
        if is_64 {
            fields.seek(HEADER_64_LEN);
        }
        let entry = Entry::None;
        let mut macho = Self { is_64, cpu, kind, entry, sections: Vec::new(), refusal: None };
        if count == 0 || count > COMMANDS_MAX {
            macho.refusal = Some(Defect::new(16, "ncmds"));
        }
        if let Err(defect) = macho.read_commands(&mut fields, count.min(COMMANDS_MAX)) {
            macho.refusal.get_or_insert(defect);
        }
        if macho.sections.is_empty() {
            macho.refusal.get_or_insert(Defect::new(16, "no section"));
        }
        let file_len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        for section in &mut macho.sections {
            section.raw_len = section.raw_len.min(file_len.saturating_sub(section.raw_off));
        }
        Ok(macho)
    }

    fn read_commands(&mut self, fields: &mut Fields<'_>, count: u64) -> Result<(), Defect> {
        for _ in 0..count {
            let command_off = u64::try_from(fields.off()).unwrap_or(u64::MAX);
            let command = fields.u32()?;
            let command_len = fields.u32()?;
            match command {
                LC_SEGMENT | LC_SEGMENT_64 => self.read_segment(fields)?,
                LC_THREAD | LC_UNIXTHREAD => {
                    // ClamAV reads the state of PowerPC only, and wants it whole [2].
                    let read = self.read_thread(&mut fields.clone());
                    if self.cpu & !CPU_64 == CPU_POWERPC {
                        read?;
                        fields.take(if self.cpu & CPU_64 == 0 { 168 } else { 312 })?;
                    }
                }
                LC_MAIN => self.entry = Entry::FileOff(fields.u64()?),
                _ => {}
            }
            if command_len < 8 {
                return Ok(());
            }
            fields.seek(command_off.saturating_add(command_len));
        }
        Ok(())
    }

    fn read_segment(&mut self, fields: &mut Fields<'_>) -> Result<(), Defect> {
        fields.take(16)?;
        for _ in 0..4 {
            fields.word()?;
        }
        fields.u32()?;
        fields.u32()?;
        let count_off = u64::try_from(fields.off()).unwrap_or(u64::MAX);
        let count = fields.u32()?;
        fields.u32()?;
        if count > SEGMENT_SECTIONS_MAX {
            return Err(Defect::new(count_off, "nsects"));
        }
        for _ in 0..count {
            let section = self.read_section(fields)?;
            if self.sections.len() < SECTIONS_MAX {
                self.sections.push(section);
            }
        }
        Ok(())
    }

    fn read_section(&self, fields: &mut Fields<'_>) -> Result<ExeSection, Defect> {
        let padded = fields.take(16)?;
        let name = padded.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        fields.take(16)?;
        let (rva, len) = (fields.word()?, fields.word()?);
        let raw_off = fields.u32()?;
        let align_log2 = u32::try_from(fields.u32()?).unwrap_or(u32::MAX);
        fields.u32()?;
        fields.u32()?;
        let flags = fields.u32()?;
        fields.u32()?;
        fields.u32()?;
        if self.is_64 {
            fields.u32()?;
        }
        let align = 1u32.checked_shl(align_log2).map_or(1, u64::from);
        let raw_len = len.checked_next_multiple_of(align).unwrap_or(len);
        let stored_raw_len = len;
        Ok(ExeSection { name, rva, virtual_len: len, raw_off, raw_len, stored_raw_len, flags })
    }

    /// Reads the program counter out of a thread's initial state.
    fn read_thread(&mut self, fields: &mut Fields<'_>) -> Result<(), Defect> {
        fields.u32()?;
        fields.u32()?;
        // Words of the state in front of the program counter, and their width in bytes [1].
        let (words, width) = match self.cpu {
            CPU_I386 => (10, 4),
            CPU_ARM => (15, 4),
            CPU_POWERPC => (0, 4),
            cpu if cpu == CPU_I386 | CPU_64 => (16, 8),
            cpu if cpu == CPU_ARM | CPU_64 => (32, 8),
            cpu if cpu == CPU_POWERPC | CPU_64 => (0, 8),
            _ => return Ok(()),
        };
        fields.take(words * width)?;
        let counter = if width == 8 { fields.u64()? } else { fields.u32()? };
        self.entry = Entry::Address(counter);
        Ok(())
    }

    fn entry_off(&self) -> Option<u64> {
        match self.entry {
            Entry::None => None,
            Entry::FileOff(off) => Some(off),
            Entry::Address(address) => self.sections.iter().find_map(|section| {
                let within = address.checked_sub(section.rva)?;
                (within < section.virtual_len).then(|| section.raw_off.saturating_add(within))
            }),
        }
    }
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let macho = MachO::read(object)?;
    if let Some(refusal) = macho.refusal.clone() {
        let no_section_only = macho.sections.is_empty() && refusal.what == "no section";
        if !no_section_only {
            super::tell_broken(sink)?;
            sink.defect(refusal);
        }
    }
    if super::is_packed_by_upx(object) {
        sink.unscanned(b"", Reason::NoReader("programs packed by UPX for macOS".into()));
    }
    sink.fact("macho.bits", if macho.is_64 { "64" } else { "32" });
    sink.fact("macho.cpu", &cpu_name(macho.cpu));
    sink.fact("macho.filetype", &macho.kind.to_string());
    if let Some(off) = macho.entry_off() {
        sink.fact("macho.entry_off", &off.to_string());
    }
    for (idx, section) in macho.sections.iter().enumerate().take(FACTS_MAX) {
        let value = format!(
            "{} off={} len={} address={:#x} flags={:#x}",
            section.name.escape_ascii(),
            section.raw_off,
            section.raw_len,
            section.rva,
            section.flags,
        );
        sink.fact(&format!("macho.section.{idx}"), &value);
    }
    Ok(())
}

/// Sections told as facts; ours.
const FACTS_MAX: usize = 256;

/// Returns the name of a `cputype`.
pub(crate) fn cpu_name(cpu: u64) -> String {
    let base = match cpu & !CPU_64 {
        CPU_I386 => "x86",
        CPU_ARM => "arm",
        CPU_POWERPC => "powerpc",
        _ => return format!("{cpu:#x}"),
    };
    if cpu & CPU_64 == 0 { base.to_owned() } else { format!("{base}-64") }
}
