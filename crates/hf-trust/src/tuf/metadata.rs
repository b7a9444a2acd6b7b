//! The four roles' metadata (§4), read strictly and written back with nothing lost.
//!
//! Promises: members that are not understood are kept, and count for signatures. An [`Envelope`] keeps
//! the canonical form of what was signed as it was read.
//! Leaves out: whether any of it may be believed; see [`super::updater`].

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256, Sha512};

use super::error::{Role, TufError};
use super::role::{Delegations, Keys, RoleKeys, keys_to_json, take_keys};
use super::target::Target;
use crate::json::{Json, Members};
use crate::text::{from_hex, to_hex};
use crate::time::Time;

/// The version of the specification that is written.
pub const SPEC_VERSION: &str = "1.0.34";

/// A signature in an envelope. Whether its text is hexadecimal is seen when it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The id of the key.
    pub keyid: String,
    /// The signature, in hexadecimal digits.
    pub sig: String,
}

impl Signature {
    /// Makes a signature of a key's id and bytes.
    #[must_use]
    pub fn new(keyid: impl Into<String>, bytes: &[u8]) -> Self {
        Self { keyid: keyid.into(), sig: to_hex(bytes) }
    }
}

/// Metadata of a role.
pub trait Body: Sized {
    /// The value of `_type`.
    const TYPE: &'static str;

    /// Takes this role's members out of `signed`; `header` was taken before.
    ///
    /// # Errors
    ///
    /// Names the member that is missing or wrong.
    fn from_members(header: Header, members: Members) -> Result<Self, String>;

    /// Returns what is common to all roles.
    fn header(&self) -> &Header;

    /// Puts this role's members into `signed`.
    fn put(&self, members: &mut Members);

    /// Returns `signed` as JSON.
    fn to_json(&self) -> Json {
        let mut members = Members::new();
        self.put(&mut members);
        let header = self.header();
        members.insert("_type".to_owned(), Json::str(Self::TYPE));
        members.insert("spec_version".to_owned(), Json::str(header.spec_version.clone()));
        members.insert("version".to_owned(), Json::uint(header.version));
        members.insert("expires".to_owned(), Json::str(header.expires.to_string()));
        Json::Object(members)
    }
}

/// What all roles' metadata begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `spec_version`, of the form `1.x` or `1.x.y`.
    pub spec_version: String,
    /// `version`, at least 1.
    pub version: u64,
    /// `expires`; at this second the metadata has expired.
    pub expires: Time,
}

impl Header {
    /// Makes the header of a new file.
    #[must_use]
    pub fn new(version: u64, expires: Time) -> Self {
        Self { spec_version: SPEC_VERSION.to_owned(), version, expires }
    }
}

/// A metadata file: signatures, and what they are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<T> {
    /// The signatures; anybody can add some, so none is believed before it is verified.
    pub signatures: Vec<Signature>,
    /// What is signed.
    pub signed: T,
    /// The canonical form of `signed`, as it was read.
    canonical: Vec<u8>,
}

impl<T: Body> Envelope<T> {
    /// Makes a file of metadata that nobody signed yet.
    #[must_use]
    pub fn new(signed: T) -> Self {
        let canonical = signed.to_json().canonical();
        Self { signatures: Vec::new(), signed, canonical }
    }

    /// Returns the canonical form that signatures are over.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Reads a file. Signatures are not verified.
    ///
    /// # Errors
    ///
    /// [`TufError::Malformed`], naming the member.
    pub fn parse(role: &Role, bytes: &[u8]) -> Result<Self, TufError> {
        Self::read(bytes).map_err(|what| TufError::Malformed { role: role.clone(), what })
    }

    fn read(bytes: &[u8]) -> Result<Self, String> {
        let json = Json::parse(bytes).map_err(|error| error.to_string())?;
        let Json::Object(mut file) = json else { return Err("no object".to_owned()) };
        let signatures = file.remove("signatures");
        let signatures = signatures.as_ref().and_then(Json::as_array);
        let signatures = signatures.ok_or("\"signatures\" is missing, or no array")?;
        let signatures: Option<Vec<Signature>> = signatures
            .iter()
            .map(|signature| {
                let text = |name| signature.member(name)?.as_str().map(str::to_owned);
                Some(Signature { keyid: text("keyid")?, sig: text("sig")? })
            })
            .collect();
        let signatures = signatures.ok_or("a signature has no \"keyid\" or no \"sig\"")?;
        // §4.2.1: the key id is unique among signatures.
        let unique: BTreeSet<&String> = signatures.iter().map(|one| &one.keyid).collect();
        if unique.len() != signatures.len() {
            return Err("a key id is given twice among the signatures".to_owned());
        }
        let signed = file.remove("signed").ok_or("\"signed\" is missing")?;
        let canonical = signed.canonical();
        let Json::Object(mut members) = signed else {
            return Err("\"signed\" is no object".to_owned());
        };
        let header = take_header(T::TYPE, &mut members)?;
        Ok(Self { signatures, signed: T::from_members(header, members)?, canonical })
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let signatures = self.signatures.iter().map(|signature| {
            Json::object([
                ("keyid", Json::str(signature.keyid.clone())),
                ("sig", Json::str(signature.sig.clone())),
            ])
        });
        let file = Json::object([
            ("signatures", Json::Array(signatures.collect())),
            ("signed", self.signed.to_json()),
        ]);
        file.to_file()
    }

    /// Verifies that a role's keys signed this.
    ///
    /// # Errors
    ///
    /// See [`RoleKeys::verify`].
    pub fn verify(&self, role: &Role, by: &RoleKeys, keys: &Keys) -> Result<(), TufError> {
        by.verify(role, keys, &self.canonical, &self.signatures)
    }
}

fn take_header(kind: &str, members: &mut Members) -> Result<Header, String> {
    let mut text = |name: &str| match members.remove(name) {
        Some(Json::Str(text)) => Ok(text),
        _ => Err(format!("{name:?} is missing, or no text")),
    };
    let got = text("_type")?;
    if got != kind {
        return Err(format!("\"_type\" is {got:?} and not {kind:?}"));
    }
    let spec_version = text("spec_version")?;
    let expires = text("expires")?;
    let parts: Option<Vec<u64>> = spec_version.split('.').map(|part| part.parse().ok()).collect();
    if !parts.is_some_and(|parts| (2..=3).contains(&parts.len()) && parts.first() == Some(&1)) {
        return Err(format!("\"spec_version\" is {spec_version:?} and not 1.x"));
    }
    let expires =
        Time::parse(&expires).ok_or_else(|| format!("\"expires\" is no time: {expires:?}"))?;
    let version = members.remove("version").and_then(|json| json.as_uint());
    let version = version.filter(|version| *version > 0);
    let version = version.ok_or("\"version\" is not a number above 0")?;
    Ok(Header { spec_version, version, expires })
}

/// Which keys sign for the top-level roles (§4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What is common to all roles.
    pub header: Header,
    /// Whether file names carry versions and digests.
    pub consistent_snapshot: bool,
    /// All keys.
    pub keys: Keys,
    /// For `root`.
    pub root: RoleKeys,
    /// For `timestamp`.
    pub timestamp: RoleKeys,
    /// For `snapshot`.
    pub snapshot: RoleKeys,
    /// For `targets`.
    pub targets: RoleKeys,
    /// Members that are not understood, and `roles` beside the four; kept.
    pub extra: Members,
    /// Roles beside the four; kept.
    pub extra_roles: Members,
}

impl Body for Root {
    const TYPE: &'static str = "root";

    fn from_members(header: Header, mut members: Members) -> Result<Self, String> {
        let consistent_snapshot = match members.remove("consistent_snapshot") {
            Some(Json::Bool(truth)) => truth,
            None => false,
            Some(_) => return Err("\"consistent_snapshot\" is no truth value".to_owned()),
        };
        let keys = take_keys(&mut members)?;
        let Some(Json::Object(mut roles)) = members.remove("roles") else {
            return Err("\"roles\" is missing, or no object".to_owned());
        };
        let mut role = |name: &str| {
            let Some(Json::Object(mut role)) = roles.remove(name) else {
                return Err(format!("the role {name:?} is missing, or no object"));
            };
            let mut keys = RoleKeys::take(&mut role)?;
            keys.extra = role;
            Ok(keys)
        };
        Ok(Self {
            header,
            consistent_snapshot,
            keys,
            root: role("root")?,
            timestamp: role("timestamp")?,
            snapshot: role("snapshot")?,
            targets: role("targets")?,
            extra: members,
            extra_roles: roles,
        })
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn put(&self, members: &mut Members) {
        members.clone_from(&self.extra);
        members.insert("consistent_snapshot".to_owned(), Json::Bool(self.consistent_snapshot));
        members.insert("keys".to_owned(), keys_to_json(&self.keys));
        let mut roles = self.extra_roles.clone();
        for (name, keys) in [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ] {
            let mut role = keys.extra.clone();
            keys.put(&mut role);
            roles.insert(name.to_owned(), Json::Object(role));
        }
        members.insert("roles".to_owned(), Json::Object(roles));
    }
}

/// Which version, length and digests a metadata file has (§4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// The file's version, at least 1.
    pub version: u64,
    /// The file's length in bytes, if told.
    pub length: Option<u64>,
    /// The file's digests by name, in hexadecimal digits; may be empty.
    pub hashes: BTreeMap<String, String>,
    /// Members that are not understood; kept.
    pub extra: Members,
}

impl FileMeta {
    /// Makes the entry for a file of this version and these bytes, with length and SHA-256.
    #[must_use]
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        let hashes = BTreeMap::from([("sha256".to_owned(), to_hex(&Sha256::digest(bytes)))]);
        let length = u64::try_from(bytes.len()).ok();
        Self { version, length, hashes, extra: Members::new() }
    }

    fn from_json(json: Json) -> Result<Self, String> {
        let Json::Object(mut members) = json else {
            return Err("an entry of \"meta\" is no object".to_owned());
        };
        let version = members.remove("version").and_then(|json| json.as_uint());
        let version = version.filter(|version| *version > 0);
        let version = version.ok_or("a \"version\" in \"meta\" is not a number above 0")?;
        let length = take_length(&mut members)?;
        let hashes = take_hashes(&mut members)?.unwrap_or_default();
        Ok(Self { version, length, hashes, extra: members })
    }

    fn to_json(&self) -> Json {
        let mut members = self.extra.clone();
        members.insert("version".to_owned(), Json::uint(self.version));
        if let Some(length) = self.length {
            members.insert("length".to_owned(), Json::uint(length));
        }
        if !self.hashes.is_empty() {
            members.insert("hashes".to_owned(), hashes_to_json(&self.hashes));
        }
        Json::Object(members)
    }

    /// Checks a file's length and digests.
    ///
    /// # Errors
    ///
    /// Names what differs.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), String> {
        if self.length.is_some_and(|length| u64::try_from(bytes.len()) != Ok(length)) {
            return Err("length".to_owned());
        }
        for (name, want) in &self.hashes {
            let got = match name.as_str() {
                "sha256" => Sha256::digest(bytes).to_vec(),
                "sha512" => Sha512::digest(bytes).to_vec(),
                _ => continue,
            };
            if from_hex(want).as_deref() != Some(&got) {
                return Err(name.clone());
            }
        }
        let known = |name: &String| matches!(name.as_str(), "sha256" | "sha512");
        if !self.hashes.is_empty() && !self.hashes.keys().any(known) {
            return Err("digest (none of a known kind)".to_owned());
        }
        Ok(())
    }
}

pub(super) fn take_length(members: &mut Members) -> Result<Option<u64>, String> {
    match members.remove("length") {
        None => Ok(None),
        Some(json) => json.as_uint().map(Some).ok_or("a \"length\" is no number".to_owned()),
    }
}

pub(super) fn take_hashes(
    members: &mut Members,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let Some(json) = members.remove("hashes") else { return Ok(None) };
    let hashes = json.as_object().filter(|hashes| !hashes.is_empty());
    let hashes: Option<BTreeMap<String, String>> = hashes.and_then(|hashes| {
        let text = |(name, json): (&String, &Json)| Some((name.clone(), json.as_str()?.to_owned()));
        hashes.iter().map(text).collect()
    });
    hashes.map(Some).ok_or("\"hashes\" is no object of texts, or empty".to_owned())
}

pub(super) fn hashes_to_json(hashes: &BTreeMap<String, String>) -> Json {
    let hashes = hashes.iter().map(|(name, hex)| (name.clone(), Json::str(hex.clone())));
    Json::Object(hashes.collect())
}

fn take_meta(members: &mut Members) -> Result<BTreeMap<String, FileMeta>, String> {
    let Some(Json::Object(meta)) = members.remove("meta") else {
        return Err("\"meta\" is missing, or no object".to_owned());
    };
    meta.into_iter().map(|(name, json)| Ok((name, FileMeta::from_json(json)?))).collect()
}

fn meta_to_json(meta: &BTreeMap<String, FileMeta>) -> Json {
    Json::Object(meta.iter().map(|(name, meta)| (name.clone(), meta.to_json())).collect())
}

/// Which snapshot is current (§4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// What is common to all roles.
    pub header: Header,
    /// The current `snapshot.json`.
    pub snapshot: FileMeta,
    /// Members that are not understood; kept.
    pub extra: Members,
}

impl Body for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn from_members(header: Header, mut members: Members) -> Result<Self, String> {
        let mut meta = take_meta(&mut members)?;
        let snapshot =
            meta.remove("snapshot.json").ok_or("\"snapshot.json\" is not in \"meta\"")?;
        Ok(Self { header, snapshot, extra: members })
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn put(&self, members: &mut Members) {
        members.clone_from(&self.extra);
        let meta = Json::object([("snapshot.json", self.snapshot.to_json())]);
        members.insert("meta".to_owned(), meta);
    }
}

/// Which versions of all targets roles belong together (§4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What is common to all roles.
    pub header: Header,
    /// Files by name (`targets.json`, and those of delegated roles).
    pub meta: BTreeMap<String, FileMeta>,
    /// Members that are not understood; kept.
    pub extra: Members,
}

impl Body for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn from_members(header: Header, mut members: Members) -> Result<Self, String> {
        let meta = take_meta(&mut members)?;
        Ok(Self { header, meta, extra: members })
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn put(&self, members: &mut Members) {
        members.clone_from(&self.extra);
        members.insert("meta".to_owned(), meta_to_json(&self.meta));
    }
}

/// Which files are current, or who may say so (§4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// What is common to all roles.
    pub header: Header,
    /// Targets by path.
    pub targets: BTreeMap<String, Target>,
    /// Whom this role trusts with which paths.
    pub delegations: Option<Delegations>,
    /// Members that are not understood; kept.
    pub extra: Members,
}

impl Body for Targets {
    const TYPE: &'static str = "targets";

    fn from_members(header: Header, mut members: Members) -> Result<Self, String> {
        let Some(Json::Object(targets)) = members.remove("targets") else {
            return Err("\"targets\" is missing, or no object".to_owned());
        };
        let targets: Result<BTreeMap<String, Target>, String> = targets
            .into_iter()
            .map(|(path, json)| Target::from_json(&path, json).map(|target| (path, target)))
            .collect();
        let delegations = members.remove("delegations").map(Delegations::from_json).transpose()?;
        Ok(Self { header, targets: targets?, delegations, extra: members })
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn put(&self, members: &mut Members) {
        members.clone_from(&self.extra);
        let targets = self.targets.iter().map(|(path, target)| (path.clone(), target.to_json()));
        members.insert("targets".to_owned(), Json::Object(targets.collect()));
        if let Some(delegations) = &self.delegations {
            members.insert("delegations".to_owned(), delegations.to_json());
        }
    }
}
