//! The headers of a PE file, and the mapping from memory to the file.
//!
//! Promises: never panics; reads at most [`SECTIONS_MAX`] sections and [`DIRECTORIES_MAX`] directories.
//! It is lenient: what Windows would still load is mapped. [`Headers::refusal`] says where ClamAV gives
//! a file up (then no relative offset of any signature holds in it), and [`Headers::broken`] what
//! its strict mode calls broken; both are known from black-box runs of clamscan 1.4.6.
//! Leaves out: everything behind the section table (imports, resources: other files).
//! Sources: [1] Microsoft, "PE Format"; [2] black-box runs (see the oracle tests).

use hf_core::{Defect, ExeSection};

use crate::reader::{Reader, size};

/// The headers of a PE file.
#[derive(Debug, Clone)]
pub(crate) struct Headers {
    /// `Machine`.
    pub(crate) machine: u16,
    /// `TimeDateStamp`.
    pub(crate) timestamp: u32,
    /// `Characteristics`.
    pub(crate) characteristics: u16,
    /// PE32+.
    pub(crate) is_64: bool,
    /// `Subsystem`.
    pub(crate) subsystem: u16,
    /// `AddressOfEntryPoint`.
    pub(crate) entry_rva: u64,
    /// `SizeOfHeaders`, rounded up to `SectionAlignment`: below it, memory is the file.
    pub(crate) headers_len: u64,
    /// `DataDirectory`: address and size, as far as it is there.
    pub(crate) directories: Vec<(u32, u32)>,
    /// Sections in header order.
    pub(crate) sections: Vec<ExeSection>,
    /// File offset of the entry point.
    pub(crate) entry_off: Option<u64>,
    /// Why ClamAV gives the file up, if it does.
    pub(crate) refusal: Option<Defect>,
    /// Why ClamAV calls the file broken on request, if it does.
    pub(crate) broken: Option<Defect>,
    file_len: u64,
    /// A section's address is no multiple of `SectionAlignment`.
    misaligned: bool,
}

/// Sections read ([2]; Windows XP had the same bound).
pub(crate) const SECTIONS_MAX: u16 = 96;
/// Entries of the data directory that have a meaning ([1]).
pub(crate) const DIRECTORIES_MAX: u32 = 16;

const OPTIONAL_OFF: usize = 24;
const SECTION_LEN: usize = 40;
const MAGIC_PLUS: u16 = 0x20b;
const SECTOR: u64 = 0x200;
const PAGE: u64 = 0x1000;
const SIGNED_MAX: u64 = 0x7fff_ffff;

struct Fields {
    entry_rva: u32,
    section_align: u32,
    file_align: u32,
    headers_len: u32,
    subsystem: u16,
    directory_count: u32,
}

impl Headers {
    /// Reads the headers.
    ///
    /// # Errors
    /// No PE signature, or the fixed headers are cut.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Defect> {
        if !matches!(bytes.get(..2), Some(b"MZ" | b"ZM")) {
            return Err(Defect::new(0, "e_magic"));
        }
        let pe_off = size(u64::from(Reader::at(bytes, 0x3c).u32_le()?));
        let mut reader = Reader::at(bytes, pe_off);
        if pe_off == 0 || reader.take(4)? != b"PE\0\0" {
            return Err(Defect::new(0x3c, "e_lfanew"));
        }
        let machine = reader.u16_le()?;
        let section_count = reader.u16_le()?;
        let timestamp = reader.u32_le()?;
        reader.skip(8)?;
        let optional_len = reader.u16_le()?;
        let characteristics = reader.u16_le()?;
        let optional_off = pe_off.saturating_add(OPTIONAL_OFF);
        let (is_64, fields) = optional_header(bytes, optional_off)?;

        let fixed_len: u16 = if is_64 { 112 } else { 96 };
        let directory_off = optional_off.saturating_add(usize::from(fixed_len));
        let directories = directories(bytes, directory_off, fields.directory_count);
        let table_off = optional_off.saturating_add(usize::from(optional_len));
        let section_align = u64::from(fields.section_align);
        let mut headers = Self {
            machine,
            timestamp,
            characteristics,
            is_64,
            subsystem: fields.subsystem,
            entry_rva: u64::from(fields.entry_rva),
            headers_len: headers_len(u64::from(fields.headers_len), section_align),
            directories,
            sections: Vec::new(),
            entry_off: None,
            refusal: None,
            broken: None,
            file_len: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            misaligned: false,
        };
        if section_count == 0 || section_count > SECTIONS_MAX {
            headers.refuse(pe_off.saturating_add(6), "NumberOfSections");
        }
        if optional_len < fixed_len.saturating_add(DIRECTORIES_LEN) {
            headers.refuse(pe_off.saturating_add(20), "SizeOfOptionalHeader");
        }
        if bytes.len() < directory_off.saturating_add(usize::from(DIRECTORIES_LEN)) {
            headers.refuse(directory_off, DIRECTORIES_CUT);
        }
        headers.read_sections(bytes, table_off, section_count, &fields);
        headers.entry_off = headers.file_off(headers.entry_rva);
        if headers.entry_off.is_none() {
            headers.refuse(optional_off.saturating_add(16), "AddressOfEntryPoint");
        }
        headers.judge(optional_off, &fields);
        Ok(headers)
    }

    /// True when there are a PE signature and a file header: then an optional header that cannot be
    /// read makes the file broken [2].
    pub(crate) fn has_file_header(bytes: &[u8]) -> bool {
        let pe_off = Reader::at(bytes, 0x3c).u32_le().map(u64::from).unwrap_or(0);
        let header = Reader::at(bytes, size(pe_off)).take(OPTIONAL_OFF);
        pe_off != 0 && header.is_ok_and(|header| header.starts_with(b"PE\0\0"))
    }

    /// Returns the file offset of an address, or none when no byte of the file is loaded there.
    ///
    /// Sections may overlap: the last one counts.
    pub(crate) fn file_off(&self, rva: u64) -> Option<u64> {
        if rva < self.headers_len {
            return (rva < self.file_len).then_some(rva);
        }
        self.sections.iter().rev().find_map(|section| {
            let within = rva.checked_sub(section.rva)?;
            (within < section.raw_len).then_some(section.raw_off.saturating_add(within))
        })
    }

    /// Returns the bytes of the file from an address on, to the end of the file.
    pub(crate) fn bytes_at<'a>(&self, bytes: &'a [u8], rva: u64) -> Option<&'a [u8]> {
        bytes.get(size(self.file_off(rva)?)..)
    }

    /// Returns an entry of the data directory that is not empty.
    pub(crate) fn directory(&self, idx: usize) -> Option<(u64, u64)> {
        let (rva, len) = *self.directories.get(idx)?;
        (rva != 0 && len != 0).then_some((u64::from(rva), u64::from(len)))
    }

    /// Returns the file offset behind all sections, when the file goes on there.
    pub(crate) fn overlay_off(&self) -> Option<u64> {
        let end = self
            .sections
            .iter()
            .filter(|section| section.raw_len > 0)
            .map(|section| section.raw_off.saturating_add(section.raw_len))
            .max()?;
        (end < self.file_len).then_some(end)
    }

    fn refuse(&mut self, off: usize, what: &'static str) {
        let off = u64::try_from(off).unwrap_or(u64::MAX);
        self.refusal.get_or_insert_with(|| Defect::new(off, what));
    }

    fn read_sections(&mut self, bytes: &[u8], table_off: usize, count: u16, fields: &Fields) {
        let mut stored = Vec::new();
        for idx in 0..count.min(SECTIONS_MAX) {
            let off = table_off.saturating_add(usize::from(idx).saturating_mul(SECTION_LEN));
            let Ok(section) = StoredSection::read(bytes, off) else {
                self.refuse(off, "section table");
                break;
            };
            stored.push(section);
        }
        let section_align = u64::from(fields.section_align);
        self.misaligned = stored.iter().any(|section| {
            !section.is_outside(self.file_len) && section.rva.checked_rem(section_align) != Some(0)
        });
        let file_align = file_align(u64::from(fields.file_align), &stored);
        if stored.iter().any(|section| section.is_negative(file_align, self.file_len)) {
            self.refuse(table_off, "section with the sign bit set");
        }
        for section in stored {
            self.sections.push(section.loaded(section_align, file_align, self.file_len));
        }
    }

    /// True when the sections that lie in the file do not follow each other in memory.
    fn has_gap(&self) -> bool {
        let mut next_rva = None;
        let is_in_file =
            |section: &&ExeSection| section.stored_raw_len == 0 || section.raw_off < self.file_len;
        let mut in_file = self.sections.iter().filter(is_in_file);
        !in_file.all(|section| {
            let follows = next_rva.is_none_or(|rva| rva == section.rva);
            next_rva = Some(section.rva.saturating_add(section.virtual_len));
            follows
        })
    }

    fn judge(&mut self, optional_off: usize, fields: &Fields) {
        let at = |off: usize| u64::try_from(optional_off.saturating_add(off)).unwrap_or(u64::MAX);
        let align = u64::from(fields.section_align);
        let file_align = u64::from(fields.file_align);
        let first_rva = self.sections.first().map_or(0, |section| section.rva);
        let alignment = if align == 0 || !align.is_multiple_of(PAGE) {
            Some(Defect::new(at(32), "SectionAlignment"))
        } else if file_align == 0 || !file_align.is_multiple_of(SECTOR) {
            Some(Defect::new(at(36), "FileAlignment"))
        } else {
            None
        };
        let layout_broken = self.misaligned || first_rva != self.headers_len || self.has_gap();
        let layout = layout_broken.then(|| Defect::new(at(0), "VirtualAddress"));
        // A directory that is cut off makes ClamAV give up without calling the file broken [2].
        let refusal = self.refusal.clone().filter(|refusal| refusal.what != DIRECTORIES_CUT);
        let is_cut = self.refusal.is_some() && refusal.is_none();
        self.broken = refusal.or(alignment).or_else(|| layout.filter(|_| !is_cut));
    }
}

/// Bytes of a full data directory, which `SizeOfOptionalHeader` must cover.
const DIRECTORIES_LEN: u16 = 128;
const DIRECTORIES_CUT: &str = "DataDirectory";

fn optional_header(bytes: &[u8], off: usize) -> Result<(bool, Fields), Defect> {
    let mut reader = Reader::at(bytes, off);
    let is_64 = reader.u16_le()? == MAGIC_PLUS;
    let int = |at: usize| Reader::at(bytes, off.saturating_add(at)).u32_le();
    let fields = Fields {
        entry_rva: int(16)?,
        section_align: int(32)?,
        file_align: int(36)?,
        headers_len: int(60)?,
        subsystem: Reader::at(bytes, off.saturating_add(68)).u16_le()?,
        directory_count: int(if is_64 { 108 } else { 92 })?,
    };
    Ok((is_64, fields))
}

fn directories(bytes: &[u8], off: usize, count: u32) -> Vec<(u32, u32)> {
    let mut reader = Reader::at(bytes, off);
    (0..count.min(DIRECTORIES_MAX))
        .map_while(|_| Some((reader.u32_le().ok()?, reader.u32_le().ok()?)))
        .collect()
}

struct StoredSection {
    name: Vec<u8>,
    virtual_len: u64,
    rva: u64,
    raw_len: u64,
    raw_off: u64,
    flags: u32,
}

impl StoredSection {
    fn read(bytes: &[u8], off: usize) -> Result<Self, Defect> {
        let mut reader = Reader::at(bytes, off);
        let padded = reader.take(8)?;
        let name_len = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
        let name = padded.get(..name_len).unwrap_or_default().to_vec();
        let virtual_len = u64::from(reader.u32_le()?);
        let rva = u64::from(reader.u32_le()?);
        let raw_len = u64::from(reader.u32_le()?);
        let raw_off = u64::from(reader.u32_le()?);
        reader.skip(12)?;
        Ok(Self { name, virtual_len, rva, raw_len, raw_off, flags: reader.u32_le()? })
    }

    /// True when all of its data would lie behind the end of the file.
    fn is_outside(&self, file_len: u64) -> bool {
        self.raw_len != 0 && self.raw_off >= file_len
    }

    /// True for what ClamAV takes for negative; raw data is cut at the end of the file before, and
    /// sections outside are not looked at [2].
    fn is_negative(&self, file_align: u64, file_len: u64) -> bool {
        if self.is_outside(file_len) {
            return false;
        }
        self.virtual_len > SIGNED_MAX
            || self.rva > SIGNED_MAX
            || ceil(self.raw_len, file_align) > u64::from(u32::MAX)
    }

    fn loaded(self, section_align: u64, file_align: u64, file_len: u64) -> ExeSection {
        let raw_off = floor(self.raw_off, file_align);
        let raw_len = ceil(self.raw_len, file_align);
        let room = if self.is_outside(file_len) { 0 } else { file_len.saturating_sub(raw_off) };
        let virtual_len = if self.virtual_len == 0 {
            self.raw_len.min(file_len.saturating_sub(self.raw_off))
        } else {
            self.virtual_len
        };
        ExeSection {
            name: self.name,
            rva: floor(self.rva, section_align),
            virtual_len: ceil(virtual_len, section_align),
            raw_off,
            raw_len: raw_len.min(room),
            stored_raw_len: self.raw_len,
            flags: u64::from(self.flags),
        }
    }
}

/// Returns `FileAlignment`, or a sector when a section lies on a sector but not on it [2].
fn file_align(stored_align: u64, sections: &[StoredSection]) -> u64 {
    let odd = |section: &StoredSection| {
        section.raw_len != 0
            && section.raw_off.checked_rem(stored_align).is_some_and(|rest| rest != 0)
            && section.raw_off.is_multiple_of(SECTOR)
    };
    if sections.iter().any(odd) { SECTOR } else { stored_align }
}

/// Returns `SizeOfHeaders`, rounded up; it wraps at 32 bits [2].
fn headers_len(stored_len: u64, section_align: u64) -> u64 {
    ceil(stored_len, section_align) & u64::from(u32::MAX)
}

fn floor(value: u64, align: u64) -> u64 {
    value.saturating_sub(value.checked_rem(align).unwrap_or(0))
}

fn ceil(value: u64, align: u64) -> u64 {
    value.checked_next_multiple_of(align).unwrap_or(value)
}
