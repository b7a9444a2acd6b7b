//! Which files the distribution's packages own, as they made them.
//!
//! Reads what dpkg keeps: `info/*.md5sums` and the configuration files in `status`. A file counts only when its MD5
//! is the one of the package: one that was changed is nobody's. Nothing but root writes these lists.
//! What RPM keeps is asked of `rpm` (`packages/rpm.rs`), where there is a database of it.
//! Leaves out: diversions.
//! Limits: a list is read up to 64 MiB, longer ones are passed over.
//! Sources: dpkg(1), deb-md5sums(5), dpkg-query(1).

mod rpm;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use md5::{Digest as _, Md5};

use crate::place::TakeError;
use crate::vault::read_all;
use hf_core::hex::from_hex;

use rpm::Rpm;

/// The packages of this system.
#[derive(Debug)]
pub struct OsPackages {
    folder: PathBuf,
    hasher: RandomState,
    lists: OnceLock<Lists>,
    rpm: Option<Rpm>,
}

/// Hashes of paths, and those with the digests that belong to them.
#[derive(Debug, Default)]
struct Lists {
    paths: HashSet<u64>,
    files: HashSet<(u64, [u8; 16])>,
}

impl Default for OsPackages {
    fn default() -> Self {
        Self { rpm: Rpm::of_the_system(), ..Self::new(Path::new("/var/lib/dpkg")) }
    }
}

impl OsPackages {
    /// Reads what dpkg keeps below this folder, once it is needed; asks no `rpm`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        Self { folder, hasher: RandomState::new(), lists: OnceLock::new(), rpm: None }
    }

    /// Asks a program `rpm` about a database, besides.
    #[must_use]
    pub fn with_rpm(self, program: &Path, database: &Path) -> Self {
        let (program, database) = (program.to_path_buf(), Some(database.to_path_buf()));
        Self { rpm: Some(Rpm { program, database, patience: rpm::PATIENCE }), ..self }
    }

    /// Returns whether a package owns this path and the file is as the package made it.
    ///
    /// # Errors
    /// The file cannot be read, or `rpm` does not say.
    pub fn vouch_for(&self, path: &Path, file: &File) -> io::Result<bool> {
        if self.dpkg_vouches_for(path, file)? {
            return Ok(true);
        }
        let Some(rpm) = &self.rpm else { return Ok(false) };
        match rpm.owner_of(path)? {
            Some(owned) => owned.matches(file),
            None => Ok(false),
        }
    }

    fn dpkg_vouches_for(&self, path: &Path, file: &File) -> io::Result<bool> {
        let lists = self.lists.get_or_init(|| self.read());
        let names = names(path.as_os_str().as_bytes());
        let hashes: Vec<u64> = names.iter().map(|name| self.hash(name)).collect();
        if !hashes.iter().any(|hash| lists.paths.contains(hash)) {
            return Ok(false);
        }
        let mut md5 = Md5::new();
        if !read_whole(file, &mut |bytes| md5.update(bytes))? {
            return Ok(false);
        }
        let md5: [u8; 16] = md5.finalize().into();
        Ok(hashes.iter().any(|hash| lists.files.contains(&(*hash, md5))))
    }

    fn hash(&self, path: &[u8]) -> u64 {
        self.hasher.hash_one(path)
    }

    fn read(&self) -> Lists {
        let mut lists = Lists::default();
        let entries = std::fs::read_dir(self.folder.join("info")).into_iter().flatten().flatten();
        for entry in
            entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "md5sums"))
        {
            // `9e107d9d372bb6826bd81d3542a419d6  usr/bin/fox`
            for line in lines(&entry.path()).split(|byte| *byte == b'\n') {
                if let Some((digits, path)) = line.split_at_checked(32)
                    && let Some(path) = path.strip_prefix(b"  ")
                {
                    self.add(&mut lists, path, digits);
                }
            }
        }
        // ` /etc/fox.conf 9e107d9d372bb6826bd81d3542a419d6`, and `obsolete` behind it.
        for line in lines(&self.folder.join("status")).split(|byte| *byte == b'\n') {
            if let Some(line) = line.strip_prefix(b" /") {
                let mut words = line.split(|byte| *byte == b' ');
                if let (Some(path), Some(digits)) = (words.next(), words.next()) {
                    self.add(&mut lists, path, digits);
                }
            }
        }
        lists
    }

    fn add(&self, lists: &mut Lists, path: &[u8], digits: &[u8]) {
        let digest = std::str::from_utf8(digits).ok().and_then(from_hex);
        let Some(digest) = digest.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) else {
            return;
        };
        let hash = self.hash(path);
        lists.paths.insert(hash);
        lists.files.insert((hash, digest));
    }
}

/// Reads a file from its start to its end; false when it changes right now: so it is not the package's.
fn read_whole(file: &File, take: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    let size = file.metadata()?.len();
    let read = read_all(file, size, &mut |bytes| {
        take(bytes);
        Ok(())
    });
    match read {
        Ok(()) => Ok(true),
        Err(TakeError::Io(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Returns the names that a list may have for a path: without the first `/`, and without `usr/` where the old place of
/// a file is a link to the new one.
fn names(path: &[u8]) -> Vec<&[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let old = path
        .strip_prefix(b"usr/")
        .filter(|rest| MERGED.iter().any(|folder| rest.starts_with(folder.as_bytes())));
    [Some(path), old].into_iter().flatten().collect()
}

/// Source: Debian, "UsrMerge".
const MERGED: [&str; 6] = ["bin/", "lib/", "lib32/", "lib64/", "libx32/", "sbin/"];

fn lines(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LIST_MAX).read_to_end(&mut text));
    match read {
        Ok(_) if (text.len() as u64) < LIST_MAX => text,
        _ => Vec::new(),
    }
}

const LIST_MAX: u64 = 64 << 20;
