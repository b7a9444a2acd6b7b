//! Encrypted Office documents: the package in `EncryptedPackage`, and Excel's `FILEPASS` record.
//!
//! Promises: bounded work however many rounds a document asks for.
//! Leaves out: what the keys open in Word's and PowerPoint's streams ([`super::legacy`]), certificates.
//! Sources: [1] MS-OFFCRYPTO §2.3.4 (ECMA-376), §2.3.5 (CryptoAPI RC4), §2.3.6 (RC4), §2.3.7 (XOR).

use base64::Engine as _;
use hf_core::{Sink, Stop};
use md5::{Digest, Md5};
use quick_xml::events::{BytesStart, Event};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use crate::documents::cipher::{BLOCK_LEN, cbc_decrypt, ecb_decrypt, rc4};
use crate::documents::le::{part, u16_at, u32_at, u64_at};
use crate::reader::size;

/// The password that Excel tries before it asks ([1] §2.4.2.3).
pub(super) const DEFAULT_PASSWORD: &[u8] = b"VelvetSweatshop";

/// Hash rounds for one document, all passwords together: 40 passwords at the usual 100,000.
const ROUNDS_MAX: u32 = 4_000_000;
/// [1] §2.3.4.7: rounds of standard encryption.
const STANDARD_ROUNDS: u32 = 50_000;
const SEGMENT_LEN: usize = 4096;

/// Returns a password as the hashes take it: UTF-16, little endian.
fn wide(password: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(password).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().replace('-', "").as_str() {
            "MD5" => Self::Md5,
            "SHA1" => Self::Sha1,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            for part in parts {
                hash.update(part);
            }
            hash.finalize().to_vec()
        }
        match self {
            Self::Md5 => run::<Md5>(parts),
            Self::Sha1 => run::<Sha1>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
            Self::Sha512 => run::<Sha512>(parts),
        }
    }

    /// [1] §2.3.4.7 and §2.3.4.11: salt and password, then rounds over a counter.
    fn rounds(
        self,
        salt: &[u8],
        password: &[u8],
        rounds: u32,
        sink: &mut dyn Sink,
    ) -> Result<Vec<u8>, Stop> {
        let mut hash = self.of(&[salt, &wide(password)]);
        for round in 0..rounds {
            if round.is_multiple_of(8192) {
                sink.poll()?;
            }
            hash = self.of(&[&round.to_le_bytes(), &hash]);
        }
        Ok(hash)
    }
}

/// Opens an encrypted package; none when no password fits or the method is not known.
///
/// # Errors
/// The scan ends here.
pub(super) fn open_package(
    info: &[u8],
    package: &[u8],
    passwords: &[Vec<u8>],
    sink: &mut dyn Sink,
) -> Result<Option<Vec<u8>>, Stop> {
    let Some(len) = u64_at(package, 0) else { return Ok(None) };
    let data = package.get(8..).unwrap_or_default();
    let plain = match (u16_at(info, 0), u16_at(info, 2)) {
        (Some(4), Some(4)) => match Agile::new(info.get(8..).unwrap_or_default()) {
            Some(agile) => agile.open(data, passwords, sink)?,
            None => None,
        },
        (Some(2..=4), Some(2)) => match Standard::new(info) {
            Some(standard) => standard.open(data, passwords, sink)?,
            None => None,
        },
        _ => None,
    };
    Ok(plain.map(|mut plain| {
        plain.truncate(size(len));
        plain
    }))
}

/// Standard encryption: AES in ECB mode ([1] §2.3.4.5-9).
struct Standard<'a> {
    key_len: usize,
    salt: &'a [u8],
    verifier: &'a [u8],
    verifier_hash: &'a [u8],
}

impl<'a> Standard<'a> {
    fn new(info: &'a [u8]) -> Option<Self> {
        let header_len = size(u64::from(u32_at(info, 8)?));
        let header = info.get(12..)?;
        let key_len = match u32_at(header, 8)? {
            0x660e => 16,
            0x660f => 24,
            0x6610 => 32,
            _ => return None,
        };
        let verifier = header.get(header_len..)?;
        Some(Self {
            key_len,
            salt: verifier.get(4..20)?,
            verifier: verifier.get(20..36)?,
            verifier_hash: verifier.get(40..72)?,
        })
    }

    fn open(
        &self,
        data: &[u8],
        passwords: &[Vec<u8>],
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let tries = ROUNDS_MAX / STANDARD_ROUNDS;
        for password in passwords.iter().take(size(tries.into())) {
            let hash = Hash::Sha1.rounds(self.salt, password, STANDARD_ROUNDS, sink)?;
            let key = self.key(&Hash::Sha1.of(&[&hash, &[0; 4]]));
            let plain = ecb_decrypt(&key, self.verifier).unwrap_or_default();
            let check = ecb_decrypt(&key, self.verifier_hash).unwrap_or_default();
            if check.get(..20) == Some(&Hash::Sha1.of(&[&plain])) {
                return Ok(ecb_decrypt(&key, data));
            }
        }
        Ok(None)
    }

    /// [1] §2.3.4.7: the derived key out of two padded hashes.
    fn key(&self, hash: &[u8]) -> Vec<u8> {
        let mixed = |pad: u8| {
            let mut block = [pad; 64];
            for (byte, hash) in block.iter_mut().zip(hash) {
                *byte ^= hash;
            }
            Hash::Sha1.of(&[&block])
        };
        let mut key = [mixed(0x36), mixed(0x5c)].concat();
        key.truncate(self.key_len);
        key
    }
}

/// Values of one element of the agile descriptor.
#[derive(Debug, Default)]
struct Parameters {
    hash: Option<Hash>,
    key_len: usize,
    salt: Vec<u8>,
    spin_count: u32,
    verifier_input: Vec<u8>,
    verifier_value: Vec<u8>,
    key_value: Vec<u8>,
}

/// Agile encryption: AES in CBC mode, described in XML ([1] §2.3.4.10-15).
#[derive(Debug)]
struct Agile {
    data: Parameters,
    key: Parameters,
}

impl Agile {
    fn new(xml: &[u8]) -> Option<Self> {
        let mut reader = quick_xml::Reader::from_reader(xml);
        let (mut data, mut key) = (None, None);
        loop {
            let element = match reader.read_event() {
                Ok(Event::Start(element) | Event::Empty(element)) => element,
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => continue,
            };
            match element.local_name().as_ref() {
                b"keyData" => data = Some(Parameters::new(&element)),
                // Certificates have keys of their own, with another element name.
                b"encryptedKey" if key.is_none() => key = Some(Parameters::new(&element)),
                _ => {}
            }
        }
        Some(Self { data: data?, key: key? })
    }

    fn open(
        &self,
        data: &[u8],
        passwords: &[Vec<u8>],
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, Stop> {
        // [1] §2.3.4.11-13: block keys.
        const INPUT: [u8; 8] = [0xfe, 0xa7, 0xd2, 0x76, 0x3b, 0x4b, 0x9e, 0x79];
        const VALUE: [u8; 8] = [0xd7, 0xaa, 0x0f, 0x6d, 0x30, 0x61, 0x34, 0x4e];
        const KEY: [u8; 8] = [0x14, 0x6e, 0x0b, 0xe7, 0xab, 0xac, 0xd0, 0xd6];
        let Some(hash) = self.key.hash else { return Ok(None) };
        let tries = ROUNDS_MAX.checked_div(self.key.spin_count.max(1)).unwrap_or(0);
        for password in passwords.iter().take(size(tries.into())) {
            let base = hash.rounds(&self.key.salt, password, self.key.spin_count, sink)?;
            let open = |block: &[u8], packed: &[u8]| {
                let key = fitted(hash.of(&[&base, block]), self.key.key_len, 0x36);
                cbc_decrypt(&key, vector(&self.key.salt), packed).unwrap_or_default()
            };
            let input = open(&INPUT, &self.key.verifier_input);
            let input = part(&input, 0, self.key.salt.len());
            let check = hash.of(&[input]);
            if check.is_empty() || !open(&VALUE, &self.key.verifier_value).starts_with(&check) {
                continue;
            }
            let mut key = open(&KEY, &self.key.key_value);
            key.truncate(self.data.key_len);
            return self.segments(&key, data, sink);
        }
        Ok(None)
    }

    /// [1] §2.3.4.15: each segment has an initialisation vector of its own.
    fn segments(
        &self,
        key: &[u8],
        data: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Some(hash) = self.data.hash else { return Ok(None) };
        let mut plain = Vec::with_capacity(data.len());
        for (number, segment) in (0u32..).zip(data.chunks(SEGMENT_LEN)) {
            if number.is_multiple_of(256) {
                sink.poll()?;
            }
            let iv = fitted(hash.of(&[&self.data.salt, &number.to_le_bytes()]), BLOCK_LEN, 0x36);
            let Some(part) = cbc_decrypt(key, vector(&iv), segment) else { return Ok(None) };
            plain.extend(part);
        }
        Ok(Some(plain))
    }
}

impl Parameters {
    fn new(element: &BytesStart<'_>) -> Self {
        let mut values = Self::default();
        for attribute in element.attributes().with_checks(false).flatten() {
            let Ok(text) = std::str::from_utf8(&attribute.value) else { continue };
            let bytes =
                || base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            match attribute.key.local_name().as_ref() {
                b"hashAlgorithm" => values.hash = Hash::named(text),
                b"keyBits" => values.key_len = text.parse::<usize>().unwrap_or(0) / 8,
                b"spinCount" => values.spin_count = text.parse().unwrap_or(u32::MAX),
                b"saltValue" => values.salt = bytes(),
                b"encryptedVerifierHashInput" => values.verifier_input = bytes(),
                b"encryptedVerifierHashValue" => values.verifier_value = bytes(),
                b"encryptedKeyValue" => values.key_value = bytes(),
                _ => {}
            }
        }
        values.key_len = values.key_len.min(64);
        values
    }
}

fn fitted(mut bytes: Vec<u8>, len: usize, pad: u8) -> Vec<u8> {
    bytes.resize(len, pad);
    bytes
}

/// Returns an initialisation vector: cut, or padded as [1] §2.3.4.12 says.
fn vector(bytes: &[u8]) -> [u8; BLOCK_LEN] {
    let mut iv = [0x36; BLOCK_LEN];
    for (to, from) in iv.iter_mut().zip(bytes) {
        *to = *from;
    }
    iv
}

/// A key for the blocks of an RC4 stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamKey {
    hash: Hash,
    base: Vec<u8>,
    key_len: usize,
    /// A key of 40 bits is used as 128 bits with zeros behind.
    padded: bool,
}

impl StreamKey {
    /// Finds the password that fits a `FILEPASS` record of RC4; none for other methods.
    pub(super) fn find(record: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        if u16_at(record, 0)? != 1 {
            return None;
        }
        Self::of_info(record.get(2..)?, passwords)
    }

    /// Finds the password that fits the header of a Word or PowerPoint document.
    pub(super) fn of_info(body: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        match (u16_at(body, 0)?, u16_at(body, 2)?) {
            (1, 1) => Self::plain(body.get(4..)?, passwords),
            (2..=4, 2) => Self::crypto_api(body, passwords),
            _ => None,
        }
    }

    /// [1] §2.3.6.
    fn plain(body: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        let (salt, verifier) = (body.get(..16)?, body.get(16..48)?);
        passwords.iter().find_map(|password| {
            let first = Hash::Md5.of(&[&wide(password)]);
            let mixed = [first.get(..5)?, salt].concat().repeat(16);
            let mut base = Hash::Md5.of(&[&mixed]);
            base.truncate(5);
            let key = Self { hash: Hash::Md5, base, key_len: 16, padded: false };
            key.fits(verifier).then_some(key)
        })
    }

    /// [1] §2.3.5.
    fn crypto_api(body: &[u8], passwords: &[Vec<u8>]) -> Option<Self> {
        let header_len = size(u64::from(u32_at(body, 8)?));
        let header = body.get(12..)?;
        let bits = u32_at(header, 16).filter(|bits| *bits != 0).unwrap_or(40);
        let key_len = size(u64::from(bits / 8)).min(16);
        let verifier = header.get(header_len..)?;
        let salt = verifier.get(4..20)?;
        let check = [verifier.get(20..36)?, verifier.get(40..60)?].concat();
        passwords.iter().find_map(|password| {
            let base = Hash::Sha1.of(&[salt, &wide(password)]);
            let key = Self { hash: Hash::Sha1, base, key_len, padded: key_len == 5 };
            key.fits(&check).then_some(key)
        })
    }

    fn fits(&self, verifier: &[u8]) -> bool {
        let plain = rc4(&self.block(0), verifier);
        let (input, check) = plain.split_at_checked(16).unwrap_or_default();
        !input.is_empty() && self.hash.of(&[input]) == check
    }

    /// Returns the key of a block.
    pub(super) fn block(&self, number: u32) -> Vec<u8> {
        let key = fitted(self.hash.of(&[&self.base, &number.to_le_bytes()]), self.key_len, 0);
        if self.padded { fitted(key, 16, 0) } else { key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::cipher::cbc_encrypt;
    use crate::testing::Recorder;

    fn passwords(all: &[&str]) -> Vec<Vec<u8>> {
        all.iter().map(|password| password.as_bytes().to_vec()).collect()
    }

    #[test]
    fn rc4_of_a_published_document() {
        let verifier = b"\xc9\xe9\x97\xd4T\x97=1\x0b\xb1\xbap\x14&\x83~\
            \xb1\xde\x17\x8f\x07\xe9\x89\xc4M\xae^L\xf9j\xc4\x07";
        let salt = b"\xe8w,\x1d\x91\xc5j7\x96Ga\xb2\x80\x182\x17";
        let record = [&[1, 0, 1, 0, 1, 0][..], salt, verifier].concat();
        let key = StreamKey::find(&record, &passwords(&["other", "password1"])).expect("a key");
        assert_eq!(key.block(0), b" \xbf2\xdd\xf5@\x85\x8cQ7D\xaf\x0f$\xe0<");
        assert!(StreamKey::find(&record, &passwords(&["other"])).is_none());
    }

    #[test]
    fn crypto_api_keys_check_themselves() {
        let salt = [7u8; 16];
        let base = Hash::Sha1.of(&[&salt, &wide(b"infected")]);
        for bits in [40u32, 128] {
            let key_len = size(u64::from(bits / 8));
            let (base, padded) = (base.clone(), key_len == 5);
            let key = StreamKey { hash: Hash::Sha1, base, key_len, padded };
            let input = [9u8; 16];
            let packed = rc4(&key.block(0), &[&input[..], &Hash::Sha1.of(&[&input])].concat());
            let mut header = [0u8; 32];
            header[16..20].copy_from_slice(&bits.to_le_bytes());
            let record = [
                &[1, 0, 2, 0, 2, 0, 0, 0, 0, 0, 32, 0, 0, 0][..],
                &header,
                &[16, 0, 0, 0],
                &salt,
                &packed[..16],
                &[20, 0, 0, 0],
                &packed[16..],
            ]
            .concat();
            assert!(StreamKey::find(&record, &passwords(&["infected"])).is_some());
            assert!(StreamKey::find(&record, &passwords(&["other"])).is_none());
        }
    }

    #[test]
    fn standard_encryption_of_a_published_document() {
        let key = b"@\xb1:q\xf9\x0b\x96n7T\x08\xf2\xd1\x81\xa1\xaa";
        let mut header = [0u8; 32];
        header[8..12].copy_from_slice(&0x660e_u32.to_le_bytes());
        let info = [
            &[3, 0, 2, 0, 0, 0, 0, 0, 32, 0, 0, 0][..],
            &header,
            &[16, 0, 0, 0],
            b"\xe8\x82fI\x0c[\xd1\xee\xbd+C\x94\xe3\xf80\xef",
            b"Qos.\x96o\xac\x17\xb1\xc5\xd7\xd8\xcc6\xc9(",
            &[20, 0, 0, 0],
            b"+ah\xda\xbe)\x11\xad+\xd3|\x17Ft\\\x14\xd3\xcf\x1b\xb1@\xa4\x8fNo=#\x88\x08r\xb1j",
        ]
        .concat();
        let packed = cbc_encrypt(key, [0; BLOCK_LEN], b"PK and 9 more...").expect("a key");
        let package = [&9_u64.to_le_bytes()[..], &packed].concat();
        let mut sink = Recorder::default();
        let mut open = |all: &[&str]| open_package(&info, &package, &passwords(all), &mut sink);
        assert_eq!(open(&["x", "Password1234_"]), Ok(Some(b"PK and 9 ".to_vec())));
        assert_eq!(open(&["x"]), Ok(None));
    }

    #[test]
    fn agile_encryption() {
        let text = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let (salt, secret) = ([5u8; 16], [6u8; 32]);
        let base = Hash::Sha512
            .rounds(&salt, DEFAULT_PASSWORD, 10, &mut Recorder::default())
            .expect("no limit is reached");
        let pack = |block: u64, data: &[u8]| {
            let key = fitted(Hash::Sha512.of(&[&base, &block.to_be_bytes()]), 32, 0x36);
            text(&cbc_encrypt(&key, salt, data).expect("a key"))
        };
        let xml = format!(
            "<?xml version='1.0'?><encryption xmlns:p='urn:p'><keyData saltValue='{salt}' \
             keyBits='256' hashAlgorithm='SHA512'/><keyEncryptors><keyEncryptor>\
             <p:encryptedKey spinCount='10' saltValue='{salt}' keyBits='256' \
             hashAlgorithm='SHA512' encryptedVerifierHashInput='{}' \
             encryptedVerifierHashValue='{}' encryptedKeyValue='{}'/></keyEncryptor>\
             </keyEncryptors></encryption>",
            pack(0xfea7_d276_3b4b_9e79, &[8; 16]),
            pack(0xd7aa_0f6d_3061_344e, &Hash::Sha512.of(&[&[8; 16]])),
            pack(0x146e_0be7_abac_d0d6, &secret),
            salt = text(&salt),
        );
        let info = [&[4, 0, 4, 0, 0x40, 0, 0, 0], xml.as_bytes()].concat();
        let plain: Vec<u8> = (0..=255u8).cycle().take(5000).collect();
        let mut package = 4990_u64.to_le_bytes().to_vec();
        for (number, segment) in (0u32..).zip(plain.chunks(SEGMENT_LEN)) {
            let iv = vector(&Hash::Sha512.of(&[&salt, &number.to_le_bytes()]));
            let mut segment = segment.to_vec();
            segment.resize(segment.len().next_multiple_of(BLOCK_LEN), 0);
            package.extend(cbc_encrypt(&secret, iv, &segment).expect("a key"));
        }
        let mut sink = Recorder::default();
        let default = passwords(&["VelvetSweatshop"]);
        let opened = open_package(&info, &package, &default, &mut sink);
        assert_eq!(opened, Ok(Some(plain[..4990].to_vec())));
        assert_eq!(open_package(&info, &package, &passwords(&["no"]), &mut sink), Ok(None));
        assert_eq!(open_package(b"\x04\0\x04\0", b"", &default, &mut sink), Ok(None));
    }
}
