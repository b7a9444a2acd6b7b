//! Looks at every file: at its name, and into programs for texts that tell whose they are.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{Finder, fits};

/// Most files and folders; ours.
pub const ENTRIES_MAX: u64 = 20_000_000;
/// Bytes of a program that are searched from its start; ours.
pub const HEAD_MAX: u64 = 16 << 20;
/// Bytes of a program that are searched before its end, where signatures are; ours.
pub const TAIL_MAX: u64 = 256 << 10;

/// Not of the disk.
const NOT_FILES: &[&str] = &["proc", "sys", "dev", "run"];

pub(super) fn look(root: &Path, finder: &mut Finder<'_>) {
    let searched = finder
        .suppliers
        .list
        .iter()
        .any(|supplier| !supplier.find.signers.is_empty() || !supplier.find.markers.is_empty());
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let list = match fs::read_dir(&folder) {
            Ok(list) => list,
            Err(err) => {
                missed(finder, &folder, &err.to_string());
                continue;
            }
        };
        for entry in list.flatten() {
            finder.inventory.entries = finder.inventory.entries.saturating_add(1);
            if finder.inventory.entries > ENTRIES_MAX {
                return missed(finder, root, "there are too many files");
            }
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                let top = folder == root && NOT_FILES.iter().any(|name| entry.file_name() == *name);
                if !top {
                    folders.push(path);
                }
                continue;
            }
            names(root, &path, finder);
            if searched && kind.is_file() {
                texts(root, &path, finder);
            }
        }
    }
}

fn missed(finder: &mut Finder<'_>, path: &Path, why: &str) {
    if finder.inventory.not_looked_at.len() < 1000 {
        finder.inventory.not_looked_at.push(format!("{}: {why}", path.display()));
    }
}

/// Returns a path as it is on the machine whose root is looked at.
fn shown(root: &Path, path: &Path) -> String {
    format!("/{}", path.strip_prefix(root).unwrap_or(path).display())
}

fn names(root: &Path, path: &Path, finder: &mut Finder<'_>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for supplier in &finder.suppliers.list {
        if let Some(rule) = supplier.find.files.iter().find(|rule| fits(rule, &name)) {
            let id = supplier.id.clone();
            finder.push(&id, "file", &shown(root, path), "", rule);
        }
    }
}

/// Searches programs and libraries.
fn texts(root: &Path, path: &Path, finder: &mut Finder<'_>) {
    // What was a file a moment ago may be a link or a pipe now.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let Ok(mut file) = opened else { return };
    let mut start = [0; 4];
    if file.read_exact(&mut start).is_err() {
        return;
    }
    let windows = start.starts_with(b"MZ");
    if !windows && start != *b"\x7fELF" {
        return;
    }
    let len = file.metadata().map_or(0, |meta| meta.size());
    let mut bytes = start.to_vec();
    let head = file.by_ref().take(HEAD_MAX).read_to_end(&mut bytes);
    if len > HEAD_MAX {
        let tail = file.seek(SeekFrom::Start(len.saturating_sub(TAIL_MAX).max(HEAD_MAX)));
        let _ = tail.and_then(|_| file.by_ref().take(TAIL_MAX).read_to_end(&mut bytes));
    }
    if head.is_err() {
        return missed(finder, path, "it cannot be read");
    }
    let tail_from = bytes.len().saturating_sub(usize::try_from(TAIL_MAX).unwrap_or(usize::MAX));
    let tail = bytes.get(tail_from..).unwrap_or_default();
    for supplier in &finder.suppliers.list {
        let id = supplier.id.clone();
        if windows {
            let signed = supplier.find.signers.iter().find(|text| holds(tail, text.as_bytes()));
            if let Some(rule) = signed {
                finder.push(&id, "signer", &shown(root, path), rule, rule);
            }
        }
        let wide = |text: &str| text.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<u8>>();
        let marked = |text: &&String| {
            holds(&bytes, text.as_bytes()) || (windows && holds(&bytes, &wide(text)))
        };
        if let Some(rule) = supplier.find.markers.iter().find(marked) {
            finder.push(&id, "engine", &shown(root, path), rule, rule);
        }
    }
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    !what.is_empty() && memchr::memmem::find(bytes, what).is_some()
}
