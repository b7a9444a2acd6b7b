//! Keys as TUF metadata writes them (§4.2), and what they sign.
//!
//! Understood: `ed25519`/`ed25519` (hexadecimal), `ecdsa`/`ecdsa-sha2-nistp256` (PEM; also under the old
//! key type `ecdsa-sha2-nistp256`), `rsa`/`rsassa-pss-sha256` and `rsa`/`rsa-pkcs1v15-sha256` (PEM), and
//! `ml-dsa` with `ml-dsa-44/1` or `ml-dsa-65/1` (PEM, TAP 21).
//! A key of another kind is kept but verifies nothing, as the specification asks.

use sha2::{Digest as _, Sha256, Sha512};

use crate::json::{Json, Members};
use crate::key::{BadSignature, PublicKey, Scheme};
use crate::text::{from_hex, to_hex};

/// The key type of ML-DSA (TAP 21).
pub const KEYTYPE_ML_DSA: &str = "ml-dsa";

/// A key of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TufKey {
    keytype: String,
    scheme: String,
    json: Json,
    key: Option<PublicKey>,
}

impl TufKey {
    /// Makes the entry for a key; ML-DSA keys are of TAP 21's version 1.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        let (keytype, scheme, public) = match key.scheme() {
            Scheme::Ed25519 => ("ed25519", "ed25519", to_hex(key.as_bytes())),
            Scheme::EcdsaP256 => ("ecdsa", "ecdsa-sha2-nistp256", key.to_pem()),
            Scheme::RsaPssSha256 => ("rsa", "rsassa-pss-sha256", key.to_pem()),
            Scheme::RsaPkcs1Sha256 => ("rsa", "rsa-pkcs1v15-sha256", key.to_pem()),
            Scheme::MlDsa44 => (KEYTYPE_ML_DSA, "ml-dsa-44/1", key.to_pem()),
            Scheme::MlDsa65 => (KEYTYPE_ML_DSA, "ml-dsa-65/1", key.to_pem()),
        };
        let json = Json::object([
            ("keytype", Json::str(keytype)),
            ("scheme", Json::str(scheme)),
            ("keyval", Json::object([("public", Json::str(public))])),
        ]);
        Self { keytype: keytype.to_owned(), scheme: scheme.to_owned(), json, key: Some(key) }
    }

    /// Reads a key. One of an unknown kind, or whose value does not decode, is kept but verifies nothing.
    ///
    /// # Errors
    ///
    /// Names the field that is missing or of the wrong type.
    pub fn from_json(json: &Json) -> Result<Self, String> {
        let text = |object: &Json, name: &str| {
            let text = object.member(name).and_then(Json::as_str);
            text.map(str::to_owned).ok_or_else(|| format!("a key has no text {name:?}"))
        };
        let (keytype, scheme) = (text(json, "keytype")?, text(json, "scheme")?);
        let keyval = json.member("keyval").ok_or("a key has no \"keyval\"")?;
        let public = text(keyval, "public")?;
        let key = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => {
                from_hex(&public).and_then(|raw| PublicKey::from_bytes(Scheme::Ed25519, &raw).ok())
            }
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                PublicKey::from_pem(Scheme::EcdsaP256, &public).ok()
            }
            ("rsa", "rsassa-pss-sha256") => PublicKey::from_pem(Scheme::RsaPssSha256, &public).ok(),
            ("rsa", "rsa-pkcs1v15-sha256") => {
                PublicKey::from_pem(Scheme::RsaPkcs1Sha256, &public).ok()
            }
            (KEYTYPE_ML_DSA, "ml-dsa-44/1") => PublicKey::from_pem(Scheme::MlDsa44, &public).ok(),
            (KEYTYPE_ML_DSA, "ml-dsa-65/1") => PublicKey::from_pem(Scheme::MlDsa65, &public).ok(),
            _ => None,
        };
        Ok(Self { keytype, scheme, json: json.clone(), key })
    }

    /// Returns the key as metadata writes it, unknown members included.
    #[must_use]
    pub fn to_json(&self) -> Json {
        self.json.clone()
    }

    /// Returns the `keytype`.
    #[must_use]
    pub fn keytype(&self) -> &str {
        &self.keytype
    }

    /// Returns the public key, if its kind is understood.
    #[must_use]
    pub fn public(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Returns the usual key id: the SHA-256 of the key's canonical JSON without unknown members.
    #[must_use]
    pub fn id(&self) -> String {
        let known = |name: &str| self.json.member(name).cloned().unwrap_or(Json::Null);
        let public = self.json.member("keyval").and_then(|keyval| keyval.member("public"));
        let keyval = Members::from([("public".to_owned(), public.cloned().unwrap_or(Json::Null))]);
        let json = Json::object([
            ("keytype", known("keytype")),
            ("scheme", known("scheme")),
            ("keyval", Json::Object(keyval)),
        ]);
        to_hex(&Sha256::digest(json.canonical()))
    }

    /// Returns the bytes that a signature is made over, for metadata with this canonical form: the
    /// form itself, or for ML-DSA `tuf`, the byte 1 and its SHA-512 (TAP 21).
    #[must_use]
    pub fn message(&self, canonical: &[u8]) -> Vec<u8> {
        if self.keytype == KEYTYPE_ML_DSA {
            let mut message = b"tuf\x01".to_vec();
            message.extend_from_slice(&Sha512::digest(canonical));
            message
        } else {
            canonical.to_vec()
        }
    }

    /// Verifies a signature over metadata with this canonical form.
    ///
    /// # Errors
    ///
    /// It does not verify, or the key is of an unknown kind.
    pub fn verify(&self, canonical: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let key = self.key.as_ref().ok_or(BadSignature)?;
        if self.keytype == KEYTYPE_ML_DSA {
            key.verify(&self.message(canonical), signature)
        } else {
            key.verify(canonical, signature)
        }
    }
}
