//! Statements with their proofs, in one file beside the content.
//!
//! JSON: `{"format":"holdfast-proofs/1","attestations":[{"note":…,"proofs":[…]}],"consistency":[{"log":…,
//! "from":…,"to":…,"hashes":[…]}]}`. `note` is the publisher's signed statement, each of `proofs` a C2SP
//! `tlog-proof` of it, as text. A `tlog-proof` alone would not do: it proves one entry in one log, and
//! does not carry the entry; here several publishers' entries, in one or more logs, come together,
//! with the proofs that the logs only grew since they were seen before.

use crate::json::{Json, Members};
use crate::log::merkle::{Hash, PROOF_LEN_MAX};
use crate::text::{from_base64, to_base64};

/// Most bytes of a bundle.
pub const BUNDLE_BYTES_MAX: usize = 1 << 20;
/// Most statements in a bundle.
pub const ATTESTATIONS_MAX: usize = 64;
/// Most proofs of one statement.
pub const PROOFS_MAX: usize = 8;
/// Most proofs of consistency in a bundle.
pub const CONSISTENCY_MAX: usize = 256;

const FORMAT: &str = "holdfast-proofs/1";

/// Statements with their proofs; nothing in it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Statements.
    pub attestations: Vec<Attestation>,
    /// Proofs that logs only grew.
    pub consistency: Vec<Consistency>,
}

/// A publisher's signed statement, and proofs that logs have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The signed note, as it stands in the log.
    pub note: String,
    /// `tlog-proof`s, each of another log.
    pub proofs: Vec<String>,
}

/// The proof that a log only grew from one size to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The log's origin.
    pub log: String,
    /// The smaller size.
    pub from: u64,
    /// The larger size.
    pub to: u64,
    /// The proof (RFC 6962 §2.1.2).
    pub hashes: Vec<Hash>,
}

/// Bytes are no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// More than [`BUNDLE_BYTES_MAX`] bytes, or too many of something.
    #[error("the proofs are too long: more than {0}")]
    TooLong(&'static str),
    /// Not JSON of this form.
    #[error("the proofs are not readable: {0}")]
    Malformed(String),
}

impl Bundle {
    /// Reads a bundle.
    ///
    /// # Errors
    ///
    /// See [`BundleError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLong("1 MiB"));
        }
        let json = Json::parse(bytes);
        let json = json.map_err(|error| BundleError::Malformed(error.to_string()))?;
        let malformed = |what: &str| BundleError::Malformed(what.to_owned());
        let members = json.as_object().ok_or_else(|| malformed("no object"))?;
        only(members, &["attestations", "consistency", "format"])?;
        if json.member("format").and_then(Json::as_str) != Some(FORMAT) {
            return Err(malformed("\"format\" is not \"holdfast-proofs/1\""));
        }
        let array = |name: &str| {
            let items = json.member(name).and_then(Json::as_array);
            items.ok_or_else(|| BundleError::Malformed(format!("{name:?} is no array")))
        };
        let (attestations, consistency) = (array("attestations")?, array("consistency")?);
        if attestations.len() > ATTESTATIONS_MAX {
            return Err(BundleError::TooLong("64 statements"));
        }
        if consistency.len() > CONSISTENCY_MAX {
            return Err(BundleError::TooLong("256 proofs of consistency"));
        }
        let attestations: Result<Vec<_>, _> = attestations.iter().map(attestation).collect();
        let consistency: Result<Vec<_>, _> = consistency.iter().map(growth).collect();
        Ok(Self { attestations: attestations?, consistency: consistency? })
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let attestations = self.attestations.iter().map(|attestation| {
            Json::object([
                ("note", Json::str(attestation.note.clone())),
                ("proofs", Json::strings(attestation.proofs.iter().cloned())),
            ])
        });
        let consistency = self.consistency.iter().map(|growth| {
            Json::object([
                ("log", Json::str(growth.log.clone())),
                ("from", Json::uint(growth.from)),
                ("to", Json::uint(growth.to)),
                ("hashes", Json::strings(growth.hashes.iter().map(|hash| to_base64(hash)))),
            ])
        });
        let json = Json::object([
            ("format", Json::str(FORMAT)),
            ("attestations", Json::Array(attestations.collect())),
            ("consistency", Json::Array(consistency.collect())),
        ]);
        json.to_file()
    }
}

fn attestation(json: &Json) -> Result<Attestation, BundleError> {
    let malformed =
        || BundleError::Malformed("a statement has no \"note\" or \"proofs\"".to_owned());
    only(json.as_object().ok_or_else(malformed)?, &["note", "proofs"])?;
    let note = json.member("note").and_then(Json::as_str).ok_or_else(malformed)?.to_owned();
    let proofs = json.member("proofs").and_then(Json::as_array).ok_or_else(malformed)?;
    if proofs.len() > PROOFS_MAX {
        return Err(BundleError::TooLong("8 proofs of one statement"));
    }
    let proofs = proofs.iter().map(|proof| proof.as_str().map(str::to_owned));
    let proofs: Option<Vec<String>> = proofs.collect();
    Ok(Attestation { note, proofs: proofs.ok_or_else(malformed)? })
}

fn growth(json: &Json) -> Result<Consistency, BundleError> {
    let malformed = || BundleError::Malformed("a proof of consistency is incomplete".to_owned());
    only(json.as_object().ok_or_else(malformed)?, &["from", "hashes", "log", "to"])?;
    let number = |name| json.member(name).and_then(Json::as_uint).ok_or_else(malformed);
    let log = json.member("log").and_then(Json::as_str).ok_or_else(malformed)?.to_owned();
    let hashes = json.member("hashes").and_then(Json::as_array).ok_or_else(malformed)?;
    if hashes.len() > PROOF_LEN_MAX {
        return Err(BundleError::TooLong("63 hashes"));
    }
    let hashes: Option<Vec<Hash>> = hashes
        .iter()
        .map(|hash| from_base64(hash.as_str()?).and_then(|hash| hash.try_into().ok()))
        .collect();
    let hashes = hashes.ok_or_else(malformed)?;
    Ok(Consistency { log, from: number("from")?, to: number("to")?, hashes })
}

fn only(members: &Members, known: &[&str]) -> Result<(), BundleError> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(BundleError::Malformed(format!("{name:?} is not understood"))),
        None => Ok(()),
    }
}
