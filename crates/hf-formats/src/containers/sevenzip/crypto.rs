//! The coder 7zAES: AES-256 in CBC mode with a key of very many rounds of SHA-256.
//!
//! Sources: LZMA SDK, `7zFormat.txt` and the method's description in 7-Zip's manual.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read};

use aes::Aes256;
use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use sha2::{Digest, Sha256};

use crate::codec::read_up_to;

const BLOCK_LEN: usize = 16;
const BUFFER_LEN: usize = 16 * 1024;
/// The SDK's.
const ROUNDS_LOG_MAX: u8 = 24;

/// What the properties of the coder say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Settings {
    rounds_log: u8,
    salt: Vec<u8>,
    iv: [u8; BLOCK_LEN],
}

impl Settings {
    /// Reads the properties; none when they are impossible.
    pub(super) fn read(props: &[u8]) -> Option<Self> {
        let (first, rest) = props.split_first()?;
        let rounds_log = first & 0x3f;
        if rounds_log > ROUNDS_LOG_MAX && rounds_log != 0x3f {
            return None;
        }
        let mut settings = Self { rounds_log, salt: Vec::new(), iv: [0; BLOCK_LEN] };
        if first & 0xc0 == 0 {
            return Some(settings);
        }
        let (second, rest) = rest.split_first()?;
        let salt_len = usize::from(first >> 7).saturating_add(usize::from(second >> 4));
        let iv_len = usize::from(first >> 6 & 1).saturating_add(usize::from(second & 15));
        let (salt, rest) = rest.split_at_checked(salt_len)?;
        let iv = rest.get(..iv_len)?;
        settings.salt = salt.to_vec();
        settings.iv.get_mut(..iv_len)?.copy_from_slice(iv);
        Some(settings)
    }

    /// Returns about how many bytes have to be hashed for a key.
    pub(super) fn cost(&self, password: &[u8]) -> u64 {
        let each = self.salt.len().saturating_add(password.len().saturating_mul(2)).max(64);
        let rounds = if self.rounds_log > ROUNDS_LOG_MAX { 1 } else { 1u64 << self.rounds_log };
        rounds.saturating_mul(u64::try_from(each).unwrap_or(u64::MAX))
    }
}

/// Keys that were made, for folders have the same settings.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<(u8, Vec<u8>, Vec<u8>), [u8; 32]>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

impl Keys {
    /// True when the key for these is known already.
    pub(super) fn knows(&self, settings: &Settings, password: &[u8]) -> bool {
        self.0.contains_key(&key_of(settings, password))
    }

    /// Returns the key of a password.
    pub(super) fn key(&mut self, settings: &Settings, password: &[u8]) -> [u8; 32] {
        let made = || derive(settings, password);
        *self.0.entry(key_of(settings, password)).or_insert_with(made)
    }
}

fn key_of(settings: &Settings, password: &[u8]) -> (u8, Vec<u8>, Vec<u8>) {
    (settings.rounds_log, settings.salt.clone(), password.to_vec())
}

fn derive(settings: &Settings, password: &[u8]) -> [u8; 32] {
    let text = String::from_utf8_lossy(password);
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
    let mut unit: Vec<u8> = settings.salt.iter().copied().chain(wide).collect();
    if settings.rounds_log > ROUNDS_LOG_MAX {
        let mut key = [0u8; 32];
        for (to, from) in key.iter_mut().zip(&unit) {
            *to = *from;
        }
        return key;
    }
    let counter_at = unit.len();
    unit.extend([0; 8]);
    // Some rounds at once: the hash is over the whole sequence.
    let together: u64 = 1 << settings.rounds_log.min(6);
    let mut block = Vec::new();
    let mut hasher = Sha256::new();
    for round in 0..1u64 << settings.rounds_log {
        if let Some(counter) = unit.get_mut(counter_at..) {
            counter.copy_from_slice(&round.to_le_bytes());
        }
        block.extend_from_slice(&unit);
        if (round + 1).is_multiple_of(together) {
            hasher.update(&block);
            block.clear();
        }
    }
    hasher.finalize().into()
}

/// Decrypts as it reads; an incomplete last block is left out.
pub(super) struct Decrypting<'a> {
    source: Box<dyn BufRead + 'a>,
    cipher: Box<Aes256>,
    previous: [u8; BLOCK_LEN],
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> Decrypting<'a> {
    /// Returns a reader of what was before encryption.
    pub(super) fn new(source: Box<dyn BufRead + 'a>, key: [u8; 32], settings: &Settings) -> Self {
        let cipher = Box::new(Aes256::new(&Array::from(key)));
        Self { source, cipher, previous: settings.iv, buffer: Vec::new(), at: 0 }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.at = 0;
        self.buffer.resize(BUFFER_LEN, 0);
        let read = read_up_to(&mut self.source, &mut self.buffer)?;
        self.buffer.truncate(read.saturating_sub(read % BLOCK_LEN));
        for block in self.buffer.as_chunks_mut::<BLOCK_LEN>().0 {
            let encrypted = *block;
            let mut plain = Array::from(encrypted);
            self.cipher.decrypt_block(&mut plain);
            for ((to, plain), previous) in block.iter_mut().zip(plain).zip(self.previous) {
                *to = plain ^ previous;
            }
            self.previous = encrypted;
        }
        Ok(())
    }
}

impl Read for Decrypting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.buffer.len() {
            self.refill()?;
        }
        let mut rest = self.buffer.get(self.at..).unwrap_or_default();
        let read = rest.read(buf)?;
        self.at = self.at.saturating_add(read);
        Ok(read)
    }
}
