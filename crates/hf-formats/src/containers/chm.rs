//! Compiled help (CHM): the files of a help book behind one directory.
//!
//! Yields: one child per file, of the plain section and of the compressed one.
//! Leaves out: the compressed section as such (its files come out), folders, which have no data.
//! Limits: through `Sink`; files that overlap are handed over up to eight times what was decoded.
//! Hostile input: chunks of the directory are walked in the order of the file, whatever the index and the
//! links say; without any, they are looked for in the whole object; a frame that is damaged loses its reset
//! interval when the reset table is there, else all behind it; both are reported.
//! Sources: [1] "Unofficial (Preliminary) HTML Help Specification", P. Wise and others; [2] M. Russotto,
//! "Microsoft's HTML Help (.chm) format".

mod frames;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};
use memchr::memmem;

use super::rolling::Rolling;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use frames::Frames;

pub(super) const FORMAT: Format = Format {
    name: "chm",
    types: &[FileType::Mschm],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x40 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`ITSF` at the start",
        yields: "one child per file, of the plain and of the compressed section (LZX)",
        leaves_out: "the compressed section as such",
        limits: "files that overlap: 8 times what was decoded",
        sources: "Unofficial HTML Help Specification; Russotto",
    },
};

const CONTENT: &[u8] = b"::DataSpace/Storage/MSCompressed/Content";
const CONTROL: &[u8] = b"::DataSpace/Storage/MSCompressed/ControlData";
const RESET_TABLE: &[u8] = b"/InstanceData/ResetTable";
const CHUNK_MAGIC: &[u8] = b"PMGL";
const CHUNK_HEADER_LEN: usize = 20;
/// The size of chunks that help compilers use.
const CHUNK_LEN: usize = 4096;
/// Ours: files that are named because they are not there.
const TOLD_MAX: u32 = 1000;

/// A file in the directory.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: &'a [u8],
    section: u64,
    off: u64,
    len: u64,
}

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let layout = Layout::read(object)?;
    let entries = layout.entries(object, sink)?;
    if entries.is_empty() {
        sink.unscanned(b"", Reason::Damaged("no directory".into()));
        return Ok(());
    }
    let mut book = Book { object, content_off: layout.content_off, told: 0, position: 0 };
    let (plain, mut packed): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.section == 0);
    book.plain(&plain, sink)?;
    packed.sort_by_key(|entry| entry.off);
    if !packed.is_empty() {
        book.packed(&plain, &packed, sink)?;
    }
    Ok(())
}

/// Where the header says that things are [1].
struct Layout {
    directory_off: usize,
    directory_len: usize,
    content_off: u64,
}

impl Layout {
    fn read(object: &[u8]) -> Result<Self, Defect> {
        let mut reader = Reader::at(object, 4);
        let version = reader.u32_le()?;
        reader.seek(0x48);
        let directory_off = reader.u64_le()?;
        let directory_len = reader.u64_le()?;
        // Before version 3 the content follows the directory.
        let content_off = match reader.u64_le() {
            Ok(off) if version >= 3 => off,
            _ => directory_off.saturating_add(directory_len),
        };
        let (directory_off, directory_len) = (size(directory_off), size(directory_len));
        Ok(Self { directory_off, directory_len, content_off })
    }

    fn entries<'a>(&self, object: &'a [u8], sink: &mut dyn Sink) -> Result<Vec<Entry<'a>>, Stop> {
        let mut entries = Vec::new();
        let directory = object.get(self.directory_off..).unwrap_or_default();
        let directory = directory.get(..self.directory_len).unwrap_or(directory);
        let mut header = Reader::at(directory, 8);
        let header_len = header.u32_le().map_or(0, |len| size(u64::from(len)));
        let chunk_len = header.skip(4).and_then(|()| header.u32_le()).unwrap_or(0);
        let chunk_len = match size(u64::from(chunk_len)) {
            len @ 64..=0x10_0000 => len,
            _ => CHUNK_LEN,
        };
        let chunks = directory.get(header_len..).unwrap_or_default();
        for chunk in chunks.chunks(chunk_len) {
            sink.poll()?;
            if chunk.starts_with(CHUNK_MAGIC) {
                read_chunk(chunk, &mut entries);
            }
        }
        if !entries.is_empty() {
            return Ok(entries);
        }
        sink.defect(Defect::new(0x48, "directory"));
        let starts: Vec<usize> = memmem::find_iter(object, CHUNK_MAGIC).collect();
        let ends = starts.iter().skip(1).copied().chain([object.len()]);
        for (start, end) in starts.iter().zip(ends) {
            sink.poll()?;
            let end = end.min(start.saturating_add(chunk_len));
            read_chunk(object.get(*start..end).unwrap_or_default(), &mut entries);
        }
        Ok(entries)
    }
}

/// Reads the entries of one chunk; those behind the end that its header says only when they look like ones.
fn read_chunk<'a>(chunk: &'a [u8], entries: &mut Vec<Entry<'a>>) {
    let free_len = Reader::at(chunk, 4).u32_le().map_or(0, |len| size(u64::from(len)));
    let claimed_end = chunk.len().saturating_sub(free_len);
    let mut reader = Reader::at(chunk, CHUNK_HEADER_LEN);
    while reader.left() > 0 {
        let inside = reader.off() < claimed_end;
        let Some(entry) = read_entry(&mut reader) else { break };
        if entry.name.is_empty() || !inside && !matches!(entry.name, [b'/' | b':', ..]) {
            break;
        }
        entries.push(entry);
    }
}

fn read_entry<'a>(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
    let name_len = size(encint(reader)?);
    let name = reader.take(name_len).ok()?;
    let (section, off, len) = (encint(reader)?, encint(reader)?, encint(reader)?);
    Some(Entry { name, section, off, len })
}

/// Reads an integer of groups of seven bits, the highest first.
fn encint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut value = 0u64;
    for _ in 0..10 {
        let byte = reader.u8().ok()?;
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

struct Book<'a> {
    object: &'a [u8],
    content_off: u64,
    told: u32,
    position: u32,
}

impl<'a> Book<'a> {
    /// Returns the bytes of a file of the plain section, as far as they are there.
    fn bytes(&self, entry: &Entry<'_>) -> &'a [u8] {
        let start = size(self.content_off.saturating_add(entry.off));
        Reader::at(self.object, start).take_up_to(size(entry.len))
    }

    fn plain(&mut self, entries: &[&Entry<'_>], sink: &mut dyn Sink) -> Result<(), Stop> {
        let mut handed = 0usize;
        let most = self.object.len().saturating_mul(8);
        for entry in entries {
            self.announce(entry, sink)?;
            if entry.len == 0 || entry.name == CONTENT {
                continue;
            }
            let data = self.bytes(entry);
            handed = handed.saturating_add(data.len());
            if handed > most {
                self.tell(entry, Reason::FormatLimit("files that overlap".into()), sink);
                continue;
            }
            if data.len() < size(entry.len) {
                self.tell(entry, Reason::Truncated, sink);
            }
            if !data.is_empty() {
                sink.child(Child { name: entry.name, data, role: ChildRole::Member })?;
            }
        }
        Ok(())
    }

    fn packed(
        &mut self,
        plain: &[&Entry<'_>],
        entries: &[&Entry<'_>],
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let find = |fits: &dyn Fn(&[u8]) -> bool| {
            plain.iter().find(|entry| fits(entry.name)).map(|entry| self.bytes(entry))
        };
        let content = find(&|name| name == CONTENT);
        let control = find(&|name| name == CONTROL).unwrap_or_default();
        let table = find(&|name| name.ends_with(RESET_TABLE)).unwrap_or_default();
        let end = entries.iter().map(|entry| entry.off.saturating_add(entry.len)).max();
        let frames = content.and_then(|data| Frames::new(data, control, table, end?));
        let Some(frames) = frames else {
            for entry in entries {
                self.announce(entry, sink)?;
                self.tell(entry, Reason::Damaged("no compressed section".into()), sink);
            }
            return Ok(());
        };
        if frames.guessed {
            sink.defect(Defect::new(self.content_off, "ControlData"));
        }
        let mut rolling = Rolling::new(frames);
        for entry in entries {
            self.announce(entry, sink)?;
            if entry.len == 0 {
                continue;
            }
            let made = rolling.member(entry.name, entry.off, entry.len, sink)?;
            let Some(made) = made else {
                self.tell(entry, Reason::FormatLimit("files that overlap".into()), sink);
                continue;
            };
            let end = entry.off.saturating_add(entry.len);
            if made < entry.len && !rolling.has_ended() {
                let reason = sink.cap_reason();
                self.tell(entry, reason, sink);
            } else if let Some(reason) = rolling.source.missing(entry.off, end) {
                self.tell(entry, reason, sink);
            } else if made < entry.len {
                self.tell(entry, Reason::Truncated, sink);
            }
        }
        Ok(())
    }

    fn announce(&mut self, entry: &Entry<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        self.position = self.position.saturating_add(1);
        sink.member(&Member {
            name: entry.name,
            unpacked_len: entry.len,
            position: self.position,
            ..Member::default()
        })
    }

    fn tell(&mut self, entry: &Entry<'_>, reason: Reason, sink: &mut dyn Sink) {
        if self.told < TOLD_MAX {
            self.told = self.told.saturating_add(1);
            sink.unscanned(entry.name, reason);
        }
    }
}
