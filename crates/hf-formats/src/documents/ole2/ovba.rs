//! Compressed containers of VBA projects: decompression, and a search for them in damaged streams.
//!
//! Promises: a damaged container gives what came out before the damage; a chunk gives at most 4096 bytes.
//! Sources: [1] MS-OVBA §2.4.1 (compression and decompression).

/// Text that came out of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decompressed {
    /// What came out.
    pub(crate) bytes: Vec<u8>,
    /// False when a chunk was damaged.
    pub(crate) whole: bool,
}

const SIGNATURE: u8 = 0x01;
const CHUNK_LEN: usize = 4096;

/// Decompresses a container; none when there is none at the start.
pub(crate) fn decompress(container: &[u8], cap: usize) -> Option<Decompressed> {
    let (signature, mut rest) = container.split_first()?;
    if *signature != SIGNATURE {
        return None;
    }
    let mut out = Decompressed { bytes: Vec::new(), whole: true };
    while let Some((header, behind)) = rest.split_first_chunk::<2>() {
        let header = u16::from_le_bytes(*header);
        // [1] §2.4.1.1.5: CompressedChunkSize, CompressedChunkSignature, CompressedChunkFlag.
        if header & 0x7000 != 0x3000 {
            out.whole = behind.iter().all(|byte| *byte == 0) && header == 0;
            break;
        }
        let data_len = usize::from(header & 0x0fff).saturating_add(1);
        let data = behind.get(..data_len.min(behind.len())).unwrap_or_default();
        if header & 0x8000 == 0 {
            out.bytes.extend_from_slice(data);
        } else if !decompress_chunk(data, &mut out.bytes) {
            out.whole = false;
        }
        if data.len() < data_len {
            out.whole = false;
        }
        if out.bytes.len() >= cap {
            out.bytes.truncate(cap);
            out.whole = false;
            break;
        }
        rest = behind.get(data.len()..).unwrap_or_default();
    }
    Some(out)
}

/// Appends one chunk; false when it is damaged.
fn decompress_chunk(mut data: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    while let Some((flags, behind)) = data.split_first() {
        data = behind;
        for bit in 0..8u32 {
            let done = out.len().saturating_sub(start);
            if done > CHUNK_LEN {
                return false;
            }
            if flags.checked_shr(bit).unwrap_or(0) & 1 == 0 {
                let Some((literal, behind)) = data.split_first() else { return true };
                out.push(*literal);
                data = behind;
                continue;
            }
            let Some((token, behind)) = data.split_first_chunk::<2>() else {
                return data.is_empty();
            };
            data = behind;
            if !copy(u16::from_le_bytes(*token), start, out) {
                return false;
            }
        }
    }
    true
}

/// Copies what a token names ([1] §2.4.1.3.19.1-2); false when it reaches before the chunk.
fn copy(token: u16, start: usize, out: &mut Vec<u8>) -> bool {
    let done = out.len().saturating_sub(start);
    let offset_bits = done.max(1).next_power_of_two().trailing_zeros().clamp(4, 12);
    let len_bits = 16u32.saturating_sub(offset_bits);
    let len_mask = 0xffff_u16.checked_shr(offset_bits).unwrap_or(0);
    let len = usize::from(token & len_mask).saturating_add(3);
    let back = usize::from(token.checked_shr(len_bits).unwrap_or(0)).saturating_add(1);
    if back > done {
        return false;
    }
    for _ in 0..len {
        let from = out.len().saturating_sub(back);
        let Some(byte) = out.get(from).copied() else { return false };
        out.push(byte);
    }
    true
}

/// Returns the offsets of containers that start like a module's source (`Attribut…` behind a flag byte).
pub(crate) fn find_sources(stream: &[u8]) -> Vec<usize> {
    const STARTS: [&[u8]; 2] = [b"\0Attribut", b"\0attribut"];
    let mut offs: Vec<usize> = STARTS
        .iter()
        .flat_map(|start| memchr::memmem::find_iter(stream, start))
        .filter_map(|found| found.checked_sub(3))
        .filter(|off| {
            let header = stream.get(off.saturating_add(2)).copied().unwrap_or(0);
            stream.get(*off) == Some(&SIGNATURE) && header & 0xf0 == 0xb0
        })
        .take(SOURCES_MAX)
        .collect();
    offs.sort_unstable();
    offs
}

/// Modules that are looked for in one stream; an honest stream has one.
const SOURCES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        // [1] §3.2: no compression, normal compression, maximum compression.
        let cases: [(&[u8], &[u8]); 3] = [
            (
                b"\x01\x19\xb0\x00abcdefgh\x00ijklmnop\x00qrstuv.",
                b"abcdefghijklmnopqrstuv.",
            ),
            (
                b"\x01\x2f\xb0\x00\x23\x61\x61\x61\x62\x63\x64\x65\x82\x66\x00\x70\x61\x67\x68\x69\x6a\x01\x38\x08\x61\x6b\x6c\x00\x30\x6d\x6e\x6f\x70\x06\x71\x02\x70\x04\x10\x72\x73\x74\x75\x76\x10\x77\x78\x79\x7a\x00\x3c",
                b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa",
            ),
            (b"\x01\x03\xb0\x02a\x45\x00", &[b'a'; 73]),
        ];
        for (container, want) in cases {
            let got = decompress(container, 1 << 20).expect("a container");
            assert_eq!(got.bytes.escape_ascii().to_string(), want.escape_ascii().to_string());
            assert!(got.whole);
        }
    }

    #[test]
    fn damage_keeps_what_came_before() {
        let got = decompress(b"\x01\x19\xb0\x02a\x00\xf0", 1 << 20).expect("a container");
        assert_eq!((got.bytes.as_slice(), got.whole), (&b"a"[..], false));
        assert_eq!(decompress(b"\x02", 9), None);
    }
}
