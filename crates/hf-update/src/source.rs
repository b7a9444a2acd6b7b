//! What a source of content is: something that, asked now and then, offers new databases.

use std::path::{Path, PathBuf};

use crate::fetch::{FetchError, Fetcher};
use crate::provenance::Provenance;
use crate::store::SetFile;

/// A place from which databases come.
pub trait Source {
    /// Returns its name: letters, digits, `.`, `_` and `-`.
    fn name(&self) -> &str;

    /// Asks for news. New files are put into [`Context::staging`]; nothing else is written but what the source needs to
    /// remember, in [`Context::memory`].
    ///
    /// # Errors
    /// Nothing new could be had; what is in use stays in use.
    fn update(&mut self, context: &mut Context<'_>) -> Result<Outcome, SourceError>;
}

/// What a source is given.
pub struct Context<'a> {
    /// For the network.
    pub fetcher: &'a Fetcher,
    /// An empty folder for new files, on the same file system as the sets.
    pub staging: &'a Path,
    /// A folder that is the source's own from one update to the next: part of a download, time of a cool-down.
    pub memory: &'a Path,
    /// The folder with the source's files in use; none at first.
    pub current: Option<&'a Path>,
    /// What the set in use says of these files.
    pub current_files: &'a [SetFile],
    /// Seconds since 1970.
    pub now: u64,
    /// Only look whether there is news.
    pub check_only: bool,
    /// Told what happens.
    pub tell: &'a mut dyn FnMut(Note),
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context").field("staging", &self.staging).finish_non_exhaustive()
    }
}

/// Something that people may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Of interest when one looks.
    Detail(String),
    /// What was done.
    Info(String),
    /// What should be looked at.
    Warning(String),
}

/// What a source has to say.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing new.
    UpToDate,
    /// There is news; only said when asked to look.
    Available(String),
    /// These files, and no others, are now what the source offers.
    New(Vec<Offer>),
    /// It was not asked, and will not be before a time (seconds since 1970).
    CoolingDown {
        /// Until when.
        until: u64,
        /// Why.
        reason: String,
    },
}

/// A database that a source offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The name that it shall have; its suffix is its language.
    pub name: String,
    /// Where it is now: in the staging folder, or in the set in use for one that did not change.
    pub path: PathBuf,
    /// Where it came from.
    pub provenance: Provenance,
}

/// A source could not be asked, or what it gave is refused.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Fetching failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is not what it should be.
    #[error("{what}: {why}")]
    Refused {
        /// The file or address.
        what: String,
        /// Why.
        why: String,
    },
    /// A file of ours cannot be read or written.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The owner's rules forbid it.
    #[error("{0}")]
    Forbidden(String),
}

impl SourceError {
    /// Makes the error of a file.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Makes the error of something that is not what it should be.
    pub fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }
}
