//! A place that has a copy of a channel: a web server, or a folder.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use hf_channel::layout::is_plain_path;

use crate::fetch::{Download, Downloaded, FetchError, FetchErrorKind, Fetcher, Request};

/// A copy of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// Below this address, which ends without `/`.
    Web(String),
    /// In this folder.
    Folder(PathBuf),
}

/// Something cannot be had from a mirror.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Fetching failed.
    #[error("{}", chain(.0))]
    Fetch(#[from] FetchError),
    /// A file cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, std::io::Error),
    /// Longer than it may be.
    #[error("{0}: endless data: longer than {1} bytes")]
    TooLong(String, u64),
    /// Not there.
    #[error("{0} is not there")]
    Missing(String),
    /// The path cannot be one of a channel.
    #[error("{0:?} is no path in a channel")]
    Path(String),
    /// It does not give parts of files.
    #[error("{0}: the server does not give parts of files")]
    NoRanges(String),
}

/// A text names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a path")]
pub struct NoMirror(pub String);

fn chain(error: &FetchError) -> String {
    format!("{error}: {}", error.kind)
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(url) => f.write_str(url),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

impl std::str::FromStr for Mirror {
    type Err = NoMirror;

    fn from_str(text: &str) -> Result<Self, NoMirror> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::Folder(PathBuf::from(path)));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Web(text.trim_end_matches('/').to_owned()));
        }
        if text.is_empty() || text.contains("://") {
            return Err(NoMirror(text.to_owned()));
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

impl Mirror {
    /// Reads a file of at most `max` bytes; none when it is not there.
    ///
    /// # Errors
    /// It cannot be had, or is longer.
    pub fn read_if_there(
        &self,
        fetcher: &Fetcher,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, MirrorError> {
        match self.source(path)? {
            Found::Url(url) => {
                let reply = fetcher.get(&Request::new(&url))?;
                match reply.status {
                    200 => match reply.bytes(max) {
                        Ok(bytes) => Ok(Some(bytes)),
                        Err(FetchError { kind: FetchErrorKind::TooLarge { max }, .. }) => {
                            Err(MirrorError::TooLong(url, max))
                        }
                        Err(err) => Err(err.into()),
                    },
                    403 | 404 | 410 => Ok(None),
                    status => Err(FetchError::new(&url, FetchErrorKind::Status(status)).into()),
                }
            }
            Found::File(path) => {
                let io = |err| MirrorError::Io(path.clone(), err);
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(err) => return Err(io(err)),
                };
                let mut bytes = Vec::new();
                file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
                if bytes.len() as u64 > max {
                    return Err(MirrorError::TooLong(path.display().to_string(), max));
                }
                Ok(Some(bytes))
            }
        }
    }

    /// Reads a file of at most `max` bytes.
    ///
    /// # Errors
    /// It is not there, cannot be had, or is longer.
    pub fn read(&self, fetcher: &Fetcher, path: &str, max: u64) -> Result<Vec<u8>, MirrorError> {
        let found = self.read_if_there(fetcher, path, max)?;
        found.ok_or_else(|| MirrorError::Missing(path.to_owned()))
    }

    /// Gets a file of at most `max` bytes into a file; a download that broke off is continued.
    ///
    /// # Errors
    /// It is not there, cannot be had, or is longer.
    pub fn download(
        &self,
        fetcher: &Fetcher,
        path: &str,
        to: &Path,
        max: u64,
    ) -> Result<(), MirrorError> {
        match self.source(path)? {
            Found::Url(url) => {
                let download =
                    Download { url: &url, to, max, if_none_match: None, if_modified_since: None };
                match fetcher.download(&download) {
                    Ok(Downloaded::File { .. }) => Ok(()),
                    Ok(Downloaded::Other(reply)) if matches!(reply.status, 403 | 404 | 410) => {
                        Err(MirrorError::Missing(url))
                    }
                    Ok(Downloaded::Other(reply)) => {
                        Err(FetchError::new(&url, FetchErrorKind::Status(reply.status)).into())
                    }
                    Ok(Downloaded::NotModified) => Err(MirrorError::Missing(url)),
                    Err(FetchError { kind: FetchErrorKind::TooLarge { max }, .. }) => {
                        Err(MirrorError::TooLong(url, max))
                    }
                    Err(err) => Err(err.into()),
                }
            }
            Found::File(from) => {
                let io = |err| MirrorError::Io(from.clone(), err);
                let file = match File::open(&from) {
                    Ok(file) => file,
                    Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                        return Err(MirrorError::Missing(from.display().to_string()));
                    }
                    Err(err) => return Err(io(err)),
                };
                if file.metadata().map_err(io)?.len() > max {
                    return Err(MirrorError::TooLong(from.display().to_string(), max));
                }
                let mut out =
                    File::create(to).map_err(|err| MirrorError::Io(to.to_owned(), err))?;
                std::io::copy(&mut file.take(max), &mut out).map_err(io)?;
                Ok(())
            }
        }
    }

    /// Reads a part of a file.
    ///
    /// # Errors
    /// It cannot be had, or the server gives no parts.
    pub fn range(
        &self,
        fetcher: &Fetcher,
        path: &str,
        from: u64,
        len: u64,
    ) -> Result<Vec<u8>, MirrorError> {
        let last = from.saturating_add(len).saturating_sub(1);
        let bytes = match self.source(path)? {
            Found::Url(url) => {
                let request = Request { range: Some((from, Some(last))), ..Request::new(&url) };
                let reply = fetcher.get(&request)?;
                match reply.status {
                    206 => reply.bytes(len)?,
                    200 => return Err(MirrorError::NoRanges(url)),
                    403 | 404 | 410 => return Err(MirrorError::Missing(url)),
                    status => {
                        return Err(FetchError::new(&url, FetchErrorKind::Status(status)).into());
                    }
                }
            }
            Found::File(path) => {
                let io = |err| MirrorError::Io(path.clone(), err);
                let mut file = File::open(&path).map_err(io)?;
                file.seek(SeekFrom::Start(from)).map_err(io)?;
                let mut bytes = Vec::new();
                file.take(len).read_to_end(&mut bytes).map_err(io)?;
                bytes
            }
        };
        if bytes.len() as u64 == len {
            Ok(bytes)
        } else {
            Err(MirrorError::Missing(path.to_owned()))
        }
    }

    fn source(&self, path: &str) -> Result<Found, MirrorError> {
        if !is_plain_path(path) {
            return Err(MirrorError::Path(path.to_owned()));
        }
        Ok(match self {
            Self::Web(url) => Found::Url(format!("{url}/{path}")),
            Self::Folder(folder) => Found::File(folder.join(path)),
        })
    }
}

enum Found {
    Url(String),
    File(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_by_name() {
        assert_eq!("https://a.example/c/".parse(), Ok(Mirror::Web("https://a.example/c".into())));
        assert_eq!("file:///mnt/usb".parse(), Ok(Mirror::Folder("/mnt/usb".into())));
        assert_eq!("/mnt/usb".parse(), Ok(Mirror::Folder("/mnt/usb".into())));
        assert!("ftp://a".parse::<Mirror>().is_err() && "".parse::<Mirror>().is_err());
    }

    #[test]
    fn folders_are_bounded_and_kept_inside() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), b"0123456789").unwrap();
        let mirror = Mirror::Folder(temp.path().to_owned());
        let fetcher = Fetcher::new(crate::FetchOptions::default());
        assert_eq!(mirror.read(&fetcher, "file", 10).unwrap(), b"0123456789");
        assert!(matches!(mirror.read(&fetcher, "file", 9), Err(MirrorError::TooLong(..))));
        assert!(matches!(mirror.read(&fetcher, "../x", 9), Err(MirrorError::Path(_))));
        assert!(matches!(mirror.read(&fetcher, "none", 9), Err(MirrorError::Missing(_))));
        assert_eq!(mirror.range(&fetcher, "file", 3, 2).unwrap(), b"34");
        assert!(mirror.range(&fetcher, "file", 9, 2).is_err());
    }
}
