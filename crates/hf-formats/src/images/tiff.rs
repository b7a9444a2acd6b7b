//! The structure of TIFF: directories, and whether values lie in the file.
//!
//! Leaves out: strips and tiles; BigTIFF.
//! Source: Adobe, "TIFF 6.0", §2; names and order of checks as clamscan 1.4.6.

use super::{Fault, Walk};
use crate::reader::Reader;

const IMAGE_WIDTH: u16 = 0x100;
const IMAGE_LENGTH: u16 = 0x101;

/// Walks over the directories.
pub(super) fn walk(object: &[u8]) -> Walk {
    let mut walk = Walk::default();
    let is_big_endian = object.starts_with(b"MM");
    let ints = Ints { is_big_endian };
    walk.fault = ints.directories(object, &mut walk.size).err();
    walk
}

struct Ints {
    is_big_endian: bool,
}

impl Ints {
    fn u16(&self, reader: &mut Reader<'_>, rule: &'static str) -> Result<u16, Fault> {
        let off = reader.off();
        let value = if self.is_big_endian { reader.u16_be() } else { reader.u16_le() };
        value.map_err(|_| Fault::broken(off, rule))
    }

    fn u32(&self, reader: &mut Reader<'_>, rule: &'static str) -> Result<u32, Fault> {
        let off = reader.off();
        let value = if self.is_big_endian { reader.u32_be() } else { reader.u32_le() };
        value.map_err(|_| Fault::broken(off, rule))
    }

    fn directories(&self, object: &[u8], pixels: &mut Option<(u32, u32)>) -> Result<(), Fault> {
        let mut reader = Reader::at(object, 4);
        let mut next = self.u32(&mut reader, "EOFReadingFirstIFDOffset")?;
        if next == 0 {
            return Err(Fault::broken(4, "InvalidIFDOffset"));
        }
        let (mut width, mut height) = (None, None);
        // Directories only ever follow each other, so the walk ends.
        while next != 0 {
            reader.seek(crate::reader::size(u64::from(next)));
            let count = self.u16(&mut reader, "EOFReadingNumIFDDirectoryEntries")?;
            for _ in 0..count {
                let (tag, value) = self.entry(&mut reader, object.len())?;
                match tag {
                    IMAGE_WIDTH => width = width.or(Some(value)),
                    IMAGE_LENGTH => height = height.or(Some(value)),
                    _ => {}
                }
                *pixels = width.zip(height);
            }
            next = self.u32(&mut reader, "EOFReadingChunkCRC")?;
            if next != 0 && crate::reader::size(u64::from(next)) < reader.off() {
                return Err(Fault::broken(reader.off(), "OutOfOrderIFDOffset"));
            }
        }
        Ok(())
    }

    /// Reads an entry and returns its tag and, when it is a single number, its value.
    fn entry(&self, reader: &mut Reader<'_>, object_len: usize) -> Result<(u16, u32), Fault> {
        let rule = "EOFReadingIFDEntry";
        let mut bytes =
            Reader::new(reader.take(12).map_err(|_| Fault::broken(reader.off(), rule))?);
        let tag = self.u16(&mut bytes, rule)?;
        let kind = self.u16(&mut bytes, rule)?;
        let count = self.u32(&mut bytes, rule)?;
        let mut short = bytes;
        let value = self.u32(&mut bytes, rule)?;
        let item_len: u64 = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 => 4,
            5 | 10 | 12 => 8,
            _ => 0,
        };
        let len = item_len.saturating_mul(u64::from(count));
        let end = u64::from(value).saturating_add(len);
        if len > 4 && end > u64::try_from(object_len).unwrap_or(u64::MAX) {
            return Err(Fault::broken(reader.off(), "OutOfBoundsAccess"));
        }
        let value = if kind == 3 { u32::from(self.u16(&mut short, rule)?) } else { value };
        Ok((tag, value))
    }
}
