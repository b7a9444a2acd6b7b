//! The database at the end of an archive: packed streams, folders of coders, substreams, files.
//!
//! Promises: a part that cannot be read leaves what was read before it; counts are bounded by the bytes
//! that are there, for each thing that is counted takes at least one bit.
//! Sources: LZMA SDK, `7zFormat.txt` (public domain).

use hf_core::Defect;

use crate::reader::{Reader, size};

/// Ours: folders of one archive.
pub(super) const FOLDERS_MAX: usize = 1 << 16;
/// Ours: files of one archive.
const FILES_MAX: usize = 1 << 20;
/// The SDK's: coders and streams of a folder.
const CODERS_MAX: usize = 32;

const END: u64 = 0x00;
const ARCHIVE_PROPERTIES: u64 = 0x02;
const ADDITIONAL_STREAMS: u64 = 0x03;
const MAIN_STREAMS: u64 = 0x04;
const FILES: u64 = 0x05;
const PACK: u64 = 0x06;
const UNPACK: u64 = 0x07;
const SUBSTREAMS: u64 = 0x08;
const SIZE: u64 = 0x09;
const CRC: u64 = 0x0a;
const FOLDER: u64 = 0x0b;
const CODERS_SIZE: u64 = 0x0c;
const SUBSTREAM_COUNT: u64 = 0x0d;
const EMPTY_STREAM: u64 = 0x0e;
const EMPTY_FILE: u64 = 0x0f;
const NAMES: u64 = 0x11;

/// One coder of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coder<'a> {
    pub(super) method: u64,
    pub(super) props: &'a [u8],
    /// The first of its inputs, counted over the folder.
    pub(super) first_in: usize,
    pub(super) in_count: usize,
}

/// Coders that together turn packed streams into one.
#[derive(Debug, Clone, Default)]
pub(super) struct Folder<'a> {
    /// Each has one output, so that its index is its output's.
    pub(super) coders: Vec<Coder<'a>>,
    /// Input and the output that feeds it.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Inputs that packed streams feed, in the order of the streams.
    pub(super) packed: Vec<usize>,
    /// Unpacked bytes of each output.
    pub(super) unpacked_lens: Vec<u64>,
    pub(super) crc32: Option<u32>,
    /// The members: bytes and CRC-32.
    pub(super) parts: Vec<(u64, Option<u32>)>,
}

impl Folder<'_> {
    /// Returns the output that feeds no input.
    pub(super) fn main_output(&self) -> Option<usize> {
        (0..self.coders.len()).find(|out| self.pairs.iter().all(|(_, from)| from != out))
    }

    /// Returns how many bytes come out.
    pub(super) fn unpacked_len(&self) -> u64 {
        let main = self.main_output().and_then(|out| self.unpacked_lens.get(out));
        main.copied().unwrap_or(0)
    }
}

/// Packed streams and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Streams<'a> {
    /// Offset of the first packed stream behind the start header.
    pub(super) packed_off: u64,
    pub(super) packed_lens: Vec<u64>,
    pub(super) folders: Vec<Folder<'a>>,
    /// More folders than we look at.
    pub(super) too_many: bool,
}

/// A file of the archive.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub(super) name: Vec<u8>,
    pub(super) has_stream: bool,
    pub(super) is_folder: bool,
}

/// Everything that a header says.
#[derive(Debug, Default)]
pub(super) struct Database<'a> {
    pub(super) streams: Streams<'a>,
    pub(super) files: Vec<File>,
}

impl<'a> Database<'a> {
    /// Reads a header behind its first byte; keeps what was read before a defect.
    pub(super) fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        loop {
            match number(reader)? {
                END => return Ok(()),
                ARCHIVE_PROPERTIES => {
                    while number(reader)? != END {
                        let len = number(reader)?;
                        reader.skip(size(len))?;
                    }
                }
                ADDITIONAL_STREAMS => Streams::default().read(reader)?,
                MAIN_STREAMS => self.streams.read(reader)?,
                FILES => self.read_files(reader)?,
                _ => return Err(bad(reader, "header id")),
            }
        }
    }

    fn read_files(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        let count = size(number(reader)?);
        let parts: usize = self.streams.folders.iter().map(|folder| folder.parts.len()).sum();
        let bound = reader.left().saturating_mul(8).saturating_add(parts).min(FILES_MAX);
        let files = vec![File { has_stream: true, ..File::default() }; count.min(bound)];
        self.files = files;
        let mut empty_files = Vec::new();
        let ended = self.read_properties(reader, &mut empty_files);
        let mut empty_idx = 0usize;
        for file in self.files.iter_mut().filter(|file| !file.has_stream) {
            file.is_folder = !empty_files.get(empty_idx).copied().unwrap_or(false);
            empty_idx = empty_idx.saturating_add(1);
        }
        ended
    }

    fn read_properties(
        &mut self,
        reader: &mut Reader<'a>,
        empty_files: &mut Vec<bool>,
    ) -> Result<(), Defect> {
        loop {
            let id = number(reader)?;
            if id == END {
                return Ok(());
            }
            let len = number(reader)?;
            let mut property = Reader::new(reader.take_up_to(size(len)));
            match id {
                EMPTY_STREAM => {
                    let empty = bits(&mut property, self.files.len());
                    for (file, empty) in self.files.iter_mut().zip(&empty) {
                        file.has_stream = !empty;
                    }
                }
                EMPTY_FILE => {
                    let count = self.files.iter().filter(|file| !file.has_stream).count();
                    *empty_files = bits(&mut property, count);
                }
                NAMES if property.u8() == Ok(0) => names(property.rest(), &mut self.files),
                NAMES => return Err(bad(reader, "external names")),
                _ => {}
            }
        }
    }
}

impl<'a> Streams<'a> {
    /// Reads packed streams, folders and substreams; keeps what was read before a defect.
    pub(super) fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        let ended = self.read_parts(reader);
        for folder in self.folders.iter_mut().filter(|folder| folder.parts.is_empty()) {
            // Without word of substreams a folder is one member.
            if ended.is_err() {
                folder.parts.push((folder.unpacked_len(), folder.crc32));
            }
        }
        ended
    }

    fn read_parts(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        let mut told = false;
        loop {
            match number(reader)? {
                END => {
                    for folder in self.folders.iter_mut().filter(|_| !told) {
                        folder.parts.push((folder.unpacked_len(), folder.crc32));
                    }
                    return Ok(());
                }
                PACK => self.read_packed(reader)?,
                UNPACK => self.read_folders(reader)?,
                SUBSTREAMS => {
                    told = true;
                    self.read_substreams(reader)?;
                }
                _ => return Err(bad(reader, "streams id")),
            }
        }
    }

    fn read_packed(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        self.packed_off = number(reader)?;
        let count = size(number(reader)?);
        loop {
            match number(reader)? {
                END => return Ok(()),
                SIZE if count > FILES_MAX => return Err(bad(reader, "NumPackStreams")),
                SIZE => {
                    for _ in 0..count {
                        self.packed_lens.push(number(reader)?);
                    }
                }
                CRC => {
                    digests(reader, count)?;
                }
                _ => return Err(bad(reader, "pack id")),
            }
        }
    }

    fn read_folders(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        if number(reader)? != FOLDER {
            return Err(bad(reader, "folder id"));
        }
        let count = size(number(reader)?);
        if number(reader)? != 0 {
            return Err(bad(reader, "external folders"));
        }
        self.too_many |= count > FOLDERS_MAX;
        for _ in 0..count.min(FOLDERS_MAX) {
            self.folders.push(folder(reader)?);
        }
        if number(reader)? != CODERS_SIZE {
            return Err(bad(reader, "coders size id"));
        }
        for folder in &mut self.folders {
            for _ in 0..folder.coders.len() {
                folder.unpacked_lens.push(number(reader)?);
            }
        }
        loop {
            match number(reader)? {
                END => return Ok(()),
                CRC => {
                    let crcs = digests(reader, self.folders.len())?;
                    for (folder, crc) in self.folders.iter_mut().zip(crcs) {
                        folder.crc32 = crc;
                    }
                }
                _ => return Err(bad(reader, "unpack id")),
            }
        }
    }

    fn read_substreams(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        let mut counts = vec![1usize; self.folders.len()];
        let mut id = number(reader)?;
        while !matches!(id, SUBSTREAM_COUNT | SIZE | CRC | END) {
            let len = number(reader)?;
            reader.skip(size(len))?;
            id = number(reader)?;
        }
        if id == SUBSTREAM_COUNT {
            for count in &mut counts {
                *count = size(number(reader)?);
            }
            id = number(reader)?;
        }
        if counts.iter().fold(0usize, |sum, count| sum.saturating_add(*count)) > FILES_MAX {
            return Err(bad(reader, "NumUnPackStreamsInFolders"));
        }
        for (folder, count) in self.folders.iter_mut().zip(&counts) {
            let mut left = folder.unpacked_len();
            for _ in 1..*count {
                let len = if id == SIZE { number(reader)? } else { 0 };
                if id != SIZE && folder.parts.len() > reader.left() {
                    break;
                }
                folder.parts.push((len, None));
                left = left.saturating_sub(len);
            }
            if *count > 0 {
                let crc = folder.crc32.filter(|_| *count == 1);
                folder.parts.push((left, crc));
            }
        }
        if id == SIZE {
            id = number(reader)?;
        }
        loop {
            match id {
                END => return Ok(()),
                CRC => self.read_part_crcs(reader)?,
                _ => {
                    let len = number(reader)?;
                    reader.skip(size(len))?;
                }
            }
            id = number(reader)?;
        }
    }

    fn read_part_crcs(&mut self, reader: &mut Reader<'a>) -> Result<(), Defect> {
        let unknown = |folder: &Folder<'_>| folder.parts.len() != 1 || folder.crc32.is_none();
        let wanting = self.folders.iter_mut().filter(|folder| unknown(folder));
        let parts: Vec<_> = wanting.flat_map(|folder| folder.parts.iter_mut()).collect();
        let crcs = digests(reader, parts.len())?;
        for (part, crc) in parts.into_iter().zip(crcs) {
            part.1 = crc;
        }
        Ok(())
    }
}

fn folder<'a>(reader: &mut Reader<'a>) -> Result<Folder<'a>, Defect> {
    let mut folder = Folder::default();
    let count = size(number(reader)?);
    if count == 0 || count > CODERS_MAX {
        return Err(bad(reader, "NumCoders"));
    }
    let mut ins = 0usize;
    for _ in 0..count {
        let flags = reader.u8()?;
        let id = reader.take(usize::from(flags & 15))?;
        let tail = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
        let method = tail.iter().fold(0u64, |method, byte| method << 8 | u64::from(*byte));
        let (mut in_count, mut out_count) = (1, 1);
        if flags & 0x10 != 0 {
            (in_count, out_count) = (size(number(reader)?), size(number(reader)?));
        }
        let props_len = if flags & 0x20 != 0 { size(number(reader)?) } else { 0 };
        let props = reader.take(props_len)?;
        if out_count != 1 || in_count > CODERS_MAX || flags & 0x80 != 0 {
            return Err(bad(reader, "coder"));
        }
        folder.coders.push(Coder { method, props, first_in: ins, in_count });
        ins = ins.saturating_add(in_count);
    }
    for _ in 1..count {
        let pair = (size(number(reader)?), size(number(reader)?));
        folder.pairs.push(pair);
    }
    let packed_count = ins.saturating_sub(folder.pairs.len());
    if packed_count == 1 {
        let bound = |input: &usize| folder.pairs.iter().any(|(to, _)| to == input);
        folder.packed = (0..ins).filter(|input| !bound(input)).take(1).collect();
    } else {
        for _ in 0..packed_count {
            folder.packed.push(size(number(reader)?));
        }
    }
    Ok(folder)
}

/// Reads which of some things have a CRC-32, and those.
fn digests(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Option<u32>>, Defect> {
    let all = reader.u8()? != 0;
    let known = if all { Vec::new() } else { bits(reader, count) };
    let mut crcs = Vec::new();
    for idx in 0..count {
        let has = all || known.get(idx).copied().unwrap_or(false);
        if !has && idx >= known.len() {
            break;
        }
        crcs.push(if has { Some(reader.u32_le()?) } else { None });
    }
    Ok(crcs)
}

/// Reads bits, the highest of a byte first; fewer when there are fewer.
fn bits(reader: &mut Reader<'_>, count: usize) -> Vec<bool> {
    let bytes = reader.take_up_to(count.div_ceil(8));
    let each = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    each.take(count).collect()
}

fn names(text: &[u8], files: &mut [File]) {
    let mut units = text.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    for file in files {
        let mut name = Vec::new();
        let ended = loop {
            match units.next() {
                Some(0) => break true,
                Some(unit) => name.push(unit),
                None => break false,
            }
        };
        file.name = String::from_utf16_lossy(&name).into_bytes();
        if !ended {
            return;
        }
    }
}

/// Reads a number: as many high bits of the first byte are set as bytes follow.
pub(super) fn number(reader: &mut Reader<'_>) -> Result<u64, Defect> {
    let first = reader.u8()?;
    let extra = first.leading_ones();
    let mut value = 0u64;
    for idx in 0..extra {
        value |= u64::from(reader.u8()?) << idx.saturating_mul(8);
    }
    if extra < 7 {
        let high = u64::from(first & (0x7f >> extra));
        value |= high << extra.saturating_mul(8);
    }
    Ok(value)
}

fn bad(reader: &Reader<'_>, what: &'static str) -> Defect {
    Defect::new(u64::try_from(reader.off()).unwrap_or(u64::MAX), what)
}
