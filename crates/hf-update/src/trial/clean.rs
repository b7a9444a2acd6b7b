//! Files that are known to be clean: those of the distribution's packages that still have their packages' checksums,
//! and those that the owner names.
//!
//! Promises: the same files on the same machine, spread over all packages; never more than the bounds given.
//! Leaves out: configuration files and links, which packages give no checksum for.
//! Source: dpkg's `/var/lib/dpkg/info/*.md5sums` (one `MD5  PATH` on each line, paths without the first slash).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use hf_core::hex::to_hex;
use md5::{Digest as _, Md5};

/// How much is taken.
#[derive(Debug, Clone, Copy)]
pub struct CleanSample {
    /// Files at most.
    pub files_max: usize,
    /// Bytes at most, all together.
    pub bytes_max: u64,
    /// Bytes of one file at most.
    pub file_max: u64,
}

impl Default for CleanSample {
    fn default() -> Self {
        Self { files_max: 300, bytes_max: 48 << 20, file_max: 4 << 20 }
    }
}

/// Largest list of checksums in bytes; ours.
const LIST_MAX: u64 = 16 << 20;

/// Returns open files that are known to be clean, with their paths; `root` is `/` but in tests.
#[must_use]
pub fn known_clean(root: &Path, owners: &[PathBuf], sample: CleanSample) -> Vec<(PathBuf, File)> {
    let mut taken = Vec::new();
    let mut bytes = 0u64;
    for path in owners {
        if let Some((file, len)) = open(path, u64::MAX) {
            bytes = bytes.saturating_add(len);
            taken.push((path.clone(), file));
        }
    }
    let mut listed = listed(root);
    // In the order of a digest, packages are mixed, and the choice is the same every time.
    listed.sort_by_cached_key(|(path, _)| *blake3::hash(path.as_bytes()).as_bytes());
    for (path, md5) in listed {
        if taken.len() >= sample.files_max.saturating_add(owners.len()) || bytes >= sample.bytes_max
        {
            break;
        }
        let path = root.join(path);
        let Some((mut file, len)) = open(&path, sample.file_max) else { continue };
        let mut data = Vec::new();
        let read = file.by_ref().take(sample.file_max).read_to_end(&mut data);
        let known = read.is_ok() && to_hex(&Md5::digest(&data)) == md5;
        if known && len > 0 {
            bytes = bytes.saturating_add(len);
            taken.push((path, file));
        }
    }
    taken
}

fn open(path: &Path, max: u64) -> Option<(File, u64)> {
    let meta =
        fs::symlink_metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= max)?;
    Some((File::open(path).ok()?, meta.len()))
}

/// Returns paths without their first slash, and checksums, of all packages.
fn listed(root: &Path) -> Vec<(String, String)> {
    let folder = root.join("var/lib/dpkg/info");
    let mut lists: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    lists.retain(|path| path.extension().is_some_and(|suffix| suffix == "md5sums"));
    lists.sort();
    let mut all = Vec::new();
    for list in lists {
        let mut text = String::new();
        let read = File::open(&list).and_then(|file| file.take(LIST_MAX).read_to_string(&mut text));
        if read.is_err() {
            continue;
        }
        for line in text.lines() {
            if let Some((md5, path)) = line.split_once("  ")
                && md5.len() == 32
                && !path.starts_with('/')
                && !path.split('/').any(|part| part == "..")
            {
                all.push((path.to_owned(), md5.to_owned()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_still_the_packages() {
        let dir = tempfile::tempdir().unwrap();
        let info = dir.path().join("var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        fs::create_dir_all(dir.path().join("bin")).unwrap();
        let mut list = String::new();
        for (name, listed) in [("good", "good"), ("changed", "before"), ("empty", "")] {
            fs::write(dir.path().join("bin").join(name), if name == "empty" { "" } else { name })
                .unwrap();
            list += &format!("{}  bin/{name}\n", to_hex(&Md5::digest(listed)));
        }
        list += "00000000000000000000000000000000  ../etc/passwd\nnonsense\n";
        fs::write(info.join("p.md5sums"), list).unwrap();
        let own = dir.path().join("bin/changed");
        let names = |owners: &[PathBuf], sample| -> Vec<String> {
            let found = known_clean(dir.path(), owners, sample);
            found
                .iter()
                .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names(&[], CleanSample::default()), ["good"]);
        assert_eq!(names(&[own], CleanSample::default()), ["changed", "good"]);
        let none = CleanSample { files_max: 0, ..CleanSample::default() };
        assert!(names(&[], none).is_empty());
    }
}
