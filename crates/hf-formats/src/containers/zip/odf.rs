//! Encrypted members of OpenDocument packages: what their manifest says, and their decryption.
//!
//! Promises: a password counts as right only when the member's checksum or the deflate stream in it agrees.
//! Leaves out: OpenPGP keys; the tag of AES-GCM (the archive in it has checksums of its own).
//! Limits: [`LOCKED_MAX`] members, [`ROUNDS_MAX`] rounds of PBKDF2 and [`ARGON_MAX`] KiB of Argon2 passes for one
//! package, as lists of passwords and members may be long.
//! Sources: OpenDocument 1.3 part 2, §3.4 to §3.8 and §4 (manifest, encryption); W3C XML Encryption 1.1 §5.2
//! (padding, place of the IV); the Document Foundation's notes on Argon2id and `encrypted-package`.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use blowfish::Blowfish;
use hmac::Hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::documents::base64_parts::{attribute, decode, elements};
use crate::documents::cipher::{BLOCK_LEN, cbc_decrypt, ctr, unpad};

/// The member that says which others are encrypted.
pub(super) const MANIFEST: &[u8] = b"META-INF/manifest.xml";
/// Ours: members of one package.
const LOCKED_MAX: usize = 4096;
/// Ours: a package of ten members takes a million rounds.
const ROUNDS_MAX: u64 = 1 << 23;
/// Ours: memory times passes; usual is 64 MiB and three passes.
const ARGON_MAX: u64 = 4 << 20;
const ARGON_MEMORY_MAX: u32 = 128 << 10;
const KEY_LEN_MAX: usize = 64;
/// A member whose name the manifest may shorten; more is no name.
const NAME_LEN_MAX: usize = 4096;
/// Bytes that the checksum is about.
const CHECKED_LEN: usize = 1024;

/// What encrypts a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Blowfish,
    AesCbc,
    AesGcm,
}

/// How a password becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derivation {
    Pbkdf2 { rounds: u32 },
    Argon2 { passes: u32, memory_kib: u32, lanes: u32 },
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
        }
    }
}

/// An encrypted member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locked {
    /// Its name in the package.
    pub(super) name: Vec<u8>,
    algorithm: Algorithm,
    derivation: Derivation,
    start_key: Hash,
    key_len: usize,
    iv: Vec<u8>,
    salt: Vec<u8>,
    checksum: Option<Checksum>,
}

/// What the deflated member must give.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checksum {
    hash: Hash,
    /// Bytes from the start that it is about.
    len: usize,
    sum: Vec<u8>,
}

impl Checksum {
    /// `SHA1`, `SHA1/1K`, `…#sha1-1k`, `…#sha256-1k`: those of 1K are about the first [`CHECKED_LEN`] bytes.
    fn new(kind: &[u8], sum: Vec<u8>) -> Option<Self> {
        let is_start = kind.to_ascii_lowercase().ends_with(b"1k");
        let len = if is_start { CHECKED_LEN } else { usize::MAX };
        (!sum.is_empty()).then_some(Self { hash: hash(kind), len, sum })
    }

    fn fits(&self, plain: &[u8]) -> bool {
        let checked = plain.get(..plain.len().min(self.len)).unwrap_or_default();
        self.hash.of(checked) == self.sum
    }
}

/// What may still be spent on keys.
#[derive(Debug)]
pub(super) struct Budget {
    rounds: u64,
    argon: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rounds: ROUNDS_MAX, argon: ARGON_MAX }
    }
}

/// Returns the encrypted members that a manifest names, of one that is encrypted in a way that is not known only
/// its name; and whether there are more than [`LOCKED_MAX`].
pub(super) fn locked(manifest: &[u8]) -> (Vec<Result<Locked, Vec<u8>>>, bool) {
    let mut all = Vec::new();
    let mut entries = elements(manifest, "file-entry").peekable();
    while let Some(entry) = entries.next() {
        let end = entries.peek().map_or(manifest.len(), |next| next.attributes.start);
        let inside = manifest.get(entry.attributes.end..end).unwrap_or_default();
        let attributes = manifest.get(entry.attributes).unwrap_or_default();
        let Some(data) = elements(inside, "encryption-data").next() else { continue };
        if all.len() >= LOCKED_MAX {
            return (all, true);
        }
        let name = attribute(attributes, "full-path").unwrap_or_default();
        let name = name.get(..name.len().min(NAME_LEN_MAX)).unwrap_or_default();
        let name = crate::documents::unescape(name).into_bytes();
        let data = inside.get(data.attributes).unwrap_or_default();
        all.push(one(name.clone(), data, inside).ok_or(name));
    }
    (all, false)
}

fn one(name: Vec<u8>, data: &[u8], inside: &[u8]) -> Option<Locked> {
    let attributes = |tag| inside.get(elements(inside, tag).next()?.attributes);
    let bytes = |attributes: &[u8], name| attribute(attributes, name).map(decode);
    let ends = |value: &[u8], end: &str| value.to_ascii_lowercase().ends_with(end.as_bytes());
    let algorithm = attributes("algorithm")?;
    let kind = attribute(algorithm, "algorithm-name")?;
    let kind = match kind {
        kind if ends(kind, "blowfish cfb") || ends(kind, "blowfish") => Algorithm::Blowfish,
        kind if ends(kind, "-cbc") => Algorithm::AesCbc,
        kind if ends(kind, "-gcm") => Algorithm::AesGcm,
        _ => return None,
    };
    let derivation = attributes("key-derivation")?;
    let number = |name: &str| {
        let text = attribute(derivation, name)?;
        std::str::from_utf8(text).ok()?.trim().parse::<u32>().ok()
    };
    let method = attribute(derivation, "key-derivation-name")?;
    let way = if ends(method, "argon2id") {
        Derivation::Argon2 {
            passes: number("argon2-iterations")?,
            memory_kib: number("argon2-memory")?,
            lanes: number("argon2-lanes")?,
        }
    } else if ends(method, "pbkdf2") {
        Derivation::Pbkdf2 { rounds: number("iteration-count")? }
    } else {
        return None;
    };
    // Without a word, keys have 16 bytes, and start as SHA-1.
    let start = attributes("start-key-generation");
    let start = start.and_then(|start| attribute(start, "start-key-generation-name"));
    let key_len = number("key-size").map_or(16, |len| usize::try_from(len).unwrap_or(usize::MAX));
    let sum = bytes(data, "checksum").zip(attribute(data, "checksum-type"));
    let checksum = sum.and_then(|(sum, kind)| Checksum::new(kind, sum));
    Some(Locked {
        name,
        algorithm: kind,
        derivation: way,
        start_key: start.map_or(Hash::Sha1, hash),
        key_len: Some(key_len).filter(|len| (1..=KEY_LEN_MAX).contains(len))?,
        iv: bytes(algorithm, "initialisation-vector")?,
        salt: bytes(derivation, "salt")?,
        checksum,
    })
}

/// Which hash a name means.
fn hash(name: &[u8]) -> Hash {
    let has = memchr::memmem::find(&name.to_ascii_lowercase(), b"256").is_some();
    if has { Hash::Sha256 } else { Hash::Sha1 }
}

/// What a password gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Bytes that the checksum proves.
    Proven(Vec<u8>),
    /// Bytes without a checksum.
    Unproven(Vec<u8>),
    /// Nothing: the password is another, or what is needed is not there.
    Wrong,
    /// Nothing: it would have cost too much.
    TooCostly,
}

impl Locked {
    /// Decrypts a member's bytes, which are still deflated then.
    pub(super) fn open(&self, data: &[u8], password: &[u8], budget: &mut Budget) -> Opened {
        let mut key = vec![0; self.key_len];
        match self.derive(password, &mut key, budget) {
            Some(true) => {}
            Some(false) => return Opened::Wrong,
            None => return Opened::TooCostly,
        }
        let Some(plain) = self.decrypt(&key, data) else { return Opened::Wrong };
        match &self.checksum {
            Some(checksum) if checksum.fits(&plain) => Opened::Proven(plain),
            Some(_) => Opened::Wrong,
            None => Opened::Unproven(plain),
        }
    }

    /// Makes the key; false when the numbers are none that this works with, none beyond the budget.
    fn derive(&self, password: &[u8], key: &mut [u8], budget: &mut Budget) -> Option<bool> {
        let start = self.start_key.of(password);
        match self.derivation {
            Derivation::Pbkdf2 { rounds } => {
                let blocks = u64::try_from(key.len().div_ceil(20)).unwrap_or(u64::MAX);
                let cost = u64::from(rounds).saturating_mul(blocks);
                budget.rounds = budget.rounds.checked_sub(cost)?;
                Some(pbkdf2::pbkdf2::<Hmac<Sha1>>(&start, &self.salt, rounds, key).is_ok())
            }
            Derivation::Argon2 { passes, memory_kib, lanes } => {
                if memory_kib > ARGON_MEMORY_MAX {
                    return None;
                }
                let cost = u64::from(passes).saturating_mul(u64::from(memory_kib));
                budget.argon = budget.argon.checked_sub(cost)?;
                let Ok(params) = argon2::Params::new(memory_kib, passes, lanes, Some(key.len()))
                else {
                    return Some(false);
                };
                let argon = argon2::Argon2::new(
                    argon2::Algorithm::Argon2id,
                    argon2::Version::V0x13,
                    params,
                );
                Some(argon.hash_password_into(&start, &self.salt, key).is_ok())
            }
        }
    }

    fn decrypt(&self, key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        match self.algorithm {
            Algorithm::Blowfish => blowfish_cfb(key, &self.iv, data),
            Algorithm::AesCbc => {
                let iv: [u8; BLOCK_LEN] = self.iv.get(..BLOCK_LEN)?.try_into().ok()?;
                cbc_decrypt(key, iv, data).map(unpad)
            }
            Algorithm::AesGcm => {
                // The IV stands in front as well, and the tag behind.
                const TAG_LEN: usize = 16;
                let body = data.strip_prefix(self.iv.as_slice()).unwrap_or(data);
                let body = body.get(..body.len().checked_sub(TAG_LEN)?)?;
                let mut counter = [0; BLOCK_LEN];
                counter.get_mut(..12)?.copy_from_slice(self.iv.get(..12)?);
                // The first block of the counter is for the tag.
                counter[15] = 2;
                ctr(key, counter, body)
            }
        }
    }
}

/// Blowfish in cipher feedback mode with whole blocks.
fn blowfish_cfb(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    const LEN: usize = 8;
    let cipher: Blowfish = Blowfish::new_from_slice(key).ok()?;
    let mut before: [u8; LEN] = iv.get(..LEN)?.try_into().ok()?;
    let mut plain = Vec::with_capacity(data.len());
    for block in data.chunks(LEN) {
        let mut stream = Array::from(before);
        cipher.encrypt_block(&mut stream);
        plain.extend(block.iter().zip(stream).map(|(byte, stream)| byte ^ stream));
        if let Some(block) = block.first_chunk() {
            before = *block;
        }
    }
    Some(plain)
}
