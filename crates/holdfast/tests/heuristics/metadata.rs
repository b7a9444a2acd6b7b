//! `--gen-json`: the same metadata, where both know it; and signatures of target 13, which meet it.

use std::fs;
use std::path::Path;
use std::process::Command;

use hf_formats::testing_exe::tiny_pe;
use serde_json::Value;

use crate::run::{Group, available, differences};

fn files() -> Vec<(String, Vec<u8>)> {
    let text = b"A text that is long enough to be one.\n".to_vec();
    let page = br#"<html><a href="http://example.org/x">t</a><img src="a.gif"></html>"#.to_vec();
    vec![
        ("a.exe".to_owned(), tiny_pe(&[&[0x90; 512], b"data"], 0x1000)),
        ("a.txt".to_owned(), text),
        ("a.html".to_owned(), page),
    ]
}

/// Returns what a program leaves in `metadata.json`.
fn left(program: &Path, outer: &Path, name: &str) -> Value {
    let temps = outer.join("temps");
    let _ = fs::remove_dir_all(&temps);
    fs::create_dir(&temps).expect("a folder can be made");
    let output = Command::new(program)
        .args(["-d", "nothing.hdb", "--gen-json", "--leave-temps", "--tempdir=temps"])
        .arg(name)
        .current_dir(outer)
        .env("HOLDFAST_CACHE", outer.join("cache"))
        .env("TZ", "UTC")
        .output()
        .expect("both programs can be started");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let folders: Vec<_> = fs::read_dir(&temps).expect("it is there").flatten().collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let folder = folders[0].file_name().to_string_lossy().into_owned();
    assert!(folder.contains(&format!("-{name}.")), "{folder}");
    let text = fs::read_to_string(folders[0].path().join("metadata.json")).expect("a text");
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn the_same_metadata() {
    if !available() {
        return;
    }
    let outer = tempfile::tempdir().expect("a folder can be made");
    let ours = outer.path().join("clamscan");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdfast"), &ours).expect("a link can be made");
    let nothing = "d41d8cd98f00b204e9800998ecf8427e:77:Nothing\n";
    fs::write(outer.path().join("nothing.hdb"), nothing).expect("a file can be written");
    for (name, bytes) in files() {
        fs::write(outer.path().join(&name), bytes).expect("a file can be written");
        let theirs = left(Path::new("clamscan"), outer.path(), &name);
        let mut ours = left(&ours, outer.path(), &name);
        // What only we know.
        let members = ours.as_object_mut().expect("it is an object");
        members.remove("Facts");
        members.remove("URIs");
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn signatures_for_metadata() {
    if !available() {
        return;
    }
    let mut groups = Vec::new();
    for pattern in [
        r#""FileSize":38"#,
        "{\n  \"Magic\":\"CLAMJSONv0\",\n  \"RootFileType\":\"CL_TYPE_HTML\"",
        r#""EntryPointOffset":512"#,
        "nothing of it",
    ] {
        let hex: String = pattern.bytes().map(|byte| format!("{byte:02x}")).collect();
        let database = format!("Json.Found;Engine:51-255,Target:13;0;{hex}\n").into_bytes();
        for options in [vec!["--gen-json"], vec![]] {
            let databases = vec![("a.ldb".to_owned(), database.clone())];
            groups.push(Group { options, databases, files: files() });
        }
    }
    let lines: Vec<String> = groups.iter().flat_map(differences).collect();
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
}
