//! Compressed RTF.
//!
//! Promises: the output is at most as long as asked; a broken stream gives what was unpacked.
//! Leaves out: the checksum.
//! Sources: MS-OXRTFCP.

use crate::reader::Reader;

/// Unpacks; none when the header is not that of compressed RTF.
pub(super) fn decompress(bytes: &[u8], max: u64) -> Option<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    reader.skip(8).ok()?;
    let kind = reader.u32_le().ok()?;
    reader.skip(4).ok()?;
    match kind {
        UNCOMPRESSED => Some(reader.rest().to_vec()),
        COMPRESSED => Some(unpack(reader, max)),
        _ => None,
    }
}

const COMPRESSED: u32 = 0x7546_5a4c;
const UNCOMPRESSED: u32 = 0x414c_454d;
const WINDOW_LEN: usize = 4096;

/// What the window holds at the start.
const START: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \
\\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\
\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

fn unpack(mut reader: Reader<'_>, max: u64) -> Vec<u8> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut window = [0_u8; WINDOW_LEN];
    for (slot, byte) in window.iter_mut().zip(START) {
        *slot = *byte;
    }
    let mut at = START.len();
    let mut out = Vec::new();
    while let Ok(flags) = reader.u8() {
        for bit in 0..8 {
            if out.len() >= max {
                return out;
            }
            if flags & (1_u8 << bit) == 0 {
                let Ok(byte) = reader.u8() else { return out };
                put(byte, &mut window, &mut at, &mut out);
                continue;
            }
            let Ok(reference) = reader.u16_be() else { return out };
            let from = usize::from(reference >> 4);
            if from == at {
                return out;
            }
            for step in 0..usize::from(reference & 0xf).saturating_add(2) {
                let byte = window.get(from.wrapping_add(step) % WINDOW_LEN).copied().unwrap_or(0);
                put(byte, &mut window, &mut at, &mut out);
            }
        }
    }
    out
}

fn put(byte: u8, window: &mut [u8; WINDOW_LEN], at: &mut usize, out: &mut Vec<u8>) {
    if let Some(slot) = window.get_mut(*at) {
        *slot = byte;
    }
    *at = at.wrapping_add(1) % WINDOW_LEN;
    out.push(byte);
}

#[cfg(test)]
mod tests {
    /// The first example of MS-OXRTFCP §3.1.
    #[test]
    fn the_published_example() {
        let packed = [
            0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0,
            0x0a, 0, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68,
            0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80,
            0x0f, 0xa0,
        ];
        let want = b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
        assert_eq!(super::decompress(&packed, 1 << 20).as_deref(), Some(want.as_slice()));
    }
}
