//! Headers of RAR 1.5 to 4.x.

use hf_core::{Reason, Stop};

use super::keys::Crypt;
use super::member::{Archive, Entry, Method, SEARCH_MAX};
use crate::codec::rar::Algorithm;
use crate::containers::next::Next;
use crate::documents::cipher::cbc_decrypt;
use crate::reader::{Reader, aligned, size};

const MARK: u8 = 0x72;
const MAIN: u8 = 0x73;
const FILE: u8 = 0x74;
const COMMENT: u8 = 0x75;
const OLD_SERVICE: u8 = 0x77;
const SERVICE: u8 = 0x7a;
const END: u8 = 0x7b;
const HEADER_LEN: usize = 7;

/// A block's header.
struct Block<'b> {
    kind: u8,
    flags: u16,
    /// All of it, from its checksum on.
    bytes: &'b [u8],
    crc_right: bool,
}

impl<'b> Block<'b> {
    /// Reads a header that is all there and can be one.
    fn read(bytes: &'b [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(bytes, off);
        let crc = reader.u16_le().ok()?;
        let kind = reader.u8().ok()?;
        let flags = reader.u16_le().ok()?;
        let len = usize::from(reader.u16_le().ok()?);
        if !(MARK..=END).contains(&kind) || len < HEADER_LEN {
            return None;
        }
        let bytes = bytes.get(off..off.checked_add(len)?)?;
        let [sum, ..] = sums(bytes.get(2..)?);
        // Comments inside a header are not part of its checksum.
        let short = match kind {
            MAIN if flags & 2 != 0 => bytes.get(2..13),
            FILE if flags & 8 != 0 => {
                let name_len = usize::from(Reader::at(bytes, 26).u16_le().unwrap_or(0));
                bytes.get(2..32usize.saturating_add(name_len))
            }
            COMMENT => bytes.get(2..13),
            _ => None,
        };
        let crc_right = sum == crc || short.is_some_and(|part| sums(part)[0] == crc);
        Some(Self { kind, flags, bytes, crc_right })
    }

    fn field(&self) -> Reader<'b> {
        Reader::at(self.bytes, HEADER_LEN)
    }

    /// Returns how much data follows, as the header claims.
    fn data_len(&self) -> u64 {
        if self.flags & 0x8000 == 0 && !matches!(self.kind, FILE | SERVICE) {
            return 0;
        }
        let low = u64::from(self.field().u32_le().unwrap_or(0));
        let large = matches!(self.kind, FILE | SERVICE) && self.flags & 0x100 != 0;
        let high = if large { Reader::at(self.bytes, 32).u32_le().unwrap_or(0) } else { 0 };
        u64::from(high) << 32 | low
    }

    /// True for a file's header whose fields can be, whatever its checksum says.
    fn plausible(&self) -> bool {
        if self.kind == COMMENT {
            return self.crc_right || matches!(self.bytes.get(10), Some(0x30..=0x35));
        }
        if !matches!(self.kind, FILE | SERVICE) {
            return self.crc_right;
        }
        let host = Reader::at(self.bytes, 15).u8().unwrap_or(255);
        let version = Reader::at(self.bytes, 24).u8().unwrap_or(255);
        let method = Reader::at(self.bytes, 25).u8().unwrap_or(255);
        let name_len = usize::from(Reader::at(self.bytes, 26).u16_le().unwrap_or(u16::MAX));
        let fits = name_len.saturating_add(32) <= self.bytes.len();
        let known = host < 8 && (10..=50).contains(&version) && (0x30..=0x35).contains(&method);
        fits && (self.crc_right || known)
    }
}

fn sums(bytes: &[u8]) -> [u16; 2] {
    let crc = crc32fast::hash(bytes);
    [u16::try_from(crc & 0xffff).unwrap_or(0), u16::try_from(crc >> 16).unwrap_or(0)]
}

/// Walks over the headers from an offset.
pub(super) fn walk<'a>(archive: &mut Archive<'a, '_>, start: usize) -> Result<(), Stop> {
    let mut walk = Walk {
        archive,
        off: start,
        encrypted: false,
        last_name: Vec::new(),
        next: Next::default(),
        started: false,
    };
    while walk.off < walk.archive.object.len() {
        walk.archive.sink.poll()?;
        let ended = if walk.encrypted { walk.step_encrypted()? } else { walk.step()? };
        if ended {
            break;
        }
    }
    Ok(())
}

struct Walk<'w, 'a, 's> {
    archive: &'w mut Archive<'a, 's>,
    off: usize,
    encrypted: bool,
    last_name: Vec<u8>,
    next: Next,
    /// A file was seen.
    started: bool,
}

impl<'a> Walk<'_, 'a, '_> {
    /// Handles the header at the offset; true at the end.
    fn step(&mut self) -> Result<bool, Stop> {
        let object = self.archive.object;
        let off = self.off;
        let Some(block) = Block::read(object, off).filter(Block::plausible) else {
            return Ok(self.recover(off));
        };
        if !block.crc_right {
            self.archive.defect(off, "HEAD_CRC");
        }
        let data_off = off.saturating_add(block.bytes.len());
        let claimed = block.data_len();
        let mut data_end = data_off.saturating_add(size(claimed));
        if (!block.crc_right || data_end > object.len()) && !self.header_at(data_end) {
            let from = off.saturating_add(HEADER_LEN);
            match self.search(from) {
                Some(found) => data_end = data_end.min(found.max(data_off)),
                None => data_end = data_end.min(object.len()),
            }
        }
        let data = object.get(data_off..data_end.min(object.len())).unwrap_or_default();
        self.off = data_end.max(data_off);
        self.handle(&block, off, data, claimed)
    }

    /// Tells of damage and goes to the next header; true when there is none.
    fn recover(&mut self, off: usize) -> bool {
        self.archive.defect(off, "header");
        self.archive.tell_damage();
        match self.search(off.saturating_add(1)) {
            Some(found) => {
                self.off = found;
                false
            }
            None => true,
        }
    }

    fn header_at(&self, off: usize) -> bool {
        let object = self.archive.object;
        off == object.len() || Block::read(object, off).is_some_and(|block| block.crc_right)
    }

    /// Finds the next header of a file or service with a right checksum.
    fn search(&mut self, from: usize) -> Option<usize> {
        let mut next = std::mem::take(&mut self.next);
        let found = next.find(from, || self.search_anew(from));
        self.next = next;
        found
    }

    fn search_anew(&mut self, from: usize) -> Option<usize> {
        let object = self.archive.object;
        let mut kind_off = from.checked_add(2)?;
        loop {
            let rest = object.get(kind_off..)?;
            let found = memchr::memchr2(FILE, SERVICE, rest)?;
            kind_off = kind_off.checked_add(found)?;
            let off = kind_off.checked_sub(2)?;
            let len = usize::from(Reader::at(object, off.checked_add(5)?).u16_le().unwrap_or(0));
            let method = object.get(off.checked_add(25)?).copied().unwrap_or(0);
            if (32..=0x4000).contains(&len) && (0x30..=0x35).contains(&method) {
                self.archive.searched = self.archive.searched.saturating_add(len);
                if self.archive.searched > SEARCH_MAX {
                    return None;
                }
                let block = Block::read(object, off);
                if block.is_some_and(|block| block.crc_right && block.plausible()) {
                    return Some(off);
                }
            }
            kind_off = kind_off.checked_add(1)?;
        }
    }

    /// Handles an encrypted header: a salt, and blocks of AES.
    fn step_encrypted(&mut self) -> Result<bool, Stop> {
        let object = self.archive.object;
        let off = self.off;
        let salt = object.get(off..).and_then(|rest| rest.first_chunk::<8>()).copied();
        let Some(salt) = salt else { return Ok(true) };
        let packed_off = off.saturating_add(8);
        let head = object.get(packed_off..packed_off.saturating_add(16)).unwrap_or_default();
        for idx in self.archive.password_idxs() {
            let Some((key, iv)) = self.archive.key3(idx, salt)? else { continue };
            let Some(plain) = cbc_decrypt(&key, iv, head) else { continue };
            let len = usize::from(Reader::at(&plain, 5).u16_le().unwrap_or(0));
            let packed_len = aligned(len, 16);
            let packed = object.get(packed_off..packed_off.saturating_add(packed_len));
            let Some(plain) = packed.and_then(|packed| cbc_decrypt(&key, iv, packed)) else {
                continue;
            };
            let Some(block) = Block::read(&plain, 0).filter(|block| block.crc_right) else {
                continue;
            };
            self.archive.worked = Some(idx);
            let data_off = packed_off.saturating_add(packed_len);
            let claimed = block.data_len();
            self.off = data_off.saturating_add(size(claimed));
            let end = self.off.min(object.len());
            let data = object.get(data_off..end).unwrap_or_default();
            return self.handle(&block, off, data, claimed);
        }
        self.archive.tell_encrypted()?;
        self.archive.sink.unscanned(b"", Reason::Encrypted);
        Ok(true)
    }

    /// Does what a block asks for; true at the end.
    fn handle(
        &mut self,
        block: &Block<'_>,
        off: usize,
        data: &'a [u8],
        claimed: u64,
    ) -> Result<bool, Stop> {
        match block.kind {
            MAIN => {
                self.archive.solid = block.flags & 8 != 0;
                self.encrypted = block.flags & 0x80 != 0;
                if block.flags & 2 != 0 {
                    self.comment(block.bytes.get(13..).unwrap_or_default(), off)?;
                }
            }
            FILE | SERVICE => self.file(block, off, data, claimed)?,
            COMMENT => self.comment(block.bytes, off)?,
            OLD_SERVICE => self.stream(block, off, data)?,
            END => {
                if block.flags & 1 != 0 {
                    self.archive.tell_volume();
                }
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn file(
        &mut self,
        block: &Block<'_>,
        off: usize,
        data: &'a [u8],
        claimed: u64,
    ) -> Result<(), Stop> {
        let Some(fields) = Fields::read(block) else {
            self.archive.defect(off, "file header");
            return Ok(());
        };
        let flags = block.flags;
        let service = block.kind == SERVICE;
        let mut name = fields.name;
        if service {
            if matches!(name.as_slice(), b"RR" | b"ACL" | b"UOW" | b"AV") {
                return Ok(());
            }
            if name == b"STM" {
                name = [self.last_name.as_slice(), &fields.stream].concat();
            }
        } else {
            self.last_name.clone_from(&name);
        }
        let old = fields.version < 20;
        let follows = self.started;
        let solid = if old { self.archive.solid && follows } else { flags & 0x10 != 0 };
        let entry = Entry {
            off,
            name,
            data,
            packed_len: claimed,
            unpacked_len: fields.unpacked_len,
            crc32: Some(fields.crc32),
            method: method_of(fields.method, fields.version),
            solid: solid && !service,
            crypt: crypt_of(flags, fields.version, fields.salt),
            split_before: flags & 1 != 0,
            split_after: flags & 2 != 0,
            directory: flags & 0xe0 == 0xe0 && !service,
            service,
        };
        self.started |= !service;
        self.archive.open(&entry)?;
        if flags & 8 != 0 && !service {
            self.comment(block.bytes.get(fields.name_end..).unwrap_or_default(), off)?;
        }
        Ok(())
    }

    /// A comment of RAR 1.5 to 2.x, which stands inside a header.
    fn comment(&mut self, bytes: &[u8], off: usize) -> Result<(), Stop> {
        let mut reader = Reader::at(bytes, 5);
        let Ok(len) = reader.u16_le() else { return Ok(()) };
        let (Ok(unpacked_len), Ok(version), Ok(method), Ok(_crc)) =
            (reader.u16_le(), reader.u8(), reader.u8(), reader.u16_le())
        else {
            return Ok(());
        };
        if bytes.get(2) != Some(&COMMENT) {
            return Ok(());
        }
        let data = bytes.get(13..usize::from(len).min(bytes.len())).unwrap_or_default().to_vec();
        let entry = Entry {
            off,
            name: b"comment".to_vec(),
            data: &data,
            packed_len: u64::try_from(data.len()).unwrap_or(0),
            unpacked_len: Some(u64::from(unpacked_len)),
            crc32: None,
            method: method_of(method, version),
            solid: false,
            crypt: Crypt::None,
            split_before: false,
            split_after: false,
            directory: false,
            service: true,
        };
        Archive::new(&[], &mut *self.archive.sink).open(&entry)
    }

    /// An NTFS stream of RAR 2.x.
    fn stream(&mut self, block: &Block<'_>, off: usize, data: &'a [u8]) -> Result<(), Stop> {
        let mut reader = Reader::at(block.bytes, 11);
        let (Ok(0x102), Ok(_level), Ok(unpacked_len), Ok(version), Ok(method), Ok(crc32)) = (
            reader.u16_le(),
            reader.u8(),
            reader.u32_le(),
            reader.u8(),
            reader.u8(),
            reader.u32_le(),
        ) else {
            return Ok(());
        };
        let name_len = usize::from(reader.u16_le().unwrap_or(0));
        let name = [self.last_name.as_slice(), reader.take_up_to(name_len)].concat();
        let entry = Entry {
            off,
            name,
            data,
            packed_len: block.data_len(),
            unpacked_len: Some(u64::from(unpacked_len)),
            crc32: Some(crc32),
            method: method_of(method, version),
            solid: false,
            crypt: Crypt::None,
            split_before: false,
            split_after: false,
            directory: false,
            service: true,
        };
        Archive::new(&[], &mut *self.archive.sink).open(&entry)
    }
}

/// The fields of a file's header.
struct Fields {
    unpacked_len: Option<u64>,
    crc32: u32,
    version: u8,
    method: u8,
    name: Vec<u8>,
    name_end: usize,
    salt: Option<[u8; 8]>,
    /// The name of a stream.
    stream: Vec<u8>,
}

impl Fields {
    fn read(block: &Block<'_>) -> Option<Self> {
        let mut reader = Reader::at(block.bytes, 11);
        let low = reader.u32_le().ok()?;
        reader.skip(1).ok()?;
        let crc32 = reader.u32_le().ok()?;
        reader.skip(4).ok()?;
        let version = reader.u8().ok()?;
        let method = reader.u8().ok()?;
        let name_len = usize::from(reader.u16_le().ok()?);
        reader.skip(4).ok()?;
        let mut high = 0u32;
        if block.flags & 0x100 != 0 {
            reader.skip(4).ok()?;
            high = reader.u32_le().ok()?;
        }
        let raw = reader.take_up_to(name_len);
        let name_end = reader.off();
        let rest = reader.rest();
        let salted = block.flags & 0x400 != 0;
        let (sub_data, salt) = match rest.split_last_chunk::<8>() {
            Some((sub_data, salt)) if salted && block.kind == SERVICE => (sub_data, Some(*salt)),
            _ => (rest, rest.first_chunk::<8>().copied().filter(|_| salted)),
        };
        let len = u64::from(high) << 32 | u64::from(low);
        let unknown =
            low == u32::MAX && (high == 0 && block.flags & 0x100 == 0 || high == u32::MAX);
        let name = if block.flags & 0x200 != 0 { wide_name(raw) } else { raw.to_vec() };
        let stream = sub_data.iter().copied().filter(|byte| *byte != 0).collect();
        let unpacked_len = (!unknown).then_some(len);
        Some(Self { unpacked_len, crc32, version, method, name, name_end, salt, stream })
    }
}

fn method_of(method: u8, version: u8) -> Method {
    match (method, version) {
        (0x30, _) => Method::Stored,
        (0x31..=0x35, 0..20) => Method::Packed(Algorithm::V15),
        (0x31..=0x35, 20..29) => Method::Packed(Algorithm::V20),
        (0x31..=0x35, 29..=40) => Method::Packed(Algorithm::V29),
        _ => Method::Unknown(format!("{method:#x} of version {version}")),
    }
}

fn crypt_of(flags: u16, version: u8, salt: Option<[u8; 8]>) -> Crypt {
    if flags & 4 == 0 {
        return Crypt::None;
    }
    match (salt, version) {
        (Some(salt), _) => Crypt::V30(salt),
        (None, 14..20) => Crypt::V15,
        (None, 20..29) => Crypt::V20,
        _ => Crypt::Unknown,
    }
}

/// Decodes a name in two forms: bytes, a zero, and what makes UTF-16 of them.
fn wide_name(raw: &[u8]) -> Vec<u8> {
    let Some((narrow, [0, code @ ..])) =
        memchr::memchr(0, raw).and_then(|end| raw.split_at_checked(end))
    else {
        return raw.to_vec();
    };
    let mut reader = Reader::new(code);
    let high = u16::from(reader.u8().unwrap_or(0)) << 8;
    let mut units: Vec<u16> = Vec::new();
    let (mut flags, mut left) = (0u8, 0u8);
    while reader.left() > 0 && units.len() < 4096 {
        if left == 0 {
            flags = reader.u8().unwrap_or(0);
            left = 4;
        }
        match flags >> 6 {
            0 => units.push(u16::from(reader.u8().unwrap_or(0))),
            1 => units.push(u16::from(reader.u8().unwrap_or(0)) | high),
            2 => units.push(reader.u16_le().unwrap_or(0)),
            _ => {
                let run = reader.u8().unwrap_or(0);
                let change = (run & 0x80 != 0).then(|| reader.u8().unwrap_or(0));
                for byte in narrow.iter().skip(units.len()).take(usize::from(run & 0x7f) + 2) {
                    units.push(match change {
                        Some(change) => u16::from(byte.wrapping_add(change)) | high,
                        None => u16::from(*byte),
                    });
                }
            }
        }
        flags <<= 2;
        left -= 1;
    }
    if units.is_empty() { narrow.to_vec() } else { String::from_utf16_lossy(&units).into_bytes() }
}
