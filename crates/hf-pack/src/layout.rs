//! The bytes of header and section table, and the checks that both directions share.

use crate::{OpenPackError, SectionId};

/// First bytes of a pack. The line ends show a transfer that altered them.
pub const MAGIC: [u8; 8] = *b"HFPACK\r\n";
/// Version of the layout; a pack of another version is refused and built anew.
pub const FORMAT_VERSION: u32 = 1;
/// Most sections in a pack.
pub const MAX_SECTIONS: usize = 4096;
/// Largest alignment of a section: a page, which is how maps are aligned.
pub const MAX_ALIGN: u32 = 4096;

pub(crate) const HEADER_LEN: usize = 64;
pub(crate) const ENTRY_LEN: usize = 64;
const CHECKSUM_OFF: usize = 32;

/// The header without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) section_count: u32,
    pub(crate) table_off: u64,
    pub(crate) file_len: u64,
}

/// One line of the section table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: SectionId,
    pub(crate) align: u32,
    pub(crate) off: u64,
    pub(crate) len: u64,
    pub(crate) digest: [u8; 32],
}

impl Header {
    /// Returns the header's bytes, checksum over header and `table` included.
    pub(crate) fn encode(&self, table: &[u8]) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.section_count.to_le_bytes());
        put(&mut bytes, 16, &self.table_off.to_le_bytes());
        put(&mut bytes, 24, &self.file_len.to_le_bytes());
        let checksum = checksum(&bytes, table);
        put(&mut bytes, CHECKSUM_OFF, checksum.as_bytes());
        bytes
    }

    /// Reads and checks everything but the checksum, which needs the table.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Self, OpenPackError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(OpenPackError::NotAPack)?;
        if header.first_chunk() != Some(&MAGIC) {
            return Err(OpenPackError::NotAPack);
        }
        let version = u32::from_le_bytes(take(header, 8));
        if version != FORMAT_VERSION {
            return Err(OpenPackError::Version(version));
        }
        let header = Self {
            section_count: u32::from_le_bytes(take(header, 12)),
            table_off: u64::from_le_bytes(take(header, 16)),
            file_len: u64::from_le_bytes(take(header, 24)),
        };
        if header.file_len != file_len {
            return Err(OpenPackError::Length { stated: header.file_len, found: file_len });
        }
        let count = usize::try_from(header.section_count).unwrap_or(usize::MAX);
        if count > MAX_SECTIONS {
            return Err(OpenPackError::Layout("too many sections"));
        }
        let table_len = u64::from(header.section_count).saturating_mul(ENTRY_LEN as u64);
        if header.table_off.checked_add(table_len) != Some(file_len)
            || header.table_off < HEADER_LEN as u64
        {
            return Err(OpenPackError::Layout("section table out of place"));
        }
        Ok(header)
    }
}

/// Returns the checksum that a header with this table must carry.
pub(crate) fn checksum(header: &[u8; HEADER_LEN], table: &[u8]) -> blake3::Hash {
    let (front, _) = header.split_at(CHECKSUM_OFF);
    blake3::Hasher::new().update(front).update(&[0; 32]).update(table).finalize()
}

/// Returns the checksum that the header states.
pub(crate) fn stated_checksum(header: &[u8; HEADER_LEN]) -> blake3::Hash {
    blake3::Hash::from_bytes(take(header, CHECKSUM_OFF))
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        put(&mut bytes, 0, &self.id.0.to_le_bytes());
        put(&mut bytes, 4, &self.align.to_le_bytes());
        put(&mut bytes, 8, &self.off.to_le_bytes());
        put(&mut bytes, 16, &self.len.to_le_bytes());
        put(&mut bytes, 32, &self.digest);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; ENTRY_LEN]) -> Self {
        Self {
            id: SectionId(u32::from_le_bytes(take(bytes, 0))),
            align: u32::from_le_bytes(take(bytes, 4)),
            off: u64::from_le_bytes(take(bytes, 8)),
            len: u64::from_le_bytes(take(bytes, 16)),
            digest: take(bytes, 32),
        }
    }

    /// Checks that the section lies between the header and `table_off`, at its alignment.
    pub(crate) fn check(&self, table_off: u64) -> Result<(), OpenPackError> {
        if !self.align.is_power_of_two() || self.align > MAX_ALIGN {
            return Err(OpenPackError::Layout("bad alignment"));
        }
        let aligned = self.off.is_multiple_of(u64::from(self.align));
        let end = self.off.checked_add(self.len);
        if !aligned || self.off < HEADER_LEN as u64 || end.is_none_or(|end| end > table_off) {
            return Err(OpenPackError::Layout("section out of bounds"));
        }
        Ok(())
    }
}

/// Returns `N` bytes of a fixed-size record; `off + N` is within it at every call.
fn take<const N: usize>(record: &[u8], off: usize) -> [u8; N] {
    record.get(off..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn put(record: &mut [u8], off: usize, value: &[u8]) {
    if let Some(place) = record.get_mut(off..off + value.len()) {
        place.copy_from_slice(value);
    }
}
