//! InstallShield cabinets (`data1.hdr`, `data1.cab`, …; versions 5 to 12 and their later Unicode form).
//!
//! Yields: one child per file, when the header is in the cabinet or beside it in a single-file setup; without
//! a header, one child per run of compressed chunks.
//! Leaves out: files that lie beside the cabinet; links to other files; what another volume holds, which
//! is reported.
//! Limits: through `Sink`; 100,000 files; files that overlap are unpacked up to four times the volumes' length.
//! Hostile input: a chunk that cannot be unpacked ends its file, which is handed over as far as it is;
//! sizes and counts are bounded by the bytes that are there.
//! Sources: the unshield project's description of the format; observation of test files.

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::{Ended, unpack_into};
use crate::codec::{Counted, Inflate};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};

pub(super) const FORMAT: Format = Format {
    name: "ishield_cab",
    types: &[FileType::IshieldCab],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x8000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`ISc(` at the start",
        yields: "one child per file, or per run of chunks when the header is elsewhere",
        leaves_out: "files beside the cabinet, links; other volumes (reported)",
        limits: "100,000 files; 4 times the volumes' length is unpacked",
        sources: "unshield's description of the format",
    },
};

pub(super) const MAGIC: &[u8] = b"ISc(";
const COMMON_LEN: usize = 20;
/// Length of a file's record from version 6 on.
const RECORD_LEN: usize = 0x57;
const SPLIT: u16 = 1;
const OBFUSCATED: u16 = 2;
const COMPRESSED: u16 = 4;
const INVALID: u16 = 8;
const LINK_PREVIOUS: u8 = 1;
/// Ours.
const FILES_MAX: u32 = 100_000;
const NAME_LEN_MAX: usize = 1024;
/// Output of every chunk of a file but the last, as the packers make them.
const CHUNK_OUT_LEN: usize = 0x8000;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let set = Set { header: object, volumes: vec![(1, object)] };
    if set.open(sink)? {
        return Ok(());
    }
    sink.unscanned(b"", Reason::OtherVolume);
    let data_off = Reader::at(object, COMMON_LEN).u32_le()?;
    carve(object, size(u64::from(data_off)).max(COMMON_LEN), sink)?;
    Ok(())
}

/// A header, and the volumes that are at hand, by their numbers.
pub(super) struct Set<'a> {
    pub(super) header: &'a [u8],
    pub(super) volumes: Vec<(u16, &'a [u8])>,
}

#[derive(Debug, Clone, Copy, Default)]
struct File<'a> {
    name: &'a [u8],
    flags: u16,
    len: u64,
    packed_len: u64,
    off: u64,
    volume: Option<u16>,
    link: Option<u32>,
}

impl<'a> Set<'a> {
    /// Opens the files; false when the header describes none.
    pub(super) fn open(&self, sink: &mut dyn Sink) -> Result<bool, Stop> {
        let Some(table) = Table::read(self.header) else { return Ok(false) };
        let most: usize = self.volumes.iter().map(|(_, bytes)| bytes.len()).sum();
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_mul(4);
        let mut spent = 0u64;
        for idx in 0..table.file_count {
            sink.poll()?;
            if idx >= FILES_MAX {
                sink.unscanned(b"", Reason::FormatLimit("files of a cabinet".into()));
                break;
            }
            let Some(file) = table.file(idx) else {
                sink.defect(Defect::new(u64::from(idx), "file record"));
                break;
            };
            if file.flags & INVALID != 0 && file.packed_len == 0 {
                continue;
            }
            sink.member(&Member {
                name: file.name,
                packed_len: file.packed_len,
                unpacked_len: file.len,
                position: idx.saturating_add(1),
                ..Member::default()
            })?;
            let linked = file.link.and_then(|link| table.file(link));
            if linked.is_some_and(|target| target.link.is_none() && target.len == file.len) {
                continue;
            }
            // A file without an offset lies beside the cabinet.
            if file.off == 0 || file.packed_len == 0 {
                continue;
            }
            spent = spent.saturating_add(file.packed_len);
            if spent > most {
                sink.unscanned(file.name, Reason::FormatLimit("files that overlap".into()));
                break;
            }
            self.file(idx, &file, &table, sink)?;
        }
        Ok(true)
    }

    fn file(
        &self,
        idx: u32,
        file: &File<'_>,
        table: &Table<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let in_header =
            self.volumes.iter().any(|(_, bytes)| bytes.as_ptr() == self.header.as_ptr())
                && table.descriptor.contains(&size(file.off));
        let mut packed = if in_header { Vec::new() } else { self.packed(idx, file) };
        if packed.is_empty() {
            sink.unscanned(file.name, Reason::OtherVolume);
            return Ok(());
        }
        let whole = u64::try_from(packed.len()).unwrap_or(u64::MAX) >= file.packed_len;
        if file.flags & OBFUSCATED != 0 {
            reveal(&mut packed);
        }
        let mut bytes = Vec::new();
        let ended = if file.flags & COMPRESSED != 0 {
            inflate(&packed, &mut bytes, sink)?
        } else {
            packed.truncate(size(sink.child_cap()));
            bytes = packed;
            Ended::Whole
        };
        let short = u64::try_from(bytes.len()).unwrap_or(u64::MAX) < file.len;
        let reason = match ended.reason(sink) {
            Some(Reason::Truncated) | None if !whole && file.flags & SPLIT != 0 => {
                Some(Reason::OtherVolume)
            }
            None if !whole || short => Some(Reason::Truncated),
            reason => reason,
        };
        if let Some(reason) = reason {
            sink.unscanned(file.name, reason);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        sink.child(Child { name: file.name, data: &bytes, role: ChildRole::Member })
    }

    /// Gathers a file's packed bytes from the volume it begins in and, if it is split, from those behind.
    fn packed(&self, idx: u32, file: &File<'_>) -> Vec<u8> {
        let first = match file.volume {
            Some(number) => self.volumes.iter().position(|(have, _)| *have == number),
            None => self.volumes.iter().position(|(_, bytes)| {
                Volume::read(bytes, self.header).is_none_or(|volume| volume.last_file >= idx)
            }),
        };
        let mut packed = Vec::new();
        let Some(first) = first else { return packed };
        for (place, (_, bytes)) in self.volumes.iter().enumerate().skip(first) {
            let left = size(file.packed_len).saturating_sub(packed.len());
            let part = match Volume::read(bytes, self.header) {
                Some(volume) if place > first => (volume.first_off, volume.first_packed_len),
                Some(volume) if file.flags & SPLIT != 0 && volume.last_file == idx => {
                    (volume.last_off, volume.last_packed_len)
                }
                _ => (file.off, file.packed_len),
            };
            let len = size(part.1).min(left);
            packed.extend_from_slice(Reader::at(bytes, size(part.0)).take_up_to(len));
            if file.flags & SPLIT == 0 || packed.len() >= size(file.packed_len) {
                break;
            }
        }
        packed
    }
}

/// What a volume's header says of the files at its ends.
struct Volume {
    first_off: u64,
    first_packed_len: u64,
    last_file: u32,
    last_off: u64,
    last_packed_len: u64,
}

impl Volume {
    fn read(bytes: &[u8], header: &[u8]) -> Option<Self> {
        let mut reader = Reader::at(bytes, COMMON_LEN);
        let long = major_version(header)? >= 6;
        let mut number = || -> Option<u64> {
            if long { reader.u64_le().ok() } else { reader.u32_le().ok().map(u64::from) }
        };
        let (_data_off, files) = (number()?, number()?);
        let last_file = if long {
            u32::try_from(files >> 32).ok()?
        } else {
            // One more number stands in front of the two indexes.
            number()?;
            u32::try_from(number()?).ok()?
        };
        let first_off = number()?;
        number()?;
        let first_packed_len = number()?;
        let last_off = number()?;
        number()?;
        let last_packed_len = number()?;
        Some(Self { first_off, first_packed_len, last_file, last_off, last_packed_len })
    }
}

fn major_version(header: &[u8]) -> Option<u32> {
    let version = Reader::at(header, 4).u32_le().ok()?;
    Some(match version >> 24 {
        1 => (version >> 12) & 0xf,
        _ => match version & 0xffff {
            0 => 0,
            number => number / 100,
        },
    })
}

/// The table of files.
struct Table<'a> {
    bytes: &'a [u8],
    major: u32,
    folder_count: u32,
    file_count: u32,
    records_off: usize,
    /// Where the description is in the header: no file is there.
    descriptor: std::ops::Range<usize>,
}

impl<'a> Table<'a> {
    fn read(header: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::at(header, 12);
        let descriptor_off = size(u64::from(reader.u32_le().ok()?));
        let descriptor_len = reader.u32_le().ok()?;
        if descriptor_len == 0 {
            return None;
        }
        let descriptor = header.get(descriptor_off..)?;
        let number = |off| Some(size(u64::from(Reader::at(descriptor, off).u32_le().ok()?)));
        let bytes = descriptor.get(number(0xc)?..)?;
        let folder_count = u32::try_from(number(0x1c)?).ok()?;
        let file_count = u32::try_from(number(0x28)?).ok()?;
        let records_off = number(0x2c)?;
        let major = major_version(header)?;
        // Each file has at least an entry of four bytes.
        let room = u32::try_from(bytes.len() / 4).ok()?;
        let end = descriptor_off.saturating_add(size(u64::from(descriptor_len)));
        Some(Self {
            bytes,
            major,
            folder_count,
            file_count: file_count.min(room),
            records_off,
            descriptor: descriptor_off..end,
        })
    }

    fn file(&self, idx: u32) -> Option<File<'a>> {
        if self.major >= 6 { self.record(idx) } else { self.old_record(idx) }
    }

    fn record(&self, idx: u32) -> Option<File<'a>> {
        let at = size(u64::from(idx)).checked_mul(RECORD_LEN)?.checked_add(self.records_off)?;
        let mut reader = Reader::new(Reader::at(self.bytes, at).take(RECORD_LEN).ok()?);
        let flags = reader.u16_le().ok()?;
        let len = reader.u64_le().ok()?;
        let packed_len = reader.u64_le().ok()?;
        let off = reader.u64_le().ok()?;
        reader.skip(32).ok()?;
        let name = self.name(reader.u32_le().ok()?);
        reader.skip(14).ok()?;
        let link = reader.u32_le().ok()?;
        reader.skip(4).ok()?;
        let link_flags = reader.u8().ok()?;
        let volume = Some(reader.u16_le().ok()?);
        let link = (link_flags & LINK_PREVIOUS != 0).then_some(link).filter(|link| *link != idx);
        Some(File { name, flags, len, packed_len, off, volume, link })
    }

    fn old_record(&self, idx: u32) -> Option<File<'a>> {
        let entry = size(u64::from(self.folder_count.checked_add(idx)?)).checked_mul(4)?;
        let at = Reader::at(self.bytes, entry).u32_le().ok()?;
        let mut reader = Reader::at(self.bytes, size(u64::from(at)));
        let name = self.name(reader.u32_le().ok()?);
        reader.skip(4).ok()?;
        let flags = reader.u16_le().ok()?;
        let len = u64::from(reader.u32_le().ok()?);
        let packed_len = u64::from(reader.u32_le().ok()?);
        reader.skip(0x14).ok()?;
        let off = u64::from(reader.u32_le().ok()?);
        Some(File { name, flags, len, packed_len, off, volume: None, link: None })
    }

    /// Returns a name up to its end: one NUL, or two from version 17 on.
    fn name(&self, off: u32) -> &'a [u8] {
        let rest = self.bytes.get(size(u64::from(off))..).unwrap_or_default();
        let rest = rest.get(..rest.len().min(NAME_LEN_MAX)).unwrap_or_default();
        let len = if self.major >= 17 {
            rest.chunks_exact(2).take_while(|pair| *pair != [0, 0]).count().saturating_mul(2)
        } else {
            memchr::memchr(0, rest).unwrap_or(0)
        };
        rest.get(..len).unwrap_or_default()
    }
}

/// Undoes the obfuscation of a file's bytes.
fn reveal(bytes: &mut [u8]) {
    for (idx, byte) in bytes.iter_mut().enumerate() {
        let less = u8::try_from(idx % 0x47).unwrap_or(0);
        *byte = (*byte ^ 0xd5).rotate_right(2).wrapping_sub(less);
    }
}

/// Inflates chunks with their lengths in front, or else streams that end by themselves.
fn inflate(packed: &[u8], bytes: &mut Vec<u8>, sink: &mut dyn Sink) -> Result<Ended, Stop> {
    let mut reader = Reader::new(packed);
    while reader.left() > 0 {
        let len = reader.u16_le().map_or(0, usize::from);
        let chunk = reader.take_up_to(len);
        let had = bytes.len();
        let ended = unpack_into(Inflate::raw(chunk), bytes, sink)?;
        if had == 0 && len > 0 && bytes.is_empty() {
            return inflate_old(packed, bytes, sink);
        }
        match ended {
            Ended::Whole if len > 0 => {}
            // The packer may leave the end of a stream out.
            Ended::Truncated if chunk.len() == len && bytes.len() > had => {}
            Ended::Whole => return Ok(Ended::Truncated),
            ended => return Ok(ended),
        }
    }
    Ok(Ended::Whole)
}

fn inflate_old(packed: &[u8], bytes: &mut Vec<u8>, sink: &mut dyn Sink) -> Result<Ended, Stop> {
    let mut rest = packed;
    while !rest.is_empty() {
        let mut stream = Counted::new(rest);
        let ended = unpack_into(Inflate::raw(&mut stream), bytes, sink)?;
        let used = size(stream.used());
        match ended {
            Ended::Whole if used > 0 => rest = rest.get(used..).unwrap_or_default(),
            Ended::Truncated if !bytes.is_empty() => return Ok(Ended::Whole),
            ended => return Ok(ended),
        }
    }
    Ok(Ended::Whole)
}

/// Hands over what compressed chunks give, one behind the other; a chunk that is not full ends a child.
fn carve(object: &[u8], from: usize, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut reader = Reader::at(object, from);
    let mut bytes = Vec::new();
    while let Ok(len @ 1..) = reader.u16_le() {
        let chunk = reader.take_up_to(usize::from(len));
        let had = bytes.len();
        let ended = unpack_into(Inflate::raw(chunk), &mut bytes, sink)?;
        let made = bytes.len().saturating_sub(had);
        if made < CHUNK_OUT_LEN || ended == Ended::Capped {
            if !bytes.is_empty() {
                sink.child(Child { name: b"", data: &bytes, role: ChildRole::Member })?;
            }
            bytes.clear();
        }
        if made == 0 {
            break;
        }
    }
    if !bytes.is_empty() {
        sink.child(Child { name: b"", data: &bytes, role: ChildRole::Member })?;
    }
    Ok(())
}
