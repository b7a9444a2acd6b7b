//! Debian's `clamav-testfiles`: one small program in archives, documents, mail and packers.
//!
//! Promises: in each file the program is found, or the file is incomplete with a reason that names what has
//! no reader. A file that is clean without the finding is a failure, and so is one that the table does
//! not know: when a reader is added, the table must say so.
//! Leaves out: machines without the package, unless they are CI.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use md5::{Digest as _, Md5};
use serde_json::Value;

const FOLDER: &str = "/usr/share/clamav-testfiles";
const NAME: &str = "Clamav.Test.File-6";

/// Files in which the program is found.
const FOUND: &[&str] = &[
    "clam-aspack.exe",
    "clam-fsg.exe",
    "clam-mew.exe",
    "clam-nsis.exe",
    "clam-pespin.exe",
    "clam-petite.exe",
    "clam-upack.exe",
    "clam-upx.exe",
    "clam-wwpack.exe",
    "clam-yc.exe",
    "clam.7z",
    "clam.arj",
    "clam.bin-be.cpio",
    "clam.bin-le.cpio",
    "clam.bz2.zip",
    "clam.cab",
    "clam.chm",
    "clam.d64.zip",
    "clam.ea05.exe",
    "clam.ea06.exe",
    "clam.exe",
    "clam.exe.binhex",
    "clam.exe.bz2",
    "clam.exe.html",
    "clam.exe.mbox.base64",
    "clam.exe.mbox.uu",
    "clam.exe.rtf",
    "clam.exe.szdd",
    "clam.impl.zip",
    "clam.mail",
    "clam.newc.cpio",
    "clam.odc.cpio",
    "clam.ole.doc",
    "clam.pdf",
    "clam.ppt",
    "clam.sis",
    "clam.tar.gz",
    "clam.tnef",
    "clam.zip",
    "clam_IScab_ext.exe",
    "clam_IScab_int.exe",
    "clam_ISmsi_ext.exe",
    "clam_ISmsi_int.exe",
    "clam_cache_emax.tgz",
];

/// Files that need a reader which is not there, and what their reason must name.
const INCOMPLETE: &[(&str, &str)] = &[];

/// What the program says of one file.
#[derive(Debug)]
struct Said {
    verdict: String,
    names: BTreeSet<String>,
    reasons: Vec<String>,
}

#[test]
fn each_file_is_found_or_honestly_incomplete() {
    let Some(said) = scan() else { return };
    let mut wrong = Vec::new();
    for (file, said) in &said {
        let found = said.names.contains(&format!("{NAME}.UNOFFICIAL"));
        let reason = INCOMPLETE.iter().find(|(name, _)| name == file).map(|(_, reason)| *reason);
        let right = match reason {
            Some(reason) => {
                !found
                    && said.verdict == "incomplete"
                    && said.reasons.contains(&format!("no reader for {reason}"))
            }
            None => found && said.verdict == "detected" && FOUND.contains(&file.as_str()),
        };
        if !right {
            wrong.push(format!("{file}: {said:?}"));
        }
    }
    let known = FOUND.iter().chain(INCOMPLETE.iter().map(|(file, _)| file));
    wrong.extend(
        known.filter(|file| !said.contains_key(**file)).map(|file| format!("{file}: not there")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Scans the package's files for the digest of the plain program.
fn scan() -> Option<BTreeMap<String, Said>> {
    let Ok(program) = std::fs::read(Path::new(FOLDER).join("clam.exe")) else {
        assert!(std::env::var_os("CI").is_none(), "clamav-testfiles is missing, and this is CI");
        println!("skipped: clamav-testfiles is not on this machine");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let digest: String = Md5::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
    let database = folder.path().join("test.hdb");
    std::fs::write(&database, format!("{digest}:{}:{NAME}\n", program.len()))
        .expect("a database can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["scan", "--json", "--no-summary", "--database"])
        .arg(&database)
        .arg(FOLDER)
        .env("HOLDFAST_CACHE", folder.path().join("cache"))
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("it prints UTF-8");
    Some(
        text.lines()
            .map(|line| said(&serde_json::from_str(line).expect("it prints JSON")))
            .collect(),
    )
}

fn said(line: &Value) -> (String, Said) {
    let texts = |list: &str, key: &str| -> Vec<String> {
        let entries = line[list].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry[key].as_str().map(str::to_owned)).collect()
    };
    let path = line["path"].as_str().unwrap_or_default();
    let said = Said {
        verdict: line["verdict"].as_str().unwrap_or_default().to_owned(),
        names: texts("findings", "name").into_iter().collect(),
        reasons: texts("not_scanned", "reason"),
    };
    (path.rsplit('/').next().unwrap_or(path).to_owned(), said)
}
