//! Giving an entry to analysts: as it was, or in a ZIP archive with the password `infected`.
//!
//! Promises: nothing is written before the whole entry is authenticated.
//! Leaves out: secrecy. The archive's old cipher keeps scanners and mail gateways from looking in, as is the custom
//! among analysts, and every program opens it.
//! Sources: PKWARE APPNOTE.TXT 6.3.10, §4.3 to 4.5 (ZIP64) and §6.1 (traditional encryption).

use std::io::{self, Write};

use crate::crypt;
use crate::entry::{EntryError, Reader};
use crate::record::Id;
use crate::vault::Vault;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The file's bytes.
    Plain,
    /// A ZIP archive with the file and its record, encrypted with the password `infected`.
    Zip,
}

/// The password of exported archives.
pub const PASSWORD: &[u8] = b"infected";

impl Vault {
    /// Writes an entry.
    ///
    /// # Errors
    /// The entry is damaged, or it cannot be written.
    pub fn export(&self, id: Id, form: Form, out: &mut dyn Write) -> Result<(), EntryError> {
        let reader = self.reader(id)?;
        let mut crc = crc32fast::Hasher::new();
        reader.body(&mut |bytes| {
            crc.update(bytes);
            Ok(())
        })?;
        match form {
            Form::Plain => reader.body(&mut |bytes| out.write_all(bytes))?,
            Form::Zip => zip(&reader, crc.finalize(), out)?,
        }
        Ok(out.flush()?)
    }
}

fn zip(reader: &Reader<'_>, crc: u32, out: &mut dyn Write) -> Result<(), EntryError> {
    let record = &reader.record;
    let json = serde_json::to_vec_pretty(record).map_err(io::Error::from)?;
    let files = [
        (format!("{}/{}", record.id, plain_name(&record.path.0)), record.size, crc),
        (format!("{}/record.json", record.id), json.len() as u64, crc32fast::hash(&json)),
    ];
    let mut directory = Vec::new();
    let mut off = 0u64;
    for (idx, (name, size, crc)) in files.iter().enumerate() {
        let header = Header { name, size: *size, crc: *crc };
        let local = header.local();
        out.write_all(&local)?;
        directory.extend(header.central(off));
        let mut keys = Keys::new(PASSWORD);
        // The last byte of the prelude tells a right password from a wrong one. Source: §6.1.6.
        let mut prelude = crypt::random::<PRELUDE_LEN>()?;
        if let (Some(last), [high, ..]) = (prelude.last_mut(), crc.to_be_bytes()) {
            *last = high;
        }
        out.write_all(&keys.encrypt(&prelude))?;
        if idx == 0 {
            reader.body(&mut |bytes| out.write_all(&keys.encrypt(bytes)))?;
        } else {
            out.write_all(&keys.encrypt(&json))?;
        }
        off = [local.len() as u64, PRELUDE_LEN as u64, *size]
            .iter()
            .fold(off, |off, len| off.saturating_add(*len));
    }
    Ok(out.write_all(&ends(off, &directory, files.len() as u64))?)
}

const PRELUDE_LEN: usize = 12;

/// Returns the last part of a path with nothing in it that a shell, terminal or archiver could stumble over.
fn plain_name(path: &[u8]) -> String {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let plain = |byte: &u8| match char::from(*byte) {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
        _ => '_',
    };
    let name: String = last.iter().take(NAME_LEN_MAX).map(plain).collect();
    // Not `..`, not hidden, and not the record's.
    format!("file-{name}")
}

const NAME_LEN_MAX: usize = 120;

struct Header<'n> {
    name: &'n str,
    size: u64,
    crc: u32,
}

impl Header<'_> {
    fn local(&self) -> Vec<u8> {
        let mut bytes = Bytes(b"PK\x03\x04".to_vec());
        let extra = self.extra(&[]);
        self.common(&mut bytes, extra.len());
        bytes.0.extend_from_slice(self.name.as_bytes());
        bytes.0.extend(extra);
        bytes.0
    }

    fn central(&self, off: u64) -> Vec<u8> {
        let mut bytes = Bytes(b"PK\x01\x02".to_vec());
        bytes.u16(VERSION | MADE_BY_UNIX);
        let extra = self.extra(&[off]);
        self.common(&mut bytes, extra.len());
        // Comment, disk, internal attributes; external attributes: a regular file, 0600.
        bytes.u16(0).u16(0).u16(0).u32(0o100_600 << 16).u32(u32::MAX);
        bytes.0.extend_from_slice(self.name.as_bytes());
        bytes.0.extend(extra);
        bytes.0
    }

    /// Version, flags (encrypted), method (stored), a fixed date, CRC, sizes in the extra field, lengths.
    fn common(&self, bytes: &mut Bytes, extra_len: usize) {
        bytes.u16(VERSION).u16(1).u16(0).u16(0).u16(1 << 5 | 1);
        bytes.u32(self.crc).u32(u32::MAX).u32(u32::MAX);
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        bytes.u16(short(self.name.len())).u16(short(extra_len));
    }

    /// ZIP64 sizes, always: the same path for short files and long ones. Source: §4.5.3.
    fn extra(&self, more: &[u64]) -> Vec<u8> {
        let packed = self.size.saturating_add(PRELUDE_LEN as u64);
        let values: Vec<u64> = [self.size, packed].iter().chain(more).copied().collect();
        let mut bytes = Bytes(Vec::new());
        bytes.u16(1).u16(u16::try_from(values.len().saturating_mul(8)).unwrap_or(0));
        values.iter().for_each(|value| bytes.0.extend(value.to_le_bytes()));
        bytes.0
    }
}

/// Returns the directory and what follows it: ZIP64 end, its locator, the old end. Source: §4.3.14 to 4.3.16.
fn ends(off: u64, directory: &[u8], count: u64) -> Vec<u8> {
    let len = directory.len() as u64;
    let mut bytes = Bytes(directory.to_vec());
    bytes.0.extend(b"PK\x06\x06");
    bytes.u64(44).u16(VERSION | MADE_BY_UNIX).u16(VERSION).u32(0).u32(0);
    bytes.u64(count).u64(count).u64(len).u64(off);
    bytes.0.extend(b"PK\x06\x07");
    bytes.u32(0).u64(off.saturating_add(len)).u32(1);
    bytes.0.extend(b"PK\x05\x06");
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    bytes.u16(0).u16(0).u16(count).u16(count);
    bytes.u32(u32::try_from(len).unwrap_or(u32::MAX)).u32(u32::MAX).u16(0);
    bytes.0
}

const VERSION: u16 = 45;
const MADE_BY_UNIX: u16 = 3 << 8;

struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }
}

/// The three keys of the traditional encryption. Source: §6.1.5.
struct Keys([u32; 3]);

impl Keys {
    fn new(password: &[u8]) -> Self {
        let mut keys = Self([0x1234_5678, 0x2345_6789, 0x3456_7890]);
        password.iter().for_each(|byte| keys.update(*byte));
        keys
    }

    fn update(&mut self, byte: u8) {
        let Self([first, second, third]) = self;
        *first = crc_step(*first, byte);
        *second = second.wrapping_add(*first & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        *third = crc_step(*third, second.to_be_bytes()[0]);
    }

    fn encrypt(&mut self, plain: &[u8]) -> Vec<u8> {
        plain
            .iter()
            .map(|byte| {
                let mixed = (self.0[2] & 0xffff) | 2;
                let [.., high, _] = mixed.wrapping_mul(mixed ^ 1).to_be_bytes();
                self.update(*byte);
                byte ^ high
            })
            .collect()
    }
}

/// One step of CRC-32 without its inversions.
fn crc_step(crc: u32, byte: u8) -> u32 {
    let [.., low] = crc.to_be_bytes();
    let idx = usize::from(low ^ byte);
    CRC_TABLE.get(idx).copied().unwrap_or(0) ^ (crc >> 8)
}

static CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut idx = 0u32;
    let mut at = 0;
    while at < table.len() {
        let mut value = idx;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
        idx += 1;
    }
    table
}
