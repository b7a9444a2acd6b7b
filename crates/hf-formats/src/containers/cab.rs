//! Microsoft cabinets, also behind the code of self-extracting programs.
//!
//! Yields: one child per file; one without a name for data of a folder that belongs to no file, or whose
//! files cannot be read.
//! Leaves out: files that begin or end in another cabinet of their set, which are reported.
//! Limits: through `Sink`; files of a folder that overlap are handed over up to eight times the folder's
//! length, and folders that share data are decoded up to four times the object's length; both reported.
//! Hostile input: `cbCabinet` and counts are not believed; a file table that is not at `coffFiles` is
//! looked for behind the folders; a wrong checksum is a defect; a damaged block of MSZIP is zeros, as far
//! as it is missing, and the next goes on; what came out of others before damage is handed over.
//! Sources: [1] MS-CAB; [2] MS-MCI (MSZIP).

mod folder;

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::bounded::Ended;
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use folder::{Blocks, Folder};

pub(super) const FORMAT: Format = Format {
    name: "cab",
    types: &[FileType::Mscab, FileType::CabSfx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x20 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`MSCF 00 00 00 00` at the start, or anywhere in a program",
        yields: "one child per file, and one for data that belongs to none; stored, MSZIP, Quantum, LZX",
        leaves_out: "files that begin or end in another cabinet (reported)",
        limits: "8 times a folder for files that overlap, 4 times the object for folders that do",
        sources: "MS-CAB, MS-MCI; Cabinet SDK (LZX); Russotto (Quantum)",
    },
};

const HEADER_LEN: usize = 36;
const PREV_CABINET: u16 = 1;
const NEXT_CABINET: u16 = 2;
const RESERVE_PRESENT: u16 = 4;
/// The longest string of the format [1], generously.
const NAME_LEN_MAX: usize = 1024;
/// `iFolder` of files that begin or end in another cabinet [1].
const FROM_PREV: u16 = 0xfffd;
const TO_NEXT: u16 = 0xfffe;
const PREV_AND_NEXT: u16 = 0xffff;
/// Ours: files that are named because they are not there.
const TOLD_MAX: u32 = 1000;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let header = Header::read(object)?;
    for (flag, key, name) in
        [(PREV_CABINET, "cab.previous", header.prev), (NEXT_CABINET, "cab.next", header.next)]
    {
        if header.flags & flag != 0 {
            sink.fact(key, &name.escape_ascii().to_string());
        }
    }
    let folders = header.folders(object, sink);
    let files = header.files(object, sink)?;
    let mut cabinet = Cabinet { object, header, position: 0, told: 0, spent: 0 };
    let mut list: Vec<&File<'_>> = files.iter().collect();
    list.sort_by_key(|file| (file.home(folders.len()), file.start));
    let mut rest = list.as_slice();
    for (idx, folder) in folders.iter().enumerate() {
        let here = rest.partition_point(|file| file.home(folders.len()) <= idx);
        let (of_folder, others) = rest.split_at_checked(here).unwrap_or((rest, &[]));
        rest = others;
        cabinet.folder(idx, folders.len(), folder, of_folder, sink)?;
    }
    for file in rest {
        cabinet.announce(file, sink)?;
        cabinet.tell(file.name, Reason::Damaged("iFolder".into()), sink);
    }
    Ok(())
}

/// What the header says, and where the tables are.
#[derive(Debug)]
struct Header<'a> {
    files_off: usize,
    folders_off: usize,
    folder_count: u16,
    file_count: u16,
    flags: u16,
    folder_reserve_len: usize,
    block_reserve_len: usize,
    prev: &'a [u8],
    next: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(object: &'a [u8]) -> Result<Self, Defect> {
        let mut reader = Reader::at(object, 16);
        let files_off = size(u64::from(reader.u32_le()?));
        reader.skip(6)?;
        let folder_count = reader.u16_le()?;
        let file_count = reader.u16_le()?;
        let flags = reader.u16_le()?;
        reader.seek(HEADER_LEN);
        let mut header = Self {
            files_off,
            folders_off: HEADER_LEN,
            folder_count,
            file_count,
            flags,
            folder_reserve_len: 0,
            block_reserve_len: 0,
            prev: b"",
            next: b"",
        };
        if flags & RESERVE_PRESENT != 0 {
            let header_reserve_len = usize::from(reader.u16_le()?);
            header.folder_reserve_len = usize::from(reader.u8()?);
            header.block_reserve_len = usize::from(reader.u8()?);
            reader.skip(header_reserve_len)?;
        }
        if flags & PREV_CABINET != 0 {
            header.prev = string(&mut reader)?;
            string(&mut reader)?;
        }
        if flags & NEXT_CABINET != 0 {
            header.next = string(&mut reader)?;
            string(&mut reader)?;
        }
        header.folders_off = reader.off();
        Ok(header)
    }

    fn folders(&self, object: &[u8], sink: &mut dyn Sink) -> Vec<Folder> {
        let mut reader = Reader::at(object, self.folders_off);
        let mut folders = Vec::new();
        for _ in 0..self.folder_count {
            let at = reader.off();
            let fields = (reader.u32_le(), reader.u16_le(), reader.u16_le());
            let (Ok(off), Ok(blocks), Ok(method)) = fields else {
                sink.defect(Defect::truncated(u64::try_from(at).unwrap_or(u64::MAX)));
                sink.unscanned(b"", Reason::Truncated);
                break;
            };
            folders.push(Folder { off: size(u64::from(off)), blocks, method });
            reader.seek(reader.off().saturating_add(self.folder_reserve_len));
        }
        folders
    }

    /// Reads the table of files where the header says that it is, or else behind the folders.
    fn files(&self, object: &'a [u8], sink: &mut dyn Sink) -> Result<Vec<File<'a>>, Stop> {
        let folder_len = self.folder_reserve_len.saturating_add(8);
        let folders_len = folder_len.saturating_mul(usize::from(self.folder_count));
        let behind = self.folders_off.saturating_add(folders_len);
        let mut best = self.files_at(object, self.files_off, sink)?;
        if best.len() < usize::from(self.file_count) && behind != self.files_off {
            let other = self.files_at(object, behind, sink)?;
            if other.len() > best.len() {
                sink.defect(Defect::new(16, "coffFiles"));
                best = other;
            }
        }
        if best.len() < usize::from(self.file_count) {
            sink.defect(Defect::new(28, "cFiles"));
        }
        Ok(best)
    }

    fn files_at(
        &self,
        object: &'a [u8],
        off: usize,
        sink: &mut dyn Sink,
    ) -> Result<Vec<File<'a>>, Stop> {
        let mut reader = Reader::at(object, off);
        let mut files = Vec::new();
        for count in 0..self.file_count {
            if count % 1024 == 0 {
                sink.poll()?;
            }
            let Ok(file) = File::read(&mut reader) else { break };
            if file.folder >= self.folder_count.max(1) && file.folder < FROM_PREV {
                sink.defect(Defect::new(u64::try_from(off).unwrap_or(u64::MAX), "iFolder"));
                if files.is_empty() {
                    break;
                }
            }
            files.push(file);
        }
        Ok(files)
    }
}

/// An entry of the table of files.
#[derive(Debug)]
struct File<'a> {
    name: &'a [u8],
    len: u64,
    start: u64,
    folder: u16,
}

impl<'a> File<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Defect> {
        let len = u64::from(reader.u32_le()?);
        let start = u64::from(reader.u32_le()?);
        let folder = reader.u16_le()?;
        reader.skip(6)?;
        let name = string(reader)?;
        Ok(Self { name, len, start, folder })
    }

    /// Returns the index of the folder that has the file's data, or what this cabinet has of it.
    fn home(&self, folders: usize) -> usize {
        match self.folder {
            FROM_PREV | PREV_AND_NEXT => 0,
            TO_NEXT => folders.saturating_sub(1),
            idx => usize::from(idx),
        }
    }
}

fn string<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Defect> {
    let bad = Defect::new(u64::try_from(reader.off()).unwrap_or(u64::MAX), "string");
    let rest = reader.rest();
    let window = rest.get(..rest.len().min(NAME_LEN_MAX)).unwrap_or_default();
    let len = memchr::memchr(0, window).ok_or(bad)?;
    let text = reader.take(len)?;
    reader.skip(1)?;
    Ok(text)
}

struct Cabinet<'a> {
    object: &'a [u8],
    header: Header<'a>,
    position: u32,
    told: u32,
    /// Bytes of packed data that were decoded.
    spent: u64,
}

impl Cabinet<'_> {
    fn folder(
        &mut self,
        idx: usize,
        count: usize,
        folder: &Folder,
        files: &[&File<'_>],
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let object_len = u64::try_from(self.object.len()).unwrap_or(u64::MAX);
        let spent_max = object_len.saturating_mul(4);
        let last = idx.saturating_add(1) == count;
        let mut blocks = Blocks::new(self.object, self.header.block_reserve_len, folder);
        blocks.spend_max = spent_max.saturating_sub(self.spent);
        blocks.next_cabinet = last && self.header.flags & NEXT_CABINET != 0;
        let from_prev = files.iter().any(|file| matches!(file.folder, FROM_PREV | PREV_AND_NEXT));
        let closed = blocks.closed().or_else(|| from_prev.then_some(Reason::OtherVolume));
        let mut handed = 0u64;
        for file in files {
            self.announce(file, sink)?;
            if let Some(reason) = &closed {
                self.tell(file.name, reason.clone(), sink);
                continue;
            }
            self.gap(&mut blocks, file.start, sink)?;
            let want = file.len.min(sink.child_cap());
            blocks.greedy = true;
            blocks.fill_to(file.start.saturating_add(want), sink)?;
            blocks.greedy = false;
            let data = blocks.range(file.start, want);
            handed = handed.saturating_add(file.len);
            if handed > blocks.made().saturating_mul(8).saturating_add(1 << 20) {
                self.tell(file.name, Reason::FormatLimit("files that overlap".into()), sink);
                continue;
            }
            if let Some(reason) = blocks.missing(file.start, want) {
                let other = matches!(file.folder, TO_NEXT) && reason == Reason::Truncated;
                let reason = if other { Reason::OtherVolume } else { reason };
                self.tell(file.name, reason, sink);
            } else if want < file.len {
                let reason = Ended::Capped.reason(sink);
                self.tell(file.name, reason.unwrap_or(Reason::ObjectBytes), sink);
            }
            if !data.is_empty() {
                sink.child(Child { name: file.name, data, role: ChildRole::Member })?;
            }
            blocks.used_to = blocks.used_to.max(file.start.saturating_add(want));
        }
        if let Some(reason) = closed.filter(|_| files.is_empty() || blocks.closed().is_none()) {
            self.tell(b"", reason, sink);
        }
        self.gap(&mut blocks, u64::MAX, sink)?;
        if files.is_empty()
            && let Some(reason) = blocks.missing(0, blocks.made().saturating_add(1))
            && blocks.is_damaged()
        {
            self.tell(b"", reason, sink);
        }
        self.spent = self.spent.saturating_add(blocks.spent);
        Ok(())
    }

    /// Hands over what lies between the files before and the next.
    fn gap(&mut self, blocks: &mut Blocks<'_>, next: u64, sink: &mut dyn Sink) -> Result<(), Stop> {
        while blocks.used_to < next {
            let from = blocks.used_to;
            let want = next.saturating_sub(from).min(sink.child_cap()).max(1);
            blocks.fill_to(from.saturating_add(want), sink)?;
            let data = blocks.range(from, want);
            if data.is_empty() {
                break;
            }
            let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
            sink.child(Child { name: b"", data, role: ChildRole::Member })?;
            blocks.used_to = from.saturating_add(len);
        }
        Ok(())
    }

    fn announce(&mut self, file: &File<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        self.position = self.position.saturating_add(1);
        sink.member(&Member {
            name: file.name,
            unpacked_len: file.len,
            position: self.position,
            ..Member::default()
        })
    }

    fn tell(&mut self, name: &[u8], reason: Reason, sink: &mut dyn Sink) {
        if self.told < TOLD_MAX {
            self.told = self.told.saturating_add(1);
            sink.unscanned(name, reason);
        }
    }
}
