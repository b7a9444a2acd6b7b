//! Gives the compiler of content a fingerprint: a digest of the sources of every crate whose code
//! decides what is in a pack. A cached pack of another fingerprint is never used.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Crates whose code decides what is in a pack.
const CRATES: [&str; 5] = ["hf-core", "hf-pack", "hf-sig", "hf-match", "hf-content"];

fn main() {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for name in CRATES {
        let sources = own.join("..").join(name).join("src");
        println!("cargo::rerun-if-changed={}", sources.display());
        // Absent when the crate is built alone; then the versions of the crates have to do.
        add(&sources, &mut hash);
    }
    println!("cargo::rustc-env=HF_COMPILER_FINGERPRINT={:016x}", hash.0);
}

fn add(dir: &Path, hash: &mut Fnv) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(&path, hash);
        } else if let Ok(text) = fs::read(&path) {
            hash.add(path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default());
            hash.add(&text);
        }
    }
}

/// FNV-1a, whose value does not depend on the version of the standard library.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        let len = (bytes.len() as u64).to_le_bytes();
        for byte in len.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
