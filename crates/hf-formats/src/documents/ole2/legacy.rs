//! Encryption of binary documents: Word's and PowerPoint's streams, and Excel's XOR obfuscation.
//!
//! Promises: one pass over each stream; a password is believed only when the document's own check fits.
//! Leaves out: pictures and summaries of encrypted documents, which lie in streams of their own.
//! Sources: [1] MS-OFFCRYPTO §2.3.7 (XOR), §2.3.5 and §2.3.6 (RC4); [2] MS-DOC §2.2.6; [3] MS-PPT §2.3.3
//! (UserEditAtom), §2.3.4 (PersistDirectoryAtom), §2.3.7 (CryptSession10Container); [4] MS-XLS §2.2.10.

use std::collections::BTreeMap;

use super::offcrypto::StreamKey;
use crate::documents::cipher::rc4;
use crate::documents::le::{part, u16_at, u32_at};
use crate::reader::size;

/// The sixteen bytes that XOR obfuscation repeats.
pub(super) type XorArray = [u8; 16];

/// [1] §2.3.7.2: what short passwords are padded with.
const PAD: [u8; 15] =
    [0xbb, 0xff, 0xff, 0xba, 0xff, 0xff, 0xb9, 0x80, 0x00, 0xbe, 0x0f, 0x00, 0xbf, 0x0f, 0x00];
/// [1] §2.3.7.2: by the length of the password.
const INITIAL: [u16; 15] = [
    0xe1f0, 0x1d0f, 0xcc9c, 0x84c0, 0x110c, 0x0e10, 0xf1ce, 0x313e, 0x1872, 0xe139, 0xd40f, 0x84f9,
    0x280c, 0xa96a, 0x4ec3,
];
/// [1] §2.3.7.2: `XorMatrix`, seven values for each place of the password.
#[rustfmt::skip]
const MATRIX: [u16; 105] = [
    0xaefc, 0x4dd9, 0x9bb2, 0x2745, 0x4e8a, 0x9d14, 0x2a09,
    0x7b61, 0xf6c2, 0xfda5, 0xeb6b, 0xc6f7, 0x9dcf, 0x2bbf,
    0x4563, 0x8ac6, 0x05ad, 0x0b5a, 0x16b4, 0x2d68, 0x5ad0,
    0x0375, 0x06ea, 0x0dd4, 0x1ba8, 0x3750, 0x6ea0, 0xdd40,
    0xd849, 0xa0b3, 0x5147, 0xa28e, 0x553d, 0xaa7a, 0x44d5,
    0x6f45, 0xde8a, 0xad35, 0x4a4b, 0x9496, 0x390d, 0x721a,
    0xeb23, 0xc667, 0x9cef, 0x29ff, 0x53fe, 0xa7fc, 0x5fd9,
    0x47d3, 0x8fa6, 0x0f6d, 0x1eda, 0x3db4, 0x7b68, 0xf6d0,
    0xb861, 0x60e3, 0xc1c6, 0x93ad, 0x377b, 0x6ef6, 0xddec,
    0x45a0, 0x8b40, 0x06a1, 0x0d42, 0x1a84, 0x3508, 0x6a10,
    0xaa51, 0x4483, 0x8906, 0x022d, 0x045a, 0x08b4, 0x1168,
    0x76b4, 0xed68, 0xcaf1, 0x85c3, 0x1ba7, 0x374e, 0x6e9c,
    0x3730, 0x6e60, 0xdcc0, 0xa9a1, 0x4363, 0x86c6, 0x1dad,
    0x3331, 0x6662, 0xccc4, 0x89a9, 0x0373, 0x06e6, 0x0dcc,
    0x1021, 0x2042, 0x4084, 0x8108, 0x1231, 0x2462, 0x48c4,
];

/// [1] §2.3.7.1.
fn verifier(password: &[u8]) -> u16 {
    let len = u8::try_from(password.len()).unwrap_or(u8::MAX);
    let all = password.iter().rev().chain(std::iter::once(&len));
    let hash = all.fold(0u16, |hash, byte| {
        let carry = u16::from(hash & 0x4000 != 0);
        (hash.wrapping_mul(2) & 0x7fff | carry) ^ u16::from(*byte)
    });
    hash ^ 0xce4b
}

/// [1] §2.3.7.2: `CreateXorKey_Method1`.
fn xor_key(password: &[u8]) -> u16 {
    let first = password.len().checked_sub(1).and_then(|idx| INITIAL.get(idx));
    let mut key = first.copied().unwrap_or(0);
    let mut matrix = MATRIX.iter().rev();
    for byte in password.iter().rev() {
        for bit in 0..7u32 {
            let value = matrix.next().copied().unwrap_or(0);
            if u32::from(*byte) & 0x40u32.checked_shr(bit).unwrap_or(0) != 0 {
                key ^= value;
            }
        }
    }
    key
}

/// [1] §2.3.7.2: `CreateXorArray_Method1`; the password is repeated by the padding, and even places take
/// the low byte of the key.
fn xor_array(password: &[u8], key: u16) -> XorArray {
    let [low, high] = key.to_le_bytes();
    let mut array = [0u8; 16];
    for (idx, (slot, byte)) in array.iter_mut().zip(password.iter().chain(&PAD)).enumerate() {
        *slot = (byte ^ if idx.is_multiple_of(2) { low } else { high }).rotate_right(1);
    }
    array
}

/// Finds the password that fits a key and its check.
fn xor_of(key: u16, check: u16, passwords: &[Vec<u8>]) -> Option<XorArray> {
    passwords.iter().find_map(|password| {
        let password = password.get(..password.len().min(PAD.len()))?;
        let fits = !password.is_empty() && verifier(password) == check && xor_key(password) == key;
        fits.then(|| xor_array(password, key))
    })
}

/// Finds the password of a `FILEPASS` record of XOR obfuscation.
pub(super) fn excel_xor(record: &[u8], passwords: &[Vec<u8>]) -> Option<XorArray> {
    // Workbooks before Excel 97 have no field for the method.
    let off = match record.len() {
        4 => 0,
        _ if u16_at(record, 0) == Some(0) => 2usize,
        _ => return None,
    };
    xor_of(u16_at(record, off)?, u16_at(record, off.saturating_add(2))?, passwords)
}

/// Undoes the obfuscation of one record whose data lies at an offset of the stream ([4]).
pub(super) fn excel_record(array: &XorArray, off: usize, data: &mut [u8]) {
    let start = off.wrapping_add(data.len());
    for (idx, byte) in data.iter_mut().enumerate() {
        let key = array.get(start.wrapping_add(idx) & 15).copied().unwrap_or(0);
        *byte = (*byte ^ key).rotate_right(5);
    }
}

/// A Word document's streams, decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    key: WordKey,
    open_len: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum WordKey {
    Rc4(StreamKey),
    Xor(XorArray),
}

/// [2] §2.2.6.1: what stays as it is at the start of `WordDocument`.
const FIB_LEN: usize = 68;
const WORD_BLOCK_LEN: usize = 512;

impl Word {
    /// Finds the password; `fib` is the start of `WordDocument`.
    pub(super) fn find(fib: &[u8], table: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        let flags = u16_at(fib, 10)?;
        let key = u32_at(fib, 14)?;
        if flags & 0x8000 != 0 {
            let [low, high] = [u16_at(fib, 14)?, u16_at(fib, 16)?];
            let array = xor_of(high, low, passwords).or_else(|| xor_of(low, high, passwords))?;
            return Some(Self { key: WordKey::Xor(array), open_len: 0 });
        }
        let header = table.get(..size(u64::from(key)).min(table.len()))?;
        let found = StreamKey::of_info(header, passwords)?;
        Some(Self { key: WordKey::Rc4(found), open_len: header.len() })
    }

    /// Decrypts `WordDocument`, and clears the flag that says that it is encrypted.
    pub(super) fn document(&self, stream: &[u8]) -> Vec<u8> {
        let mut plain = self.stream(stream, FIB_LEN);
        if let Some(flags) = plain.get_mut(11) {
            *flags &= 0x7e;
        }
        plain
    }

    /// Decrypts the table stream.
    pub(super) fn table(&self, stream: &[u8]) -> Vec<u8> {
        self.stream(stream, self.open_len)
    }

    /// Decrypts a stream of which the first bytes are not encrypted.
    pub(super) fn stream(&self, stream: &[u8], open_len: usize) -> Vec<u8> {
        let mut plain = match &self.key {
            WordKey::Rc4(key) => rc4_blocks(key, stream, WORD_BLOCK_LEN),
            // [1] §2.3.7.6: zeros, and what would become zero, stay.
            WordKey::Xor(array) => stream
                .iter()
                .zip(array.iter().cycle())
                .map(|(byte, key)| match byte ^ key {
                    0 => *byte,
                    _ if *byte == 0 => 0,
                    other => other,
                })
                .collect(),
        };
        let open = part(stream, 0, open_len);
        if let Some(to) = plain.get_mut(..open.len()) {
            to.copy_from_slice(open);
        }
        plain
    }
}

fn rc4_blocks(key: &StreamKey, stream: &[u8], block_len: usize) -> Vec<u8> {
    let blocks = (0u32..).zip(stream.chunks(block_len));
    blocks.flat_map(|(number, block)| rc4(&key.block(number), block)).collect()
}

/// Edits of one presentation that are followed.
const EDITS_MAX: usize = 1024;
/// Objects of one presentation.
const OBJECTS_MAX: usize = 1 << 16;

/// Decrypts a `PowerPoint Document` stream: each object by its number. None when no password fits.
pub(super) fn powerpoint(user: &[u8], stream: &[u8], passwords: &[Vec<u8>]) -> Option<Vec<u8>> {
    // [3]: record types.
    const SESSION: u16 = 0x2f14;
    let (objects, session) = persistent(user, stream);
    let off = *objects.get(&session?)?;
    let is_session = u16_at(stream, off.checked_add(2)?) == Some(SESSION);
    let len = size(u64::from(u32_at(stream, off.checked_add(4)?)?));
    let info = part(stream, off.checked_add(8)?, if is_session { len } else { stream.len() });
    let key = StreamKey::of_info(info, passwords)?;
    let mut starts: Vec<(usize, u32)> = objects.iter().map(|(id, off)| (*off, *id)).collect();
    starts.sort_unstable();
    starts.dedup_by_key(|(off, _)| *off);
    let mut plain = stream.to_vec();
    for (idx, (off, id)) in starts.iter().enumerate() {
        if Some(*id) == session {
            continue;
        }
        let next = starts.get(idx.saturating_add(1)).map_or(stream.len(), |(off, _)| *off);
        let Some(packed) = stream.get(*off..next) else { continue };
        let object = rc4(&key.block(*id), packed);
        let len = u32_at(&object, 4).map_or(0, |len| size(u64::from(len))).saturating_add(8);
        let object = part(&object, 0, len);
        if let Some(to) = plain.get_mut(*off..off.saturating_add(object.len())) {
            to.copy_from_slice(object);
        }
    }
    Some(plain)
}

/// Returns where the objects of a presentation lie, newest edit first, and which one holds the key's check.
fn persistent(user: &[u8], stream: &[u8]) -> (BTreeMap<u32, usize>, Option<u32>) {
    const EDIT: u16 = 0x0ff5;
    const DIRECTORY: u16 = 0x1772;
    let mut objects = BTreeMap::new();
    let mut session = None;
    let at = |off: usize, field: usize| u32_at(stream, off.saturating_add(field));
    let mut edit = u32_at(user, 16).map(|off| size(u64::from(off)));
    let mut left = OBJECTS_MAX;
    for _ in 0..EDITS_MAX {
        let Some(off) = edit.filter(|off| u16_at(stream, off.saturating_add(2)) == Some(EDIT))
        else {
            break;
        };
        if at(off, 4).is_some_and(|len| len >= 0x20) {
            session = session.or(at(off, 36));
        }
        let directory = at(off, 20).map_or(usize::MAX, |off| size(u64::from(off)));
        if u16_at(stream, directory.saturating_add(2)) == Some(DIRECTORY) {
            let len = at(directory, 4).map_or(0, |len| size(u64::from(len)));
            let words = part(stream, directory.saturating_add(8), len);
            let mut words = words.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
            while let Some(head) = words.next() {
                let (first, count) = (head & 0x000f_ffff, head >> 20);
                for (id, off) in (first..).zip(words.by_ref().take(size(u64::from(count)))) {
                    left = left.saturating_sub(1);
                    objects.entry(id).or_insert(size(u64::from(off)));
                }
            }
        }
        edit = at(off, 16).filter(|off| *off != 0 && left > 0).map(|off| size(u64::from(off)));
    }
    (objects, session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_password_of_excel() {
        // The `FILEPASS` record that every such workbook has.
        let record = [0, 0, 0x59, 0xb3, 0x0a, 0x9a];
        let array = excel_xor(&record, &[b"no".to_vec(), b"VelvetSweatshop".to_vec()]);
        let array = array.expect("a password");
        let mut data = *b"sixteen bytes and more";
        for (idx, byte) in data.iter_mut().enumerate() {
            *byte = byte.rotate_left(5) ^ array[(100 + 22 + idx) & 15];
        }
        excel_record(&array, 100, &mut data);
        assert_eq!(&data, b"sixteen bytes and more");
        assert_eq!(excel_xor(&record, &[b"no".to_vec(), Vec::new()]), None);
    }

    #[test]
    fn hostile_presentations_end() {
        let mut user = vec![0; 20];
        user[16] = 0;
        let mut stream = vec![0xff; 400];
        stream[2..4].copy_from_slice(&[0xf5, 0x0f]);
        stream[16..20].copy_from_slice(&[0, 0, 0, 0]);
        assert_eq!(powerpoint(&user, &stream, &[]), None);
        assert_eq!(powerpoint(&[], &[], &[]), None);
    }
}
