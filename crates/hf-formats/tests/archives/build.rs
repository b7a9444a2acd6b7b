//! Zips as one wants them, right or wrong.

use std::io::Write as _;

/// What a header of an entry says.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc32: u32,
    pub(crate) packed_len: u32,
    pub(crate) unpacked_len: u32,
}

/// An entry with both its headers.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) packed: Vec<u8>,
    pub(crate) local: Header,
    pub(crate) central: Header,
    /// Has a record in the central directory.
    pub(crate) listed: bool,
}

impl Entry {
    /// Returns an entry packed elsewhere.
    pub(crate) fn packed(
        name: &str,
        method: u16,
        flags: u16,
        data: &[u8],
        packed: Vec<u8>,
    ) -> Self {
        let header = Header {
            flags,
            method,
            crc32: crc32fast::hash(data),
            packed_len: len_of(&packed),
            unpacked_len: len_of(data),
        };
        let (local, central) = (header.clone(), header);
        Self { name: name.as_bytes().to_vec(), packed, local, central, listed: true }
    }

    pub(crate) fn stored(name: &str, data: &[u8]) -> Self {
        Self::packed(name, 0, 0, data, data.to_vec())
    }

    pub(crate) fn deflated(name: &str, data: &[u8]) -> Self {
        Self::packed(name, 8, 0, data, deflate(data))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Where the parts of an archive say that they are.
#[derive(Debug, Default)]
pub(crate) struct Zip {
    pub(crate) entries: Vec<Entry>,
    pub(crate) prefix: Vec<u8>,
    pub(crate) suffix: Vec<u8>,
    /// Number of entries in the end record, when it lies.
    pub(crate) count: Option<u16>,
    /// Offset of the directory in the end record, when it lies.
    pub(crate) directory_off: Option<u32>,
    pub(crate) volume: u16,
    /// Without directory and end record.
    pub(crate) cut: bool,
}

impl Zip {
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        Self { entries, ..Self::default() }
    }

    /// Returns the archive's bytes. Offsets count from behind the prefix.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut object = Vec::new();
        let mut directory = Vec::new();
        let mut listed = 0u16;
        for entry in &self.entries {
            let local_off = len_of(&object);
            object.extend_from_slice(b"PK\x03\x04\x14\x00");
            object.extend(fields(&entry.local, &entry.name));
            object.extend_from_slice(&entry.name);
            object.extend_from_slice(&entry.packed);
            if entry.listed {
                listed += 1;
                directory.extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
                directory.extend(fields(&entry.central, &entry.name));
                directory.extend_from_slice(&[0; 10]);
                directory.extend_from_slice(&local_off.to_le_bytes());
                directory.extend_from_slice(&entry.name);
            }
        }
        if !self.cut {
            let directory_off = self.directory_off.unwrap_or(len_of(&object));
            let count = self.count.unwrap_or(listed).to_le_bytes();
            let volume = self.volume.to_le_bytes();
            object.extend_from_slice(&directory);
            object.extend_from_slice(b"PK\x05\x06");
            for field in [volume, volume, count, count] {
                object.extend_from_slice(&field);
            }
            object.extend_from_slice(&len_of(&directory).to_le_bytes());
            object.extend_from_slice(&directory_off.to_le_bytes());
            object.extend_from_slice(&[0, 0]);
        }
        [self.prefix.as_slice(), &object, &self.suffix].concat()
    }
}

/// The fields from the flags to the length of the extra field.
fn fields(header: &Header, name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&header.flags.to_le_bytes());
    bytes.extend_from_slice(&header.method.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for field in [header.crc32, header.packed_len, header.unpacked_len] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn len_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// Deflates without a header.
pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::best();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}
