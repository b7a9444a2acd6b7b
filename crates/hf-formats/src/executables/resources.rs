//! `.resources` of .NET: what programs keep texts, pictures and whole files in, inside of them or beside them.
//!
//! Yields: one child per resource, by its name: texts as UTF-8, bytes and streams as they are, serialised objects
//! as they are and, where such an object is mainly an array of bytes, that array; one text with a line for each
//! short text. Nothing is yielded under ClamAV's quirks: it does not.
//! Leaves out: numbers and times; what serialised objects mean.
//! Limits: [`RESOURCES_MAX`] resources; together no more bytes than [`SHARED_TIMES`] times the file, as entries may
//! share bytes.
//! Hostile input: an entry that points outside is left out with a defect, the others are handed over; a length that
//! claims too much takes what is there.
//! Sources: [1] .NET's documentation of `ResourceManager.MagicNumber`, `ResourceManager.HeaderVersionNumber`,
//! `ResourceWriter` and `ResourceReader.GetResourceData`; [2] MS-NRBF (serialised objects); files of `resgen`.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Reason, Sink};

use super::strings::Lines;
use crate::reader::{Reader, aligned, size};
use crate::{Format, FormatDoc, Stage};

pub(crate) static FORMAT: Format = Format {
    name: "resources",
    types: &[FileType::Resources],
    stage: Stage::AfterMatch,
    enabled: |options| options.scan_pe && !options.clamav_quirks,
    extract,
    doc: FormatDoc {
        recognised_by: "`ce ca ef be` at the start",
        yields: "one child per resource: texts, bytes, streams, serialised objects and the bytes in them",
        leaves_out: "numbers and times; the meaning of serialised objects",
        limits: "65,536 resources; entries that share bytes: eight times the file",
        sources: ".NET documentation of ResourceManager, ResourceReader and ResourceWriter; MS-NRBF",
    },
};

/// Ours: resources of one file, types of them, and how often bytes may be shared.
const RESOURCES_MAX: u32 = 65_536;
const TYPES_MAX: u32 = 4096;
const SHARED_TIMES: usize = 8;
/// Bytes of a name in UTF-16 that are kept; ours. Entries may share their names, and a name be the whole file.
const NAME_LEN_MAX: usize = 512;
/// Shorter texts are lines of one child; ours.
const TEXT_LEN_MIN: usize = 16;
/// Types of version 2 [1].
const NULL: u32 = 0;
const STRING: u32 = 1;
const BYTES: u32 = 0x20;
const STREAM: u32 = 0x21;
/// The first number of a type that the file itself names.
const FIRST_NAMED: u32 = 0x40;

/// How a serialised object begins and ends [2] §2.6.1, §2.6.3.
const HEADER: &[u8] = &[0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
const END: u8 = 0x0b;

/// What an entry's number for its type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Numbers and the like.
    Nothing,
    /// A string with its length.
    Text,
    /// Bytes with their length in four bytes.
    Bytes,
    /// Everything up to the next entry.
    Object,
}

struct Header<'a> {
    version: u32,
    types: Vec<&'a [u8]>,
    count: u32,
    /// Where the positions of the names are, the names, and the data.
    positions_off: usize,
    names_off: usize,
    data_off: usize,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let header = header(object)?;
    sink.fact("resources.version", &header.version.to_string());
    sink.fact("resources.count", &header.count.to_string());
    let mut entries = Vec::new();
    for number in 0..header.count.min(RESOURCES_MAX) {
        if number.is_multiple_of(1024) {
            sink.poll()?;
        }
        match entry(object, &header, number) {
            Ok(entry) => entries.push(entry),
            Err(defect) => {
                let off =
                    header.positions_off.saturating_add(size(u64::from(number)).saturating_mul(4));
                sink.defect(defect);
                if off >= object.len() {
                    break;
                }
            }
        }
    }
    if header.count > RESOURCES_MAX {
        sink.unscanned(b"", Reason::FormatLimit("resources".into()));
    }
    hand_over(object, &header, &entries, sink)
}

/// A name, and the place of its value in the file.
struct Entry {
    name: Vec<u8>,
    off: usize,
}

fn hand_over(
    object: &[u8],
    header: &Header<'_>,
    entries: &[Entry],
    sink: &mut dyn Sink,
) -> Result<(), Halt> {
    let mut ends: Vec<usize> = entries.iter().map(|entry| entry.off).collect();
    ends.push(object.len());
    ends.sort_unstable();
    let mut lines = Lines::new(object.len().saturating_mul(2).saturating_add(0x100));
    let mut room = object.len().saturating_mul(SHARED_TIMES);
    let mut is_whole = true;
    for entry in entries {
        sink.poll()?;
        let next = ends.partition_point(|end| *end <= entry.off);
        let end = ends.get(next).copied().unwrap_or(object.len());
        let (kind, data, is_cut) = match value(object, header, entry.off, end) {
            Ok(value) => value,
            Err(defect) => {
                sink.defect(defect);
                continue;
            }
        };
        if is_cut {
            sink.defect(Defect::truncated(u64::try_from(entry.off).unwrap_or(u64::MAX)));
        }
        let Some(left) = room.checked_sub(data.len()) else {
            is_whole = false;
            break;
        };
        room = left;
        if kind == Kind::Text && data.len() < TEXT_LEN_MIN {
            lines.push(data);
            continue;
        }
        if data.is_empty() {
            continue;
        }
        sink.child(Child { name: &entry.name, data, role: ChildRole::Member })?;
        if let Some(data) = byte_array(data).filter(|_| kind == Kind::Object) {
            sink.child(Child { name: &entry.name, data, role: ChildRole::Member })?;
        }
    }
    lines.hand_over(b"strings", sink)?;
    if !is_whole {
        sink.unscanned(b"", Reason::FormatLimit("resources that share their bytes".into()));
    }
    Ok(())
}

/// Reads both headers: that of the manager, which says how long it is, and that of the set [1].
fn header(object: &[u8]) -> Result<Header<'_>, Defect> {
    let mut reader = Reader::at(object, 4);
    reader.skip(4)?;
    let skip = size(u64::from(reader.u32_le()?));
    reader.skip(skip)?;
    let version_off = reader.off();
    let version = reader.u32_le()?;
    if !matches!(version, 1 | 2) {
        return Err(Defect::new(u64::try_from(version_off).unwrap_or(u64::MAX), "version"));
    }
    let count = reader.u32_le()?;
    let type_count = reader.u32_le()?;
    let mut types = Vec::new();
    for _ in 0..type_count {
        let name = string(&mut reader)?;
        if types.len() < size(u64::from(TYPES_MAX)) {
            types.push(name);
        }
    }
    let hashes_off = aligned(reader.off(), 8);
    let table_len = size(u64::from(count)).saturating_mul(4);
    let positions_off = hashes_off.saturating_add(table_len);
    let mut reader = Reader::at(object, positions_off.saturating_add(table_len));
    let data_off = size(u64::from(reader.u32_le()?));
    Ok(Header { version, types, count, positions_off, names_off: reader.off(), data_off })
}

/// A length of seven bits a byte, and so many bytes.
fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Defect> {
    let len = seven_bits(reader)?;
    reader.take(size(u64::from(len)))
}

fn seven_bits(reader: &mut Reader<'_>) -> Result<u32, Defect> {
    let start = reader.off();
    let mut value = 0u32;
    for shift in [0u32, 7, 14, 21, 28] {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Defect::new(u64::try_from(start).unwrap_or(u64::MAX), "7-bit encoded number"))
}

fn entry(object: &[u8], header: &Header<'_>, number: u32) -> Result<Entry, Defect> {
    let position_off =
        header.positions_off.saturating_add(size(u64::from(number)).saturating_mul(4));
    let position = size(u64::from(Reader::at(object, position_off).u32_le()?));
    let mut reader = Reader::at(object, header.names_off.saturating_add(position));
    let wide = string(&mut reader)?;
    let wide = wide.get(..wide.len().min(NAME_LEN_MAX)).unwrap_or_default();
    let units = wide.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let name: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let off = header.data_off.saturating_add(size(u64::from(reader.u32_le()?)));
    if off >= object.len() {
        return Err(Defect::truncated(u64::try_from(off).unwrap_or(u64::MAX)));
    }
    Ok(Entry { name: name.into_bytes(), off })
}

/// Returns a value, and whether its end is missing.
fn value<'a>(
    object: &'a [u8],
    header: &Header<'_>,
    off: usize,
    end: usize,
) -> Result<(Kind, &'a [u8], bool), Defect> {
    let mut reader = Reader::at(object, off);
    let number = seven_bits(&mut reader)?;
    let kind = if header.version == 1 { kind_1(header, number) } else { kind_2(number) };
    let len = match kind {
        Kind::Nothing => 0,
        Kind::Text => size(u64::from(seven_bits(&mut reader)?)),
        Kind::Bytes => size(u64::from(reader.u32_le()?)),
        Kind::Object => end.saturating_sub(reader.off()),
    };
    let data = reader.take_up_to(len);
    let has_header = data.starts_with(HEADER) || HEADER.starts_with(data);
    let is_open = kind == Kind::Object && has_header && data.last() != Some(&END);
    Ok((kind, data, is_open || data.len() < len))
}

/// In version 1 a type is the number of its name; -1 is none.
fn kind_1(header: &Header<'_>, number: u32) -> Kind {
    if number == u32::MAX {
        return Kind::Nothing;
    }
    let name = header.types.get(size(u64::from(number))).copied().unwrap_or_default();
    let name = name.split(|byte| *byte == b',').next().unwrap_or_default();
    match name {
        b"System.String" => Kind::Text,
        b"System.Boolean" | b"System.Byte" | b"System.SByte" | b"System.Char" | b"System.Int16"
        | b"System.UInt16" | b"System.Int32" | b"System.UInt32" | b"System.Int64"
        | b"System.UInt64" | b"System.Single" | b"System.Double" | b"System.Decimal"
        | b"System.DateTime" | b"System.TimeSpan" => Kind::Nothing,
        _ => Kind::Object,
    }
}

fn kind_2(number: u32) -> Kind {
    match number {
        STRING => Kind::Text,
        BYTES | STREAM => Kind::Bytes,
        NULL..FIRST_NAMED => Kind::Nothing,
        _ => Kind::Object,
    }
}

/// Returns the array of bytes that ends a serialised object, as a picture or a file has it.
fn byte_array(data: &[u8]) -> Option<&[u8]> {
    /// [2] §2.4.3.3: an array of a primitive type.
    const ARRAY: u8 = 0x0f;
    const BYTE: u8 = 2;
    let start = memchr::memmem::find(data.get(..data.len().min(16))?, HEADER)?;
    memchr::memchr_iter(ARRAY, data.get(start..)?).find_map(|at| {
        let mut reader = Reader::at(data, start.checked_add(at)?.checked_add(5)?);
        let len = size(u64::from(reader.u32_le().ok()?));
        let is_bytes = reader.u8().ok()? == BYTE;
        let array = reader.take(len).ok().filter(|array| is_bytes && !array.is_empty())?;
        (reader.u8().ok()? == END).then_some(array)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_the_whole_file_is_cut() {
        // A length of 70,000 in seven bits a byte, so many bytes, and the place of the value.
        let object = [&[0xf0, 0xa2, 4][..], &[b'a'; 70_000], &[0; 8]].concat();
        let header = Header {
            version: 2,
            types: Vec::new(),
            count: 1,
            // The position is read from the last four bytes, which are zeros.
            positions_off: object.len() - 4,
            names_off: 0,
            data_off: 0,
        };
        let entry = entry(&object, &header, 0).unwrap();
        assert_eq!(String::from_utf8(entry.name).unwrap().chars().count(), NAME_LEN_MAX / 2);
    }
}
