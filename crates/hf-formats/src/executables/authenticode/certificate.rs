//! Certificates of signers, and their keys.

use hf_core::hex::to_hex;
use hf_core::signature::CertificateSig;
use num_bigint::BigUint;
use sha1::{Digest as _, Sha1};

use super::der::{Der, Value, time};
use super::hash::Hash;

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Code,
    Time,
}

/// A certificate ([RFC 5280] §4.1); names and numbers without their tags.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    signed: &'a [u8],
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    subject: &'a [u8],
    valid: Option<(u64, u64)>,
    modulus: &'a [u8],
    exponent: &'a [u8],
    extensions: &'a [u8],
    hash: Option<Hash>,
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(super) fn read(value: Value<'a>) -> Option<Self> {
        let mut outer = Der(Some(value).filter(|value| value.tag == 0x30)?.content);
        let signed = outer.next()?;
        let hash = Hash::of(Der(outer.expect(0x30)?).expect(0x06)?);
        let signature = outer.expect(0x03)?.get(1..)?;
        let mut inner = Der(signed.content);
        let mut next = inner.next()?;
        if next.tag == 0xa0 {
            next = inner.next()?;
        }
        let serial = next.content;
        inner.expect(0x30)?;
        let issuer = inner.expect(0x30)?;
        let mut dates = Der(inner.expect(0x30)?);
        let valid = dates.next().and_then(time).zip(dates.next().and_then(time));
        let subject = inner.expect(0x30)?;
        let mut key = Der(inner.expect(0x30)?);
        let is_rsa = Der(key.expect(0x30)?).expect(0x06)? == RSA;
        let (modulus, exponent) = if is_rsa {
            let mut key = Der(Der(key.expect(0x03)?.get(1..)?).expect(0x30)?);
            (key.expect(0x02)?, key.expect(0x02)?)
        } else {
            (b"".as_slice(), b"".as_slice())
        };
        let mut extensions = b"".as_slice();
        while let Some(value) = inner.next() {
            if value.tag == 0xa3 {
                extensions = Der(value.content).expect(0x30)?;
            }
        }
        let signed = signed.whole;
        Some(Self {
            signed,
            serial,
            issuer,
            subject,
            valid,
            modulus,
            exponent,
            extensions,
            hash,
            signature,
        })
    }

    /// Returns what a rule says of a certificate: digests of subject, serial number and issuer, dates in seconds since
    /// 1970, and the key's modulus.
    pub(super) fn in_words(&self) -> String {
        let sha1 = |bytes: &[u8]| to_hex(&Sha1::digest(bytes));
        let (from, to) = self.valid.unwrap_or_default();
        format!(
            "subject={} serial={} issuer={} from={from} to={to} key={}",
            sha1(self.subject),
            sha1(self.serial),
            sha1(self.issuer),
            to_hex(self.modulus.strip_prefix(b"\0").unwrap_or(self.modulus))
        )
    }

    pub(super) fn subject_sha1(&self) -> [u8; 20] {
        Sha1::digest(self.subject).into()
    }

    /// True when a rule is about this certificate.
    pub(super) fn is_named_by(&self, rule: &CertificateSig) -> bool {
        let plain = |number: &[u8]| -> Vec<u8> {
            number.iter().copied().skip_while(|byte| *byte == 0).collect()
        };
        plain(self.modulus) == plain(&rule.modulus)
            && self.subject_sha1() == rule.subject
            && rule
                .serial
                .is_none_or(|serial| <[u8; 20]>::from(Sha1::digest(self.serial)) == serial)
    }

    pub(super) fn key(&self) -> Option<Key> {
        Key::new(self.modulus, self.exponent)
    }

    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        self.hash.is_some_and(|hash| key.holds(self.signature, hash, &hash.digest(&[self.signed])))
    }

    pub(super) fn is_valid_at(&self, at: u64) -> bool {
        self.valid.is_some_and(|(from, to)| (from..=to).contains(&at))
    }

    /// True when it may sign certificates ([RFC 5280] §4.2.1.9).
    pub(super) fn is_authority(&self) -> bool {
        let constraints =
            self.extension(BASIC_CONSTRAINTS).and_then(|value| Der(value).expect(0x30));
        constraints.and_then(|content| Der(content).expect(0x01)).is_some_and(|ca| ca != b"\0")
    }

    /// True unless it says that it is for other things ([RFC 5280] §4.2.1.12).
    pub(super) fn may_be_used_for(&self, purpose: Purpose) -> bool {
        let wanted = match purpose {
            Purpose::Code => CODE_SIGNING,
            Purpose::Time => TIME_STAMPING,
        };
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else { return true };
        let Some(list) = Der(value).expect(0x30) else { return false };
        let mut list = Der(list);
        std::iter::from_fn(|| list.expect(0x06)).any(|oid| oid == wanted || oid == ANY_USAGE)
    }

    /// Returns an extension's value.
    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        let mut list = Der(self.extensions);
        while let Some(value) = list.next() {
            let mut extension = Der(value.content);
            if extension.expect(0x06) == Some(oid) {
                let next = extension.next()?;
                let value = if next.tag == 0x01 { extension.next()? } else { next };
                return Some(value.content).filter(|_| value.tag == 0x04);
            }
        }
        None
    }
}

#[cfg(test)]
impl Certificate<'_> {
    /// Returns a rule on this certificate.
    pub(super) fn rule(&self, trusted: bool) -> CertificateSig {
        CertificateSig {
            trusted,
            subject: self.subject_sha1(),
            serial: Some(Sha1::digest(self.serial).into()),
            modulus: self.modulus.to_vec(),
            code_sign: true,
            time_sign: true,
            cert_sign: true,
        }
    }
}

#[cfg(test)]
impl Key {
    pub(super) fn exponent(&self) -> u64 {
        self.exponent.iter_u64_digits().next().unwrap_or(0)
    }
}

/// An RSA key.
#[derive(Debug)]
pub(super) struct Key {
    modulus: BigUint,
    exponent: BigUint,
    len: usize,
}

impl Key {
    fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let start = modulus.iter().position(|byte| *byte != 0)?;
        let modulus = modulus.get(start..)?;
        // 512 bits are too few for trust today, and 8192 are enough work; an exponent is small.
        if !(KEY_LEN_MIN..=KEY_LEN_MAX).contains(&modulus.len()) || exponent.len() > 5 {
            return None;
        }
        let (modulus_number, exponent) =
            (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
        (modulus_number.bit(0) && exponent.bit(0) && exponent > BigUint::from(2_u32))
            .then_some(Self { modulus: modulus_number, exponent, len: modulus.len() })
    }

    pub(super) fn of_rule(rule: &CertificateSig) -> Option<Self> {
        Self::new(&rule.modulus, &[1, 0, 1])
    }

    /// RSASSA-PKCS1-v1_5 of RFC 8017 §8.2.2.
    pub(super) fn holds(&self, signature: &[u8], hash: Hash, digest: &[u8]) -> bool {
        if signature.len() > self.len {
            return false;
        }
        let number = BigUint::from_bytes_be(signature);
        if number >= self.modulus {
            return false;
        }
        let recovered = number.modpow(&self.exponent, &self.modulus).to_bytes_be();
        // §9.2: EM = 0x00 || 0x01 || PS || 0x00 || T, built anew and compared as a whole.
        let info = [hash.prefix(), digest].concat();
        let Some(filling) = self.len.checked_sub(info.len().saturating_add(3)) else {
            return false;
        };
        if filling < 8 {
            return false;
        }
        let wanted = [[1].as_slice(), &vec![0xff; filling], &[0], &info].concat();
        recovered == wanted
    }
}

const KEY_LEN_MIN: usize = 128;
const KEY_LEN_MAX: usize = 1024;
/// 1.2.840.113549.1.1.1.
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
/// 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
/// 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
/// 2.5.29.37.0.
const ANY_USAGE: &[u8] = b"\x55\x1d\x25\x00";
/// 1.3.6.1.5.5.7.3.3.
const CODE_SIGNING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x03";
/// 1.3.6.1.5.5.7.3.8.
const TIME_STAMPING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x08";
