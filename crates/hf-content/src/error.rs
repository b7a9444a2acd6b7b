//! Why content could not be opened.

use std::io;
use std::path::{Path, PathBuf};

use hf_pack::{OpenPackError, WritePackError};

/// Content could not be opened. Never caused by a scanned file.
#[derive(Debug, thiserror::Error)]
#[error("cannot load content from {}", path.display())]
pub struct ContentError {
    /// The database, directory or cache file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: ContentErrorKind,
}

/// Why content could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ContentErrorKind {
    /// A file or directory cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Neither a file nor a directory.
    #[error("neither a file nor a directory")]
    NotAFile,
    /// A directory without databases.
    #[error("no supported database files found")]
    NoDatabases,
    /// The database is malformed.
    #[error(transparent)]
    Rejected(hf_sig::Rejected),
    /// The file was written to while it was read, several times over.
    #[error("it keeps changing while it is read")]
    Changing,
    /// The pack could not be written.
    #[error(transparent)]
    Write(WritePackError),
    /// The pack was written but cannot be opened.
    #[error(transparent)]
    Open(OpenPackError),
}

impl ContentError {
    pub(crate) fn new(path: impl AsRef<Path>, kind: ContentErrorKind) -> Self {
        Self { path: path.as_ref().to_owned(), kind }
    }

    pub(crate) fn read(path: impl AsRef<Path>, err: io::Error) -> Self {
        Self::new(path, ContentErrorKind::Read(err))
    }
}
