//! Headers of RAR 5 and 7.

use hf_core::{Reason, Stop};

use super::keys::{Crypt, Crypt5};
use super::member::{Archive, Entry, Method, SEARCH_MAX};
use crate::codec::rar::Algorithm;
use crate::containers::next::Next;
use crate::documents::cipher::cbc_decrypt;
use crate::reader::{Reader, aligned, size};

const MAIN: u64 = 1;
const FILE: u64 = 2;
const SERVICE: u64 = 3;
const CRYPT: u64 = 4;
const END: u64 = 5;
/// The format's: bytes of a header.
const HEADER_MAX: u64 = 2 << 20;

/// A block's header.
struct Block<'b> {
    kind: u64,
    flags: u64,
    data_len: u64,
    /// What is particular to the kind, and the extra area.
    body: &'b [u8],
    extra: &'b [u8],
    /// Bytes from its checksum to its end.
    len: usize,
    crc_right: bool,
}

/// Reads a number of at most ten bytes with seven bits each.
fn number(reader: &mut Reader<'_>) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..10u32 {
        let byte = reader.u8().ok()?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl<'b> Block<'b> {
    fn read(bytes: &'b [u8], off: usize) -> Option<Self> {
        let mut reader = Reader::at(bytes, off);
        let crc = reader.u32_le().ok()?;
        let sum_off = reader.off();
        let len = number(&mut reader)?;
        let body_off = reader.off();
        if !(2..=HEADER_MAX).contains(&len) || body_off.saturating_sub(sum_off) > 3 {
            return None;
        }
        let end = body_off.checked_add(size(len))?;
        let summed = bytes.get(sum_off..end)?;
        let mut reader = Reader::at(bytes.get(..end)?, body_off);
        let kind = number(&mut reader)?;
        let flags = number(&mut reader)?;
        let extra_len = if flags & 1 != 0 { number(&mut reader)? } else { 0 };
        let data_len = if flags & 2 != 0 { number(&mut reader)? } else { 0 };
        let rest = reader.rest();
        let (body, extra) = rest
            .len()
            .checked_sub(size(extra_len))
            .and_then(|at| rest.split_at_checked(at))
            .unwrap_or((rest, &[]));
        let crc_right = crc32fast::hash(summed) == crc;
        let len = end.saturating_sub(off);
        Some(Self { kind, flags, data_len, body, extra, len, crc_right })
    }

    fn plausible(&self) -> bool {
        self.crc_right || matches!(self.kind, FILE | SERVICE) && Fields::read(self).is_some()
    }

    /// Returns the record of a type in the extra area.
    fn extra(&self, wanted: u64) -> Option<Reader<'b>> {
        let mut reader = Reader::new(self.extra);
        loop {
            let len = number(&mut reader)?;
            let mut record = Reader::new(reader.take_up_to(size(len)));
            if number(&mut record)? == wanted {
                return Some(record);
            }
        }
    }
}

/// Walks over the headers from an offset.
pub(super) fn walk<'a>(archive: &mut Archive<'a, '_>, start: usize) -> Result<(), Stop> {
    let mut walk =
        Walk { archive, off: start, crypt: None, last_name: Vec::new(), next: Next::default() };
    while walk.off < walk.archive.object.len() {
        walk.archive.sink.poll()?;
        let ended = match walk.crypt {
            Some(crypt) => walk.step_encrypted(crypt)?,
            None => walk.step()?,
        };
        if ended {
            break;
        }
    }
    Ok(())
}

struct Walk<'w, 'a, 's> {
    archive: &'w mut Archive<'a, 's>,
    off: usize,
    /// How headers are encrypted.
    crypt: Option<Crypt5>,
    last_name: Vec<u8>,
    next: Next,
}

impl<'a> Walk<'_, 'a, '_> {
    fn step(&mut self) -> Result<bool, Stop> {
        let object = self.archive.object;
        let off = self.off;
        let Some(block) = Block::read(object, off).filter(Block::plausible) else {
            return Ok(self.recover(off));
        };
        if !block.crc_right {
            self.archive.defect(off, "header CRC32");
        }
        let data_off = off.saturating_add(block.len);
        let mut data_end = data_off.saturating_add(size(block.data_len));
        if (!block.crc_right || data_end > object.len()) && !self.header_at(data_end) {
            match self.search(off.saturating_add(1)) {
                Some(found) => data_end = data_end.min(found.max(data_off)),
                None => data_end = data_end.min(object.len()),
            }
        }
        let data = object.get(data_off..data_end.min(object.len())).unwrap_or_default();
        self.off = data_end.max(data_off);
        self.handle(&block, off, data)
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
        // The kind stands behind the checksum and a size of one or two bytes.
        let mut kind_off = from.checked_add(5)?;
        loop {
            let rest = object.get(kind_off..)?;
            kind_off = kind_off.checked_add(memchr::memchr2(2, 3, rest)?)?;
            for size_len in 1..=2usize {
                let off = kind_off.checked_sub(size_len.checked_add(4)?)?;
                if off < from {
                    continue;
                }
                let mut reader = Reader::at(object, off.checked_add(4)?);
                let len = number(&mut reader).unwrap_or(0);
                if !(8..=0x3fff).contains(&len) || reader.off() != kind_off {
                    continue;
                }
                self.archive.searched = self.archive.searched.saturating_add(size(len));
                if self.archive.searched > SEARCH_MAX {
                    return None;
                }
                if Block::read(object, off).is_some_and(|block| block.crc_right) {
                    return Some(off);
                }
            }
            kind_off = kind_off.checked_add(1)?;
        }
    }

    /// Handles an encrypted header: a vector, and blocks of AES.
    fn step_encrypted(&mut self, crypt: Crypt5) -> Result<bool, Stop> {
        let object = self.archive.object;
        let off = self.off;
        let iv = object.get(off..).and_then(|rest| rest.first_chunk::<16>()).copied();
        let Some(iv) = iv else { return Ok(true) };
        let packed_off = off.saturating_add(16);
        let head = object.get(packed_off..packed_off.saturating_add(16)).unwrap_or_default();
        for idx in self.archive.password_idxs() {
            let key = self.archive.key5(idx, crypt.rounds_log, crypt.salt)?;
            let Some(key) = key.filter(|key| key.fits(&crypt)) else { continue };
            let Some(plain) = cbc_decrypt(&key.key, iv, head) else { continue };
            let mut reader = Reader::at(&plain, 4);
            let Some(len) = number(&mut reader).filter(|len| *len <= HEADER_MAX) else { continue };
            let len = aligned(reader.off().saturating_add(size(len)), 16);
            let packed = object.get(packed_off..packed_off.saturating_add(len));
            let Some(plain) = packed.and_then(|packed| cbc_decrypt(&key.key, iv, packed)) else {
                continue;
            };
            let Some(block) = Block::read(&plain, 0).filter(|block| block.crc_right) else {
                continue;
            };
            self.archive.worked = Some(idx);
            let data_off = packed_off.saturating_add(len);
            self.off = data_off.saturating_add(size(block.data_len));
            let end = self.off.min(object.len());
            let data = object.get(data_off..end).unwrap_or_default();
            return self.handle(&block, off, data);
        }
        self.archive.tell_encrypted()?;
        self.archive.sink.unscanned(b"", Reason::Encrypted);
        Ok(true)
    }

    /// Does what a block asks for; true at the end.
    fn handle(&mut self, block: &Block<'_>, off: usize, data: &'a [u8]) -> Result<bool, Stop> {
        match block.kind {
            MAIN => {
                let flags = number(&mut Reader::new(block.body)).unwrap_or(0);
                self.archive.solid = flags & 4 != 0;
            }
            FILE | SERVICE => self.file(block, off, data)?,
            CRYPT => {
                self.crypt = read_crypt(Reader::new(block.body), None);
                if self.crypt.is_none() {
                    self.archive.tell_encrypted()?;
                    self.archive.sink.unscanned(b"", Reason::Encrypted);
                    return Ok(true);
                }
            }
            END => {
                if number(&mut Reader::new(block.body)).unwrap_or(0) & 1 != 0 {
                    self.archive.tell_volume();
                }
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn file(&mut self, block: &Block<'_>, off: usize, data: &'a [u8]) -> Result<(), Stop> {
        let Some(fields) = Fields::read(block) else {
            self.archive.defect(off, "file header");
            return Ok(());
        };
        let service = block.kind == SERVICE;
        let mut name = fields.name.to_vec();
        if service {
            if matches!(name.as_slice(), b"RR" | b"QO" | b"ACL" | b"UOW" | b"AV") {
                return Ok(());
            }
            if name == b"STM" {
                let mut stream = block.extra(7).unwrap_or(Reader::new(&[]));
                name = [self.last_name.as_slice(), stream.take_up_to(usize::MAX)].concat();
            }
        } else {
            self.last_name.clone_from(&name);
        }
        let crypt = match block.extra(1) {
            None => Crypt::None,
            Some(record) => read_crypt(record, Some(())).map_or(Crypt::Unknown, Crypt::V50),
        };
        let entry = Entry {
            off,
            name,
            data,
            packed_len: block.data_len,
            unpacked_len: fields.unpacked_len,
            crc32: fields.crc32,
            method: fields.method(),
            solid: fields.packing & 0x40 != 0 && !service,
            crypt,
            split_before: block.flags & 8 != 0,
            split_after: block.flags & 0x10 != 0,
            directory: fields.flags & 1 != 0,
            service,
        };
        self.archive.open(&entry)
    }
}

/// Reads how a file, or all headers, are encrypted.
fn read_crypt(mut reader: Reader<'_>, file: Option<()>) -> Option<Crypt5> {
    let version = number(&mut reader)?;
    let flags = number(&mut reader)?;
    let rounds_log = reader.u8().ok()?;
    let salt = *reader.take(16).ok()?.first_chunk::<16>()?;
    let iv = match file {
        Some(()) => *reader.take(16).ok()?.first_chunk::<16>()?,
        None => [0; 16],
    };
    let check = match reader.take(8) {
        Ok(check) if flags & 1 != 0 => check.first_chunk::<8>().copied(),
        _ => None,
    };
    let tweaked = flags & 2 != 0 && file.is_some();
    (version == 0).then_some(Crypt5 { rounds_log, salt, iv, check, tweaked })
}

/// The fields of a file's header.
struct Fields<'b> {
    flags: u64,
    unpacked_len: Option<u64>,
    crc32: Option<u32>,
    packing: u64,
    name: &'b [u8],
}

impl<'b> Fields<'b> {
    fn read(block: &Block<'b>) -> Option<Self> {
        let mut reader = Reader::new(block.body);
        let flags = number(&mut reader)?;
        let len = number(&mut reader)?;
        let _attributes = number(&mut reader)?;
        if flags & 2 != 0 {
            reader.skip(4).ok()?;
        }
        let crc32 = if flags & 4 != 0 { Some(reader.u32_le().ok()?) } else { None };
        let packing = number(&mut reader)?;
        let _host = number(&mut reader)?;
        let name_len = number(&mut reader)?;
        let name = reader.take(size(name_len)).ok()?;
        let unpacked_len = (flags & 8 == 0).then_some(len);
        Some(Self { flags, unpacked_len, crc32, packing, name })
    }

    fn method(&self) -> Method {
        let version = self.packing & 0x3f;
        let power = u32::try_from(self.packing >> 10 & 0x1f).unwrap_or(0);
        let base = (128u64 << 10).checked_shl(power).unwrap_or(u64::MAX);
        match (self.packing >> 7 & 7, version) {
            (0, _) => Method::Stored,
            (1..=5, 0) => {
                let dictionary = (128u64 << 10) << (power & 15);
                Method::Packed(Algorithm::V50 { large: false, dictionary })
            }
            (1..=5, 1) => {
                let more = (base / 32).saturating_mul(self.packing >> 15 & 0x1f);
                let large = self.packing & 0x10_0000 == 0;
                let dictionary = base.saturating_add(more);
                Method::Packed(Algorithm::V50 { large, dictionary })
            }
            (method, _) => Method::Unknown(format!("{method} of version {version}")),
        }
    }
}
