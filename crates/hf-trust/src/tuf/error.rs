//! Why metadata or a target was refused, each by the name of the attack that it would be.

use std::fmt;

use crate::time::Time;

/// Whose metadata: a top-level role, or one delegated to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `root`.
    Root,
    /// `timestamp`.
    Timestamp,
    /// `snapshot`.
    Snapshot,
    /// `targets`.
    Targets,
    /// A role that a targets role delegates to.
    Delegated(String),
}

impl Role {
    /// Returns the role's name, as in file names and `meta`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegated(name) => name,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delegated(name) => write!(f, "delegated role {name:?}"),
            other => f.write_str(other.name()),
        }
    }
}

/// Metadata, a target or a file server was refused. What was trusted before stays trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TufError {
    /// Fewer valid signatures by distinct keys than the role's threshold: arbitrary software.
    #[error("{role}: {valid} of the {threshold} signatures needed are valid")]
    BadSignature {
        /// Whose metadata.
        role: Role,
        /// Distinct keys with a valid signature.
        valid: u64,
        /// How many are needed.
        threshold: u64,
    },
    /// A role wants signatures of a further kind (such as ML-DSA) and has too few of those.
    #[error("{role}: {valid} of the {threshold} signatures of type {keytype} needed are valid")]
    BadHybrid {
        /// Whose metadata.
        role: Role,
        /// The key type that is missing.
        keytype: String,
        /// Distinct keys of that type with a valid signature.
        valid: u64,
        /// How many are needed.
        threshold: u64,
    },
    /// A version is lower than one that was trusted before.
    #[error("{role}: version {got} is older than version {have}, which was trusted before")]
    Rollback {
        /// Whose metadata.
        role: Role,
        /// The version trusted before.
        have: u64,
        /// The version offered.
        got: u64,
    },
    /// A role that the trusted snapshot listed is not in the new one.
    #[error("snapshot version {version} no longer lists {role}")]
    Removed {
        /// The role that is gone.
        role: Role,
        /// The new snapshot's version.
        version: u64,
    },
    /// Metadata expired: its maintainers stopped, or somebody holds newer metadata back.
    #[error("{role}: version {version} expired at {expires}, and it is {now}")]
    Expired {
        /// Whose metadata.
        role: Role,
        /// Its version.
        version: u64,
        /// When it expired.
        expires: Time,
        /// The time of this update.
        now: Time,
    },
    /// A file has another version than the metadata that names it says.
    #[error("{role}: version {got}, where version {want} was promised")]
    VersionMismatch {
        /// Whose metadata.
        role: Role,
        /// The promised version.
        want: u64,
        /// The version offered.
        got: u64,
    },
    /// A file has another length or digest than the metadata that names it says.
    #[error("{role}: not the file that was promised: its {what} differs")]
    DigestMismatch {
        /// Whose metadata.
        role: Role,
        /// `length`, or the digest's name.
        what: String,
    },
    /// A target has another length or digest than its role says.
    #[error("target {path:?}: its {what} is not the promised one")]
    WrongTarget {
        /// The target's path.
        path: String,
        /// `length`, or the digest's name.
        what: String,
    },
    /// A file is longer than it may be.
    #[error("{file}: more than {max_bytes} bytes")]
    EndlessData {
        /// The file's name.
        file: String,
        /// The most it may have, in bytes.
        max_bytes: u64,
    },
    /// The fetcher gave up because bytes came too slowly.
    #[error("{file}: the server sends too slowly")]
    SlowRetrieval {
        /// The file's name.
        file: String,
    },
    /// The repository has no such file, though its metadata names it.
    #[error("{file}: the repository does not have this file")]
    Missing {
        /// The file's name.
        file: String,
    },
    /// Bytes that are no metadata of this role.
    #[error("{role}: {what}")]
    Malformed {
        /// Whose metadata it should have been.
        role: Role,
        /// What is wrong, with the field's name.
        what: String,
    },
    /// More new versions of root in one update than are followed.
    #[error("more than {max} new versions of root in one update")]
    TooManyRoots {
        /// How many are followed.
        max: u64,
    },
    /// No role says anything about a target.
    #[error("no role describes the target {path:?}")]
    NoSuchTarget {
        /// The target's path.
        path: String,
    },
    /// The search for a target would visit more roles than allowed.
    #[error("target {path:?} is not found within {max} roles")]
    TooManyDelegations {
        /// The target's path.
        path: String,
        /// How many roles are visited.
        max: usize,
    },
}

impl TufError {
    /// Returns the name of the attack that this refusal stops, for logs and tables.
    #[must_use]
    pub fn attack(&self) -> &'static str {
        match self {
            Self::BadSignature { .. } | Self::WrongTarget { .. } => "arbitrary-software",
            Self::BadHybrid { .. } => "stolen-keys",
            Self::Rollback { .. } | Self::Removed { .. } => "rollback",
            Self::Expired { .. } => "freeze",
            Self::VersionMismatch { .. } | Self::DigestMismatch { .. } => "mix-and-match",
            Self::EndlessData { .. } | Self::TooManyRoots { .. } => "endless-data",
            Self::TooManyDelegations { .. } => "endless-data",
            Self::SlowRetrieval { .. } => "slow-retrieval",
            Self::Missing { .. } => "missing-file",
            Self::Malformed { .. } => "malformed",
            Self::NoSuchTarget { .. } => "no-such-target",
        }
    }
}
