//! The ciphers of documents: RC4, and AES in CBC, CTR and ECB mode without padding rules.
//!
//! Promises: never panics on lengths; an incomplete last block is left out.
//! Leaves out: encryption of documents (only what key derivation needs of it), constant time: the keys
//! come from the object itself.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};

/// Bytes of an AES block.
pub(crate) const BLOCK_LEN: usize = 16;

/// Decrypts or encrypts with RC4; an empty key leaves the data as it is.
pub(crate) fn rc4(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=u8::MAX).collect();
    if key.is_empty() {
        return data.to_vec();
    }
    let mut j = 0u8;
    for (i, key) in (0..=u8::MAX).zip(key.iter().cycle()) {
        j = j.wrapping_add(at(&state, i)).wrapping_add(*key);
        state.swap(usize::from(i), usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    data.iter()
        .map(|byte| {
            i = i.wrapping_add(1);
            j = j.wrapping_add(at(&state, i));
            state.swap(usize::from(i), usize::from(j));
            byte ^ at(&state, at(&state, i).wrapping_add(at(&state, j)))
        })
        .collect()
}

fn at(state: &[u8], idx: u8) -> u8 {
    state.get(usize::from(idx)).copied().unwrap_or(0)
}

enum Aes {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

impl Aes {
    fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(|aes| Self::Short(Box::new(aes))),
            24 => Aes192::new_from_slice(key).ok().map(|aes| Self::Middle(Box::new(aes))),
            32 => Aes256::new_from_slice(key).ok().map(|aes| Self::Long(Box::new(aes))),
            _ => None,
        }
    }

    fn decrypt(&self, block: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        let mut block = Array::from(block);
        match self {
            Self::Short(aes) => aes.decrypt_block(&mut block),
            Self::Middle(aes) => aes.decrypt_block(&mut block),
            Self::Long(aes) => aes.decrypt_block(&mut block),
        }
        block.into()
    }

    fn encrypt(&self, block: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        let mut block = Array::from(block);
        match self {
            Self::Short(aes) => aes.encrypt_block(&mut block),
            Self::Middle(aes) => aes.encrypt_block(&mut block),
            Self::Long(aes) => aes.encrypt_block(&mut block),
        }
        block.into()
    }
}

fn blocks(data: &[u8]) -> impl Iterator<Item = [u8; BLOCK_LEN]> + '_ {
    data.chunks_exact(BLOCK_LEN).filter_map(|raw| raw.try_into().ok())
}

/// Decrypts AES-CBC; none when the key has no AES length.
pub(crate) fn cbc_decrypt(key: &[u8], iv: [u8; BLOCK_LEN], data: &[u8]) -> Option<Vec<u8>> {
    let aes = Aes::new(key)?;
    let mut before = iv;
    let mut out = Vec::with_capacity(data.len());
    for block in blocks(data) {
        let plain = aes.decrypt(block);
        out.extend(plain.iter().zip(before).map(|(plain, before)| plain ^ before));
        before = block;
    }
    Some(out)
}

/// Encrypts AES-CBC; none when the key has no AES length.
pub(crate) fn cbc_encrypt(key: &[u8], iv: [u8; BLOCK_LEN], data: &[u8]) -> Option<Vec<u8>> {
    let aes = Aes::new(key)?;
    let mut before = iv;
    let mut out = Vec::with_capacity(data.len());
    for mut block in blocks(data) {
        for (byte, before) in block.iter_mut().zip(before) {
            *byte ^= before;
        }
        before = aes.encrypt(block);
        out.extend_from_slice(&before);
    }
    Some(out)
}

/// Decrypts AES-ECB; none when the key has no AES length.
pub(crate) fn ecb_decrypt(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let aes = Aes::new(key)?;
    Some(blocks(data).flat_map(|block| aes.decrypt(block)).collect())
}

/// Encrypts or decrypts AES-CTR with a counter of 32 bits at the end of the first block, as GCM counts; none when
/// the key has no AES length.
pub(crate) fn ctr(key: &[u8], first: [u8; BLOCK_LEN], data: &[u8]) -> Option<Vec<u8>> {
    let aes = Aes::new(key)?;
    let mut counter = first;
    let mut out = Vec::with_capacity(data.len());
    for block in data.chunks(BLOCK_LEN) {
        let stream = aes.encrypt(counter);
        out.extend(block.iter().zip(stream).map(|(byte, stream)| byte ^ stream));
        if let Some(number) = counter.last_chunk_mut::<4>() {
            *number = u32::from_be_bytes(*number).wrapping_add(1).to_be_bytes();
        }
    }
    Some(out)
}

/// Cuts PKCS #7 padding off when it looks like padding.
pub(crate) fn unpad(mut data: Vec<u8>) -> Vec<u8> {
    let pad = data.last().copied().map_or(0, usize::from);
    if (1..=BLOCK_LEN).contains(&pad) && pad <= data.len() {
        data.truncate(data.len().saturating_sub(pad));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // RC4: the vector of the original posting. AES: FIPS 197 appendix C.
        assert_eq!(rc4(b"Key", b"Plaintext"), b"\xbb\xf3\x16\xe8\xd9\x40\xaf\x0a\xd3");
        let plain: Vec<u8> = (0..16).map(|idx: u8| idx * 0x11).collect();
        let key: Vec<u8> = (0..32).collect();
        for (len, first) in [(16, 0x69), (24, 0xdd), (32, 0x8e)] {
            let packed = cbc_encrypt(&key[..len], [0; 16], &plain).expect("an AES key");
            assert_eq!(packed[0], first);
            assert_eq!(cbc_decrypt(&key[..len], [0; 16], &packed).as_deref(), Some(&plain[..]));
            assert_eq!(ecb_decrypt(&key[..len], &packed).as_deref(), Some(&plain[..]));
        }
        assert_eq!(cbc_decrypt(&key[..5], [0; 16], &plain), None);
    }
}
