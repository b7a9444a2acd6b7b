//! Public keys and the verification of signatures; no secret key has a type here.
//!
//! Ed25519 is verified strictly (RFC 8032; small-order points and non-canonical encodings refused), so
//! that all clients agree. ML-DSA (FIPS 204) is verified with an empty context.
//! Leaves out: what the message is. TUF, notes and statements each say that themselves.

use std::fmt;

use ml_dsa::{MlDsa44, MlDsa65};
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use sha2::{Digest as _, Sha256};

use crate::text::{from_base64, to_base64};

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256; signatures are DER.
    EcdsaP256,
    /// RSASSA-PSS with SHA-256, of any salt length.
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// ML-DSA-44.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
}

/// A public key. Equal keys are equal material under the same scheme.
#[derive(Clone)]
pub struct PublicKey {
    scheme: Scheme,
    material: Vec<u8>,
    parsed: Parsed,
}

#[derive(Clone)]
enum Parsed {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    EcdsaP256(Box<p256::ecdsa::VerifyingKey>),
    RsaPss(Box<rsa::pss::VerifyingKey<Sha256>>),
    RsaPkcs1(Box<rsa::pkcs1v15::VerifyingKey<Sha256>>),
    MlDsa44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
    MlDsa65(Box<ml_dsa::VerifyingKey<MlDsa65>>),
}

/// Bytes are no public key of the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key for {0}")]
pub struct BadKey(pub Scheme);

/// A signature does not belong to this key and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The longest RSA modulus that is believed, in bits; longer ones cost too much to verify.
const RSA_BITS_MAX: usize = 8192;
const RSA_BITS_MIN: usize = 2048;

/// SubjectPublicKeyInfo up to the key's bytes; of fixed length, so no parser is needed.
const SPKI_ED25519: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
const SPKI_ML_DSA_44: &[u8] = &[
    0x30, 0x82, 0x05, 0x32, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17, 3, 0x82, 0x05,
    0x21, 0,
];
const SPKI_ML_DSA_65: &[u8] = &[
    0x30, 0x82, 0x07, 0xb2, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18, 3, 0x82, 0x07,
    0xa1, 0,
];

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
            Self::RsaPssSha256 => "RSASSA-PSS",
            Self::RsaPkcs1Sha256 => "RSASSA-PKCS1-v1_5",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
        })
    }
}

impl PublicKey {
    /// Makes a key of its raw bytes: 32 for Ed25519, 1312 for ML-DSA-44, 1952 for ML-DSA-65; the DER
    /// of a SubjectPublicKeyInfo for ECDSA and RSA.
    ///
    /// # Errors
    ///
    /// The bytes are no such key, or an RSA key is shorter than 2048 or longer than 8192 bits.
    pub fn from_bytes(scheme: Scheme, bytes: &[u8]) -> Result<Self, BadKey> {
        let parsed = match scheme {
            Scheme::Ed25519 => bytes
                .try_into()
                .ok()
                .and_then(|raw: &[u8; 32]| ed25519_dalek::VerifyingKey::from_bytes(raw).ok())
                .filter(|key| !key.is_weak())
                .map(|key| Parsed::Ed25519(Box::new(key))),
            Scheme::EcdsaP256 => p256::ecdsa::VerifyingKey::from_public_key_der(bytes)
                .ok()
                .map(|key| Parsed::EcdsaP256(Box::new(key))),
            Scheme::RsaPssSha256 => rsa_key(bytes).map(|key| {
                Parsed::RsaPss(Box::new(rsa::pss::VerifyingKey::new_with_auto_salt_len(key)))
            }),
            Scheme::RsaPkcs1Sha256 => rsa_key(bytes)
                .map(|key| Parsed::RsaPkcs1(Box::new(rsa::pkcs1v15::VerifyingKey::new(key)))),
            Scheme::MlDsa44 => ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(bytes)
                .ok()
                .map(|raw| Parsed::MlDsa44(Box::new(ml_dsa::VerifyingKey::decode(&raw)))),
            Scheme::MlDsa65 => ml_dsa::EncodedVerifyingKey::<MlDsa65>::try_from(bytes)
                .ok()
                .map(|raw| Parsed::MlDsa65(Box::new(ml_dsa::VerifyingKey::decode(&raw)))),
        };
        let parsed = parsed.ok_or(BadKey(scheme))?;
        Ok(Self { scheme, material: bytes.to_vec(), parsed })
    }

    /// Makes a key of a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// The text is no PEM, or its bytes are no such key.
    pub fn from_pem(scheme: Scheme, pem: &str) -> Result<Self, BadKey> {
        let der = pem_body(pem).ok_or(BadKey(scheme))?;
        let raw = match spki_prefix(scheme) {
            Some(prefix) => der.strip_prefix(prefix).ok_or(BadKey(scheme))?,
            None => der.as_slice(),
        };
        Self::from_bytes(scheme, raw)
    }

    /// Returns the key as a PEM `PUBLIC KEY`, with a newline at its end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let prefix = spki_prefix(self.scheme).unwrap_or_default();
        let body = to_base64(&[prefix, &self.material].concat());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (idx, character) in body.chars().enumerate() {
            if idx > 0 && idx % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END PUBLIC KEY-----\n");
        pem
    }

    /// Returns how this key signs.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the bytes that [`PublicKey::from_bytes`] takes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.material
    }

    /// Verifies a signature over exactly these bytes.
    ///
    /// # Errors
    ///
    /// It does not verify, for whatever reason.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let verified = match &self.parsed {
            Parsed::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Parsed::EcdsaP256(key) => p256::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Parsed::RsaPss(key) => rsa::pss::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Parsed::RsaPkcs1(key) => rsa::pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Parsed::MlDsa44(key) => ml_dsa::Signature::<MlDsa44>::try_from(signature)
                .is_ok_and(|signature| key.verify_with_context(message, &[], &signature)),
            Parsed::MlDsa65(key) => ml_dsa::Signature::<MlDsa65>::try_from(signature)
                .is_ok_and(|signature| key.verify_with_context(message, &[], &signature)),
        };
        if verified { Ok(()) } else { Err(BadSignature) }
    }
}

fn rsa_key(der: &[u8]) -> Option<rsa::RsaPublicKey> {
    use rsa::traits::PublicKeyParts as _;
    // Looked at before anything is computed with it; the library has limits of its own besides.
    let longest = RSA_BITS_MAX / 8 + 128;
    let key = (der.len() <= longest)
        .then(|| rsa::RsaPublicKey::from_public_key_der(der).ok())
        .flatten()?;
    let bits = key.size().checked_mul(8)?;
    (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits).then_some(key)
}

fn spki_prefix(scheme: Scheme) -> Option<&'static [u8]> {
    match scheme {
        Scheme::Ed25519 => Some(SPKI_ED25519),
        Scheme::MlDsa44 => Some(SPKI_ML_DSA_44),
        Scheme::MlDsa65 => Some(SPKI_ML_DSA_65),
        Scheme::EcdsaP256 | Scheme::RsaPssSha256 | Scheme::RsaPkcs1Sha256 => None,
    }
}

fn pem_body(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let body = body.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    from_base64(&body)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.material == other.material
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {}", self.scheme, crate::text::to_hex(&self.fingerprint()))
    }
}

impl PublicKey {
    /// Returns the SHA-256 of the key's bytes, to tell keys apart.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.material).into()
    }
}
