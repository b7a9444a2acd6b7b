//! Runs both programs over a folder and compares the names that they tell for each file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Files that are scanned with the same databases and options.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) options: Vec<&'static str>,
    /// Name and content.
    pub(crate) databases: Vec<(String, Vec<u8>)>,
    /// Name and content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// Names told for each file, in order.
pub(crate) type Told = BTreeMap<String, Vec<String>>;

/// True when there is something to compare with.
pub(crate) fn available() -> bool {
    if Command::new("clamscan").arg("--help").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "clamscan is missing, and this is CI");
    println!("skipped: there is no clamscan on this machine");
    false
}

/// Returns what clamscan and ours under that name tell.
pub(crate) fn both(group: &Group) -> (Told, Told) {
    let outer = tempfile::tempdir().expect("a folder can be made");
    let ours = outer.path().join("clamscan");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &ours).expect("a link can be made");
    for (folder, files) in [("db", &group.databases), ("w", &group.files)] {
        fs::create_dir(outer.path().join(folder)).expect("a folder can be made");
        for (name, bytes) in files {
            fs::write(outer.path().join(folder).join(name), bytes).expect("a file can be written");
        }
    }
    // A database that finds nothing: a folder with none is refused.
    let nothing = "d41d8cd98f00b204e9800998ecf8427e:77:Nothing\n";
    fs::write(outer.path().join("db/nothing.hdb"), nothing).expect("a file can be written");
    (told(Path::new("clamscan"), outer.path(), group), told(&ours, outer.path(), group))
}

fn told(program: &Path, outer: &Path, group: &Group) -> Told {
    let output = Command::new(program)
        .args(["-d", "db", "-r", "--no-summary"])
        .args(&group.options)
        .arg("w")
        .current_dir(outer)
        .env("HOLDFAST_CACHE", outer.join("cache"))
        .output()
        .expect("both programs can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{program:?}: {stderr}");
    let mut told: Told = group.files.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((path, said)) = line.split_once(": ") else { continue };
        let name = path.rsplit('/').next().unwrap_or_default();
        if let Some(found) = said.strip_suffix(" FOUND") {
            told.entry(name.to_owned()).or_default().push(found.to_owned());
        }
    }
    told
}

/// Returns a line for each file about which the two do not agree.
pub(crate) fn differences(group: &Group) -> Vec<String> {
    let (theirs, ours) = both(group);
    let mut lines = Vec::new();
    for (name, theirs) in &theirs {
        let ours = ours.get(name).cloned().unwrap_or_default();
        if *theirs != ours {
            lines.push(format!("{:?} {name}: clamscan {theirs:?}, ours {ours:?}", group.options));
        }
    }
    lines
}
