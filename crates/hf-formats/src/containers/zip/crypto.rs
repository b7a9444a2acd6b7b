//! Decryption of members: PKWARE's traditional cipher (APPNOTE.TXT 6.1) and WinZip AES (AE-1, AE-2).

use std::fmt;
use std::io::{self, BufRead, Read};

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use hf_core::{Sink, Stop};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// A cipher that turns bytes back in order.
pub(super) trait Cipher {
    /// Decrypts the next bytes.
    fn decrypt(&mut self, bytes: &mut [u8]);
}

/// Encrypted input, decrypted as it is read.
pub(super) struct Decrypting<'a, C> {
    input: &'a [u8],
    cipher: C,
    buffer: [u8; 4096],
    at: usize,
    filled: usize,
}

impl<C> fmt::Debug for Decrypting<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypting").field("left", &self.input.len()).finish_non_exhaustive()
    }
}

impl<'a, C: Cipher> Decrypting<'a, C> {
    /// Returns the input as it was before encryption.
    pub(super) fn new(input: &'a [u8], cipher: C) -> Self {
        Self { input, cipher, buffer: [0; 4096], at: 0, filled: 0 }
    }
}

impl<C: Cipher> Read for Decrypting<'_, C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl<C: Cipher> BufRead for Decrypting<'_, C> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.filled {
            self.filled = self.input.read(&mut self.buffer)?;
            self.at = 0;
            self.cipher.decrypt(self.buffer.get_mut(..self.filled).unwrap_or_default());
        }
        Ok(self.buffer.get(self.at..self.filled).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.at.saturating_add(amount).min(self.filled);
    }
}

/// The traditional cipher.
#[derive(Debug, Clone)]
pub(in crate::containers) struct Traditional([u32; 3]);

/// Bytes in front of traditionally encrypted data.
pub(super) const TRADITIONAL_HEADER_LEN: usize = 12;

impl Traditional {
    /// Returns the cipher behind the header of `input` when its check byte is one of those given.
    pub(in crate::containers) fn with_password(
        password: &[u8],
        input: &[u8],
        checks: &[u8],
    ) -> Option<Self> {
        let mut cipher = Self([0x1234_5678, 0x2345_6789, 0x3456_7890]);
        for byte in password {
            cipher.update(*byte);
        }
        let mut header: [u8; TRADITIONAL_HEADER_LEN] = *input.first_chunk()?;
        cipher.decrypt(&mut header);
        checks.contains(header.last()?).then_some(cipher)
    }

    /// Decrypts all that follows.
    pub(in crate::containers) fn decrypt_all(&mut self, bytes: &mut [u8]) {
        self.decrypt(bytes);
    }

    fn update(&mut self, byte: u8) {
        let [a, b, c] = &mut self.0;
        *a = crc32_step(*a, byte);
        *b = b.wrapping_add(*a & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        *c = crc32_step(*c, b.to_le_bytes()[3]);
    }
}

impl Cipher for Traditional {
    fn decrypt(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let [_, _, c] = self.0;
            let word = (c | 2) & 0xffff;
            *byte ^= word.wrapping_mul(word ^ 1).to_le_bytes()[1];
            self.update(*byte);
        }
    }
}

/// One byte of an unfinished CRC-32.
fn crc32_step(crc: u32, byte: u8) -> u32 {
    let [low, ..] = crc.to_le_bytes();
    CRC32_TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8)
}

static CRC32_TABLE: [u32; 256] = crc32_table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, with constant bounds")]
const fn crc32_table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut index = 0;
    let mut start = 0u32;
    while index < table.len() {
        let mut value = start;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
        start += 1;
    }
    table
}

/// What the extra field 0x9901 of a member says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AesField {
    /// 1, 2, 3 for keys of 128, 192, 256 bits.
    pub(super) strength: u8,
    /// The method under the encryption.
    pub(super) method: u16,
}

impl AesField {
    /// Reads the field.
    pub(super) fn read(field: &[u8]) -> Option<Self> {
        let [_, _, b'A', b'E', strength @ 1..=3, low, high, ..] = *field else { return None };
        Some(Self { strength, method: u16::from_le_bytes([low, high]) })
    }

    fn key_len(self) -> usize {
        usize::from(self.strength).saturating_mul(8).saturating_add(8)
    }
}

/// Bytes of authentication code behind the data.
const CODE_LEN: usize = 10;
/// AE-1 and AE-2 fix it.
const ROUNDS: u32 = 1000;

/// AES in counter mode with a little-endian counter.
pub(super) struct AesCounter {
    key: Key,
    counter: u128,
    pad: [u8; 16],
    used: usize,
}

enum Key {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

/// Decrypts what is encrypted as WinZip does, with salt and check value in `head` and the code in `tail`;
/// none when the password is wrong.
///
/// # Errors
/// The scan ends here.
pub(in crate::containers) fn winzip_aes(
    password: &[u8],
    [head, data, tail]: [&[u8]; 3],
    strength: u8,
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stop> {
    let input = [head, data, tail].concat();
    let aes = AesField { strength, method: 0 };
    Ok(AesCounter::with_password(password, &input, aes, sink)?.map(|(data, mut cipher)| {
        let mut data = data.to_vec();
        cipher.decrypt(&mut data);
        data
    }))
}

impl AesCounter {
    /// Splits a member's bytes into salt, data and code, and returns the data and its cipher when the
    /// password's check value fits and the code is right.
    ///
    /// # Errors
    /// The scan ends here.
    pub(super) fn with_password<'a>(
        password: &[u8],
        input: &'a [u8],
        aes: AesField,
        sink: &mut dyn Sink,
    ) -> Result<Option<(&'a [u8], Self)>, Stop> {
        let salt_len = aes.key_len() / 2;
        let Some((salt, rest)) = input.split_at_checked(salt_len) else { return Ok(None) };
        let Some((check, rest)) = rest.split_at_checked(2) else { return Ok(None) };
        let Some(data_len) = rest.len().checked_sub(CODE_LEN) else { return Ok(None) };
        let (data, code) = rest.split_at(data_len);
        let mut derived = [0u8; 66];
        let derived_len = aes.key_len().saturating_mul(2).saturating_add(2);
        let derived = derived.get_mut(..derived_len).unwrap_or_default();
        sink.poll()?;
        if pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, ROUNDS, derived).is_err() {
            return Ok(None);
        }
        let (keys, wanted_check) = derived.split_at(derived_len.saturating_sub(2));
        if wanted_check != check {
            return Ok(None);
        }
        let (key, mac_key) = keys.split_at(aes.key_len());
        let Ok(mut mac) = <Hmac<Sha1> as KeyInit>::new_from_slice(mac_key) else { return Ok(None) };
        for part in data.chunks(1 << 20) {
            sink.poll()?;
            mac.update(part);
        }
        if mac.verify_truncated_left(code).is_err() {
            return Ok(None);
        }
        Ok(Self::new(key).map(|cipher| (data, cipher)))
    }

    fn new(key: &[u8]) -> Option<Self> {
        let key = match key.len() {
            16 => Key::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Key::Middle(Box::new(Aes192::new_from_slice(key).ok()?)),
            _ => Key::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
        };
        Some(Self { key, counter: 0, pad: [0; 16], used: 16 })
    }

    fn next_pad(&mut self) {
        self.counter = self.counter.wrapping_add(1);
        let mut block = Array::from(self.counter.to_le_bytes());
        match &self.key {
            Key::Short(key) => key.encrypt_block(&mut block),
            Key::Middle(key) => key.encrypt_block(&mut block),
            Key::Long(key) => key.encrypt_block(&mut block),
        }
        self.pad = block.into();
        self.used = 0;
    }
}

impl Cipher for AesCounter {
    fn decrypt(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used >= self.pad.len() {
                self.next_pad();
            }
            *byte ^= self.pad.get(self.used).copied().unwrap_or(0);
            self.used = self.used.saturating_add(1);
        }
    }
}
