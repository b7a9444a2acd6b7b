//! Whose signatures are found nowhere else.
//!
//! Two signatures are the same when they look for the same: a digest, a pattern with its place, a rule's text; names do
//! not count. Each is kept as eight bytes of a digest, so that ten million cost 160 MB.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The signatures of one supplier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Signatures that are in use.
    pub signatures: u64,
    /// Of these, those that no other supplier has.
    pub only_here: u64,
}

/// Counts the signatures in files by supplier.
#[must_use]
pub fn shares(files: &[(String, PathBuf)]) -> BTreeMap<String, Share> {
    let mut ids: Vec<&str> = files.iter().map(|(supplier, _)| supplier.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut all: Vec<(u64, u16)> = Vec::new();
    for (supplier, path) in files {
        let at = ids.binary_search(&supplier.as_str()).unwrap_or(0);
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        for (name, text) in texts(path) {
            each(&name, &text, &mut |what| all.push((digest(what), at)));
        }
    }
    all.sort_unstable();
    all.dedup();
    let mut shares: BTreeMap<String, Share> =
        ids.iter().map(|id| ((*id).to_owned(), Share::default())).collect();
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        for (_, at) in same {
            let Some(share) = ids.get(usize::from(*at)).and_then(|id| shares.get_mut(*id)) else {
                continue;
            };
            share.signatures = share.signatures.saturating_add(1);
            share.only_here = share.only_here.saturating_add(u64::from(same.len() == 1));
        }
    }
    shares
}

fn digest(what: &[u8]) -> u64 {
    let bytes = blake3::hash(what);
    let first: [u8; 8] = bytes.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

/// Returns a file, or the files in a container, with their names.
fn texts(path: &Path) -> Vec<(String, Vec<u8>)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let is_container = [".cvd", ".cld", ".cud"].iter().any(|suffix| name.ends_with(suffix));
    if !is_container {
        return vec![(name, bytes)];
    }
    let options = hf_sig::LoadOptions::default();
    hf_sig::cvd::unpack(&name, &bytes, &options)
        .map(|unpacked| unpacked.members)
        .unwrap_or_default()
}

/// Calls back with what each signature of a file looks for.
fn each(name: &str, text: &[u8], take: &mut dyn FnMut(&[u8])) {
    let suffix = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if hf_sig::recognised(name).is_none()
        || matches!(suffix.as_str(), "info" | "cfg" | "ign" | "ign2" | "fp" | "sfp")
    {
        return;
    }
    if matches!(suffix.as_str(), "yar" | "yara") {
        let text = String::from_utf8_lossy(text);
        let mut rule = String::new();
        for line in text.lines() {
            let starts = ["rule ", "private rule ", "global rule "]
                .iter()
                .any(|word| line.starts_with(word));
            if starts && !rule.is_empty() {
                take(rule.as_bytes());
                rule.clear();
            }
            // Its name is its own.
            if starts || !rule.is_empty() {
                rule.push_str(if starts { "rule" } else { line.trim() });
                rule.push('\n');
            }
        }
        if !rule.is_empty() {
            take(rule.as_bytes());
        }
        return;
    }
    if suffix == "cbc" {
        return take(text);
    }
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let behind = |separator: u8| {
            let at = line.iter().position(|byte| *byte == separator);
            at.and_then(|at| line.get(at.saturating_add(1)..)).unwrap_or(line)
        };
        match suffix.as_str() {
            "hdb" | "hsb" | "hdu" | "hsu" => {
                take(line.split(|byte| *byte == b':').next().unwrap_or_default());
            }
            "ndb" | "ndu" | "sdb" => take(behind(b':')),
            "ldb" | "ldu" => take(behind(b';')),
            "db" => take(behind(b'=')),
            _ => take(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_has() {
        let dir = tempfile::tempdir().unwrap();
        let file = |supplier: &str, name: &str, text: &str| {
            let folder = dir.path().join(supplier);
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            (supplier.to_owned(), path)
        };
        let files = [
            file("a", "x.ndb", "One:0:*:aabb\nTwo:0:*:ccdd\n"),
            file("b", "y.ndb", "# c\nOther:0:*:aabb\n"),
            file("b", "z.hdb", "44d88612fea8a8f36de82e1278abb02f:68:E\n"),
            file("a", "r.yar", "rule a {\n condition: true\n}\nrule b {\n condition: false\n}\n"),
            file("b", "r.yar", "rule c {\n  condition: true\n}\n"),
        ];
        let shares = shares(&files);
        assert_eq!(shares["a"], Share { signatures: 4, only_here: 2 });
        assert_eq!(shares["b"], Share { signatures: 3, only_here: 1 });
    }
}
