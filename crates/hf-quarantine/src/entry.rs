//! The file of one entry: header, sealed body, sealed record, trailer.
//!
//! ```text
//! 0    8  magic "HFQUARE1"
//! 8    8  id, big-endian
//! 16  19  what the nonces of the body begin with, random
//! 35   5  zero
//! 40   …  body: chunks of 65,536 bytes and a last one of at most as many, each followed by its tag
//! …    …  record: nonce, then JSON and tag
//! -16  8  bytes of the body before it was sealed, little-endian
//! -8   4  bytes of the sealed record with its nonce, little-endian
//! -4   4  "HFQE"
//! ```
//!
//! The header is authenticated with every chunk, header and trailer with the record. The record stands behind the
//! body because it has the body's digest, and the body is read once.
//! Hostile input: lengths are compared with the file's before anything is read; the record is at most 16 MiB.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

use crate::crypt::{self, CHUNK_LEN, Cipher, Last, NONCE_LEN, PREFIX_LEN, TAG_LEN};
use crate::record::{Id, Record};
use hf_core::hex::to_hex;

/// Bytes of a header.
pub const HEADER_LEN: usize = 40;
/// Bytes of a trailer.
pub const TRAILER_LEN: usize = 16;

const MAGIC: &[u8; 8] = b"HFQUARE1";
const END: &[u8; 4] = b"HFQE";

/// An entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// There is none of this name.
    #[error("there is no such entry")]
    NotFound,
    /// The beginning of a name fits several.
    #[error("several entries begin so: write more digits")]
    Ambiguous,
    /// It is no entry, or was changed; the text says where.
    #[error("the entry is damaged: {0}")]
    Damaged(String),
    /// It cannot be read.
    #[error("the entry cannot be read: {0}")]
    Io(#[from] io::Error),
}

fn damaged(what: &str) -> EntryError {
    EntryError::Damaged(what.to_owned())
}

/// Where the parts of an entry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Name.
    pub id: Id,
    /// What the nonces of the body begin with.
    pub prefix: [u8; PREFIX_LEN],
    /// Bytes of the body before it was sealed.
    pub body_len: u64,
    /// Where the sealed record begins.
    pub record_off: u64,
    /// Bytes of the sealed record with its nonce.
    pub record_len: usize,
}

impl Layout {
    /// Reads header and trailer of a file of so many bytes.
    ///
    /// # Errors
    /// They are not those of an entry, or do not fit the file.
    pub fn read(
        header: &[u8; HEADER_LEN],
        trailer: &[u8; TRAILER_LEN],
        file_len: u64,
    ) -> Result<Self, EntryError> {
        let (magic, rest) = header.split_first_chunk::<8>().ok_or_else(|| damaged("magic"))?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("id"))?;
        let (prefix, rest) = rest.split_first_chunk().ok_or_else(|| damaged("nonce"))?;
        if magic != MAGIC || rest.iter().any(|byte| *byte != 0) {
            return Err(damaged("it does not begin as an entry"));
        }
        let (body, rest) = trailer.split_first_chunk::<8>().ok_or_else(|| damaged("length"))?;
        let (record, end) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("length"))?;
        if end != END {
            return Err(damaged("it does not end as an entry"));
        }
        let body_len = u64::from_le_bytes(*body);
        let record_len = u32::from_le_bytes(*record);
        let sealed = sealed_len(body_len).ok_or_else(|| damaged("the length of the body"))?;
        let record_off = sealed.checked_add(HEADER_LEN as u64);
        let record_off = record_off.ok_or_else(|| damaged("the length of the body"))?;
        let whole = record_off.checked_add(u64::from(record_len));
        if whole.and_then(|len| len.checked_add(TRAILER_LEN as u64)) != Some(file_len) {
            return Err(damaged("its lengths do not add up"));
        }
        let record_len = usize::try_from(record_len).unwrap_or(usize::MAX);
        let least = NONCE_LEN.saturating_add(TAG_LEN);
        if record_len < least || record_len > Record::LEN_MAX.saturating_add(least) {
            return Err(damaged("the length of the record"));
        }
        let id = Id(u64::from_be_bytes(*id));
        Ok(Self { id, prefix: *prefix, body_len, record_off, record_len })
    }
}

/// Returns the bytes of a sealed body; none when it has more chunks than can be counted.
fn sealed_len(body_len: u64) -> Option<u64> {
    let chunks = body_len.div_ceil(CHUNK_LEN as u64).max(1);
    u32::try_from(chunks).ok()?;
    body_len.checked_add(chunks.checked_mul(TAG_LEN as u64)?)
}

fn header(id: Id, prefix: [u8; PREFIX_LEN]) -> [u8; HEADER_LEN] {
    let mut header = [0u8; HEADER_LEN];
    let parts = MAGIC.iter().copied().chain(id.0.to_be_bytes()).chain(prefix);
    header.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    header
}

/// Writes an entry.
#[derive(Debug)]
pub struct Writer<'v> {
    cipher: &'v Cipher,
    file: File,
    header: [u8; HEADER_LEN],
    prefix: [u8; PREFIX_LEN],
    chunk: Vec<u8>,
    number: u32,
    body_len: u64,
    digest: Sha256,
}

impl<'v> Writer<'v> {
    /// Begins an entry in an empty file.
    ///
    /// # Errors
    /// It cannot be written, or the kernel has no random bytes.
    pub fn begin(cipher: &'v Cipher, mut file: File, id: Id) -> io::Result<Self> {
        let prefix = crypt::random()?;
        let header = header(id, prefix);
        file.write_all(&header)?;
        let chunk = Vec::with_capacity(CHUNK_LEN);
        let digest = Sha256::new();
        Ok(Self { cipher, file, header, prefix, chunk, number: 0, body_len: 0, digest })
    }

    /// Adds bytes of the body.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn body(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK_LEN {
                self.flush(Last::No)?;
            }
            let room = CHUNK_LEN.saturating_sub(self.chunk.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self, last: Last) -> io::Result<()> {
        let nonce = crypt::chunk_nonce(self.prefix, self.number, last);
        let sealed = self.cipher.seal(nonce, &self.header, &self.chunk);
        self.file.write_all(&sealed.ok_or_else(too_long)?)?;
        let len = u64::try_from(self.chunk.len()).unwrap_or(u64::MAX);
        self.body_len = self.body_len.saturating_add(len);
        self.chunk.clear();
        if last == Last::No {
            self.number = self.number.checked_add(1).ok_or_else(too_long)?;
        }
        Ok(())
    }

    /// Ends the body; gives its size and SHA-256 to `record`, writes what that returns, and brings all to the disk.
    ///
    /// # Errors
    /// It cannot be written, or the record is too long.
    pub fn end(mut self, record: impl FnOnce(u64, String) -> Record) -> io::Result<Record> {
        self.flush(Last::Yes)?;
        let digest = std::mem::take(&mut self.digest).finalize();
        let record = record(self.body_len, to_hex(&digest));
        let json = serde_json::to_vec(&record)?;
        if json.len() > Record::LEN_MAX {
            return Err(io::Error::other("the record is too long"));
        }
        let record_len = json.len().saturating_add(NONCE_LEN).saturating_add(TAG_LEN);
        let record_len = u32::try_from(record_len).map_err(|_| too_long())?;
        let trailer = trailer(self.body_len, record_len);
        let nonce = crypt::random()?;
        let aad = [&self.header[..], &trailer].concat();
        let sealed = self.cipher.seal(nonce, &aad, &json).ok_or_else(too_long)?;
        self.file.write_all(&[&nonce[..], &sealed, &trailer].concat())?;
        self.file.sync_all()?;
        Ok(record)
    }
}

fn too_long() -> io::Error {
    io::Error::other("the file is too long for the vault")
}

fn trailer(body_len: u64, record_len: u32) -> [u8; TRAILER_LEN] {
    let mut trailer = [0u8; TRAILER_LEN];
    let parts = body_len.to_le_bytes().into_iter().chain(record_len.to_le_bytes());
    trailer.iter_mut().zip(parts.chain(*END)).for_each(|(to, from)| *to = from);
    trailer
}

/// An entry that is open, and whose record is authentic.
#[derive(Debug)]
pub struct Reader<'v> {
    cipher: &'v Cipher,
    file: File,
    header: [u8; HEADER_LEN],
    layout: Layout,
    /// The record.
    pub record: Record,
    /// Bytes of the entry on disk.
    pub stored_len: u64,
}

impl<'v> Reader<'v> {
    /// Opens an entry.
    ///
    /// # Errors
    /// It cannot be read, or is not as it was written under this key and name.
    pub fn open(cipher: &'v Cipher, file: File, id: Id) -> Result<Self, EntryError> {
        let stored_len = file.metadata()?.len();
        let mut header = [0u8; HEADER_LEN];
        let mut trailer = [0u8; TRAILER_LEN];
        let end = stored_len
            .checked_sub(TRAILER_LEN as u64)
            .filter(|end| *end >= HEADER_LEN as u64)
            .ok_or_else(|| damaged("it is too short"))?;
        file.read_exact_at(&mut header, 0)?;
        file.read_exact_at(&mut trailer, end)?;
        let layout = Layout::read(&header, &trailer, stored_len)?;
        if layout.id != id {
            return Err(damaged("it has another entry's name"));
        }
        let mut sealed = vec![0u8; layout.record_len];
        file.read_exact_at(&mut sealed, layout.record_off)?;
        let (nonce, sealed) = sealed.split_first_chunk().ok_or_else(|| damaged("the record"))?;
        let aad = [&header[..], &trailer].concat();
        let json = cipher.open(*nonce, &aad, sealed);
        let json = json.map_err(|_| damaged("its record was changed, or is under another key"))?;
        let record = Record::from_json(&json).map_err(EntryError::Damaged)?;
        if record.id != id || record.size != layout.body_len {
            return Err(damaged("the record is of another entry"));
        }
        Ok(Self { cipher, file, header, layout, record, stored_len })
    }

    /// Hands over the body, chunk by chunk. What was handed over before an error is authentic, but not all.
    ///
    /// # Errors
    /// The body was changed or cannot be read, or `take` fails.
    pub fn body(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), EntryError> {
        let mut digest = Sha256::new();
        let mut off = HEADER_LEN as u64;
        let mut left = self.layout.body_len;
        let mut number = 0u32;
        let mut sealed = Vec::new();
        loop {
            let len = left.min(CHUNK_LEN as u64);
            left = left.saturating_sub(len);
            let last = if left == 0 { Last::Yes } else { Last::No };
            let sealed_len = len.saturating_add(TAG_LEN as u64);
            sealed.resize(usize::try_from(sealed_len).unwrap_or(CHUNK_LEN), 0);
            self.file.read_exact_at(&mut sealed, off)?;
            off = off.saturating_add(sealed_len);
            let nonce = crypt::chunk_nonce(self.layout.prefix, number, last);
            let plain = self.cipher.open(nonce, &self.header, &sealed);
            let plain = plain.map_err(|_| damaged("its body was changed"))?;
            digest.update(&plain);
            take(&plain)?;
            number = number.saturating_add(1);
            if last == Last::Yes {
                break;
            }
        }
        if to_hex(&digest.finalize()) == self.record.sha256 {
            Ok(())
        } else {
            Err(damaged("its body has another digest"))
        }
    }
}
