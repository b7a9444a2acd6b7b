//! Keys and ciphers of RAR.

use hf_core::Stop;
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::member::Archive;
use crate::documents::cipher::cbc_decrypt;

/// Ours: rounds of SHA that one archive may cost.
const ROUNDS_MAX: u64 = 1 << 22;
const ROUNDS_3: u32 = 0x4_0000;

/// How a member is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crypt {
    /// Not at all.
    None,
    /// RAR 1.5.
    V15,
    /// RAR 2.0.
    V20,
    /// RAR 3: AES-128.
    V30([u8; 8]),
    /// RAR 5: AES-256.
    V50(Crypt5),
    /// In a way that is not known.
    Unknown,
}

/// The parameters of RAR 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crypt5 {
    pub(super) rounds_log: u8,
    pub(super) salt: [u8; 16],
    pub(super) iv: [u8; 16],
    /// By which a password is known to fit.
    pub(super) check: Option<[u8; 8]>,
    /// Checksums depend on the key.
    pub(super) tweaked: bool,
}

/// Keys that were derived, by password and salt.
#[derive(Debug, Default)]
pub(super) struct Keys {
    v30: Vec<(usize, [u8; 8], Key3)>,
    v50: Vec<(usize, u8, [u8; 16], Key5)>,
    rounds: u64,
}

/// The key and the first vector of RAR 3.
pub(super) type Key3 = ([u8; 16], [u8; 16]);

/// What RAR 5 derives from a password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key5 {
    pub(super) key: [u8; 32],
    hash_key: [u8; 32],
    check: [u8; 8],
}

const CACHED_MAX: usize = 32;

impl Key5 {
    pub(super) fn fits(&self, crypt: &Crypt5) -> bool {
        crypt.check.is_none_or(|check| check == self.check)
    }

    /// Returns the checksum that a header has in place of this one.
    pub(super) fn tweak(&self, crc32: u32) -> u32 {
        let digest = hmac(&self.hash_key, &[&crc32.to_le_bytes()]);
        digest.as_chunks::<4>().0.iter().fold(0, |all, word| all ^ u32::from_le_bytes(*word))
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

impl Archive<'_, '_> {
    /// Returns the key and the first vector of RAR 3 for a password; none when the archive has cost too
    /// much.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn key3(&mut self, idx: usize, salt: [u8; 8]) -> Result<Option<Key3>, Stop> {
        let known = self.keys.v30.iter().find(|known| (known.0, known.1) == (idx, salt));
        if let Some(known) = known {
            return Ok(Some(known.2));
        }
        if !self.may_derive(u64::from(ROUNDS_3))? {
            return Ok(None);
        }
        let Some(password) = self.passwords().get(idx) else { return Ok(None) };
        let key = derive3(password, salt);
        if self.keys.v30.len() >= CACHED_MAX {
            self.keys.v30.remove(0);
        }
        self.keys.v30.push((idx, salt, key));
        Ok(Some(key))
    }

    /// Returns the key of RAR 5 for a password; none when the archive has cost too much.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn key5(
        &mut self,
        idx: usize,
        rounds_log: u8,
        salt: [u8; 16],
    ) -> Result<Option<Key5>, Stop> {
        let wanted = (idx, rounds_log, salt);
        let known = self.keys.v50.iter().find(|known| (known.0, known.1, known.2) == wanted);
        if let Some(known) = known {
            return Ok(Some(known.3));
        }
        let rounds = 1u64.checked_shl(u32::from(rounds_log)).unwrap_or(u64::MAX);
        if rounds_log > 24 || !self.may_derive(rounds)? {
            return Ok(None);
        }
        let Some(password) = self.passwords().get(idx).cloned() else { return Ok(None) };
        let key = derive5(&password, salt, rounds, self)?;
        if self.keys.v50.len() >= CACHED_MAX {
            self.keys.v50.remove(0);
        }
        self.keys.v50.push((idx, rounds_log, salt, key));
        Ok(Some(key))
    }

    fn may_derive(&mut self, rounds: u64) -> Result<bool, Stop> {
        self.sink.poll()?;
        let all = self.keys.rounds.saturating_add(rounds);
        if all > ROUNDS_MAX {
            return Ok(false);
        }
        self.keys.rounds = all;
        Ok(true)
    }

    /// Decrypts data with a password; none when it cannot be this one.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn decrypt(
        &mut self,
        idx: usize,
        crypt: Crypt,
        data: &[u8],
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Some(password) = self.passwords().get(idx).cloned() else { return Ok(None) };
        match crypt {
            Crypt::None => Ok(Some(data.to_vec())),
            Crypt::V15 => {
                let mut data = data.to_vec();
                rars::crypto::rar15::Rar15Cipher::new(&password).crypt_in_place(&mut data);
                Ok(Some(data))
            }
            Crypt::V20 => {
                let whole = data.len() & !15;
                let mut data = data.get(..whole).unwrap_or_default().to_vec();
                let mut cipher = rars::crypto::rar20::Rar20Cipher::new(&password);
                Ok(cipher.decrypt_in_place(&mut data).ok().map(|()| data))
            }
            Crypt::V30(salt) => {
                let Some((key, iv)) = self.key3(idx, salt)? else { return Ok(None) };
                Ok(cbc_decrypt(&key, iv, data))
            }
            Crypt::V50(crypt) => {
                let key = self.key5(idx, crypt.rounds_log, crypt.salt)?;
                let key = key.filter(|key| key.fits(&crypt));
                Ok(key.and_then(|key| cbc_decrypt(&key.key, crypt.iv, data)))
            }
            Crypt::Unknown => Ok(None),
        }
    }
}

/// Derives the key and the first vector of RAR 3.
fn derive3(password: &[u8], salt: [u8; 8]) -> Key3 {
    let mut seed = Vec::new();
    for unit in String::from_utf8_lossy(password).encode_utf16().take(127) {
        seed.extend_from_slice(&unit.to_le_bytes());
    }
    seed.extend_from_slice(&salt);
    let mut hash = Sha1::new();
    let mut iv = [0u8; 16];
    for round in 0..ROUNDS_3 {
        let [b0, b1, b2, _] = round.to_le_bytes();
        hash.update(&seed);
        hash.update([b0, b1, b2]);
        if round % (ROUNDS_3 / 16) == 0 {
            let last = hash.clone().finalize().last().copied().unwrap_or(0);
            let at = usize::try_from(round / (ROUNDS_3 / 16)).unwrap_or(0);
            if let Some(byte) = iv.get_mut(at) {
                *byte = last;
            }
        }
    }
    let digest = hash.finalize();
    let mut key = [0u8; 16];
    for (to, from) in key.as_chunks_mut::<4>().0.iter_mut().zip(digest.as_chunks::<4>().0) {
        *to = u32::from_be_bytes(*from).to_le_bytes();
    }
    (key, iv)
}

/// Derives the keys of RAR 5: PBKDF2 with SHA-256, and two more values after 16 and 32 more rounds.
fn derive5(
    password: &[u8],
    salt: [u8; 16],
    rounds: u64,
    archive: &mut Archive<'_, '_>,
) -> Result<Key5, Stop> {
    let empty = Key5 { key: [0; 32], hash_key: [0; 32], check: [0; 8] };
    let Ok(keyed) = Hmac::<Sha256>::new_from_slice(password) else { return Ok(empty) };
    let next = |data: &[&[u8]]| -> [u8; 32] {
        let mut mac = keyed.clone();
        data.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut block = next(&[&salt, &[0, 0, 0, 1]]);
    let mut sum = block;
    let mut values = [[0u8; 32]; 3];
    for (value, more) in values.iter_mut().zip([rounds.saturating_sub(1), 16, 16]) {
        for round in 0..more {
            if round % 0x1_0000 == 0 {
                archive.sink.poll()?;
            }
            block = next(&[&block]);
            sum.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
        }
        *value = sum;
    }
    let [key, hash_key, check_value] = values;
    let mut check = [0u8; 8];
    for part in check_value.as_chunks::<8>().0 {
        check.iter_mut().zip(part).for_each(|(check, byte)| *check ^= byte);
    }
    Ok(Key5 { key, hash_key, check })
}
