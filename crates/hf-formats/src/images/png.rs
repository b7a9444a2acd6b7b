//! The structure of PNG: chunks up to `IEND`.
//!
//! Leaves out: checksums and the order of chunks.
//! Source: W3C, "Portable Network Graphics", §5; ends as clamscan 1.4.6 does.

use super::{Fault, Walk};
use crate::reader::{Reader, size};

const SIGNATURE_LEN: usize = 8;
/// The largest length of a chunk by the specification.
const CHUNK_LEN_MAX: u32 = 0x7fff_ffff;

/// Walks over the chunks.
pub(super) fn walk(object: &[u8]) -> Walk {
    let mut walk = Walk::default();
    let mut reader = Reader::at(object, SIGNATURE_LEN);
    walk.fault = chunks(&mut reader, &mut walk.size).err();
    walk
}

fn chunks(reader: &mut Reader<'_>, pixels: &mut Option<(u32, u32)>) -> Result<(), Fault> {
    // A file may end between two chunks.
    while let Ok(len) = reader.u32_be() {
        let fault = |reader: &Reader<'_>, rule| Fault::broken(reader.off(), rule);
        if len > CHUNK_LEN_MAX {
            return Err(fault(reader, "InvalidChunkLength"));
        }
        let kind = reader.take(4).map_err(|_| fault(reader, "EOFReadingChunkType"))?;
        let data =
            reader.take(size(u64::from(len))).map_err(|_| fault(reader, "EOFReadingChunk"))?;
        reader.skip(4).map_err(|_| fault(reader, "EOFReadingChunkCRC"))?;
        match kind {
            b"IHDR" => {
                let mut header = Reader::new(data);
                *pixels = header.u32_be().ok().zip(header.u32_be().ok());
            }
            b"IEND" => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}
