//! 7z archives, at the start of an object or behind a program.
//!
//! Yields: one child per file with data; folders of many files ("solid") are decoded once; when the header
//! is damaged or missing, other headers are looked for, and failing those the packed data is decoded with
//! the properties that are usual; data behind the archive.
//! Leaves out: folders, anti-items, attributes, times; files in other volumes; methods that 7-Zip's own
//! program does not have, but for Zstandard and LZ4.
//! Limits: through `Sink`; 2^16 folders, 2^20 files, a header of 64 MiB; a dictionary or model of 128 MiB;
//! 1 GiB of work for keys and models.
//! Hostile input: wrong checksums are defects; what was read of a header before damage counts; a member
//! that is larger than may be is cut and those behind it still come.
//! Sources: LZMA SDK, `7zFormat.txt` and `Methods.txt` (public domain).

mod coders;
mod crypto;
mod header;

use std::io::{self, Read};

use hf_core::{Child, ChildRole, Defect, FileType, Halt, Member, Reason, Sink, Stop};

use crate::backwards::backwards;
use crate::bounded::{Ended, Unpacked, hand_over, unpack};
use crate::codec::{Bunzip2, Filter, Lzma, Lzma2, LzmaHeader};
use crate::reader::{Reader, size};
use crate::{Format, FormatDoc, Stage};
use coders::{AES, Budget, Opening};
use crypto::Keys;
use header::{Database, File, Folder, Streams, number};

pub(super) const FORMAT: Format = Format {
    name: "sevenzip",
    types: &[FileType::SevenZip, FileType::SevenZipSfx],
    stage: Stage::BeforeMatch,
    enabled: |options| options.scan_archive && options.dconf.archive & 0x1_0000 != 0,
    extract,
    doc: FormatDoc {
        recognised_by: "`37 7a bc af 27 1c` at the start, or anywhere in a program",
        yields: "one child per file with data; methods copy, LZMA, LZMA2, PPMd, bzip2, deflate, deflate64, \
             Zstandard, LZ4, the filters delta, BCJ (x86, ARM, ARM64, Thumb, PowerPC, SPARC, Itanium, \
             RISC-V) and BCJ2; AES-256 with the passwords of the content, encrypted headers included; \
             data behind the archive",
        leaves_out: "anti-items, attributes; Brotli, LZ5 and Lizard (reported); other volumes (reported)",
        limits: "2^16 folders, 2^20 files, a header of 64 MiB, 128 MiB per decoder",
        sources: "LZMA SDK, 7zFormat.txt",
    },
};

const START_LEN: usize = 32;
/// Ours: bytes of a header.
const HEADER_LEN_MAX: u64 = 64 << 20;
/// Ours: headers packed in headers, as 7-Zip makes one.
const HEADER_DEPTH_MAX: u32 = 4;
/// Ours: places tried for a header that is not where the start says.
const CANDIDATES_MAX: usize = 64;

fn extract(object: &[u8], sink: &mut dyn Sink) -> Result<(), Halt> {
    let mut archive = Archive {
        object,
        sink,
        keys: Keys::default(),
        budget: Budget::new(),
        passwords: None,
        position: 0,
        encrypted_told: false,
    };
    let start = Start::read(object);
    if let Some(start) = &start
        && start.next_len == 0
        && start.fits
    {
        return Ok(archive.tail(START_LEN)?);
    }
    let mut header = start.as_ref().map(|start| archive.told_header(start)).transpose()?.flatten();
    if header.is_none() && !archive.encrypted_told {
        header = archive.search_header()?;
    }
    match header {
        Some(Header { end, files }) => {
            if files == Files::Told {
                archive.tail(end)?;
            }
        }
        None if archive.encrypted_told => {}
        None => archive.guess(start.as_ref())?,
    }
    Ok(())
}

/// What the first 32 bytes say.
struct Start {
    next_off: u64,
    next_len: u64,
    next_crc: u32,
    /// The checksum over these is right.
    fits: bool,
}

impl Start {
    fn read(object: &[u8]) -> Option<Self> {
        let mut reader = Reader::at(object, 8);
        let crc = reader.u32_le().ok()?;
        let fields = reader.rest().get(..20)?;
        Some(Self {
            next_off: reader.u64_le().ok()?,
            next_len: reader.u64_le().ok()?,
            next_crc: reader.u32_le().ok()?,
            fits: crc32fast::hash(fields) == crc,
        })
    }
}

/// A header that was read.
struct Header {
    /// Where it ends in the object.
    end: usize,
    files: Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// Their data was handed over.
    Told,
    /// Encrypted, and no password fits.
    Locked,
}

struct Archive<'a, 's> {
    object: &'a [u8],
    sink: &'s mut dyn Sink,
    keys: Keys,
    budget: Budget,
    passwords: Option<Vec<Vec<u8>>>,
    position: u32,
    encrypted_told: bool,
}

impl<'a> Archive<'a, '_> {
    /// Reads the header where the start says it is; none when there is no header.
    fn told_header(&mut self, start: &Start) -> Result<Option<Header>, Stop> {
        if !start.fits {
            self.sink.defect(Defect::new(8, "StartHeaderCRC"));
        }
        let from = start.next_off.checked_add(u64::try_from(START_LEN).unwrap_or(0)).map(size);
        let end = from.and_then(|from| from.checked_add(size(start.next_len)));
        let (Some(from), Some(end)) = (from, end) else { return Ok(None) };
        let bytes = Reader::at(self.object, from).take_up_to(end.saturating_sub(from));
        if bytes.is_empty() {
            return Ok(None);
        }
        if end > self.object.len() {
            self.sink.defect(Defect::truncated(u64::try_from(self.object.len()).unwrap_or(0)));
        } else if crc32fast::hash(bytes) != start.next_crc {
            self.sink.defect(Defect::new(u64::try_from(from).unwrap_or(0), "NextHeaderCRC"));
        }
        let files = self.open_header(bytes, 0, Trust::Told)?;
        if files.is_some() && end > self.object.len() {
            self.sink.unscanned(b"", Reason::Truncated);
        }
        Ok(files.map(|files| Header { end, files }))
    }

    /// Looks for a header from the end of the object.
    fn search_header(&mut self) -> Result<Option<Header>, Stop> {
        let mut tried = 0usize;
        let body = self.object.get(START_LEN..).unwrap_or_default();
        let marks: [&[u8]; 2] = [&[0x17, 0x06], &[0x01, 0x04, 0x06]];
        let mut finders = marks.map(|mark| backwards(body, mark).peekable());
        while tried < CANDIDATES_MAX {
            self.sink.poll()?;
            let [packed, plain] = &mut finders;
            let at = match (packed.peek().copied(), plain.peek().copied()) {
                (None, None) => break,
                (a, b) if a > b => packed.next(),
                _ => plain.next(),
            };
            let Some(at) = at else { break };
            let bytes = body.get(at..).unwrap_or_default();
            if !plausible(bytes, at) {
                continue;
            }
            tried = tried.saturating_add(1);
            if let Some(files) = self.open_header(bytes, 0, Trust::Guessed)? {
                return Ok(Some(Header { end: self.object.len(), files }));
            }
        }
        Ok(None)
    }

    /// Reads a header and hands over what it tells of; none when it is no header.
    fn open_header(
        &mut self,
        bytes: &[u8],
        depth: u32,
        trust: Trust,
    ) -> Result<Option<Files>, Stop> {
        let mut reader = Reader::new(bytes);
        match number(&mut reader) {
            Ok(0x01) => {
                let mut database = Database::default();
                let ended = database.read(&mut reader);
                if ended.is_err()
                    && (trust == Trust::Guessed || database.streams.folders.is_empty())
                {
                    return Ok(None);
                }
                if let Err(defect) = ended {
                    self.sink.defect(Defect { off: 0, ..defect });
                }
                self.files(&database)?;
                Ok(Some(Files::Told))
            }
            Ok(0x17) if depth < HEADER_DEPTH_MAX => {
                let mut streams = Streams::default();
                if streams.read(&mut reader).is_err() && streams.folders.is_empty() {
                    return Ok(None);
                }
                let mut packed = Packed::new(self.object, &streams);
                let Some(folder) = streams.folders.first() else { return Ok(None) };
                let slices = packed.next(folder.packed.len());
                match self.unpack_header(folder, &slices)? {
                    Unlocked::Bytes(bytes) => self.open_header(&bytes, depth + 1, trust),
                    Unlocked::Locked => Ok(Some(Files::Locked)),
                    Unlocked::Nothing => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Unpacks a packed header, with each password when it is encrypted.
    fn unpack_header(&mut self, folder: &Folder<'_>, packed: &[&[u8]]) -> Result<Unlocked, Stop> {
        let locked = is_encrypted(folder);
        let passwords = if locked { self.passwords() } else { vec![Vec::new()] };
        for password in &passwords {
            self.sink.poll()?;
            let mut opening = Opening { password, keys: &mut self.keys, budget: &mut self.budget };
            let Ok(reader) = coders::open(folder, packed, &mut opening) else { continue };
            let len = folder.unpacked_len().min(HEADER_LEN_MAX);
            let unpacked = unpack(reader.take(len), len, self.sink)?;
            let fits = folder.crc32.is_none_or(|crc| crc32fast::hash(&unpacked.bytes) == crc);
            let is_header = matches!(unpacked.bytes.first(), Some(0x01 | 0x17));
            if is_header && (fits || !locked) {
                if !fits {
                    self.sink.defect(Defect::new(0, "header CRC"));
                }
                return Ok(Unlocked::Bytes(unpacked.bytes));
            }
        }
        if locked {
            self.tell_encrypted()?;
            self.sink.unscanned(b"", Reason::Encrypted);
            return Ok(Unlocked::Locked);
        }
        Ok(Unlocked::Nothing)
    }

    /// Announces all files and hands over their data.
    fn files(&mut self, database: &Database<'_>) -> Result<(), Stop> {
        let streams = &database.streams;
        if streams.too_many {
            self.sink.unscanned(b"", Reason::FormatLimit("folders".into()));
        }
        for file in database.files.iter().filter(|file| !file.has_stream && !file.is_folder) {
            self.announce(&file.name, 0, 0, None, false)?;
        }
        let mut packed = Packed::new(self.object, streams);
        let mut files = database.files.iter().filter(|file| file.has_stream);
        for folder in &streams.folders {
            let slices = packed.next(folder.packed.len());
            let members: Vec<Part<'_>> = folder
                .parts
                .iter()
                .map(|(len, crc32)| Part { file: files.next(), len: *len, crc32: *crc32 })
                .collect();
            if !members.is_empty() {
                self.folder(folder, &slices, packed.cut, &members)?;
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        folder: &Folder<'_>,
        packed: &[&'a [u8]],
        cut: bool,
        members: &[Part<'_>],
    ) -> Result<(), Stop> {
        let locked = is_encrypted(folder);
        let packed_len = packed.iter().map(|part| part.len()).sum::<usize>();
        for (idx, part) in members.iter().enumerate() {
            let packed_len = if idx == 0 { u64::try_from(packed_len).unwrap_or(0) } else { 0 };
            self.announce(part.name(), packed_len, part.len, part.crc32, locked)?;
        }
        if locked {
            self.tell_encrypted()?;
        }
        if let ([coder], [data]) = (folder.coders.as_slice(), packed)
            && coder.method == 0
        {
            return self.stored(data, members);
        }
        let mut reason = Reason::Truncated;
        if packed.iter().any(|part| !part.is_empty()) {
            match self.unlocked(folder, packed, members)? {
                Ok(reader) => return self.members(reader, cut, members),
                Err(why) => reason = why,
            }
        }
        for part in members.iter().filter(|part| part.len > 0) {
            self.sink.unscanned(part.name(), reason.clone());
        }
        Ok(())
    }

    /// Returns a reader of a folder, with the password that fits when it is encrypted.
    fn unlocked(
        &mut self,
        folder: &Folder<'_>,
        packed: &[&'a [u8]],
        members: &[Part<'_>],
    ) -> Result<Result<Box<dyn Read + 'a>, Reason>, Stop> {
        if !is_encrypted(folder) {
            let mut opening =
                Opening { password: b"", keys: &mut self.keys, budget: &mut self.budget };
            return Ok(coders::open(folder, packed, &mut opening));
        }
        for (idx, password) in self.passwords().iter().enumerate() {
            self.sink.poll()?;
            let mut opening = Opening { password, keys: &mut self.keys, budget: &mut self.budget };
            match coders::open(folder, packed, &mut opening) {
                Ok(reader) => {
                    if !self.fits(reader, members)? {
                        continue;
                    }
                }
                Err(reason @ Reason::FormatLimit(_)) => return Ok(Err(reason)),
                Err(_) => continue,
            }
            let mut opening = Opening { password, keys: &mut self.keys, budget: &mut self.budget };
            let opened = coders::open(folder, packed, &mut opening);
            if let Some(first) = self.passwords.as_mut().and_then(|list| list.get_mut(..=idx)) {
                first.rotate_right(1);
            }
            return Ok(opened);
        }
        Ok(Err(Reason::Encrypted))
    }

    /// True when the first member that tells comes out right.
    fn fits(&mut self, mut reader: impl Read, members: &[Part<'_>]) -> Result<bool, Stop> {
        let mut buffer = vec![0u8; 1 << 16];
        for part in members {
            let mut hasher = crc32fast::Hasher::new();
            let mut left = part.len;
            while left > 0 {
                self.sink.poll()?;
                let want = size(left).min(buffer.len());
                let Ok(read @ 1..) = reader.read(buffer.get_mut(..want).unwrap_or_default()) else {
                    return Ok(false);
                };
                hasher.update(buffer.get(..read).unwrap_or_default());
                left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
            }
            if let Some(crc) = part.crc32.filter(|_| part.len > 0) {
                return Ok(hasher.finalize() == crc);
            }
        }
        Ok(true)
    }

    /// Hands over members that are not packed.
    fn stored(&mut self, data: &'a [u8], members: &[Part<'_>]) -> Result<(), Stop> {
        let mut reader = Reader::new(data);
        for part in members {
            self.sink.poll()?;
            let data = reader.take_up_to(size(part.len));
            if data.len() < size(part.len) {
                self.sink.unscanned(part.name(), Reason::Truncated);
            }
            self.check(data, part);
            if !data.is_empty() {
                self.sink.child(Child { name: part.name(), data, role: ChildRole::Member })?;
            }
        }
        Ok(())
    }

    /// Hands over the members of a folder, one behind the other.
    fn members(
        &mut self,
        mut reader: Box<dyn Read + 'a>,
        cut: bool,
        members: &[Part<'_>],
    ) -> Result<(), Stop> {
        let mut failed = None;
        for part in members.iter().filter(|part| part.len > 0) {
            if let Some(reason) = &failed {
                self.sink.unscanned(part.name(), Reason::clone(reason));
                continue;
            }
            let mut member = (&mut reader).take(part.len);
            let unpacked = unpack(&mut member, part.len, self.sink)?;
            let mut left = member.limit();
            let mut ended = unpacked.ended;
            if ended == Ended::Whole && left > 0 {
                ended = Ended::Truncated;
            }
            if cut && matches!(ended, Ended::Damaged(_)) {
                ended = Ended::Truncated;
            }
            if ended == Ended::Whole {
                self.check(&unpacked.bytes, part);
            } else if ended == Ended::Capped {
                left = self.skip(&mut reader, left)?;
                failed = (left > 0).then_some(Reason::Damaged("folder".into()));
            } else {
                failed = ended.reason(self.sink);
            }
            let unpacked = Unpacked { bytes: unpacked.bytes, ended };
            if unpacked.bytes.is_empty() {
                if let Some(reason) = unpacked.ended.reason(self.sink) {
                    self.sink.unscanned(part.name(), reason);
                }
            } else {
                hand_over(&unpacked, part.name(), ChildRole::Member, self.sink)?;
            }
        }
        Ok(())
    }

    /// Reads over bytes and returns how many could not be read.
    fn skip(&mut self, reader: &mut impl Read, mut left: u64) -> Result<u64, Stop> {
        while left > 0 {
            self.sink.poll()?;
            let step = left.min(1 << 20);
            match io::copy(&mut reader.by_ref().take(step), &mut io::sink()) {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => break,
            }
        }
        Ok(left)
    }

    fn check(&mut self, data: &[u8], part: &Part<'_>) {
        if part.crc32.is_some_and(|crc| crc32fast::hash(data) != crc) {
            self.sink.defect(Defect::new(0, "file CRC"));
        }
    }

    fn announce(
        &mut self,
        name: &[u8],
        packed_len: u64,
        unpacked_len: u64,
        crc32: Option<u32>,
        encrypted: bool,
    ) -> Result<(), Stop> {
        self.position = self.position.saturating_add(1);
        let position = self.position;
        self.sink.member(&Member { name, packed_len, unpacked_len, encrypted, crc32, position })
    }

    fn passwords(&mut self) -> Vec<Vec<u8>> {
        let sink = &*self.sink;
        self.passwords.get_or_insert_with(|| sink.passwords(FileType::SevenZip)).clone()
    }

    fn tell_encrypted(&mut self) -> Result<(), Stop> {
        let told = std::mem::replace(&mut self.encrypted_told, true);
        if self.sink.options().alert_encrypted_archive && !told {
            self.sink.heuristic("Heuristics.Encrypted.7Zip")?;
        }
        Ok(())
    }

    /// Hands over what stands behind the archive.
    fn tail(&mut self, end: usize) -> Result<(), Stop> {
        let data = self.object.get(end..).unwrap_or_default();
        if data.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let off = u64::try_from(end).unwrap_or(u64::MAX);
        self.sink.defect(Defect::new(off, "data behind the end"));
        self.sink.child(Child { name: b"", data, role: ChildRole::Member })
    }

    /// Decodes the first packed stream in the ways that are usual, when no header is there.
    fn guess(&mut self, start: Option<&Start>) -> Result<(), Stop> {
        let behind = start.is_some_and(|start| {
            let end = start.next_off.saturating_add(start.next_len);
            start.fits && size(end) > self.object.len().saturating_sub(START_LEN)
        });
        // Volumes have round lengths.
        let len = self.object.len();
        let volume = behind && (len.is_multiple_of(1000) || len.is_multiple_of(1024));
        let reason = match (volume, behind) {
            (true, _) => Reason::OtherVolume,
            (false, true) => Reason::Truncated,
            _ => Reason::Damaged("no header".into()),
        };
        self.sink.unscanned(b"", reason);
        let data = self.object.get(START_LEN..).unwrap_or_default();
        let decoder: Option<Box<dyn Read + '_>> = match data {
            [0x00, ..] => {
                let (props, dict_len) = (0x5d, 64 << 20);
                let header = LzmaHeader { props, dict_len, unpacked_len: None };
                Lzma::new(data, header).ok().map(|lzma| Box::new(lzma) as Box<dyn Read>)
            }
            [0x01 | 0xe0.., ..] => Some(Box::new(Lzma2::new(data, 64 << 20))),
            [b'B', b'Z', b'h', ..] => Some(Box::new(Bunzip2::new(data))),
            _ => None,
        };
        let bytes = match decoder {
            Some(decoder) => unpack(decoder, 0, self.sink)?.bytes,
            None => Vec::new(),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        self.sink.child(Child { name: b"", data: &bytes, role: ChildRole::Member })?;
        if bytes.starts_with(b"MZ") || bytes.starts_with(b"\x7fELF") {
            // 7-Zip packs programs behind a filter of their processor's.
            let mut plain = Vec::new();
            let read = Filter::X86.undo(Box::new(bytes.as_slice()), 0).read_to_end(&mut plain);
            if read.is_ok() && plain != bytes {
                self.sink.child(Child { name: b"", data: &plain, role: ChildRole::Member })?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The start says that a header is there.
    Told,
    /// Bytes look like one.
    Guessed,
}

enum Unlocked {
    Bytes(Vec<u8>),
    Locked,
    Nothing,
}

/// A member of a folder.
struct Part<'f> {
    file: Option<&'f File>,
    len: u64,
    crc32: Option<u32>,
}

impl Part<'_> {
    fn name(&self) -> &[u8] {
        self.file.map(|file| file.name.as_slice()).unwrap_or_default()
    }
}

/// The packed streams, one behind the other.
struct Packed<'a, 'l> {
    object: &'a [u8],
    off: u64,
    lens: std::slice::Iter<'l, u64>,
    /// A stream of the last folder was shorter than it should be.
    cut: bool,
}

impl<'a, 'l> Packed<'a, 'l> {
    fn new(object: &'a [u8], streams: &'l Streams<'_>) -> Self {
        let off = streams.packed_off.saturating_add(u64::try_from(START_LEN).unwrap_or(0));
        Self { object, off, lens: streams.packed_lens.iter(), cut: false }
    }

    /// Returns the next streams, as far as they are there.
    fn next(&mut self, count: usize) -> Vec<&'a [u8]> {
        self.cut = false;
        let mut slices = Vec::new();
        for len in self.lens.by_ref().take(count) {
            let slice = Reader::at(self.object, size(self.off)).take_up_to(size(*len));
            self.cut |= slice.len() < size(*len);
            self.off = self.off.saturating_add(*len);
            slices.push(slice);
        }
        slices
    }
}

fn is_encrypted(folder: &Folder<'_>) -> bool {
    folder.coders.iter().any(|coder| coder.method == AES)
}

/// True for bytes that could be a header: its first packed stream ends in front of it.
fn plausible(bytes: &[u8], at: usize) -> bool {
    let mut reader = Reader::at(bytes, if bytes.first() == Some(&0x17) { 2 } else { 3 });
    let Ok(off) = number(&mut reader) else { return false };
    let Ok(count) = number(&mut reader) else { return false };
    let at = u64::try_from(at).unwrap_or(u64::MAX);
    if off > at || count == 0 || count > 1 << 20 || number(&mut reader) != Ok(0x09) {
        return false;
    }
    number(&mut reader).is_ok_and(|len| off.checked_add(len).is_some_and(|end| end <= at))
}
