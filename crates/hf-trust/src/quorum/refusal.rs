//! Why content was refused, each by the name of the attack that it would be.

use super::bundle::BundleError;

/// Content was refused. What was in use stays in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The proofs are too long.
    #[error(transparent)]
    EndlessData(BundleError),
    /// The proofs are not readable.
    #[error(transparent)]
    Malformed(BundleError),
    /// Fewer publishers than wanted signed for one content.
    #[error("{have} of the {need} publishers needed vouch for this content{}", because(problems))]
    TooFewPublishers {
        /// How many did, with all proofs.
        have: usize,
        /// How many have to.
        need: usize,
        /// Why further statements do not count, by publisher.
        problems: Vec<String>,
    },
    /// Publishers vouch for different contents under one release, and none has a quorum alone; or a
    /// release that was accepted before now has another content.
    #[error("fork: release {release} of {set:?} stands for different contents")]
    Fork {
        /// The set.
        set: String,
        /// The release.
        release: u64,
    },
    /// Publishers vouch for different releases, and none has a quorum.
    #[error("mixed versions: publishers vouch for releases {low} to {high} of {set:?}")]
    MixedReleases {
        /// The set.
        set: String,
        /// The lowest release.
        low: u64,
        /// The highest.
        high: u64,
    },
    /// What publishers vouch for is not what the channel's metadata names.
    #[error("mixed versions: publishers vouch for another manifest than the channel names")]
    WrongManifest,
    /// An older release than the accepted one.
    #[error("roll-back: release {got} of {set:?} is older than release {have}, which is in use")]
    Rollback {
        /// The set.
        set: String,
        /// The release accepted before.
        have: u64,
        /// The release offered.
        got: u64,
    },
    /// A log shows less than it had shown before.
    #[error("roll-back: the log {log:?} shows {got} entries and had {have} before")]
    LogRollback {
        /// The log's origin.
        log: String,
        /// Its size before.
        have: u64,
        /// The size now.
        got: u64,
    },
    /// A log shows different histories, to us over time or to others.
    #[error(
        "split view: the log {log:?} at size {size} does not follow from what it showed before"
    )]
    SplitView {
        /// The log's origin.
        log: String,
        /// The size of the checkpoint that does not fit.
        size: u64,
    },
    /// The proof that a log only grew is not there. Who can make it of the log's tiles may try again.
    #[error(
        "split view possible: no proof that the log {log:?} only grew from {from} to {to} entries"
    )]
    NoConsistency {
        /// The log's origin.
        log: String,
        /// The smaller size.
        from: u64,
        /// The larger size.
        to: u64,
    },
    /// The owner's policy has no rules for a set, or asks for more than it names.
    #[error("the policy cannot be met: {0}")]
    Policy(String),
}

fn because(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        problems => format!(" ({})", problems.join("; ")),
    }
}

impl Refused {
    /// Returns the name of the attack that this refusal stops, for logs and tables.
    #[must_use]
    pub fn attack(&self) -> &'static str {
        match self {
            Self::EndlessData(_) => "endless-data",
            Self::Malformed(_) => "malformed",
            Self::TooFewPublishers { .. } => "too-few-publishers",
            Self::Fork { .. } => "fork",
            Self::MixedReleases { .. } | Self::WrongManifest => "mix-and-match",
            Self::Rollback { .. } | Self::LogRollback { .. } => "rollback",
            Self::SplitView { .. } | Self::NoConsistency { .. } => "split-view",
            Self::Policy(_) => "policy",
        }
    }
}
