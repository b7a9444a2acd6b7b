//! Real databases, when `HOLDFAST_REAL_DATA` names a directory of them: all is accepted, counts are right, loading is
//! fast. Files may be compressed with gzip (`main.ldb.gz`).

use std::{io::Read as _, path::PathBuf, time::Instant};

use crate::common::Nowhere;
use hf_sig::{IgnoreSet, LoadOptions, load};

fn real_files() -> Vec<PathBuf> {
    let Some(dir) = std::env::var_os("HOLDFAST_REAL_DATA") else {
        println!("skipped: HOLDFAST_REAL_DATA is not set");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn real_databases_are_accepted() {
    for path in real_files() {
        let mut name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(stem) = name.strip_suffix(".gz") {
            name = stem.to_owned();
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
            bytes = plain;
        }
        if hf_sig::recognised(&name).is_none() {
            continue;
        }
        let mut count = Nowhere::default();
        let start = Instant::now();
        let options = LoadOptions::default();
        let got = load(&name, &bytes, &options, &mut IgnoreSet::default(), &mut count);
        let took = start.elapsed();
        let summary = match got {
            Ok(summary) => summary,
            Err(rejected) => panic!("{}", rejected.diagnostic.render()),
        };
        println!(
            "{name}: {} signatures, {} collected, {} skipped, {} warnings, {} bytes in {took:?}",
            summary.signatures,
            count.count,
            summary.skipped,
            summary.warnings.len(),
            bytes.len()
        );
        for warning in summary.warnings.iter().take(5) {
            println!("{}", warning.render());
        }
        assert!(count.count > 0, "{name}");
    }
}
