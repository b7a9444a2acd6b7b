//! What is in a zip or tar archive from a stranger: names and bytes, in memory, within bounds.
//!
//! Nothing is written by a name from the archive; whoever writes gives names of his own.
//! Leaves out: links, devices, encryption, zip64, methods other than stored and deflate. What is left out is told.
//! Limits: [`ENTRIES_MAX`] entries, [`TOTAL_MAX`] bytes in all.
//! Sources: APPNOTE 6.3 §4.3 (zip); POSIX `pax`, section "ustar Interchange Format", and GNU's long names (tar).

use std::io::Read;

use flate2::read::{DeflateDecoder, GzDecoder};

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, as it stands there.
    pub path: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Most entries; ours.
const ENTRIES_MAX: usize = 100_000;
/// Most bytes of all entries that are wanted; ours.
const TOTAL_MAX: u64 = 512 << 20;

/// Returns the files in an archive that are wanted by their path, and what was left out.
///
/// # Errors
/// It is no archive of these kinds, malformed, or too much.
pub fn entries(
    bytes: &[u8],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Entry>, Vec<String>), String> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip(bytes, wanted);
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        // What is not wanted is read over, too, so that the bound holds for all of it.
        return tar(&mut GzDecoder::new(bytes).take(TOTAL_MAX * 4), wanted);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return tar(&mut &bytes[..], wanted);
    }
    Err("it is neither a zip nor a tar archive (plain or gzip)".to_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(field)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(field)).ok()
}

fn zip(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<(Vec<Entry>, Vec<String>), String> {
    let malformed = || "the zip archive is malformed".to_owned();
    let tail = bytes.len().saturating_sub(22 + 65_535);
    let end = bytes
        .get(tail..)
        .unwrap_or_default()
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06");
    let end = end.ok_or_else(malformed)?.saturating_add(tail);
    let count = u16_at(bytes, end + 10).ok_or_else(malformed)?;
    let mut at = u32_at(bytes, end + 16).ok_or_else(malformed)?;
    let (mut found, mut left_out, mut total) = (Vec::new(), Vec::new(), 0u64);
    for _ in 0..count.min(ENTRIES_MAX) {
        let field = |off: usize| u16_at(bytes, at.saturating_add(off)).ok_or_else(malformed);
        let long = |off: usize| u32_at(bytes, at.saturating_add(off)).ok_or_else(malformed);
        if bytes.get(at..at.saturating_add(4)) != Some(b"PK\x01\x02") {
            return Err(malformed());
        }
        let (flags, method, name_len) = (field(8)?, field(10)?, field(28)?);
        let (packed_len, local) = (long(20)?, long(42)?);
        let name = bytes.get(at.saturating_add(46)..at.saturating_add(46).saturating_add(name_len));
        let path = String::from_utf8_lossy(name.ok_or_else(malformed)?).into_owned();
        at = at
            .saturating_add(46)
            .saturating_add(name_len)
            .saturating_add(field(30)?)
            .saturating_add(field(32)?);
        if path.ends_with('/') || !wanted(&path) {
            continue;
        }
        if flags & 1 != 0 || !matches!(method, 0 | 8) {
            left_out.push(format!("{path}: encrypted, or packed by a method that is not read"));
            continue;
        }
        let name_len = u16_at(bytes, local.saturating_add(26)).ok_or_else(malformed)?;
        let extra_len = u16_at(bytes, local.saturating_add(28)).ok_or_else(malformed)?;
        let start = local.saturating_add(30).saturating_add(name_len).saturating_add(extra_len);
        let packed = bytes.get(start..start.saturating_add(packed_len)).ok_or_else(malformed)?;
        let data = match method {
            0 => packed.to_vec(),
            _ => unpacked(&mut DeflateDecoder::new(packed), TOTAL_MAX.saturating_sub(total))?,
        };
        total = total.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if total > TOTAL_MAX {
            return Err("there is too much in the archive".to_owned());
        }
        found.push(Entry { path, data });
    }
    Ok((found, left_out))
}

fn unpacked(from: &mut dyn Read, max: u64) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    from.take(max.saturating_add(1))
        .read_to_end(&mut data)
        .map_err(|err| format!("the archive is damaged: {err}"))?;
    match u64::try_from(data.len()).unwrap_or(u64::MAX) > max {
        true => Err("there is too much in the archive".to_owned()),
        false => Ok(data),
    }
}

fn tar(
    from: &mut dyn Read,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Entry>, Vec<String>), String> {
    let (mut found, mut left_out, mut total) = (Vec::new(), Vec::new(), 0u64);
    let mut long_name = None;
    for _ in 0..ENTRIES_MAX {
        let mut block = [0u8; 512];
        if from.read_exact(&mut block).is_err() || block.iter().all(|byte| *byte == 0) {
            return Ok((found, left_out));
        }
        let text = |from: usize, len: usize| {
            let field = block.get(from..from.saturating_add(len)).unwrap_or_default();
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
        };
        let size = u64::from_str_radix(text(124, 12).trim(), 8);
        let size = size.map_err(|_| "the tar archive is malformed".to_owned())?;
        let prefix =
            if block.get(257..262) == Some(b"ustar") { text(345, 155) } else { String::new() };
        let name = text(0, 100);
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let path = long_name.take().unwrap_or(path);
        let kind = block[156];
        let padding = size.next_multiple_of(512).saturating_sub(size);
        let keep = matches!(kind, b'0' | 0) && wanted(&path);
        if kind == b'L' && size <= 4096 {
            let data = unpacked(&mut from.take(size), 4096)?;
            skip(from, padding)?;
            long_name = Some(String::from_utf8_lossy(&data).trim_end_matches('\0').to_owned());
            continue;
        }
        if !keep {
            if wanted(&path) {
                left_out.push(format!("{path}: a link or something else that is no file"));
            }
            skip(from, size.saturating_add(padding))?;
            continue;
        }
        total = total.saturating_add(size);
        if total > TOTAL_MAX {
            return Err("there is too much in the archive".to_owned());
        }
        let data = unpacked(&mut from.take(size), size)?;
        if u64::try_from(data.len()) != Ok(size) {
            return Err("the tar archive is cut off".to_owned());
        }
        skip(from, padding)?;
        found.push(Entry { path, data });
    }
    Err("there are too many files in the archive".to_owned())
}

fn skip(from: &mut dyn Read, len: u64) -> Result<(), String> {
    std::io::copy(&mut from.take(len), &mut std::io::sink())
        .map(|_| ())
        .map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar_of(list: &[(&str, u8, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, data) in list {
            let mut block = vec![0; 512];
            block[..name.len()].copy_from_slice(name.as_bytes());
            block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
            block[156] = *kind;
            block[257..262].copy_from_slice(b"ustar");
            block.extend_from_slice(data.as_bytes());
            block.resize(block.len().next_multiple_of(512), 0);
            out.extend(block);
        }
        out.extend([0; 1024]);
        out
    }

    fn zip_of(path: &str, data: &[u8]) -> Vec<u8> {
        let mut packer =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(data).unwrap();
        let packed = packer.finish().unwrap();
        let len = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let name_len = u16::try_from(path.len()).unwrap().to_le_bytes();
        let mut out = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
        out.extend(len(packed.len()));
        out.extend(len(data.len()));
        out.extend(name_len);
        out.extend([0, 0]);
        out.extend(path.as_bytes());
        out.extend(&packed);
        let directory = out.len();
        out.extend(b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0");
        out.extend(len(packed.len()));
        out.extend(len(data.len()));
        out.extend(name_len);
        out.extend([0; 12]);
        out.extend(len(0));
        out.extend(path.as_bytes());
        let end = out.len();
        out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        out.extend(len(end - directory));
        out.extend(len(directory));
        out.extend([0, 0]);
        out
    }

    fn rules(path: &str) -> bool {
        path.ends_with(".yar")
    }

    #[test]
    fn archives() {
        let tar = tar_of(&[
            ("a/x.yar", b'0', "rule x"),
            ("b.txt", b'0', "no"),
            ("l.yar", b'2', ""),
            ("../../y.yar", b'0', "y"),
        ]);
        let (found, left_out) = entries(&tar, &rules).unwrap();
        let paths: Vec<&str> = found.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!((paths, left_out.len()), (vec!["a/x.yar", "../../y.yar"], 1));
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&tar).unwrap();
        assert_eq!(entries(&packer.finish().unwrap(), &rules).unwrap().0.len(), 2);
        let zip = zip_of("d/z.yar", b"rule z { condition: true }");
        assert_eq!(entries(&zip, &rules).unwrap().0[0].data, b"rule z { condition: true }");
        assert!(entries(b"hello", &rules).is_err());
        for archive in [tar, zip] {
            for len in (0..archive.len()).step_by(7) {
                // Never a panic, never more than there is.
                if let Ok((found, _)) = entries(&archive[..len], &rules) {
                    assert!(found.len() <= 2);
                }
            }
        }
    }

    #[test]
    fn bombs() {
        let zip = zip_of("x.yar", &vec![0; 64 << 20]);
        assert!(zip.len() < 2_000_000);
        assert_eq!(
            unpacked(&mut DeflateDecoder::new(&zip[35..]), 1 << 20).unwrap_err(),
            "there is too much in the archive"
        );
    }
}
