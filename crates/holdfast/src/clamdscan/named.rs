//! Paths that the user named: made absolute, and looked at once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::walk::{Follow, WalkOptions, selected};

/// What a named path is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// To be scanned, under this path.
    Scan(PathBuf),
    /// A link that is not followed.
    Link,
    /// Excluded by the configuration.
    Excluded,
    /// It cannot be looked at.
    Inaccessible,
    /// A pipe, a device or the like.
    NotSupported,
}

/// Returns the path as answers will have it: absolute, without slashes at its end.
pub(crate) fn absolute(given: &Path) -> PathBuf {
    let mut bytes = given.as_os_str().as_bytes();
    while let [shorter @ .., b'/'] = bytes {
        if shorter.is_empty() {
            break;
        }
        bytes = shorter;
    }
    let trimmed = Path::new(OsStr::from_bytes(bytes));
    if trimmed.is_absolute() {
        return trimmed.to_path_buf();
    }
    // `join` would take `./` away, which ClamAV's answers keep.
    let mut path = std::env::current_dir().unwrap_or_default().into_os_string();
    path.push("/");
    path.push(trimmed);
    PathBuf::from(path)
}

/// Looks at a path.
pub(crate) fn look(path: &Path, options: &WalkOptions) -> Named {
    let kind = |stat: &rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode);
    let inaccessible = |_: Errno| Named::Inaccessible;
    let link = match rustix::fs::lstat(path).map_err(inaccessible) {
        Ok(stat) => stat,
        Err(named) => return named,
    };
    if kind(&link) != FileType::Symlink {
        return by_kind(path.to_path_buf(), kind(&link), options);
    }
    if options.follow_dirs == Follow::Never && options.follow_files == Follow::Never {
        return Named::Link;
    }
    let target = match rustix::fs::stat(path).map_err(inaccessible) {
        Ok(stat) => kind(&stat),
        Err(named) => return named,
    };
    let follow =
        if target == FileType::Directory { options.follow_dirs } else { options.follow_files };
    match std::fs::canonicalize(path) {
        _ if follow == Follow::Never => Named::Link,
        Ok(real) => by_kind(real, target, options),
        Err(_) => Named::Inaccessible,
    }
}

fn by_kind(path: PathBuf, kind: FileType, options: &WalkOptions) -> Named {
    match kind {
        FileType::RegularFile | FileType::Directory if !selected(&options.exclude, &[], &path) => {
            Named::Excluded
        }
        FileType::RegularFile | FileType::Directory => Named::Scan(path),
        _ => Named::NotSupported,
    }
}
