//! ELF files, 32 and 64 bits, both byte orders.
//!
//! Yields: compressed sections, unpacked, and what is behind the last section and segment (neither under ClamAV's quirks: it does not); facts: class,
//! machine, type, entry, sections.
//! Leaves out: symbols, notes, dynamic section; what UPX packed, which is told.
//! Limits: [`SECTIONS_MAX`] sections and [`SEGMENTS_MAX`] program headers.
//! Hostile input: [`Elf::refusal`] says where ClamAV gives the file up, [`Elf::broken`] what it calls broken.
//! Sources: [1] System V ABI, "Object Files"; [2] black-box runs of clamscan 1.4.6.

use hf_core::{
    Child, ChildRole, Defect, ExeKind, ExeSection, ExeView, FileType, Halt, Reason, Sink,
};

use super::endian::{Endian, Fields};
use crate::reader::size;
use crate::{Format, FormatDoc, Stage};

mod overlay;
mod packed;

pub(crate) static FORMAT: Format = Format {
    name: "elf",
    types: &[FileType::Elf],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_elf,
    extract,
    doc: FormatDoc {
        recognised_by: "`7f 45 4c 46`",
        yields: "compressed sections; what is behind the last section and segment",
        leaves_out: "symbols, notes, the dynamic section; what UPX packed is told",
        limits: "4096 sections, 4096 program headers",
        sources: "System V ABI, chapters 4 and 5",
    },
};

/// Sections read; ours.
const SECTIONS_MAX: u64 = 4096;
/// Program headers read; ours.
const SEGMENTS_MAX: u64 = 4096;
/// Bytes of the shorter header.
const HEADER_LEN: usize = 52;
/// Beyond these ClamAV gives up [2].
const CLAMAV_SECTIONS_MAX: u64 = 256;
const CLAMAV_SEGMENTS_MAX: u64 = 128;

struct Elf {
    is_64: bool,
    kind: u64,
    machine: u64,
    entry: u64,
    entry_off: Option<u64>,
    sections: Vec<ExeSection>,
    /// Offset behind all that the headers speak of.
    end: u64,
    refusal: Option<Defect>,
    /// The refusal is one that ClamAV tells as "broken".
    broken: bool,
}

/// Returns the loader's view, and why ClamAV gives the file up, if it does.
///
/// # Errors
/// It is not an ELF file, or its header is cut.
pub(crate) fn view(bytes: &[u8]) -> Result<(ExeView, Option<Defect>), Defect> {
    let elf = Elf::read(bytes)?;
    let view = ExeView {
        kind: ExeKind::Elf,
        is_64: elf.is_64,
        entry_off: elf.entry_off,
        sections: elf.sections,
        version_key_offs: Vec::new(),
        overlay_off: None,
        import_string: None,
    };
    Ok((view, elf.refusal))
}

impl Elf {
    fn read(bytes: &[u8]) -> Result<Self, Defect> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Defect::new(0, "e_ident"));
        }
        let is_64 = match bytes.get(4) {
            Some(1) => false,
            Some(2) => true,
            _ => return Err(Defect::new(4, "EI_CLASS")),
        };
        let endian = match bytes.get(5) {
            Some(1) => Endian::Little,
            Some(2) => Endian::Big,
            _ => return Err(Defect::new(5, "EI_DATA")),
        };
        let mut fields = Fields::at(bytes, 16, endian, is_64);
        let (kind, machine) = (fields.u16()?, fields.u16()?);
        fields.u32()?;
        let (entry, segments_off, sections_off) = (fields.word()?, fields.word()?, fields.word()?);
        fields.u32()?;
        fields.u16()?;
        let (segment_len, segment_count) = (fields.u16()?, fields.u16()?);
        let (section_len, section_count) = (fields.u16()?, fields.u16()?);
        let names_idx = fields.u16()?;
        let mut elf = Self {
            is_64,
            kind,
            machine,
            entry,
            entry_off: None,
            sections: Vec::new(),
            end: 0,
            refusal: None,
            broken: false,
        };
        let segments = Table { off: segments_off, entry_len: segment_len, count: segment_count };
        elf.map_entry(&Fields::at(bytes, 0, endian, is_64), &segments);
        let sections = Table { off: sections_off, entry_len: section_len, count: section_count };
        elf.read_sections(bytes, &Fields::at(bytes, 0, endian, is_64), &sections, names_idx);
        elf.end = overlay::end(&Fields::at(bytes, 0, endian, is_64), &segments, &sections);
        Ok(elf)
    }

    fn refuse(&mut self, off: u64, what: &'static str, broken: bool) {
        if self.refusal.is_none() {
            self.refusal = Some(Defect::new(off, what));
            self.broken = broken;
        }
    }

    /// Maps the entry point through the first program header, of any type, around it [2].
    fn map_entry(&mut self, fields: &Fields<'_>, segments: &Table) {
        if segments.count == 0 || self.entry == 0 {
            self.entry_off = Some(0);
        }
        if segments.count == 0 {
            return;
        }
        if segments.count > CLAMAV_SEGMENTS_MAX {
            self.refuse(0, "e_phnum", true);
        }
        if segments.entry_len != if self.is_64 { 56 } else { 32 } {
            return self.refuse(0, "e_phentsize", true);
        }
        for idx in 0..segments.count.min(SEGMENTS_MAX) {
            let off = segments.entry_off(idx);
            let Ok((file_off, address, memory_len)) = segment(&mut fields.clone(), off) else {
                return self.refuse(off, "program header table", true);
            };
            let within = self.entry.checked_sub(address).filter(|within| *within < memory_len);
            if let (None, Some(within)) = (self.entry_off, within) {
                self.entry_off = Some(file_off.wrapping_add(within));
            }
        }
        if self.entry_off.is_none() {
            self.refuse(0, "e_entry", true);
        }
    }

    fn read_sections(&mut self, bytes: &[u8], fields: &Fields<'_>, table: &Table, names_idx: u64) {
        if table.count == 0 {
            return self.refuse(0, "e_shnum", false);
        }
        if table.count > CLAMAV_SECTIONS_MAX {
            self.refuse(0, "e_shnum", false);
        }
        if table.entry_len != if self.is_64 { 64 } else { 40 } {
            return self.refuse(0, "e_shentsize", true);
        }
        let mut name_offs = Vec::new();
        for idx in 0..table.count.min(SECTIONS_MAX) {
            let off = table.entry_off(idx);
            let Ok((name_off, section)) = section(&mut fields.clone(), off) else {
                self.refuse(off, "section header table", true);
                break;
            };
            name_offs.push(name_off);
            self.sections.push(section);
        }
        let names = self
            .sections
            .get(size(names_idx))
            .filter(|_| names_idx != 0)
            .and_then(|names| bytes.get(size(names.raw_off)..))
            .unwrap_or_default();
        let file_len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        for (section, name_off) in self.sections.iter_mut().zip(name_offs) {
            let name = names.get(size(name_off)..).unwrap_or_default();
            let name = name.get(..name.len().min(NAME_LEN_MAX)).unwrap_or_default();
            section.name = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            let room = file_len.saturating_sub(section.raw_off);
            section.raw_len = section.raw_len.min(room);
        }
    }
}

/// Bytes of a section's name that are kept; ours.
const NAME_LEN_MAX: usize = 128;

struct Table {
    off: u64,
    entry_len: u64,
    count: u64,
}

impl Table {
    fn entry_off(&self, idx: u64) -> u64 {
        self.off.saturating_add(idx.saturating_mul(self.entry_len))
    }
}

fn segment(fields: &mut Fields<'_>, off: u64) -> Result<(u64, u64, u64), Defect> {
    fields.seek(off);
    fields.u32()?;
    if fields.is_64() {
        fields.u32()?;
    }
    let (file_off, address) = (fields.word()?, fields.word()?);
    fields.word()?;
    fields.word()?;
    let memory_len = fields.word()?;
    fields.word()?;
    if !fields.is_64() {
        fields.u32()?;
    }
    Ok((file_off, address, memory_len))
}

fn section(fields: &mut Fields<'_>, off: u64) -> Result<(u64, ExeSection), Defect> {
    fields.seek(off);
    let name_off = fields.u32()?;
    fields.u32()?;
    let flags = fields.word()?;
    let (rva, raw_off, len) = (fields.word()?, fields.word()?, fields.word()?);
    fields.u32()?;
    fields.u32()?;
    fields.word()?;
    fields.word()?;
    let section = ExeSection {
        name: Vec::new(),
        rva,
        virtual_len: len,
        raw_off,
        raw_len: len,
        stored_raw_len: len,
        flags,
    };
    Ok((name_off, section))
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let elf = match Elf::read(object) {
        Ok(elf) => elf,
        Err(defect) => {
            // A header that is cut is not told [2].
            if defect != Defect::truncated(defect.off) && object.len() >= HEADER_LEN {
                super::tell_broken(sink)?;
            }
            return Err(defect.into());
        }
    };
    if let Some(refusal) = elf.refusal.clone().filter(|_| elf.broken) {
        super::tell_broken(sink)?;
        sink.defect(refusal);
    }
    if super::is_packed_by_upx(object) {
        sink.unscanned(b"", Reason::NoReader("programs packed by UPX for Linux".into()));
    }
    sink.fact("elf.bits", if elf.is_64 { "64" } else { "32" });
    sink.fact("elf.type", &elf.kind.to_string());
    sink.fact("elf.machine", &elf.machine.to_string());
    sink.fact("elf.entry", &format!("{:#x}", elf.entry));
    if let Some(off) = elf.entry_off {
        sink.fact("elf.entry_off", &off.to_string());
    }
    for (idx, section) in elf.sections.iter().enumerate().take(FACTS_MAX) {
        let value = format!(
            "{} off={} len={} address={:#x} flags={:#x}",
            section.name.escape_ascii(),
            section.raw_off,
            section.raw_len,
            section.rva,
            section.flags,
        );
        sink.fact(&format!("elf.section.{idx}"), &value);
    }
    if sink.options().clamav_quirks {
        return Ok(());
    }
    let endian = if object.get(5) == Some(&2) { Endian::Big } else { Endian::Little };
    let fields = Fields::at(object, 0, endian, elf.is_64);
    packed::give(object, &fields, &elf.sections, sink)?;
    let data = object.get(size(elf.end)..).unwrap_or_default();
    if super::is_overlay(data) {
        sink.fact("elf.overlay_off", &elf.end.to_string());
        sink.child(Child { name: b"overlay", data, role: ChildRole::Member })?;
    }
    Ok(())
}

/// Sections told as facts; ours.
const FACTS_MAX: usize = 256;
