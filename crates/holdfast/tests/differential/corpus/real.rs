//! Real files of this machine: programs, scripts, documents, pictures and compressed manuals.

use std::path::{Path, PathBuf};

use super::Corpus;
use crate::rng::Rng;

/// Folders, ends of names, how many files, and how large they may be.
const WANTED: &[(&str, &[&str], usize, u64)] = &[
    ("/usr/bin", &[""], 14, 150_000),
    ("/usr/lib", &[".so", ".o", ".so.1"], 4, 150_000),
    ("/usr/share/doc", &["copyright", "README", ".txt"], 6, 60_000),
    ("/usr/share", &[".html", ".htm"], 5, 60_000),
    ("/usr/share", &[".png", ".gif", ".jpg"], 8, 60_000),
    ("/usr/lib", &[".png", ".gif", ".jpg"], 3, 60_000),
    ("/usr/share/doc", &[".gz"], 4, 60_000),
    ("/usr/share", &[".pdf", ".jar"], 2, 200_000),
    ("/usr/lib", &[".py", ".pm", ".js", ".css", ".h"], 6, 60_000),
    ("/usr/lib", &[".pyc", ".mo", ".a"], 4, 60_000),
];

/// Entries of one folder tree that are looked at.
const WALK_MAX: usize = 30_000;

pub(super) fn collect(corpus: &mut Corpus, rng: &mut Rng) {
    for (idx, (folder, ends, count, size_max)) in WANTED.iter().enumerate() {
        let mut paths = Vec::new();
        walk(Path::new(folder), ends, *size_max, &mut paths, &mut 0);
        for nr in 0..*count {
            if paths.is_empty() {
                break;
            }
            let path = paths.swap_remove(rng.below(paths.len()));
            if let Ok(bytes) = std::fs::read(&path) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                add(corpus, &format!("real-{idx}-{nr}-{}", name.replace(' ', "_")), &bytes);
            }
        }
    }
}

fn add(corpus: &mut Corpus, name: &str, bytes: &[u8]) {
    corpus.add(name, bytes);
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut inner = Vec::new();
        let decoder = flate2::read::MultiGzDecoder::new(bytes);
        if std::io::Read::read_to_end(&mut std::io::Read::take(decoder, 1 << 20), &mut inner)
            .is_ok()
        {
            corpus.piece(&inner, &["CL_TYPE_GZ"]);
        }
    }
}

fn walk(folder: &Path, ends: &[&str], size_max: u64, paths: &mut Vec<PathBuf>, seen: &mut usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        *seen += 1;
        if *seen > WALK_MAX {
            return;
        }
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            walk(&path, ends, size_max, paths, seen);
        } else if meta.is_file()
            && (64..size_max).contains(&meta.len())
            && path.to_str().is_some_and(|name| ends.iter().any(|end| name.ends_with(end)))
        {
            paths.push(path);
        }
    }
}
