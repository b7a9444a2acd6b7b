//! `hdb`, `hsb`, `mdb`, `msb`, `imp`, and lists of trusted objects and ignored signatures.

use hf_core::FileType;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::{Databases, hex};
use crate::corpus::Corpus;
use crate::rng::Rng;

pub(super) fn generate(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for _ in 0..count {
        let whole = rng.percent(50);
        let bytes = if whole { rng.pick(&corpus.files) } else { &rng.pick(&corpus.pieces).bytes };
        let file = if rng.percent(50) { "a.hdb" } else { "a.hsb" };
        let name = databases.name("Hash");
        let line = line(rng, bytes, &name);
        databases.add_hash(file, line);
    }
    let programs: Vec<_> = corpus.pieces.iter().filter(|piece| piece.target == 1).collect();
    for _ in 0..count {
        if programs.is_empty() {
            return;
        }
        let bytes = &rng.pick(&programs).bytes;
        let Ok(exe) = hf_formats::exe_view(bytes, FileType::Msexe) else { continue };
        let ranges: Vec<&[u8]> = hf_formats::section_ranges(bytes, &exe);
        if rng.percent(30) {
            if let Some(imports) = &exe.import_string {
                let name = databases.name("Imp");
                let (hash, size) = hash_and_size(rng, imports);
                databases.add_hash("a.imp", format!("{hash}:{size}:{name}"));
            }
        } else if !ranges.is_empty() {
            let name = databases.name("Section");
            let range = ranges[rng.below(ranges.len())];
            let (hash, size) = hash_and_size(rng, range);
            let level = if size == "*" { ":73" } else { "" };
            let file = if rng.percent(50) { "a.mdb" } else { "a.msb" };
            databases.add_hash(file, format!("{size}:{hash}:{name}{level}"));
        }
    }
}

fn line(rng: &mut Rng, bytes: &[u8], name: &str) -> String {
    let (hash, size) = hash_and_size(rng, bytes);
    let level = if size == "*" { ":73" } else { *rng.pick(&["", ":73", ":1:255", ":300"]) };
    format!("{hash}:{size}:{name}{level}")
}

fn hash_and_size(rng: &mut Rng, bytes: &[u8]) -> (String, String) {
    let mut hash = match rng.below(3) {
        0 => hex(&Md5::digest(bytes)),
        1 => hex(&Sha1::digest(bytes)),
        _ => hex(&Sha256::digest(bytes)),
    };
    if rng.percent(20) {
        hash = hash.to_uppercase();
    }
    let mut size = bytes.len().max(1);
    if rng.percent(15) {
        if rng.percent(50) {
            size += 1;
        } else {
            let last = if hash.ends_with('0') { "1" } else { "0" };
            hash.replace_range(hash.len() - 1.., last);
        }
    }
    let size = if rng.percent(30) { "*".to_owned() } else { size.to_string() };
    (hash, size)
}

/// Adds lists of trusted objects: some whole files and some objects inside.
pub(crate) fn allowed(corpus: &Corpus, rng: &mut Rng, databases: &mut Databases, count: usize) {
    for _ in 0..count {
        let whole = rng.percent(50);
        let bytes = if whole { rng.pick(&corpus.files) } else { &rng.pick(&corpus.pieces).bytes };
        let file = if rng.percent(50) { "a.fp" } else { "a.sfp" };
        let name = databases.name("Allowed");
        let line = line(rng, bytes, &name);
        databases.add(file, line);
    }
}

/// Adds a list of ignored signatures.
pub(crate) fn ignored(rng: &mut Rng, databases: &mut Databases, count: usize) {
    let mut lines = Vec::new();
    for _ in 0..count {
        let (file, of) = rng.pick(&databases.files);
        let line = rng.pick(of);
        let name = line.split([':', ';', '=']).find(|field| field.starts_with("Diff."));
        // clamscan refuses a database of passwords when all are ignored.
        let Some(name) = name.filter(|_| !file.contains("fp") && file != "a.pwdb") else {
            continue;
        };
        let md5 = hex(&Md5::digest(line.as_bytes()));
        lines.push(match rng.below(4) {
            0 => format!("{name}:{md5}"),
            1 => format!("{name}:{}", hex(&Md5::digest(b"other"))),
            2 => format!("REPO:12:{name}"),
            _ => name.to_owned(),
        });
    }
    // A line without a digest behind one with a digest is read with that digest by clamscan, or refused.
    let has_digest = |line: &String| line.split(':').count() == 2;
    lines.sort_by_key(has_digest);
    lines.into_iter().for_each(|line| databases.add("a.ign2", line));
}
