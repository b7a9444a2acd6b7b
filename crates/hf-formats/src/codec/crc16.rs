//! CRC-16 with the polynomial of ARC, LHA and ZOO (0xa001, reflected).

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut idx = 0;
    while idx < 256 {
        let mut value = idx as u16;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xa001 } else { value >> 1 };
            bit += 1;
        }
        table[idx] = value;
        idx += 1;
    }
    table
}

const TABLE: [u16; 256] = table();

/// Returns the checksum.
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [low, _] = crc.to_le_bytes();
        TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ crc >> 8
    })
}
