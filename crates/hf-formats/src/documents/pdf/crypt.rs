//! The standard security handler: keys from passwords, decryption of streams and strings.
//!
//! Promises: at most a fixed number of passwords is tried; each costs bounded time.
//! Leaves out: public-key handlers (reported as encrypted).
//! Sources: [1] ISO 32000-1 §7.6; [2] ISO 32000-2 §7.6.4 (revisions 5 and 6).

use md5::{Digest, Md5};
use sha2::{Sha256, Sha384, Sha512};

use super::value::{Dict, Value};
use crate::documents::cipher::{BLOCK_LEN, cbc_decrypt, cbc_encrypt, rc4, unpad};

/// How data is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    None,
    Rc4,
    Aes128,
    Aes256,
}

/// Opens a document's strings and streams.
#[derive(Debug)]
pub(super) struct Decryptor {
    key: Vec<u8>,
    strings: Method,
    streams: Method,
    files: Method,
    /// Crypt filters by their names.
    filters: Vec<(Vec<u8>, Method)>,
    /// Metadata streams are encrypted too.
    pub(super) metadata: bool,
}

/// What an encryption dictionary says.
#[derive(Debug)]
struct Handler<'a> {
    revision: i64,
    key_len: usize,
    owner: &'a [u8],
    user: &'a [u8],
    owner_key: &'a [u8],
    user_key: &'a [u8],
    permissions: u32,
    metadata: bool,
    id: &'a [u8],
    strings: Method,
    streams: Method,
    files: Method,
}

/// Crypt filters of one document; writers make one or two.
const FILTERS_MAX: usize = 64;

/// Passwords that are tried, the empty one included.
const PASSWORDS_MAX: usize = 32;

/// [1] §7.6.3.3: what short passwords are padded with.
const PADDING: [u8; 32] = [
    0x28, 0xbf, 0x4e, 0x5e, 0x4e, 0x75, 0x8a, 0x41, 0x64, 0x00, 0x4e, 0x56, 0xff, 0xfa, 0x01, 0x08,
    0x2e, 0x2e, 0x00, 0xb6, 0xd0, 0x68, 0x3e, 0x80, 0x2f, 0x0c, 0xa9, 0xfe, 0x64, 0x53, 0x69, 0x7a,
];

impl Decryptor {
    /// Finds the password that fits; none when there is none or the handler is not known.
    pub(super) fn new(dict: &Dict, id: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        let handler = Handler::new(dict, id)?;
        let empty = Vec::new();
        let all = std::iter::once(&empty).chain(passwords).take(PASSWORDS_MAX);
        let key = all.into_iter().find_map(|password| handler.key(password))?;
        let Handler { strings, streams, files, metadata, .. } = handler;
        let filters = dict.get("CF").and_then(|value| value.dict()).map(|filters| {
            let names = filters.0.iter().take(FILTERS_MAX).map(|(name, _)| name);
            names.map(|name| (name.clone(), filter_method(dict, name))).collect()
        });
        Some(Self { key, strings, streams, files, metadata, filters: filters.unwrap_or_default() })
    }

    /// Decrypts a stream that names its crypt filter; none for one that leaves data as it is.
    pub(super) fn named(
        &self,
        name: &[u8],
        number: u32,
        generation: u32,
        data: &[u8],
    ) -> Option<Vec<u8>> {
        let (_, method) = self.filters.iter().find(|(known, _)| known == name)?;
        (*method != Method::None).then(|| self.decrypt(*method, number, generation, data))
    }

    /// Decrypts an embedded file's data.
    pub(super) fn file(&self, number: u32, generation: u32, data: &[u8]) -> Vec<u8> {
        self.decrypt(self.files, number, generation, data)
    }

    /// Decrypts a stream's data.
    pub(super) fn stream(&self, number: u32, generation: u32, data: &[u8]) -> Vec<u8> {
        self.decrypt(self.streams, number, generation, data)
    }

    /// Decrypts a string.
    pub(super) fn string(&self, number: u32, generation: u32, data: &[u8]) -> Vec<u8> {
        self.decrypt(self.strings, number, generation, data)
    }

    fn decrypt(&self, method: Method, number: u32, generation: u32, data: &[u8]) -> Vec<u8> {
        let key = match method {
            Method::None => return data.to_vec(),
            Method::Aes256 => self.key.clone(),
            Method::Rc4 | Method::Aes128 => self.object_key(method, number, generation),
        };
        if method == Method::Rc4 {
            return rc4(&key, data);
        }
        let Some((iv, data)) = data.split_first_chunk::<BLOCK_LEN>() else { return Vec::new() };
        cbc_decrypt(&key, *iv, data).map(unpad).unwrap_or_default()
    }

    /// [1] §7.6.2 algorithm 1.
    fn object_key(&self, method: Method, number: u32, generation: u32) -> Vec<u8> {
        let mut hash = Md5::new();
        hash.update(&self.key);
        hash.update(number.to_le_bytes().get(..3).unwrap_or_default());
        hash.update(generation.to_le_bytes().get(..2).unwrap_or_default());
        if method == Method::Aes128 {
            hash.update(b"sAlT");
        }
        let len = self.key.len().saturating_add(5).min(16);
        hash.finalize().get(..len).unwrap_or_default().to_vec()
    }
}

impl<'a> Handler<'a> {
    fn new(dict: &'a Dict, id: &'a [u8]) -> Option<Self> {
        if dict.get("Filter").is_some() && !dict.is("Filter", "Standard") {
            return None;
        }
        let version = dict.int("V").unwrap_or(0);
        let bits = match dict.int("Length") {
            Some(bits @ 40..=256) => bits,
            // Off-spec: a length in bytes instead of bits, as old writers gave it.
            Some(bytes @ 5..=32) => bytes.saturating_mul(8),
            _ => 40,
        };
        let (strings, streams, files) = match version {
            1..=3 => (Method::Rc4, Method::Rc4, Method::Rc4),
            4 | 5 => {
                let streams = crypt_filter(dict, "StmF");
                // [1] table 20: without `EFF`, embedded files are as other streams.
                let files = dict.get("EFF").map_or(streams, |_| crypt_filter(dict, "EFF"));
                (crypt_filter(dict, "StrF"), streams, files)
            }
            _ => return None,
        };
        let key_len = match version {
            1 => 5,
            4 => 16,
            5 => 32,
            _ => usize::try_from(bits).ok()?.checked_div(8)?,
        };
        let permissions = dict.int("P").unwrap_or(-1);
        let clear = |value: &Value| matches!(value, Value::Word(word) if word == b"false");
        let metadata = !dict.get("EncryptMetadata").is_some_and(clear);
        Some(Self {
            revision: dict.int("R").unwrap_or(2),
            key_len,
            owner: dict.text("O")?,
            user: dict.text("U")?,
            owner_key: dict.text("OE").unwrap_or_default(),
            user_key: dict.text("UE").unwrap_or_default(),
            permissions: low_half(permissions),
            metadata,
            id,
            strings,
            streams,
            files,
        })
    }

    /// Returns the file's key when the password is the user's or the owner's.
    fn key(&self, password: &[u8]) -> Option<Vec<u8>> {
        if self.revision >= 5 {
            return self.long_key(password);
        }
        let owner = self.user_password(password);
        [password, owner.as_slice()].into_iter().find_map(|password| {
            let key = self.short_key(password);
            self.fits(&key).then_some(key)
        })
    }

    /// [1] §7.6.3.3 algorithm 2.
    fn short_key(&self, password: &[u8]) -> Vec<u8> {
        let mut hash = Md5::new();
        hash.update(padded(password));
        hash.update(self.owner.get(..32).unwrap_or(self.owner));
        hash.update(self.permissions.to_le_bytes());
        hash.update(self.id);
        if self.revision >= 4 && !self.metadata {
            hash.update([0xff; 4]);
        }
        let mut digest: Vec<u8> = hash.finalize().to_vec();
        digest.truncate(self.key_len);
        if self.revision >= 3 {
            for _ in 0..50 {
                digest = Md5::digest(&digest).to_vec();
                digest.truncate(self.key_len);
            }
        }
        digest
    }

    /// [1] §7.6.3.4 algorithm 6.
    fn fits(&self, key: &[u8]) -> bool {
        if self.revision < 3 {
            return self.user.get(..32).is_some_and(|user| rc4(key, &PADDING) == user);
        }
        let mut hash = Md5::new();
        hash.update(PADDING);
        hash.update(self.id);
        let mut check = rc4(key, &hash.finalize());
        for round in 1..20u8 {
            let key: Vec<u8> = key.iter().map(|byte| byte ^ round).collect();
            check = rc4(&key, &check);
        }
        self.user.get(..16).is_some_and(|user| user == check)
    }

    /// [1] §7.6.3.4 algorithm 7: the user's password out of the owner's.
    fn user_password(&self, password: &[u8]) -> Vec<u8> {
        let mut digest = Md5::digest(padded(password)).to_vec();
        if self.revision >= 3 {
            for _ in 0..50 {
                digest = Md5::digest(&digest).to_vec();
            }
        }
        digest.truncate(self.key_len);
        let mut plain = self.owner.get(..32).unwrap_or(self.owner).to_vec();
        let rounds = if self.revision >= 3 { 20 } else { 1u8 };
        for round in (0..rounds).rev() {
            let key: Vec<u8> = digest.iter().map(|byte| byte ^ round).collect();
            plain = rc4(&key, &plain);
        }
        plain
    }

    /// [2] §7.6.4.3.3 algorithm 2.A.
    fn long_key(&self, password: &[u8]) -> Option<Vec<u8>> {
        let password = password.get(..password.len().min(127))?;
        let user = self.user.get(..48)?;
        let (check, validation, salt) = (user.get(..32)?, user.get(32..40)?, user.get(40..48)?);
        if self.hash(password, validation, b"") == check {
            let key = self.hash(password, salt, b"");
            return cbc_decrypt(&key, [0; BLOCK_LEN], self.user_key.get(..32)?);
        }
        let owner = self.owner.get(..48)?;
        let (check, validation, salt) = (owner.get(..32)?, owner.get(32..40)?, owner.get(40..48)?);
        if self.hash(password, validation, user) == check {
            let key = self.hash(password, salt, user);
            return cbc_decrypt(&key, [0; BLOCK_LEN], self.owner_key.get(..32)?);
        }
        None
    }

    /// SHA-256 in revision 5; [2] §7.6.4.3.4 algorithm 2.B in revision 6.
    fn hash(&self, password: &[u8], salt: &[u8], user: &[u8]) -> Vec<u8> {
        let mut key = Sha256::digest([password, salt, user].concat()).to_vec();
        if self.revision < 6 {
            return key;
        }
        // The rounds end with a probability of 1/8 each after the 64th; 512 is far behind any real end.
        for round in 0..512u32 {
            let block = [password, key.as_slice(), user].concat().repeat(64);
            let first =
                |range: std::ops::Range<usize>| key.get(range).and_then(|raw| raw.try_into().ok());
            let (Some(aes), Some(iv)) = (key.get(..16), first(16..32)) else { break };
            let Some(mixed) = cbc_encrypt(aes, iv, &block) else { break };
            let sum: u32 = mixed.iter().take(16).map(|byte| u32::from(*byte)).sum();
            key = match sum % 3 {
                0 => Sha256::digest(&mixed).to_vec(),
                1 => Sha384::digest(&mixed).to_vec(),
                _ => Sha512::digest(&mixed).to_vec(),
            };
            let last = mixed.last().copied().map_or(0, u32::from);
            if round >= 63 && last <= round.saturating_sub(31) {
                break;
            }
        }
        key.truncate(32);
        key
    }
}

fn padded(password: &[u8]) -> Vec<u8> {
    let mut padded: Vec<u8> = password.iter().chain(&PADDING).copied().collect();
    padded.truncate(32);
    padded
}

/// Returns what a crypt filter stands for ([1] §7.6.5).
fn crypt_filter(dict: &Dict, key: &str) -> Method {
    let name = dict.get(key).and_then(|value| value.name());
    name.map_or(Method::None, |name| filter_method(dict, name))
}

fn filter_method(dict: &Dict, name: &[u8]) -> Method {
    let filters = dict.get("CF").and_then(|value| value.dict());
    let filter = filters.and_then(|filters| {
        let found = filters.0.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.dict())
    });
    match filter.and_then(|filter| filter.get("CFM")).and_then(|value| value.name()) {
        Some(b"V2") => Method::Rc4,
        Some(b"AESV2") => Method::Aes128,
        Some(b"AESV3") => Method::Aes256,
        _ => Method::None,
    }
}

/// Returns the low 32 bits, as `P` is a signed number in most files and an unsigned one in some.
fn low_half(value: i64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
