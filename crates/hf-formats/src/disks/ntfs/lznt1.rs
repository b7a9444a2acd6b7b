//! LZNT1, in which NTFS compresses units of clusters. Sources: \[MS-XCA\] 2.5.

use crate::reader::Reader;

/// Unpacked bytes of a chunk.
const CHUNK_LEN: usize = 4096;

/// Appends what a unit holds, at most so many bytes; false when it is damaged.
pub(super) fn unpack(data: &[u8], out: &mut Vec<u8>, len_max: usize) -> bool {
    let start = out.len();
    let mut reader = Reader::new(data);
    while out.len().saturating_sub(start) < len_max {
        let Ok(header @ 1..) = reader.u16_le() else { return true };
        let len = usize::from(header & 0xfff).saturating_add(1);
        let chunk = reader.take_up_to(len);
        let begin = out.len();
        if header & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else if !unpack_chunk(chunk, out) {
            return false;
        }
        if chunk.len() < len {
            return false;
        }
        out.truncate(begin.saturating_add(CHUNK_LEN));
        if reader.left() > 2 {
            out.resize(begin.saturating_add(CHUNK_LEN), 0);
        }
    }
    true
}

fn unpack_chunk(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut reader = Reader::new(chunk);
    while let Ok(flags) = reader.u8() {
        for bit in 0..8 {
            if reader.left() == 0 || out.len().saturating_sub(start) >= CHUNK_LEN {
                return true;
            }
            if flags >> bit & 1 == 0 {
                out.push(reader.u8().unwrap_or(0));
                continue;
            }
            let Ok(word) = reader.u16_le() else { return false };
            // The further into the chunk, the more bits are the distance's.
            let made = out.len().saturating_sub(start);
            let distance_bits = (usize::BITS - made.saturating_sub(1).leading_zeros()).max(4);
            let len_bits = 16u32.saturating_sub(distance_bits);
            let len = usize::from(word & ((1u16 << len_bits) - 1)).saturating_add(3);
            let distance = usize::from(word >> len_bits).saturating_add(1);
            let Some(from) = made.checked_sub(distance) else { return false };
            for at in from..from.saturating_add(len) {
                let byte = out.get(start.saturating_add(at)).copied().unwrap_or(0);
                out.push(byte);
            }
        }
    }
    true
}
