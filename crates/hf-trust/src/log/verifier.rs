//! Keys of notes: their text form (vkey), their ids, and the verification of signature lines.
//!
//! Kinds: `0x01` Ed25519 over the text; `0x04` Ed25519 cosignature and `0x06` ML-DSA-44 cosignature,
//! both with a time, over checkpoints; and ours, `0xff` followed by `holdfast-mldsa44\n`: ML-DSA-44 over
//! `holdfast-note/v1`, a newline, and the text, since no ML-DSA type for texts is assigned.
//! Promises: a signature by a known key that does not verify condemns the note; one by an unknown key
//! has no say.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::checkpoint::Checkpoint;
use super::cosignature::{ed25519_message, ml_dsa_44_message, split_timestamped};
use super::note::{Note, NoteSignature, is_key_name};
use crate::key::{BadKey, PublicKey, Scheme};
use crate::text::{from_base64, from_hex, to_base64, to_hex};
use crate::time::Time;

/// What a key's signatures are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerifierKind {
    /// `0x01`: Ed25519 over the text.
    Ed25519,
    /// `0x04`: Ed25519 over a checkpoint, with the time.
    Ed25519Cosignature,
    /// `0x06`: ML-DSA-44 over a checkpoint, with the time.
    MlDsa44Cosignature,
    /// `0xff`: ML-DSA-44 over the text; ours.
    MlDsa44Note,
}

const ML_DSA_NOTE_ID: &[u8] = b"holdfast-mldsa44\n";
const ML_DSA_NOTE_HEADER: &[u8] = b"holdfast-note/v1\n";

/// A named key that verifies notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    kind: VerifierKind,
    key: PublicKey,
    key_id: [u8; 4],
}

/// A text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Not of the form `name+id+base64`.
    #[error("not of the form NAME+ID+KEY")]
    Form,
    /// The name is empty, or has white space or a plus in it.
    #[error("the name of the key is not allowed")]
    Name,
    /// The type of the signature is not known here.
    #[error("signatures of type {0:#04x} are not understood")]
    Kind(u8),
    /// The bytes are no key.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The id is not that of the name and key: a slip of the pen.
    #[error("the id does not belong to this name and key; is a character missing?")]
    Id,
}

/// A note does not carry a good signature by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature by the key.
    #[error("not signed by this key")]
    Absent,
    /// There is one that does not verify.
    #[error("the signature does not verify")]
    Bad,
    /// The key signs checkpoints only, and the text is none.
    #[error("the text is no checkpoint")]
    NoCheckpoint,
}

/// A signature that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// When it was made, for cosignatures.
    pub time: Option<Time>,
}

impl VerifierKind {
    /// Returns how such a key signs.
    #[must_use]
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => Scheme::Ed25519,
            Self::MlDsa44Cosignature | Self::MlDsa44Note => Scheme::MlDsa44,
        }
    }

    fn prefix(self) -> Vec<u8> {
        match self {
            Self::Ed25519 => vec![0x01],
            Self::Ed25519Cosignature => vec![0x04],
            Self::MlDsa44Cosignature => vec![0x06],
            Self::MlDsa44Note => [&[0xff], ML_DSA_NOTE_ID].concat(),
        }
    }

    /// Returns whether signatures carry a time and are over checkpoints.
    #[must_use]
    pub fn is_cosignature(self) -> bool {
        matches!(self, Self::Ed25519Cosignature | Self::MlDsa44Cosignature)
    }
}

impl Verifier {
    /// Makes a verifier of a name, a kind and the key's raw bytes.
    ///
    /// # Errors
    ///
    /// [`VerifierError::Name`] or [`VerifierError::Key`].
    pub fn new(name: &str, kind: VerifierKind, raw: &[u8]) -> Result<Self, VerifierError> {
        // 255 is what an ML-DSA-44 cosignature can hold of a name.
        if !is_key_name(name) || name.len() > 255 {
            return Err(VerifierError::Name);
        }
        let key = PublicKey::from_bytes(kind.scheme(), raw)?;
        let mut digest = Sha256::new();
        digest.update(name.as_bytes());
        digest.update(b"\n");
        digest.update(kind.prefix());
        digest.update(raw);
        let [a, b, c, d, ..] = <[u8; 32]>::from(digest.finalize());
        Ok(Self { name: name.to_owned(), kind, key, key_id: [a, b, c, d] })
    }

    /// Reads `name+id+base64(type || key)`.
    ///
    /// # Errors
    ///
    /// See [`VerifierError`].
    pub fn parse(vkey: &str) -> Result<Self, VerifierError> {
        let (name, rest) = vkey.split_once('+').ok_or(VerifierError::Form)?;
        let (id, encoded) = rest.split_once('+').ok_or(VerifierError::Form)?;
        let id = from_hex(id).filter(|id| id.len() == 4).ok_or(VerifierError::Form)?;
        let bytes = from_base64(encoded).ok_or(VerifierError::Form)?;
        let (kind, raw) = match bytes.split_first().ok_or(VerifierError::Form)? {
            (0x01, raw) => (VerifierKind::Ed25519, raw),
            (0x04, raw) => (VerifierKind::Ed25519Cosignature, raw),
            (0x06, raw) => (VerifierKind::MlDsa44Cosignature, raw),
            (0xff, rest) => {
                let raw = rest.strip_prefix(ML_DSA_NOTE_ID).ok_or(VerifierError::Kind(0xff))?;
                (VerifierKind::MlDsa44Note, raw)
            }
            (other, _) => return Err(VerifierError::Kind(*other)),
        };
        let verifier = Self::new(name, kind, raw)?;
        if verifier.key_id.as_slice() == id { Ok(verifier) } else { Err(VerifierError::Id) }
    }

    /// Returns the key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the key's id.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// Returns what the key's signatures are over.
    #[must_use]
    pub fn kind(&self) -> VerifierKind {
        self.kind
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns whether two verifiers wrap one public key, under whatever names.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Returns the bytes to sign for a text; `time` is used by cosignatures only.
    ///
    /// Returns nothing when the text is no checkpoint and the kind signs only those.
    #[must_use]
    pub fn message(&self, text: &str, time: Time) -> Option<Vec<u8>> {
        match self.kind {
            VerifierKind::Ed25519 => Some(text.as_bytes().to_vec()),
            VerifierKind::MlDsa44Note => Some([ML_DSA_NOTE_HEADER, text.as_bytes()].concat()),
            VerifierKind::Ed25519Cosignature => {
                Checkpoint::parse(text)?;
                Some(ed25519_message(time, text))
            }
            VerifierKind::MlDsa44Cosignature => {
                ml_dsa_44_message(&self.name, time, &Checkpoint::parse(text)?)
            }
        }
    }

    /// Makes the signature line of a signature over [`Verifier::message`].
    ///
    /// Returns nothing when the kind needs a time and it is before 1970.
    #[must_use]
    pub fn signature(&self, time: Time, signature: &[u8]) -> Option<NoteSignature> {
        let bytes = if self.kind.is_cosignature() {
            super::cosignature::timestamped(time, signature)?
        } else {
            signature.to_vec()
        };
        Some(NoteSignature { name: self.name.clone(), key_id: self.key_id, bytes })
    }

    /// Verifies this key's signature on a note. Of several the first counts, and all have to be good.
    ///
    /// # Errors
    ///
    /// See [`SignatureError`].
    pub fn verify(&self, note: &Note) -> Result<Verified, SignatureError> {
        let mine = note.signatures().iter();
        let mine = mine.filter(|line| line.name == self.name && line.key_id == self.key_id);
        let mut first = None;
        // One note costs a few verifications at most, however often a line is repeated.
        for (idx, line) in mine.enumerate() {
            if idx >= 4 {
                return Err(SignatureError::Bad);
            }
            let verified = self.verify_line(note.text(), &line.bytes)?;
            first = first.or(Some(verified));
        }
        first.ok_or(SignatureError::Absent)
    }

    fn verify_line(&self, text: &str, bytes: &[u8]) -> Result<Verified, SignatureError> {
        let (time, signature) = if self.kind.is_cosignature() {
            let (time, signature) = split_timestamped(bytes).ok_or(SignatureError::Bad)?;
            (Some(time), signature)
        } else {
            (None, bytes)
        };
        let message = self.message(text, time.unwrap_or(Time::from_unix(0)));
        let message = message.ok_or(SignatureError::NoCheckpoint)?;
        self.key.verify(&message, signature).map_err(|_| SignatureError::Bad)?;
        Ok(Verified { time })
    }
}

/// Writes `name+id+base64(type || key)`.
impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = to_base64(&[&self.kind.prefix(), self.key.as_bytes()].concat());
        write!(f, "{}+{}+{encoded}", self.name, to_hex(&self.key_id))
    }
}
