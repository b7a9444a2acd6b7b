//! A file of an image in memory: headers, and sections that lie in the file as they lie in memory.
//!
//! Sections behind the last that the program needs are those of its loader, and are left out. UPX keeps
//! the program's own headers, and they are used where they are found.
//!
//! Promises: the file is at most a page larger than the image.
//! Sources: Microsoft, "PE Format"; the layout is that of the images that clamscan 1.4.6 leaves behind.

use super::loader::optional_off;
use super::run::Image;
use crate::executables::pe::headers::{Headers, SECTIONS_MAX};
use crate::reader::{Reader, size};
use memchr::memmem;

/// Where the PE header is in the file; such images of clamscan have it there.
const PE_OFF: usize = 0xd0;
/// Fixed part of a PE32 and a PE32+ optional header, with all directories.
const OPTIONAL_LEN: usize = 0xe0;
const OPTIONAL_LEN_64: usize = 0xf0;
const PAGE: u64 = 0x1000;

/// What the headers of the file are made of.
struct Source<'a> {
    /// From the machine on.
    file_header: &'a [u8],
    optional: &'a [u8],
    sections: Vec<Section>,
    /// The program's own headers.
    is_original: bool,
}

struct Section {
    name: [u8; 8],
    rva: u64,
    len: u64,
    flags: u64,
}

/// Returns a file for an image that a packed program unpacked.
pub(super) fn rebuild(object: &[u8], headers: &Headers, image: &Image) -> Option<Vec<u8>> {
    let source = match original(headers, image) {
        Some(source) => source,
        None => packed(object, headers, image)?,
    };
    let first_rva = source.sections.first()?.rva;
    let table_off = PE_OFF.checked_add(24)?.checked_add(optional_len(headers.is_64))?;
    let table_end = table_off.checked_add(source.sections.len().checked_mul(40)?)?;
    let headers_len = if size(first_rva) >= table_end { first_rva } else { PAGE };
    let shift = headers_len.saturating_sub(first_rva);
    let mut file = vec![0; size(headers_len)];
    write_headers(&mut file, &source, headers, image, headers_len);
    for (idx, section) in source.sections.iter().enumerate() {
        let off = table_off.checked_add(idx.checked_mul(40)?)?;
        let raw_off = section.rva.checked_add(shift)?;
        let mut entry = section.name.to_vec();
        for value in [section.len, section.rva, section.len, raw_off, 0, 0, 0] {
            entry.extend_from_slice(&word(value));
        }
        entry.extend_from_slice(&word(section.flags));
        file.get_mut(off..)?.get_mut(..40)?.copy_from_slice(&entry);
    }
    let end =
        source.sections.iter().map(|section| section.rva.saturating_add(section.len)).max()?;
    let end = size(end).min(image.bytes.len());
    file.extend_from_slice(image.bytes.get(size(first_rva)..end)?);
    Some(file)
}

fn word(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

fn optional_len(is_64: bool) -> usize {
    if is_64 { OPTIONAL_LEN_64 } else { OPTIONAL_LEN }
}

fn write_headers(
    file: &mut [u8],
    source: &Source<'_>,
    headers: &Headers,
    image: &Image,
    headers_len: u64,
) {
    let mut put = |off: usize, data: &[u8]| {
        if let Some(to) = file.get_mut(off..).and_then(|rest| rest.get_mut(..data.len())) {
            to.copy_from_slice(data);
        }
    };
    let optional_off = PE_OFF.saturating_add(24);
    let optional_len = optional_len(headers.is_64);
    put(0, b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8");
    put(0x18, b"\x40");
    put(0x3c, &[0xd0]);
    put(PE_OFF, b"PE\0\0");
    put(PE_OFF.saturating_add(4), source.file_header);
    let count = u16::try_from(source.sections.len()).unwrap_or(0);
    put(PE_OFF.saturating_add(6), &count.to_le_bytes());
    let claimed = u16::try_from(optional_len).unwrap_or(0);
    put(PE_OFF.saturating_add(20), &claimed.to_le_bytes());
    put(optional_off, source.optional);
    let end = source.sections.iter().map(|section| section.rva.saturating_add(section.len)).max();
    let end = end.unwrap_or(0);
    if !source.is_original {
        put(optional_off.saturating_add(16), &word(image.entry_rva));
        put(optional_off.saturating_add(32), &word(PAGE));
        put(optional_off.saturating_add(56), &word(end));
    }
    put(optional_off.saturating_add(36), &word(PAGE));
    put(optional_off.saturating_add(60), &word(headers_len));
    let directories_off = optional_len.saturating_sub(16 * 8).saturating_add(optional_off);
    put(directories_off.saturating_sub(4), &word(16));
    for idx in 0..16usize {
        let at = directories_off.saturating_add(idx.saturating_mul(8));
        let source_off = at.saturating_sub(optional_off);
        let rva = Reader::at(source.optional, source_off).u32_le().map_or(0, u64::from);
        // What pointed into the loader, or behind the file, points nowhere now.
        if rva >= end || idx == 4 {
            put(at, &[0; 8]);
        }
    }
}

/// Returns the program's own headers: UPX keeps them behind the unpacked program.
fn original<'a>(headers: &Headers, image: &'a Image) -> Option<Source<'a>> {
    memmem::find_iter(image.bytes.get(0x1000..)?, b"PE\0\0")
        .take(256)
        .find_map(|off| original_at(headers, image, off.checked_add(0x1000)?))
}

fn original_at<'a>(headers: &Headers, image: &'a Image, off: usize) -> Option<Source<'a>> {
    let mut reader = Reader::at(&image.bytes, off.checked_add(4)?);
    let file_header = reader.take(20).ok()?;
    let fields = |at: usize| Reader::at(file_header, at).u16_le().ok();
    let is_own = fields(0)? == headers.machine
        && usize::from(fields(16)?) == optional_len(headers.is_64)
        && (1..=SECTIONS_MAX).contains(&fields(2)?);
    if !is_own {
        return None;
    }
    let optional = reader.take(optional_len(headers.is_64)).ok()?;
    let entry_rva = Reader::at(optional, 16).u32_le().ok()?;
    if u64::from(entry_rva) != image.entry_rva {
        return None;
    }
    let mut sections: Vec<Section> = Vec::new();
    for _ in 0..fields(2)? {
        let mut name = [0; 8];
        name.copy_from_slice(reader.take(8).ok()?);
        let virtual_len = u64::from(reader.u32_le().ok()?);
        let rva = u64::from(reader.u32_le().ok()?);
        let raw_len = u64::from(reader.u32_le().ok()?);
        reader.skip(16).ok()?;
        let len = if virtual_len == 0 { raw_len } else { virtual_len };
        let len = len.checked_next_multiple_of(PAGE)?;
        let flags = u64::from(reader.u32_le().ok()?);
        let follows = sections.last().is_none_or(|last| last.rva.saturating_add(last.len) <= rva);
        if !follows || size(rva.checked_add(len)?) > image.bytes.len() || rva < 0x200 {
            return None;
        }
        sections.push(Section { name, rva, len, flags });
    }
    Some(Source { file_header, optional, sections, is_original: true })
}

/// Returns the packed program's headers without the sections of its loader.
fn packed<'a>(object: &'a [u8], headers: &Headers, image: &Image) -> Option<Source<'a>> {
    let optional_off = optional_off(object)?;
    let file_header = object.get(optional_off.checked_sub(20)?..)?.get(..20)?;
    let optional = object.get(optional_off..)?;
    let optional = optional.get(..optional.len().min(optional_len(headers.is_64)))?;
    let image_len = u64::try_from(image.bytes.len()).ok()?;
    let mut sections: Vec<Section> = Vec::new();
    for section in &headers.sections {
        let next_rva = headers.sections.iter().map(|other| other.rva);
        let next_rva = next_rva.filter(|rva| *rva > section.rva).min().unwrap_or(image_len);
        let len = section.virtual_len.max(section.raw_len).checked_next_multiple_of(PAGE)?;
        let len = len.min(next_rva.saturating_sub(section.rva));
        if len == 0 || section.rva >= image_len {
            continue;
        }
        let mut name = [0; 8];
        let stored = section.name.get(..section.name.len().min(8)).unwrap_or_default();
        name.get_mut(..stored.len())?.copy_from_slice(stored);
        sections.push(Section { name, rva: section.rva, len, flags: section.flags });
    }
    sections.sort_by_key(|section| section.rva);
    if sections.is_empty() {
        let name = *b".image\0\0";
        let len = image_len.saturating_sub(PAGE);
        sections.push(Section { name, rva: PAGE, len, flags: 0xe000_0020 });
    }
    // The loader's section, and what is behind it, when the program is before it.
    let loader_rva = image
        .from_section
        .and_then(|idx| headers.sections.get(idx))
        .map(|section| section.rva)
        .filter(|rva| *rva > image.entry_rva);
    if let Some(loader_rva) = loader_rva {
        sections.retain(|section| section.rva < loader_rva);
    }
    (!sections.is_empty()).then_some(Source { file_header, optional, sections, is_original: false })
}
