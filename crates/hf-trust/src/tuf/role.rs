//! Keys and thresholds of roles, delegations, and the counting of signatures.
//!
//! Promises: a key counts once, however many ids it goes by and however often it signed.
//! Ours beside the specification: a role may carry `x-thresholds`, an object of key types and numbers.
//! It then needs that many valid signatures by distinct keys *of that type*, besides its threshold;
//! so a role can want classical and post-quantum signatures both. Other clients ignore the member.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::error::{Role, TufError};
use super::key::TufKey;
use super::metadata::Signature;
use super::pattern;
use crate::json::{Json, Members};
use crate::text::{from_hex, to_hex};

/// Keys by their id.
pub type Keys = BTreeMap<String, TufKey>;

/// The name of the member that wants signatures of a key type.
pub const X_THRESHOLDS: &str = "x-thresholds";

/// Most keys in one metadata file.
pub const KEYS_MAX: usize = 1024;
/// Most signatures that are looked at; each may cost a verification.
pub const SIGNATURES_MAX: usize = 1024;

/// Which keys may sign for a role, and how many have to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// Ids of keys; unique.
    pub keyids: Vec<String>,
    /// How many distinct keys have to have signed; at least 1.
    pub threshold: u64,
    /// How many of them have to be of a key type; usually empty.
    pub by_keytype: BTreeMap<String, u64>,
    /// Members that are not understood; kept.
    pub extra: Members,
}

impl RoleKeys {
    /// Makes a role of keys and a threshold.
    #[must_use]
    pub fn new(keyids: Vec<String>, threshold: u64) -> Self {
        Self { keyids, threshold, by_keytype: BTreeMap::new(), extra: Members::new() }
    }

    /// Takes the known members out of an object; what is left is the caller's.
    pub(super) fn take(members: &mut Members) -> Result<Self, String> {
        let keyids = take_strings(members, "keyids")?.ok_or("a role has no \"keyids\"")?;
        let unique: BTreeSet<&String> = keyids.iter().collect();
        if unique.len() != keyids.len() {
            return Err("a role names a key id twice".to_owned());
        }
        let threshold = members.remove("threshold").and_then(|json| json.as_uint());
        let threshold = threshold.filter(|number| *number > 0);
        let threshold = threshold.ok_or("a role's \"threshold\" is not a number above 0")?;
        let mut by_keytype = BTreeMap::new();
        if let Some(wanted) = members.remove(X_THRESHOLDS) {
            for (keytype, number) in wanted.as_object().ok_or("\"x-thresholds\" is no object")? {
                let number = number.as_uint().ok_or("\"x-thresholds\" holds no number")?;
                by_keytype.insert(keytype.clone(), number);
            }
        }
        Ok(Self { keyids, threshold, by_keytype, extra: Members::new() })
    }

    pub(super) fn put(&self, members: &mut Members) {
        members.insert("keyids".to_owned(), Json::strings(self.keyids.iter().cloned()));
        members.insert("threshold".to_owned(), Json::uint(self.threshold));
        if !self.by_keytype.is_empty() {
            let wanted = self.by_keytype.iter();
            let wanted = wanted.map(|(keytype, number)| (keytype.clone(), Json::uint(*number)));
            members.insert(X_THRESHOLDS.to_owned(), Json::Object(wanted.collect()));
        }
    }

    /// Counts valid signatures by distinct keys of this role over metadata's canonical form (§4.2).
    ///
    /// # Errors
    ///
    /// Too few, [`TufError::BadSignature`]; too few of a key type, [`TufError::BadHybrid`].
    pub fn verify(
        &self,
        role: &Role,
        keys: &Keys,
        canonical: &[u8],
        signatures: &[Signature],
    ) -> Result<(), TufError> {
        let allowed: BTreeSet<&String> = self.keyids.iter().collect();
        let mut tried = BTreeSet::new();
        let mut valid: BTreeMap<&[u8], &str> = BTreeMap::new();
        for signature in signatures.iter().take(SIGNATURES_MAX) {
            if !allowed.contains(&signature.keyid)
                || !tried.insert((&signature.keyid, &signature.sig))
            {
                continue;
            }
            let Some(key) = keys.get(&signature.keyid) else { continue };
            let Some(public) = key.public() else { continue };
            let Some(bytes) = from_hex(&signature.sig) else { continue };
            if !valid.contains_key(public.as_bytes()) && key.verify(canonical, &bytes).is_ok() {
                valid.insert(public.as_bytes(), key.keytype());
            }
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (total, threshold) = (count(valid.len()), self.threshold);
        if total < threshold {
            return Err(TufError::BadSignature { role: role.clone(), valid: total, threshold });
        }
        for (keytype, threshold) in &self.by_keytype {
            let of_type = count(valid.values().filter(|valid| *valid == keytype).count());
            if of_type < *threshold {
                return Err(TufError::BadHybrid {
                    role: role.clone(),
                    keytype: keytype.clone(),
                    valid: of_type,
                    threshold: *threshold,
                });
            }
        }
        Ok(())
    }
}

/// What a targets role trusts to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegations {
    /// Keys of the delegated roles.
    pub keys: Keys,
    /// The roles, in the order in which they are asked.
    pub roles: Vec<DelegatedRole>,
    /// In their place, roles that share all paths among them (TAP 15).
    pub succinct: Option<SuccinctRoles>,
    /// Members that are not understood; kept.
    pub extra: Members,
}

/// Roles `PREFIX-0` to `PREFIX-f…`, all with the same keys; the hash of a path says which one has it.
///
/// Source: TAP 15. No path is asked of a second one, so each is terminating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuccinctRoles {
    /// Who signs for each of them.
    pub keys: RoleKeys,
    /// There are 2 to the power of this many: 1 to 32.
    pub bit_length: u32,
    /// What their names begin with.
    pub name_prefix: String,
    /// Members that are not understood; kept.
    pub extra: Members,
}

/// One delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedRole {
    /// The role's name.
    pub name: String,
    /// Who signs for it.
    pub keys: RoleKeys,
    /// Whether the search ends with this role for the paths it covers.
    pub terminating: bool,
    /// Which paths it covers.
    pub paths: PathSet,
    /// Members that are not understood; kept.
    pub extra: Members,
}

/// Which paths a delegation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSet {
    /// Shell-style patterns.
    Patterns(Vec<String>),
    /// Beginnings of the hexadecimal SHA-256 of paths.
    HashPrefixes(Vec<String>),
}

impl PathSet {
    /// Returns whether a path is covered.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern::matches(pattern, path))
            }
            Self::HashPrefixes(prefixes) => {
                let digest = to_hex(&Sha256::digest(path.as_bytes()));
                prefixes.iter().any(|prefix| digest.starts_with(&prefix.to_ascii_lowercase()))
            }
        }
    }
}

impl Delegations {
    pub(super) fn from_json(json: Json) -> Result<Self, String> {
        let Json::Object(mut members) = json else {
            return Err("\"delegations\" is no object".to_owned());
        };
        let keys = take_keys(&mut members)?;
        let succinct = members.remove("succinct_roles");
        let succinct = succinct.map(SuccinctRoles::from_json).transpose()?;
        let roles = match members.remove("roles") {
            Some(_) if succinct.is_some() => {
                let what = "\"delegations\" has both \"roles\" and \"succinct_roles\"";
                return Err(what.to_owned());
            }
            Some(Json::Array(roles)) => roles,
            Some(_) => return Err("\"roles\" of \"delegations\" is no array".to_owned()),
            None => Vec::new(),
        };
        let roles: Result<Vec<_>, _> = roles.into_iter().map(DelegatedRole::from_json).collect();
        let roles = roles?;
        let names: BTreeSet<&String> = roles.iter().map(|role| &role.name).collect();
        if names.len() != roles.len() {
            return Err("a role is delegated to twice by one role".to_owned());
        }
        Ok(Self { keys, roles, succinct, extra: members })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut members = self.extra.clone();
        members.insert("keys".to_owned(), keys_to_json(&self.keys));
        if let Some(succinct) = &self.succinct {
            members.insert("succinct_roles".to_owned(), succinct.to_json());
        } else {
            let roles = self.roles.iter().map(DelegatedRole::to_json).collect();
            members.insert("roles".to_owned(), Json::Array(roles));
        }
        Json::Object(members)
    }

    /// Returns the roles that cover a path, in the order in which they are asked.
    #[must_use]
    pub fn covering(&self, path: &str) -> Vec<DelegatedRole> {
        if let Some(succinct) = &self.succinct {
            return vec![succinct.role_of(path)];
        }
        self.roles.iter().filter(|role| role.paths.covers(path)).cloned().collect()
    }
}

impl SuccinctRoles {
    /// Returns the role that a path belongs to: the first bits of its SHA-256 are the role's number.
    #[must_use]
    pub fn role_of(&self, path: &str) -> DelegatedRole {
        let digest = Sha256::digest(path.as_bytes());
        let first = digest.iter().take(4).fold(0u32, |sum, byte| (sum << 8) | u32::from(*byte));
        let number = first.checked_shr(32u32.saturating_sub(self.bit_length)).unwrap_or(0);
        let digits = usize::try_from(self.bit_length.div_ceil(4)).unwrap_or(8);
        DelegatedRole {
            name: format!("{}-{number:0digits$x}", self.name_prefix),
            keys: self.keys.clone(),
            terminating: true,
            paths: PathSet::Patterns(Vec::new()),
            extra: Members::new(),
        }
    }

    fn from_json(json: Json) -> Result<Self, String> {
        let Json::Object(mut members) = json else {
            return Err("\"succinct_roles\" is no object".to_owned());
        };
        let keys = RoleKeys::take(&mut members)?;
        let bit_length = members.remove("bit_length").and_then(|json| json.as_uint());
        let bit_length = bit_length.and_then(|bits| u32::try_from(bits).ok());
        let bit_length = bit_length.filter(|bits| (1..=32).contains(bits));
        let bit_length = bit_length.ok_or("\"bit_length\" is not a number from 1 to 32")?;
        let Some(Json::Str(name_prefix)) = members.remove("name_prefix") else {
            return Err("\"succinct_roles\" has no \"name_prefix\"".to_owned());
        };
        Ok(Self { keys, bit_length, name_prefix, extra: members })
    }

    fn to_json(&self) -> Json {
        let mut members = self.extra.clone();
        self.keys.put(&mut members);
        members.insert("bit_length".to_owned(), Json::uint(u64::from(self.bit_length)));
        members.insert("name_prefix".to_owned(), Json::str(self.name_prefix.clone()));
        Json::Object(members)
    }
}

impl DelegatedRole {
    fn from_json(json: Json) -> Result<Self, String> {
        let Json::Object(mut members) = json else {
            return Err("a delegated role is no object".to_owned());
        };
        let Some(Json::Str(name)) = members.remove("name") else {
            return Err("a delegated role has no \"name\"".to_owned());
        };
        if name.is_empty() || matches!(name.as_str(), "root" | "timestamp" | "snapshot" | "targets")
        {
            return Err(format!("a delegated role may not be named {name:?}"));
        }
        let keys = RoleKeys::take(&mut members)?;
        let terminating = members.remove("terminating").and_then(|json| json.as_bool());
        let terminating = terminating.ok_or("a delegated role has no \"terminating\"")?;
        let patterns = take_strings(&mut members, "paths")?;
        let prefixes = take_strings(&mut members, "path_hash_prefixes")?;
        let paths = match (patterns, prefixes) {
            (Some(patterns), None) => PathSet::Patterns(patterns),
            (None, Some(prefixes)) => PathSet::HashPrefixes(prefixes),
            _ => {
                let what = "has to have one of \"paths\" and \"path_hash_prefixes\"";
                return Err(format!("the delegated role {name:?} {what}"));
            }
        };
        Ok(Self { name, keys, terminating, paths, extra: members })
    }

    fn to_json(&self) -> Json {
        let mut members = self.extra.clone();
        members.insert("name".to_owned(), Json::str(self.name.clone()));
        self.keys.put(&mut members);
        members.insert("terminating".to_owned(), Json::Bool(self.terminating));
        let (name, texts) = match &self.paths {
            PathSet::Patterns(patterns) => ("paths", patterns),
            PathSet::HashPrefixes(prefixes) => ("path_hash_prefixes", prefixes),
        };
        members.insert(name.to_owned(), Json::strings(texts.iter().cloned()));
        Json::Object(members)
    }
}

/// Takes `keys` out of an object.
pub(super) fn take_keys(members: &mut Members) -> Result<Keys, String> {
    let Some(Json::Object(keys)) = members.remove("keys") else {
        return Err("\"keys\" is missing, or no object".to_owned());
    };
    if keys.len() > KEYS_MAX {
        return Err(format!("more than {KEYS_MAX} keys"));
    }
    keys.iter().map(|(id, json)| Ok((id.clone(), TufKey::from_json(json)?))).collect()
}

pub(super) fn keys_to_json(keys: &Keys) -> Json {
    Json::Object(keys.iter().map(|(id, key)| (id.clone(), key.to_json())).collect())
}

/// Takes an array of strings out of an object, if it is there.
fn take_strings(members: &mut Members, name: &str) -> Result<Option<Vec<String>>, String> {
    let Some(json) = members.remove(name) else { return Ok(None) };
    let strings: Option<Vec<String>> = json
        .as_array()
        .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
    strings.map(Some).ok_or_else(|| format!("{name:?} is no array of strings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are those that python-tuf gives to these paths.
    #[test]
    fn hash_bins_by_name() {
        let of = |bit_length, path| {
            let keys = RoleKeys::new(Vec::new(), 1);
            let name_prefix = "bin".to_owned();
            SuccinctRoles { keys, bit_length, name_prefix, extra: Members::new() }.role_of(path)
        };
        assert_eq!(of(1, "a").name, "bin-1");
        assert_eq!(of(3, "some/file").name, "bin-4");
        assert_eq!(of(8, "some/file").name, "bin-93");
        assert_eq!(of(10, "a").name, "bin-32a");
        assert_eq!(of(32, "a").name, "bin-ca978112");
        assert!(of(32, "a").terminating);
    }
}
