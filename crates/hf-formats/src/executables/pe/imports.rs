//! The import string of a PE, whose MD5 is the import hash.
//!
//! Promises: `library.function` for every import in order, lower case, joined by commas; the same bytes as
//! `sigtool --imp` hashes wherever that gives a hash. Where it gives none, this goes on
//! as the Python module pefile does: names with `?`, `@`, `$`, `<`, `>`, `(` or `)` (C++), a directory
//! size that is too large, and names in the last 256 bytes of a file. Bounded: descriptors, functions and bytes have limits.
//! Leaves out: delayed and bound imports, which the hash does not know.
//! Sources: [1] Microsoft, "PE Format", `.idata`; [2] black-box runs of sigtool 1.4.6.

use super::{headers::Headers, ordinals};
use crate::reader::Reader;

/// Descriptors read [2].
const DESCRIPTORS_MAX: usize = 1024;
/// Bytes of a name that count; the rest is cut [2].
const NAME_LEN_MAX: usize = 256;
/// Functions of all libraries together; ours: enough for any real program.
const FUNCTIONS_MAX: usize = 1 << 17;
/// Bytes of the string; ours.
const STRING_LEN_MAX: usize = 4 << 20;

const IMPORT_DIRECTORY: usize = 1;
const DESCRIPTOR_LEN: u64 = 20;
/// Suffixes left out of a library's name.
const SUFFIXES: [&[u8]; 3] = [b".dll", b".ocx", b".sys"];

/// Returns the import string, or none when there are no imports or they cannot be read.
pub(crate) fn import_string(bytes: &[u8], headers: &Headers) -> Option<Vec<u8>> {
    let (table_rva, table_len) = headers.directory(IMPORT_DIRECTORY)?;
    let mut table = Reader::new(headers.bytes_at(bytes, table_rva)?);
    let mut left = table_len;
    let mut string = Vec::new();
    let mut functions_left = FUNCTIONS_MAX;
    for _ in 0..DESCRIPTORS_MAX {
        // The last descriptor of the claimed length is the empty one, and is not looked at [2].
        if left <= DESCRIPTOR_LEN {
            break;
        }
        left = left.saturating_sub(DESCRIPTOR_LEN);
        let Ok([lookup_rva, _, _, name_rva, address_rva]) = descriptor(&mut table) else { break };
        if name_rva == 0 {
            break;
        }
        let library = lower(c_string(headers.bytes_at(bytes, name_rva)?));
        let thunks = [lookup_rva, address_rva]
            .into_iter()
            .find_map(|rva| headers.bytes_at(bytes, rva).filter(|_| rva != 0))
            .or_else(|| headers.bytes_at(bytes, address_rva));
        let Some(thunks) = thunks else { continue };
        functions(bytes, headers, &library, thunks, &mut functions_left, &mut string)?;
    }
    Some(string)
}

fn descriptor(table: &mut Reader<'_>) -> Result<[u64; 5], hf_core::Defect> {
    let mut fields = [0; 5];
    for field in &mut fields {
        *field = u64::from(table.u32_le()?);
    }
    Ok(fields)
}

fn functions(
    bytes: &[u8],
    headers: &Headers,
    library: &[u8],
    thunks: &[u8],
    functions_left: &mut usize,
    string: &mut Vec<u8>,
) -> Option<()> {
    let stem = stem(library);
    let known = library.strip_suffix(b".dll").unwrap_or_default();
    let mut thunks = Reader::new(thunks);
    loop {
        let thunk = if headers.is_64 { thunks.u64_le() } else { thunks.u32_le().map(u64::from) };
        let Some(thunk) = thunk.ok().filter(|thunk| *thunk != 0) else { return Some(()) };
        *functions_left = functions_left.checked_sub(1)?;
        let by_ordinal = thunk >> if headers.is_64 { 63 } else { 31 } == 1;
        if !string.is_empty() {
            string.push(b',');
        }
        string.extend_from_slice(stem);
        string.push(b'.');
        if by_ordinal {
            let ordinal = u16::try_from(thunk & 0xffff).unwrap_or(0);
            match ordinals::name_of(known, ordinal) {
                Some(name) => string.extend_from_slice(name.as_bytes()),
                None => string.extend_from_slice(format!("ord{ordinal}").as_bytes()),
            }
        } else {
            let hint_and_name = headers.bytes_at(bytes, thunk & 0x7fff_ffff);
            let name = c_string(hint_and_name.and_then(|at| at.get(2..)).unwrap_or_default());
            if !name.iter().all(|byte| is_name_byte(*byte)) {
                return None;
            }
            string.extend_from_slice(&lower(name));
        }
        if string.len() > STRING_LEN_MAX {
            return None;
        }
    }
}

/// Returns a library's name without its suffix; what counts is its first dot [2].
fn stem(library: &[u8]) -> &[u8] {
    let dot = library.iter().position(|byte| *byte == b'.').unwrap_or(library.len());
    let (front, suffix) = library.split_at_checked(dot).unwrap_or((library, b""));
    if SUFFIXES.iter().any(|known| suffix.starts_with(known)) { front } else { library }
}

fn c_string(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.get(..bytes.len().min(NAME_LEN_MAX)).unwrap_or_default();
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..len).unwrap_or_default()
}

fn lower(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_lowercase()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._?@$()<>".contains(&byte)
}
